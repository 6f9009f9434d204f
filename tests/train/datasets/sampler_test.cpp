#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "runtime/base/error.hpp"
#include "train/data.hpp"

using namespace manta;
using train::SamplerOptions;
using train::ShardedSampler;

namespace {

std::vector<std::uint32_t> joined(SamplerOptions options, std::uint64_t epoch) {
  std::vector<std::uint32_t> all;
  for (options.rank = 0; options.rank < options.world_size; ++options.rank) {
    const auto mine = ShardedSampler(options).epoch(epoch);
    all.insert(all.end(), mine.begin(), mine.end());
  }
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace

TEST_SUITE("train/sampler") {
  TEST_CASE("the ranks of an epoch share all samples and none twice when they divide") {
    for (const int world : {1, 2, 3, 4, 6}) {
      const auto all = joined({.size = 12, .world_size = world, .seed = 5}, 3);
      REQUIRE(all.size() == 12);
      for (std::uint32_t i = 0; i < 12; ++i) CHECK(all[i] == i);
    }
  }

  TEST_CASE("what does not divide is padded by repeats, or dropped") {
    for (std::size_t size = 1; size <= 9; ++size) {
      for (const int world : {1, 2, 3, 4, 7}) {
        const auto padded = joined({.size = size, .world_size = world, .seed = 1}, 0);
        const auto w = static_cast<std::size_t>(world);
        CHECK(padded.size() == (size + w - 1) / w * w);
        CHECK(std::set<std::uint32_t>(padded.begin(), padded.end()).size() == size);
        if (size < w) continue;
        const auto dropped = joined({.size = size, .world_size = world, .seed = 1, .drop_last = true}, 0);
        CHECK(dropped.size() == size / w * w);
        CHECK(std::set<std::uint32_t>(dropped.begin(), dropped.end()).size() == dropped.size());
      }
    }
  }

  TEST_CASE("an epoch is the same each time it is asked for, and no other") {
    const ShardedSampler sampler({.size = 100, .seed = 9});
    CHECK(sampler.epoch(4) == ShardedSampler({.size = 100, .seed = 9}).epoch(4));
    CHECK(sampler.epoch(4) != sampler.epoch(5));
    CHECK(sampler.epoch(4) != ShardedSampler({.size = 100, .seed = 10}).epoch(4));
  }

  TEST_CASE("without shuffle the order ascends") {
    CHECK(ShardedSampler({.size = 6, .rank = 1, .world_size = 2, .shuffle = false}).epoch(7) ==
          std::vector<std::uint32_t>{1, 3, 5});
  }

  TEST_CASE("a part of an epoch is a fair draw: over many epochs every sample comes up about equally often") {
    const ShardedSampler sampler({.size = 50, .seed = 3, .epoch_size = 10});
    std::vector<int> seen(50);
    for (std::uint64_t e = 0; e < 2000; ++e) {
      const auto part = sampler.epoch(e);
      REQUIRE(std::set<std::uint32_t>(part.begin(), part.end()).size() == 10);
      for (const auto i : part) ++seen[i];
    }
    for (const int count : seen) CHECK(std::abs(count - 400) < 100);  // 5.6 standard deviations
  }

  TEST_CASE("contradictory options are refused") {
    for (const SamplerOptions& bad : {SamplerOptions{.size = 0}, SamplerOptions{.size = 4, .rank = 2, .world_size = 2},
                                      SamplerOptions{.size = 4, .rank = -1}, SamplerOptions{.size = 4, .world_size = 0},
                                      SamplerOptions{.size = 1, .world_size = 2, .drop_last = true},
                                      SamplerOptions{.size = 4, .epoch_size = 5}}) {
      CHECK_THROWS_AS(ShardedSampler{bad}, InvalidArgument);
    }
  }
}
