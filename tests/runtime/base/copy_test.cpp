#include "runtime/base/copy.hpp"

#include <doctest/doctest.h>
#include <pthread.h>

#include <cstdint>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

namespace manta {
namespace {

/// Each eight bytes differ from all others.
std::vector<std::uint64_t> numbers(std::size_t bytes) {
  std::vector<std::uint64_t> all(bytes / sizeof(std::uint64_t) + 1);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i * 0x9E3779B97F4A7C15;
  return all;
}

void check_copy(std::size_t size) {
  CAPTURE(size);
  const auto from = numbers(size);
  std::vector<std::byte> to(size + 1, std::byte{0xA5});
  copy_bytes(to.data(), from.data(), size);
  CHECK(std::memcmp(to.data(), from.data(), size) == 0);
  CHECK(to.back() == std::byte{0xA5});
}

}  // namespace

TEST_CASE("a copy is whole at every size at which it is shared out otherwise, and writes nothing behind its end") {
  for (const std::size_t size : {std::size_t{1}, std::size_t{4097}, kLargeCopy - 1, kLargeCopy, kLargeCopy + 1, kLargeCopy * 3 / 2 + 4095, kLargeCopy * 2 + 7})
    check_copy(size);
  copy_bytes(nullptr, nullptr, 0);
}

TEST_CASE("a large copy is whole where no thread can be started") {
  pthread_attr_t before{}, greedy{};
  REQUIRE(::pthread_getattr_default_np(&before) == 0);
  REQUIRE(::pthread_getattr_default_np(&greedy) == 0);
  REQUIRE(::pthread_attr_setstacksize(&greedy, std::size_t{1} << 50) == 0);  // more than there are addresses
  REQUIRE(::pthread_setattr_default_np(&greedy) == 0);
  CHECK_THROWS_AS(std::thread([] {}).join(), std::system_error);
  check_copy(kLargeCopy * 2);
  CHECK(::pthread_setattr_default_np(&before) == 0);
}

}  // namespace manta
