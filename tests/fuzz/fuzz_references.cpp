// Values that refer to objects and actors, and those of the runtime's own types. The first byte: how many references come along, 0 to 3, the
// kinds of these, and the type.
#include <algorithm>

#include "runtime/actor.hpp"
#include "runtime/array.hpp"
#include "runtime/placement_group.hpp"

namespace {

using namespace manta;
using detail::ReferenceKind;

struct Counter {};

struct Plan {
  ObjectRef<std::string> first{};
  std::map<std::string, std::vector<ObjectRef<double>>> parts{};
  std::variant<int, ActorHandle<Counter>> either{};
  Array<std::uint16_t> numbers{};
  std::optional<PlacementGroup> group{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(first, parts, either, numbers, group);
  }
};

class Link final : public detail::ActorLink {
 public:
  void call(std::shared_ptr<detail::TaskRecord>, std::shared_ptr<const CallOptions>) override {}
  void kill() override {}
  std::string description() const override { return "an actor"; }
  detail::CallRules rules() const override { return {}; }
  std::uint64_t id() const noexcept override { return 1; }
  std::shared_ptr<detail::Engine> engine() const override { throw RuntimeStopped("there is none"); }
};

/// As a Cell has it made: the value's bytes, and what it refers to in a list beside them.
template <class T>
std::pair<Buffer, detail::References> encoded(const T& value) {
  OutputArchive count;
  write_value(count, value);
  auto [buffer, target] = Buffer::allocate(count.size());
  detail::References references;
  OutputArchive archive(target, &references);
  write_value(archive, value);
  archive.finish();
  return {std::move(buffer), std::move(references)};
}

double look_at(const PlacementGroup& group) {
  std::size_t seen = group.description().size();
  for (std::size_t i = 0; i < group.bundle_count(); ++i) {
    const Placement place = group.bundle(i);
    MANTA_CHECK(place.options->strategy <= PlacementStrategy::kStrictSpread);
    seen += place.options->bundles[i].resources.to_string().size();
  }
  return static_cast<double>(seen);
}
template <class T>
double look_at(const Array<T>& numbers) {
  MANTA_CHECK(reinterpret_cast<std::uintptr_t>(numbers.data()) % alignof(T) == 0);
  double sum = 0;
  for (const T each : numbers) sum += static_cast<double>(each);
  return sum;
}
template <class T>
double look_at(const std::vector<T>& values) {
  double sum = 0;
  for (const T& each : values) sum += look_at(each);
  return sum;
}
template <class T>
double look_at(const std::vector<ObjectRef<T>>& refs) {
  return static_cast<double>(std::count_if(refs.begin(), refs.end(), [](const auto& ref) { return ref.ready(); }));
}
double look_at(const Plan& plan) { return look_at(plan.numbers) + (plan.group ? look_at(*plan.group) : 0) + plan.first.ready(); }

/// From the second round on the bytes are the same, and so is what they refer to.
template <class T>
void check(const Buffer& bytes, detail::SharedReferences references) {
  try {
    const auto value = decode<T>(bytes, std::move(references));
    volatile double sink = look_at(value);
    (void)sink;
    const auto [first, found] = encoded(value);
    const auto [second, again] = encoded(decode<T>(first, std::make_shared<const detail::References>(found)));
    MANTA_CHECK(std::ranges::equal(first.bytes(), second.bytes()) && found.size() == again.size());
    for (std::size_t i = 0; i < found.size(); ++i) MANTA_CHECK(found[i].kind == again[i].kind && found[i].target == again[i].target);
  } catch (const ProtocolError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = Buffer::copy(std::as_bytes(std::span(data + 1, size - 1)));
  auto references = std::make_shared<detail::References>();
  for (unsigned i = 0; i < (data[0] & 3u); ++i)
    if (data[0] & 4u << i)
      references->push_back({ReferenceKind::kActor, std::make_shared<Link>()});
    else
      references->push_back({ReferenceKind::kObject, std::make_shared<detail::Cell>(detail::type_ops<detail::Void>())});
  switch (data[0] >> 5) {
    case 0: check<Plan>(bytes, references); break;
    case 1: check<std::vector<ObjectRef<Buffer>>>(bytes, references); break;
    case 2: check<Array<double>>(bytes, references); break;
    case 3: check<std::vector<Array<float>>>(bytes, references); break;
    case 4: check<PlacementGroup>(bytes, references); break;
  }
  return 0;
}
