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

/// Reads all of a value. A cell has one type, whatever refers to it.
class Look {
 public:
  void at(const PlacementGroup& group) {
    count(group.description().size() + group.name().size());
    if (group) MANTA_CHECK(group.any().group.value != 0 && group.any().bundle == Placement::kAnyBundle);
    for (std::size_t i = 0; i < group.bundle_count(); ++i) {
      const Placement place = group.bundle(i);
      MANTA_CHECK(place.options->strategy <= PlacementStrategy::kStrictSpread);
      count(place.options->bundles[i].resources.to_string().size());
    }
  }
  template <class T>
  void at(const Array<T>& numbers) {
    MANTA_CHECK(reinterpret_cast<std::uintptr_t>(numbers.data()) % alignof(T) == 0);
    for (const T each : numbers) count(each);
  }
  template <class T>
  void at(const ObjectRef<T>& ref) {
    if (!ref) return;
    const auto& ops = detail::type_ops<detail::StoredType<T>>();
    MANTA_CHECK(types_.try_emplace(ref.cell().get(), &ops).first->second == &ops && &ref.cell()->ops() == &ops);
    count(ref.ready() + ref.failed());
  }
  template <class T>
  void at(const std::vector<T>& values) {
    for (const T& each : values) at(each);
  }
  template <class... T>
  void at(const std::tuple<T...>& values) {
    std::apply([&self = *this](const auto&... each) { (self.at(each), ...); }, values);
  }
  void at(const Plan& plan) {
    at(plan.first);
    for (const auto& [name, refs] : plan.parts) at(refs);
    at(plan.numbers);
    if (plan.group) at(*plan.group);
  }

 private:
  void count(auto number) { seen_ = seen_ + static_cast<double>(number); }

  std::map<const detail::Cell*, const detail::TypeOps*> types_{};
  volatile double seen_ = 0;
};

/// From the second round on the bytes are the same, and so is what they refer to.
template <class T>
void check(const Buffer& bytes, detail::SharedReferences references) {
  try {
    const auto value = decode<T>(bytes, std::move(references));
    Look().at(value);
    const auto [first, found] = encoded(value);
    const auto [second, again] = encoded(decode<T>(first, std::make_shared<const detail::References>(found)));
    MANTA_CHECK(std::ranges::equal(first.bytes(), second.bytes()) && found.size() == again.size());
    for (std::size_t i = 0; i < found.size(); ++i) MANTA_CHECK(found[i].kind == again[i].kind && found[i].target == again[i].target);
  } catch (const ProtocolError&) {
  }
}

constexpr void (*kChecks[])(const Buffer&, detail::SharedReferences) = {
    check<Plan>, check<std::vector<ObjectRef<Buffer>>>, check<Array<double>>, check<std::vector<Array<float>>>, check<PlacementGroup>,
    check<std::tuple<ObjectRef<int>, ObjectRef<std::string>, std::vector<ObjectRef<int>>>>,
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = Buffer::copy(std::as_bytes(std::span(data + 1, size - 1)));
  auto references = std::make_shared<detail::References>();
  for (unsigned i = 0; i < (data[0] & 3u); ++i)
    if (data[0] & 4u << i)
      references->push_back({ReferenceKind::kActor, std::make_shared<Link>()});
    else
      references->push_back({ReferenceKind::kObject, std::make_shared<detail::Cell>(detail::type_ops<detail::Unknown>())});
  kChecks[(data[0] >> 5) % std::size(kChecks)](bytes, std::move(references));
  return 0;
}
