#include "runtime/core/memory_guard.hpp"

#include <doctest/doctest.h>

namespace manta::core {
namespace {

constexpr MemoryUse kCalm{.used_bytes = 95, .total_bytes = 100};
constexpr MemoryUse kFull{.used_bytes = 96, .total_bytes = 100};
using Candidates = std::vector<MemoryGuard::Candidate>;
const Candidates kThree{{.process = 1, .retriable = true, .newest = {10}},
                        {.process = 2, .retriable = true, .newest = {30}},
                        {.process = 3, .retriable = false, .newest = {40}}};

}  // namespace

TEST_SUITE("runtime/core/memory_guard") {
  TEST_CASE("up to the threshold nobody is ended, above it the newest whose work may run again") {
    MemoryGuard guard(0.95);
    CHECK_FALSE(guard.choose(kCalm, kThree));
    CHECK(guard.choose(kFull, kThree) == ProcessId{2});
  }

  TEST_CASE("the next one is ended only when the last one has gone") {
    MemoryGuard guard(0.95);
    REQUIRE(guard.choose(kFull, kThree) == ProcessId{2});
    CHECK_FALSE(guard.choose(kFull, kThree));
    guard.process_ended(1);
    CHECK_FALSE(guard.choose(kFull, kThree));
    guard.process_ended(2);
    CHECK(guard.choose(kFull, Candidates{kThree[0], kThree[2]}) == ProcessId{1});
  }

  TEST_CASE("work that may not run again goes when there is no other") {
    MemoryGuard guard(0.95);
    CHECK(guard.choose(kFull, Candidates{kThree[2]}) == ProcessId{3});
  }

  TEST_CASE("with a threshold of 1, nobody to end or an unknown total nothing is done") {
    CHECK_FALSE(MemoryGuard(1).choose({.used_bytes = 200, .total_bytes = 100}, kThree));
    MemoryGuard guard(0.95);
    CHECK_FALSE(guard.choose({.used_bytes = 200, .total_bytes = 0}, kThree));
    CHECK_FALSE(guard.choose(kFull, {}));
    CHECK(guard.choose(kFull, kThree));
  }
}

}  // namespace manta::core
