#include "runtime/array.hpp"

#include <cmath>
#include <limits>
#include <numeric>

#include "tests/runtime/api/support.hpp"

namespace manta_test {

namespace {

Array<float> doubled(const Array<float>& a) {
  auto [out, place] = Array<float>::allocate(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) place[i] = 2 * a[i];
  return out;
}

template <class T>
bool same_bits(const Array<T>& a, const Array<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T>
void check_round_trip(std::initializer_list<T> numbers) {
  const Array<T> array(numbers);
  const auto back = decode<Array<T>>(encode(array));
  CHECK(same_bits(back, array));
  CHECK(back.to_vector().size() == numbers.size());
}

}  // namespace

TEST_SUITE("runtime/objects/array") {
  TEST_CASE("numbers of every type come back bit for bit, none at all too") {
    check_round_trip<double>({std::nan("7"), -0.0, std::numeric_limits<double>::infinity(), 5e-324});
    check_round_trip<float>({-std::numeric_limits<float>::infinity(), 1.5f});
    check_round_trip<std::int64_t>({std::numeric_limits<std::int64_t>::min(), -1});
    check_round_trip<std::uint8_t>({0, 255, 7});
    check_round_trip<char16_t>({u'a'});
    check_round_trip<long double>({1.0L, -3.0L});
    check_round_trip<std::uint32_t>({});
  }

  TEST_CASE("slices and spans share the memory; shared bytes must be whole, aligned numbers") {
    const Array<std::int32_t> all{1, 2, 3, 4, 5};
    const auto middle = all.slice(1, 3);
    CHECK(middle == Array<std::int32_t>{2, 3, 4});
    CHECK(middle.data() == all.data() + 1);
    const std::span<const std::int32_t> span = all;
    CHECK(std::accumulate(span.begin(), span.end(), 0) == 15);
    CHECK(Array<std::int32_t>::share(all.buffer()).data() == all.data());
    CHECK_THROWS_AS(Array<std::int32_t>::share(all.buffer().slice(0, 7)), InvalidArgument);
    CHECK_THROWS_AS(Array<std::int32_t>::share(all.buffer().slice(2, 8)), InvalidArgument);
    CHECK_THROWS_AS(Array<double>::allocate(std::size_t{1} << 61), InvalidArgument);
  }

  TEST_CASE("an array that lies askew in a message is copied to where its numbers may lie") {
    const auto bytes = encode(Array<double>{1, 2, 3});
    auto [room, place] = Buffer::allocate(bytes.size() + 4);
    std::memcpy(place.data() + 4, bytes.data(), bytes.size());
    const auto back = decode<Array<double>>(room.slice(4, bytes.size()));
    CHECK(back == Array<double>{1, 2, 3});
    CHECK(reinterpret_cast<std::uintptr_t>(back.data()) % alignof(double) == 0);
  }

  TEST_CASE("a damaged array is a ProtocolError") {
    const auto bytes = encode(Array<double>{1, 2});
    CHECK_THROWS_AS(decode<Array<double>>(bytes.slice(0, bytes.size() - 1)), ProtocolError);
    CHECK_THROWS_AS(decode<Array<double>>(encode(Buffer::copy(std::as_bytes(std::span("123", 3))))), ProtocolError);
  }

  TEST_CASE("arrays are arguments and results, small and large, on any worker") {
    Machine machine;
    auto& rt = machine.rt;
    for (std::size_t n : {0u, 3u, 200'000u}) {
      const Array<float> numbers(std::vector<float>(n, 1.25f));
      CHECK(rt.get(rt.remote<doubled>(rt.remote<doubled>(numbers))) == Array<float>(std::vector<float>(n, 5.f)));
      CHECK(rt.get(rt.task<doubled>({.isolation = own_process}).remote(numbers)) == Array<float>(std::vector<float>(n, 2.5f)));
    }
  }
}

}  // namespace manta_test
