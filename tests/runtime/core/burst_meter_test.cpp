#include "runtime/core/burst_meter.hpp"

#include <doctest/doctest.h>

using manta::core::BurstMeter;

TEST_SUITE("runtime/core/burst_meter") {
  TEST_CASE("a burst is over once, when a sixteenth is left, and the next one counts anew") {
    BurstMeter meter;
    constexpr auto kMost = 2 * BurstMeter::kBurst;
    for (int round = 0; round < 3; ++round) {
      CHECK_FALSE(meter.over(kMost));
      CHECK_FALSE(meter.over(kMost / 2));
      CHECK_FALSE(meter.over(kMost / BurstMeter::kShareLeft + 1));
      CHECK(meter.over(kMost / BurstMeter::kShareLeft));
      CHECK_FALSE(meter.over(0));
    }
  }

  TEST_CASE("little work, and much that stays, is no burst that is over") {
    BurstMeter meter;
    for (std::size_t count = 0; count < BurstMeter::kBurst; count += 999) CHECK_FALSE(meter.over(count));
    CHECK_FALSE(meter.over(0));
    CHECK_FALSE(meter.over(BurstMeter::kBurst));
    CHECK_FALSE(meter.over(BurstMeter::kBurst / 2));
  }
}
