// The first byte chooses the type.
#include <algorithm>

#include "runtime/codec.hpp"

namespace {

struct Inner {
  std::string name{};
  std::vector<double> numbers{};
  std::optional<bool> flag{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(name, numbers, flag);
  }
};

struct Outer {
  std::map<std::string, std::vector<Inner>> table{};
  std::variant<int, std::string, Inner> either{};
  std::unique_ptr<Inner> owned{};
  manta::Buffer raw{};
  std::vector<bool> bits{};
  std::array<float, 3> point{};
  std::unordered_set<std::int16_t> unique{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(table, either, owned, raw, bits, point, unique);
  }
};

/// Bytes are compared from the second round on: a table read from bytes in another order encodes in its own.
template <class T>
void check(const manta::Buffer& bytes) {
  try {
    const auto first = manta::encode(manta::decode<T>(bytes));
    const auto value = manta::decode<T>(first);
    const auto second = manta::encode(value);
    MANTA_CHECK(first.size() == second.size());
    if constexpr (!std::is_same_v<T, Outer>) MANTA_CHECK(std::ranges::equal(first.bytes(), second.bytes()));
  } catch (const manta::ProtocolError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = manta::Buffer::copy(std::as_bytes(std::span(data + 1, size - 1)));
  switch (data[0] % 5) {
    case 0: check<Outer>(bytes); break;
    case 1: check<Inner>(bytes); break;
    case 2: check<std::vector<std::vector<std::string>>>(bytes); break;
    case 3: check<std::tuple<double, std::int64_t, bool, manta::Buffer, std::deque<char>>>(bytes); break;
    case 4: check<std::map<int, std::variant<bool, std::pair<float, std::string>>>>(bytes); break;
  }
  return 0;
}
