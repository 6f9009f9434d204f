// The first byte: how many objects come along, 0 to 3, and the function whose arguments the rest are.
#include <algorithm>
#include <map>

#include "runtime/actor_streams.hpp"
#include "runtime/function.hpp"

namespace {

using namespace manta;
using detail::Cell;

struct Sample {
  std::string name{};
  std::vector<double> numbers{};
  std::optional<std::variant<int, Buffer>> either{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(name, numbers, either);
  }
};
struct Counter {
  Counter() = default;
  explicit Counter(const std::map<std::string, int>&) {}
  double add(Sample, const std::string&, std::unique_ptr<std::string>) { return 0; }
  Generator<int> count(int from, const std::vector<std::string>&) { co_yield from; }
};

int nothing() { return 0; }
int numbers(int, double, bool, std::uint8_t) { return 0; }
int several(const std::string&, std::vector<std::string>, const Sample&) { return 0; }

std::vector<std::shared_ptr<Cell>> cells(std::size_t count) {
  std::vector<std::shared_ptr<Cell>> made;
  for (; count > 0; --count) made.push_back(std::make_shared<Cell>(detail::type_ops<detail::Unknown>()));
  return made;
}

Buffer encoded(const detail::TaskRecord& record) {
  OutputArchive count;
  record.encode_arguments(count);
  auto [buffer, target] = Buffer::allocate(count.size());
  OutputArchive archive(target);
  record.encode_arguments(archive);
  archive.finish();
  return buffer;
}

/// The same objects, each for one argument, and the same bytes again.
template <class Record>
void check(const Buffer& bytes, std::size_t refs) {
  const auto decoded = [refs](const Buffer& from) {
    InputArchive archive(from);
    auto record = Record::decode(archive, cells(refs));
    MANTA_CHECK(archive.left() == 0 && record->refs.size() == refs);
    for (const auto& ref : record->refs) MANTA_CHECK(&ref->ops() != &detail::type_ops<detail::Unknown>());
    (void)record->argument_bytes();
    return record;
  };
  try {
    const Buffer first = encoded(*decoded(bytes));
    const Buffer second = encoded(*decoded(first));
    MANTA_CHECK(std::ranges::equal(first.bytes(), second.bytes()));
  } catch (const ProtocolError&) {
  } catch (const cereal::Exception&) {  // whoever decodes arguments takes any exception for the user's
  }
}

constexpr void (*kChecks[])(const Buffer&, std::size_t) = {
    check<detail::FunctionRecord<nothing>>,
    check<detail::FunctionRecord<numbers>>,
    check<detail::FunctionRecord<several>>,
    check<detail::MethodRecord<Counter, &Counter::add>>,
    check<detail::ConstructorRecord<Counter, const std::map<std::string, int>&>>,
    check<detail::StreamOpenRecord<Counter, &Counter::count>>,
    check<detail::StreamItemRecord<Counter, &Counter::count>>,
    check<detail::StreamCloseRecord<Counter, &Counter::count>>,
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = Buffer::copy(std::as_bytes(std::span(data + 1, size - 1)));
  kChecks[(data[0] >> 2) % std::size(kChecks)](bytes, data[0] & 3);
  (void)detail::stream_in(bytes);
  return 0;
}
