#include "tune/random.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "runtime/errors.hpp"
#include "tune/value.hpp"

namespace manta::tune {

namespace {

std::uint64_t splitmix64(std::uint64_t& state) noexcept {
  std::uint64_t z = state += 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

double between(double low, double high, double unit) noexcept {
  const double value = low + (high - low) * unit;
  return value < high ? value : std::nextafter(high, low);  // rounding may reach high
}

[[noreturn]] void refuse(const std::string& call, const std::string& low, const std::string& high, const std::string& wanted) {
  throw InvalidArgument("Random::" + call + "(" + low + ", " + high + "): " + wanted +
                        ". In a sample_from function: look at what the bounds are computed from.");
}

[[noreturn]] void refuse(const std::string& call, double low, double high, const std::string& wanted) {
  refuse(call, number_text(low, 17), number_text(high, 17), wanted);
}

}  // namespace

std::uint64_t stable_hash(std::string_view text) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (unsigned char byte : text) hash = (hash ^ byte) * 0x100000001b3ULL;
  return hash;
}

Random::Random(std::uint64_t seed) noexcept {
  for (auto& word : state_) word = splitmix64(seed);
}

Random Random::stream(std::uint64_t seed, std::uint64_t index, std::string_view purpose) noexcept {
  std::uint64_t mixed = seed;
  mixed = splitmix64(mixed) ^ index;
  mixed = splitmix64(mixed) ^ stable_hash(purpose);
  return Random(splitmix64(mixed));
}

std::uint64_t Random::operator()() noexcept {
  const std::uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
  const std::uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

double Random::uniform() noexcept { return static_cast<double>((*this)() >> 11) * 0x1.0p-53; }

double Random::uniform(double low, double high) {
  if (!(low < high)) refuse("uniform", low, high, "the lower bound must be below the upper one");
  return between(low, high, uniform());
}

double Random::loguniform(double low, double high) {
  if (!(0 < low && low < high)) refuse("loguniform", low, high, "the lower bound must be above 0 and below the upper one");
  const double value = std::exp(between(std::log(low), std::log(high), uniform()));
  return std::clamp(value, low, std::nextafter(high, low));
}

std::int64_t Random::randint(std::int64_t low, std::int64_t high) {
  if (low >= high) refuse("randint", std::to_string(low), std::to_string(high), "the lower bound must be below the upper one, which is exclusive");
  const std::uint64_t range = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
  const std::uint64_t reject_below = (0 - range) % range;  // 2^64 mod range
  std::uint64_t word = (*this)();
  while (word < reject_below) word = (*this)();
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + word % range);
}

}  // namespace manta::tune
