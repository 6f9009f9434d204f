#pragma once
// Amount: how much of a resource, in fixed point with a step of 1/10000, so that sums are exact: 10 × 0.1 is 1.
// Takes integers and doubles, so that `{.num_cpus = 2}` and `{.num_gpus = 0.5}` both compile without narrowing.
#include <cmath>
#include <compare>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <type_traits>
#include <utility>

namespace manta {

class Amount {
 public:
  static constexpr std::int64_t kUnit = 10000;

  constexpr Amount() = default;
  /// What is beyond the largest or smallest amount (about 9e14) becomes that.
  template <std::integral I>
  constexpr Amount(I whole) : raw_(from_whole(whole)) {}
  /// Rounded to the nearest 1/10000; what is more than 1e-9 becomes no less than 1/10000. NaN becomes -1/10000, which every use refuses as negative.
  Amount(double value) : raw_(std::isnan(value) ? -1 : from_double(value * kUnit)) {}
  static constexpr Amount from_raw(std::int64_t raw) {
    Amount amount;
    amount.raw_ = raw;
    return amount;
  }

  constexpr std::int64_t raw() const { return raw_; }
  constexpr double value() const { return static_cast<double>(raw_) / kUnit; }
  constexpr bool is_whole() const { return raw_ % kUnit == 0; }
  std::string to_string() const;  ///< "2", "0.5"

  constexpr auto operator<=>(const Amount&) const = default;
  /// Sums and differences beyond the largest or smallest amount become that, so that too much never looks like little.
  constexpr Amount& operator+=(Amount other) {
    if (__builtin_add_overflow(raw_, other.raw_, &raw_)) raw_ = other.raw_ > 0 ? INT64_MAX : INT64_MIN;
    return *this;
  }
  constexpr Amount& operator-=(Amount other) {
    if (__builtin_sub_overflow(raw_, other.raw_, &raw_)) raw_ = other.raw_ < 0 ? INT64_MAX : INT64_MIN;
    return *this;
  }
  constexpr Amount times(std::int64_t count) const {  ///< `count` of these, likewise bounded
    Amount product;
    if (__builtin_mul_overflow(raw_, count, &product.raw_)) product.raw_ = (raw_ < 0) == (count < 0) ? INT64_MAX : INT64_MIN;
    return product;
  }
  friend constexpr Amount operator+(Amount a, Amount b) { return a += b; }
  friend constexpr Amount operator-(Amount a, Amount b) { return a -= b; }

 private:
  template <std::integral I>
  static constexpr std::int64_t from_whole(I whole) {
    using Wide = std::conditional_t<std::is_unsigned_v<I>, std::uint64_t, std::int64_t>;  // cmp_* takes no bool or char
    if (std::cmp_greater(static_cast<Wide>(whole), INT64_MAX / kUnit)) return INT64_MAX;
    if (std::cmp_less(static_cast<Wide>(whole), INT64_MIN / kUnit)) return INT64_MIN;
    return static_cast<std::int64_t>(whole) * kUnit;
  }
  static std::int64_t from_double(double raw) {
    constexpr double kBeyond = 9223372036854775808.0;  // 2^63, where llround has no answer
    if (raw >= kBeyond) return INT64_MAX;
    if (raw > 1e-9 * kUnit && raw < 1) return 1;  // a little is asked for: not nothing
    return raw < -kBeyond ? INT64_MIN : std::llround(raw);
  }
  std::int64_t raw_ = 0;
};

/// Bytes as an amount; more than an Amount can hold (0.9 PB) is the most it can hold.
constexpr Amount bytes_as_amount(std::uint64_t bytes) {
  constexpr std::uint64_t kMost = static_cast<std::uint64_t>(INT64_MAX / Amount::kUnit);
  return Amount(bytes < kMost ? bytes : kMost);
}

/// For messages: "2 CPU", "1024 bytes of memory"; of the most that an Amount can hold "922337203685477 or more bytes of memory".
std::string amount_text(const std::string& name, Amount amount);

/// Named amounts: `.resources = {{"disk", 1}, {"licence", 0.5}}`. A plain value.
class Resources {
 public:
  Resources() = default;
  Resources(std::initializer_list<std::pair<std::string, Amount>> items) {
    for (const auto& [name, amount] : items) amounts_[name] = amount;
  }
  Amount operator[](const std::string& name) const {
    auto it = amounts_.find(name);
    return it == amounts_.end() ? Amount{} : it->second;
  }
  void set(const std::string& name, Amount amount) { amounts_[name] = amount; }
  auto begin() const { return amounts_.begin(); }
  auto end() const { return amounts_.end(); }
  bool empty() const { return amounts_.empty(); }
  std::string to_string() const;  ///< "{CPU: 2, GPU: 0.5, memory: 1024 bytes}"
  bool operator==(const Resources&) const = default;
  auto operator<=>(const Resources&) const = default;

 private:
  std::map<std::string, Amount> amounts_;
};

}  // namespace manta
