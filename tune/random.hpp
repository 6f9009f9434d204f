#pragma once
// Random: the generator behind every draw of a search, and the one that `sample_from` functions get.
//
// It is xoshiro256++ seeded by SplitMix64 (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021).
// The same seed gives the same numbers on every machine and with every standard library. A value: copy it freely; not
// thread-safe. It also is a standard uniform random bit generator, so <random>'s distributions accept it.
#include <cstdint>
#include <limits>
#include <string_view>

namespace manta::tune {

class Random {
 public:
  using result_type = std::uint64_t;

  explicit Random(std::uint64_t seed) noexcept;

  /// A generator for one purpose: what is drawn from one stream never changes what another gives.
  static Random stream(std::uint64_t seed, std::uint64_t index, std::string_view purpose) noexcept;

  std::uint64_t operator()() noexcept;
  static constexpr std::uint64_t min() noexcept { return 0; }
  static constexpr std::uint64_t max() noexcept { return std::numeric_limits<std::uint64_t>::max(); }

  /// In [0, 1), 53 random bits.
  double uniform() noexcept;
  // InvalidArgument for bounds that have nothing between them.
  /// In [low, high). Requires low < high.
  double uniform(double low, double high);
  /// In [low, high), its logarithm uniform. Requires 0 < low < high.
  double loguniform(double low, double high);
  /// An integer from low to high - 1, without bias. Requires low < high.
  std::int64_t randint(std::int64_t low, std::int64_t high);

 private:
  std::uint64_t state_[4];
};

/// FNV-1a, 64 bits: a stable hash of a text, for streams and ids.
std::uint64_t stable_hash(std::string_view text) noexcept;

}  // namespace manta::tune
