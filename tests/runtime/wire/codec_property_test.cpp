// Random values of every kind that the codec knows: what is written is what is read, bit for bit, and damage never does worse
// than an error. A failing seed is printed.
#include <doctest/doctest.h>

#include <bit>
#include <random>

#include "runtime/array.hpp"
#include "runtime/codec.hpp"

namespace manta {
namespace {

struct Record {
  std::int8_t small = 0;
  bool flag = false;
  double number = 0;
  std::optional<std::string> text{};
  std::variant<std::int64_t, std::vector<float>, std::string> any{};
  std::map<std::string, std::vector<std::optional<double>>> table{};
  std::unordered_map<int, std::set<std::uint16_t>> sets{};
  std::vector<bool> bits{};
  std::deque<std::pair<char, std::array<float, 3>>> pairs{};
  std::list<std::tuple<std::uint8_t, std::string, long double>> tuples{};
  std::unique_ptr<Record> inner{};
  std::complex<double> z{};
  std::chrono::nanoseconds time{};
  Buffer bytes{};
  Array<double> numbers{};

  template <class A>
  void serialize(A& a) {
    a(small, flag, number, text, any, table, sets, bits, pairs, tuples, inner, z, time, bytes, numbers);
  }
};

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}

  std::size_t below(std::size_t n) { return random_() % n; }
  /// Any bit pattern: NaNs with payloads, infinities, denormals, both zeros.
  double number() { return below(3) ? std::bit_cast<double>(random_()) : kOdd[below(std::size(kOdd))]; }
  float fraction() { return std::bit_cast<float>(static_cast<std::uint32_t>(random_())); }
  std::string text() {
    std::string s(below(4) ? below(20) : 0, ' ');
    for (char& c : s) c = static_cast<char>(random_());
    return s;
  }
  template <class F>
  void times(F&& f) {
    for (auto n = below(4); n > 0; --n) f();
  }
  Record record(int depth = 3) {
    Record r;
    r.small = static_cast<std::int8_t>(random_());
    r.flag = below(2);
    r.number = number();
    if (below(2)) r.text = text();
    switch (below(3)) {
      case 0: r.any = static_cast<std::int64_t>(random_()); break;
      case 1: r.any = std::vector<float>{fraction(), fraction()}; break;
      default: r.any = text();
    }
    times([&] {
      auto& row = r.table[text()];
      times([&] { row.push_back(below(2) ? std::optional(number()) : std::nullopt); });
    });
    times([&] { r.sets[static_cast<int>(random_())].insert(static_cast<std::uint16_t>(random_())); });
    times([&] { r.bits.push_back(below(2)); });
    times([&] { r.pairs.emplace_back(static_cast<char>(random_()), std::array{fraction(), 0.f, -0.f}); });
    times([&] { r.tuples.emplace_back(static_cast<std::uint8_t>(random_()), text(), static_cast<long double>(below(1000)) / 7); });
    if (depth > 0 && below(2)) r.inner = std::make_unique<Record>(record(depth - 1));
    r.z = {number(), number()};
    r.time = std::chrono::nanoseconds(static_cast<std::int64_t>(random_()));
    const auto some = text();
    r.bytes = Buffer::copy(std::as_bytes(std::span(some)));
    r.numbers = Array<double>(std::vector<double>{number(), number()});
    return r;
  }

 private:
  static constexpr double kOdd[] = {0.0, -0.0, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
                                    std::numeric_limits<double>::denorm_min(), std::numeric_limits<double>::lowest()};
  std::mt19937_64 random_;
};

bool same_bytes(const Buffer& a, const Buffer& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

std::uint64_t bits(double x) { return std::bit_cast<std::uint64_t>(x); }

}  // namespace

TEST_SUITE("runtime/wire/codec_property") {
  TEST_CASE("a random value comes back as it was, bit for bit") {
    for (unsigned seed = 0; seed < 2000; ++seed) {
      CAPTURE(seed);
      const auto value = Generator(seed).record();
      const auto bytes = encode(value);
      const auto back = decode<Record>(bytes);
      REQUIRE(bits(back.number) == bits(value.number));
      REQUIRE(back.text == value.text);
      REQUIRE(back.any.index() == value.any.index());
      REQUIRE(back.table.size() == value.table.size());
      for (auto row = value.table.begin(), other = back.table.begin(); row != value.table.end(); ++row, ++other) {
        REQUIRE(row->first == other->first);
        REQUIRE(row->second.size() == other->second.size());
        for (std::size_t i = 0; i < row->second.size(); ++i) {
          REQUIRE(row->second[i].has_value() == other->second[i].has_value());
          if (row->second[i]) REQUIRE(bits(*row->second[i]) == bits(*other->second[i]));
        }
      }
      REQUIRE(back.sets == value.sets);
      REQUIRE(back.bits == value.bits);
      REQUIRE(back.tuples == value.tuples);
      REQUIRE((back.inner == nullptr) == (value.inner == nullptr));
      REQUIRE(back.time == value.time);
      REQUIRE(same_bytes(back.bytes, value.bytes));
      REQUIRE(same_bytes(back.numbers.buffer(), value.numbers.buffer()));
      if (value.sets.size() < 2) REQUIRE(encode(back).size() == bytes.size());  // a hash table's order is its own
    }
  }

  TEST_CASE("a random value with bytes cut off, flipped or exchanged gives an error of Manta's or another value") {
    int refused = 0;
    for (unsigned seed = 0; seed < 300; ++seed) {
      CAPTURE(seed);
      const auto bytes = encode(Generator(seed).record());
      std::mt19937 random(seed);
      for (int i = 0; i < 20; ++i) {
        auto [damaged, place] = Buffer::allocate(bytes.size());
        std::memcpy(place.data(), bytes.data(), bytes.size());
        for (int n = static_cast<int>(random() % 3); n >= 0; --n) {
          const auto at = random() % place.size();
          random() % 2 ? place[at] ^= static_cast<std::byte>(1u << random() % 8) : place[at] = static_cast<std::byte>(random());
        }
        const auto cut = random() % 3 ? bytes.size() : random() % bytes.size();
        try {
          const auto other = decode<Record>(damaged.slice(0, cut));
          static_cast<void>(encode(other));
        } catch (const Error&) {
          ++refused;
        }
      }
    }
    CHECK(refused > 1000);
  }
}

}  // namespace manta
