#include "runtime/codec.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <random>

namespace manta {
namespace {

template <class T>
T round_trip(const T& value) {
  return decode<T>(encode(value));
}

struct Nested {
  std::map<std::string, std::vector<std::optional<int>>> table{};
  std::variant<int, std::string> either{};
  std::shared_ptr<Nested> next{};
  Buffer raw{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(table, either, next, raw);
  }
};

/// Of which equal keys differ.
struct Entry {
  int key = 0, number = 0;
  bool operator<(const Entry& other) const { return key < other.key; }
  bool operator==(const Entry& other) const { return key == other.key; }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(key, number);
  }
};
struct HashOfKey {
  std::size_t operator()(const Entry& entry) const { return std::hash<int>()(entry.key); }
};
int number_of(const Entry& entry) { return entry.number; }
int number_of(const std::pair<const int, int>& item) { return item.second; }

template <class Container>
std::vector<int> numbers_of(const Container& container, const typename Container::key_type& key) {
  std::vector<int> numbers;
  for (auto [each, end] = container.equal_range(key); each != end; ++each) numbers.push_back(number_of(*each));
  return numbers;
}
template <class Container>
void keeps_the_order_of_equal_keys(const Container& before) {
  const auto after = round_trip(before);
  CHECK(after.size() == before.size());
  for (const auto& each : before) {
    if constexpr (requires { each.first; })
      CHECK(numbers_of(after, each.first) == numbers_of(before, each.first));
    else
      CHECK(numbers_of(after, each) == numbers_of(before, each));
  }
}

struct ByNumber {
  bool operator()(const std::pair<int, char>& a, const std::pair<int, char>& b) const { return a.first < b.first; }
};
struct Nothing {};
struct NothingMore : Nothing {};
struct Closed {
  Closed() {}
};

Buffer copy_of(const Buffer& buffer, std::size_t size) {
  std::vector<std::byte> bytes(buffer.bytes().begin(), buffer.bytes().end());
  bytes.resize(size);
  return Buffer::copy(bytes);
}

}  // namespace

