// The first byte chooses the type. The types are in value_types.hpp.
#include <algorithm>

#include "tests/fuzz/value_types.hpp"

namespace {

using namespace fuzzed;

/// Bytes are compared from the second round on, and not of a table read from bytes in another order, which encodes in its own.
template <class T, bool Ordered = true>
void check(const manta::Buffer& bytes) {
  try {
    const auto decoded = manta::decode<T>(bytes);
    const Look seen(decoded);
    const auto first = manta::encode(decoded);
    const auto value = manta::decode<T>(first);
    const auto second = manta::encode(value);
    MANTA_CHECK(first.size() == second.size() && Look(value).parts == seen.parts);
    if constexpr (Ordered) MANTA_CHECK(std::ranges::equal(first.bytes(), second.bytes()));
  } catch (const manta::ProtocolError&) {
  } catch (const manta::InvalidArgument&) {  // so deep that it can be read but, by a little, not written
    if (!std::is_same_v<T, Tree> && !std::is_same_v<T, Chain> && !std::is_same_v<T, std::vector<std::shared_ptr<Made>>>) throw;
  }
}

constexpr void (*kChecks[])(const manta::Buffer&) = {
    check<Outer, false>,
    check<Inner>,
    check<std::vector<std::vector<std::string>>>,
    check<std::tuple<double, std::int64_t, bool, manta::Buffer, std::deque<char>>>,
    check<std::map<int, std::variant<bool, std::pair<float, std::string>>>>,
    check<Bools>,
    check<Sequences>,
    check<Keyed, false>,
    check<Moments>,
    check<Sharing>,
    check<Tree>,
    check<Chain>,
    check<Drawing>,
    check<std::vector<std::array<double, 128>>>,
    check<std::vector<std::shared_ptr<Made>>>,
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  kChecks[data[0] % std::size(kChecks)](manta::Buffer::copy(std::as_bytes(std::span(data + 1, size - 1))));
  return 0;
}
