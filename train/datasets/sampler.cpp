#include <fmt/format.h>

#include <limits>
#include <numeric>

#include "runtime/errors.hpp"
#include "train/data.hpp"

namespace manta::train {
namespace {

/// splitmix64 (Steele, Lea, Flood 2014): the same numbers everywhere, unlike the distributions of <random>.
class SplitMix {
 public:
  explicit SplitMix(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  /// Uniform in 0 … bound-1, for bounds below 2^32 (Lemire 2019, rejection instead of a remainder's bias).
  std::uint32_t below(std::uint32_t bound) {
    const std::uint32_t threshold = (0u - bound) % bound;
    for (;;) {
      const std::uint64_t product = (next() >> 32) * bound;
      if (static_cast<std::uint32_t>(product) >= threshold) return static_cast<std::uint32_t>(product >> 32);
    }
  }

 private:
  std::uint64_t state_;
};

void check(const SamplerOptions& o) {
  const auto fail = [](std::string what) { throw InvalidArgument("ShardedSampler: " + std::move(what)); };
  if (o.size == 0) fail("size is 0, a set needs at least one sample");
  if (o.size >= std::numeric_limits<std::uint32_t>::max()) fail("size must be below 2^32");
  if (o.world_size < 1) fail(fmt::format("world_size is {}, must be at least 1", o.world_size));
  if (o.rank < 0 || o.rank >= o.world_size) {
    fail(fmt::format("rank is {}, must be 0 to {}", o.rank, o.world_size - 1));
  }
  if (o.epoch_size > o.size) fail(fmt::format("epoch_size {} is more than the set's {}", o.epoch_size, o.size));
}

std::size_t samples(const SamplerOptions& o) { return o.epoch_size ? o.epoch_size : o.size; }

std::size_t per_rank(const SamplerOptions& o) {
  const auto world = static_cast<std::size_t>(o.world_size);
  return o.drop_last ? samples(o) / world : (samples(o) + world - 1) / world;
}

}  // namespace

ShardedSampler::ShardedSampler(SamplerOptions options) : options_(options), per_rank_((check(options), per_rank(options))) {
  if (per_rank_ == 0) throw InvalidArgument("ShardedSampler: drop_last leaves no sample, there are more ranks than samples");
}

std::vector<std::uint32_t> ShardedSampler::order(std::uint64_t number) const {
  std::vector<std::uint32_t> all(options_.size);
  std::iota(all.begin(), all.end(), 0u);
  if (options_.shuffle) {
    SplitMix mixer(options_.seed);
    SplitMix random(mixer.next() ^ SplitMix(~number).next());
    for (std::size_t i = 0; i < samples(options_); ++i) {  // Fisher-Yates from the front: a prefix is a fair draw
      std::swap(all[i], all[i + random.below(static_cast<std::uint32_t>(all.size() - i))]);
    }
  }
  all.resize(samples(options_));
  return all;
}

std::vector<std::uint32_t> ShardedSampler::epoch(std::uint64_t number) const {
  const std::vector<std::uint32_t> all = order(number);
  std::vector<std::uint32_t> mine(per_rank_);
  for (std::size_t i = 0; i < per_rank_; ++i) {
    const std::size_t at = i * static_cast<std::size_t>(options_.world_size) + static_cast<std::size_t>(options_.rank);
    mine[i] = all[at % all.size()];
  }
  return mine;
}

}  // namespace manta::train