TEST_SUITE("runtime/codec") {
  TEST_CASE("numbers are bit-exact") {
    using D = std::numeric_limits<double>;
    using F = std::numeric_limits<float>;
    for (double x : {0.0, -0.0, D::infinity(), -D::infinity(), D::quiet_NaN(), -D::quiet_NaN(), D::signaling_NaN(), D::denorm_min(),
                     -D::denorm_min(), D::min(), D::max(), D::lowest(), 0.1})
      CHECK(std::bit_cast<std::uint64_t>(round_trip(x)) == std::bit_cast<std::uint64_t>(x));
    for (float x : {-0.0f, F::infinity(), F::quiet_NaN(), F::denorm_min()})
      CHECK(std::bit_cast<std::uint32_t>(round_trip(std::vector{x})[0]) == std::bit_cast<std::uint32_t>(x));
    for (std::int64_t x : {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max(), std::int64_t{-1}})
      CHECK(round_trip(x) == x);
    CHECK(round_trip(true));
    CHECK(round_trip('\0') == '\0');
  }

  TEST_CASE("empty things, nested things and strings with any byte come back") {
    CHECK(round_trip(std::string()).empty());
    CHECK(round_trip(std::string("\0\xff\n", 3)) == std::string("\0\xff\n", 3));
    CHECK(round_trip(std::vector<std::string>{"", "a", ""}) == std::vector<std::string>{"", "a", ""});
    CHECK(round_trip(std::vector<bool>{true, false, true}) == std::vector<bool>{true, false, true});
    CHECK(round_trip(std::map<int, std::vector<int>>{}).empty());
    CHECK(round_trip(std::optional<int>{}) == std::nullopt);
    CHECK(round_trip(std::tuple{1, std::string("x"), 2.5}) == std::tuple{1, std::string("x"), 2.5});
    CHECK(round_trip(Buffer{}).empty());
    Nested nested{.table = {{"k", {1, std::nullopt}}, {"", {}}}, .either = std::string("e")};
    nested.next = std::make_shared<Nested>();
    nested.next->either = 5;
    const auto back = round_trip(nested);
    CHECK(back.table == nested.table);
    CHECK(back.either == nested.either);
    REQUIRE(back.next);
    CHECK(back.next->either == nested.next->either);
    CHECK(back.next->next == nullptr);
  }

  // Only what cereal's common headers know travelled, though the header promised all of the standard library.
  TEST_CASE("queues, stacks, forward lists, bit sets and paths come back") {
    auto queue = round_trip(std::queue<std::string>({"first", "", "last"}));
    CHECK(queue.size() == 3);
    CHECK(queue.front() == "first");
    CHECK(queue.back() == "last");
    std::priority_queue<int, std::vector<int>, std::greater<int>> least;
    for (const int each : {5, 1, 3}) least.push(each);
    CHECK(round_trip(least).top() == 1);
    std::priority_queue<std::pair<int, char>, std::vector<std::pair<int, char>>, ByNumber> equals;
    for (const char each : {'a', 'b', 'c', 'd'}) equals.push({1, each});
    auto again = round_trip(equals);
    for (; !equals.empty(); equals.pop(), again.pop()) CHECK(again.top() == equals.top());
    CHECK(round_trip(std::stack<int>({1, 2, 3})).top() == 3);
    CHECK(round_trip(std::forward_list<std::string>{"a", "", "c"}) == std::forward_list<std::string>{"a", "", "c"});
    CHECK(round_trip(std::filesystem::path("a folder/a file")) == "a folder/a file");
    const std::vector<std::byte> bytes{std::byte{1}, std::byte{0xff}, std::byte{0}};
    CHECK(round_trip(bytes) == bytes);
    CHECK(encode(bytes).size() == encode(std::vector<std::uint8_t>(3)).size());
    CHECK_THROWS_AS(decode<std::vector<std::byte>>(encode(std::uint64_t{1} << 40)), ProtocolError);  // more than there are
    CHECK(round_trip(std::bitset<0>()).none());
    CHECK(round_trip(std::bitset<11>(0b101'0000'0011)) == std::bitset<11>(0b101'0000'0011));
    CHECK(round_trip(std::bitset<64>().set()).all());
    CHECK(encode(std::bitset<11>()).size() == 2);
    CHECK_THROWS_AS(decode<std::bitset<11>>(encode(std::uint16_t{1 << 11})), ProtocolError);  // a bit that it has not
    static_assert(!Serialisable<std::string_view> && !Serialisable<std::span<const int>>);
  }

  // Its alignment was that of the message that it came in.
  TEST_CASE("a Buffer is aligned wherever the bytes lie that it is read from") {
    const auto bytes = encode(Buffer::copy(std::as_bytes(std::span("0123456789", 10))));
    auto [shifted, target] = Buffer::allocate(bytes.size() + 8);
    std::copy(bytes.bytes().begin(), bytes.bytes().end(), target.begin() + 8);
    const auto moved = decode<Buffer>(shifted.slice(8, bytes.size()));
    CHECK(reinterpret_cast<std::uintptr_t>(moved.data()) % 64 == 0);
    CHECK(std::ranges::equal(moved.bytes(), std::as_bytes(std::span("0123456789", 10))));
    CHECK(decode<Buffer>(bytes).owner() == bytes.owner());  // read in place
  }

  // Writing it read from a null pointer, which ended the program.
  TEST_CASE("an array of none takes no bytes, and comes back") {
    CHECK(encode(std::array<double, 0>()).size() == 0);
    CHECK(encode(std::array<std::string, 0>()).size() == 0);
    CHECK(round_trip(std::array<double, 0>()).empty());
    CHECK(round_trip(std::array<std::string, 0>()).empty());
    CHECK(round_trip(std::pair{std::array<int, 0>(), 7}).second == 7);
    CHECK(round_trip(std::array<int, 2>{1, 2}) == std::array<int, 2>{1, 2});
  }

  // They came back in reverse.
  TEST_CASE("equal keys keep their order") {
    std::multimap<int, int> map;
    std::unordered_multimap<int, int> hashed;
    std::multiset<Entry> set;
    std::unordered_multiset<Entry, HashOfKey> hashed_set;
    keeps_the_order_of_equal_keys(map);
    for (int i = 0; i < 300; ++i) {
      const int key = i * 7 % 11;
      map.emplace(key, i);
      hashed.emplace(key, i);
      set.insert({key, i});
      hashed_set.insert({key, i});
    }
    keeps_the_order_of_equal_keys(map);
    keeps_the_order_of_equal_keys(hashed);
    keeps_the_order_of_equal_keys(set);
    keeps_the_order_of_equal_keys(hashed_set);
  }

  TEST_CASE("a struct without members needs no serialize; a lambda, and what has a constructor of its own, do not travel so") {
    static_assert(Serialisable<Nothing> && Serialisable<NothingMore> && Serialisable<std::vector<Nothing>>);
    static_assert(!Serialisable<Closed> && !Serialisable<decltype([] {})>);
    CHECK(encode(Nothing()).size() == 0);
    round_trip(NothingMore());
    CHECK(round_trip(std::vector<Nothing>(5)).size() == 5);
    CHECK(round_trip(std::pair<Nothing, int>({}, 4)).second == 4);
    CHECK(round_trip(std::map<int, Nothing>{{1, {}}, {2, {}}}).size() == 2);
  }

  TEST_CASE("a buffer is read where it lies, aligned to 64") {
    const std::string text(1000, 'b');
    const auto encoded = encode(std::pair{7, Buffer::copy(std::as_bytes(std::span(text)))});
    const auto back = decode<std::pair<int, Buffer>>(encoded);
    CHECK(back.second.size() == 1000);
    CHECK(reinterpret_cast<std::uintptr_t>(back.second.data()) % 64 == 0);
    CHECK(back.second.data() >= encoded.data());
    CHECK(back.second.data() < encoded.data() + encoded.size());
    CHECK(back.second.owner() == encoded.owner());
  }

  TEST_CASE("bytes too few or too many are refused") {
    const Nested value{.table = {{"key", {1, 2}}}, .either = std::string("text"), .raw = Buffer::copy(std::as_bytes(std::span("raw")))};
    const auto good = encode(value);
    for (std::size_t size = 0; size < good.size(); ++size) CHECK_THROWS_AS(decode<Nested>(copy_of(good, size)), ProtocolError);
    CHECK_THROWS_AS(decode<Nested>(copy_of(good, good.size() + 1)), ProtocolError);
    CHECK_THROWS_AS(decode<int>(encode(std::int64_t{1})), ProtocolError);
    CHECK_THROWS_AS(decode<std::int64_t>(encode(1)), ProtocolError);
    CHECK_THROWS_AS(decode<int>(Buffer{}), ProtocolError);
  }

  TEST_CASE("lengths that cannot be true are refused before anything is allocated") {
    for (std::uint64_t length : {std::uint64_t{1} << 62, ~std::uint64_t{0}, std::uint64_t{1} << 40, std::uint64_t{3'000'000}}) {
      CHECK_THROWS_AS(decode<std::string>(encode(length)), ProtocolError);
      CHECK_THROWS_AS(decode<std::vector<double>>(encode(length)), ProtocolError);
      CHECK_THROWS_AS(decode<std::vector<std::string>>(encode(length)), ProtocolError);
      using Table = std::map<std::string, int>;
      CHECK_THROWS_AS(decode<Table>(encode(length)), ProtocolError);
      CHECK_THROWS_AS(decode<Buffer>(encode(length)), ProtocolError);
      CHECK_THROWS_AS(decode<std::vector<bool>>(encode(length)), ProtocolError);
    }
  }

  TEST_CASE("damaged bytes give an error of Manta's or another value, never worse") {
    std::mt19937 random(2);
    const Nested value{.table = {{"key", {1, 2, std::nullopt}}, {"k2", {}}}, .either = std::string("text"),
                       .next = std::make_shared<Nested>(), .raw = Buffer::copy(std::as_bytes(std::span("raw bytes")))};
    const auto good = encode(value);
    int refused = 0;
    for (int i = 0; i < 3000; ++i) {
      auto bad = copy_of(good, good.size());
      auto* bytes = const_cast<std::byte*>(bad.data());
      for (unsigned flips = random() % 3 + 1; flips; --flips) bytes[random() % bad.size()] ^= static_cast<std::byte>(1u << random() % 8);
      try {
        auto read = decode<Nested>(bad);
        for (auto next = std::move(read.next); next;) next = std::exchange(next->next, nullptr);  // it may be a circle
      } catch (const ProtocolError&) {
        ++refused;
      }
    }
    CHECK(refused > 0);
  }
}

}  // namespace manta
