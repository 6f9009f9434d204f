// NaN, infinities, denormals, -0.0, the smallest integer, empty strings: bit for bit, as argument, result, member and ref.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "tests/runtime/api/support.hpp"

namespace manta_test {
namespace {

struct Odd {
  std::vector<double> doubles{};
  std::vector<float> floats{};
  std::vector<std::int64_t> integers{};
  std::vector<std::string> texts{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(doubles, floats, integers, texts);
  }
};

double same_double(double value) { return value; }
Odd same_odd(const Odd& value) { return value; }

std::vector<double> odd_doubles() {
  using Limits = std::numeric_limits<double>;
  return {0.0, -0.0, Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN(), -Limits::quiet_NaN(), Limits::denorm_min(),
          -Limits::denorm_min(), Limits::min(), Limits::max(), Limits::lowest(), Limits::epsilon(),
          std::bit_cast<double>(std::uint64_t{0x7ff0dead'beef0001}), std::bit_cast<double>(std::uint64_t{0xfff8000000000abc})};
}

Odd odd_values() {
  Odd odd{.doubles = odd_doubles()};
  for (const double value : odd.doubles) odd.floats.push_back(static_cast<float>(value));
  odd.floats.push_back(std::numeric_limits<float>::denorm_min());
  using Limits = std::numeric_limits<std::int64_t>;
  odd.integers = {Limits::min(), Limits::max(), 0, -1};
  odd.texts = {"", std::string(1, '\0'), std::string("a\0b", 3), "", "ä"};
  return odd;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

void check_same(const Odd& got) {
  const Odd sent = odd_values();
  CHECK(same_bits(got.doubles, sent.doubles));
  CHECK(same_bits(got.floats, sent.floats));
  CHECK(got.integers == sent.integers);
  CHECK(got.texts == sent.texts);
}

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 30: odd numbers and empty strings come back bit for bit, as arguments, results and objects") {
    Machine machine;
    auto& rt = machine.rt;
    for (const double value : odd_doubles())
      CHECK(std::bit_cast<std::uint64_t>(rt.get(rt.remote<same_double>(value))) == std::bit_cast<std::uint64_t>(value));
    check_same(rt.get(rt.remote<same_odd>(odd_values())));
    const auto object = rt.put(odd_values());
    check_same(rt.get(object));
    check_same(rt.get(rt.remote<same_odd>(rt.remote<same_odd>(object))));
    check_same(rt.get(rt.task<same_odd>({.isolation = own_process}).remote(odd_values())));
  }
}

}  // namespace manta_test
