#pragma once
// The search space: names and the domains that their values are drawn from.
//
//   tune::Space space{{"l1", tune::sample_from([](tune::Random& r) { return 1 << r.randint(2, 9); })},
//                     {"lr", tune::loguniform(1e-4, 1e-1)},
//                     {"batch_size", tune::choice({2, 4, 8, 16})},
//                     {"model", tune::Space{{"depth", tune::grid_search({2, 3})}, {"bias", true}}}};
//
// A plain value. Bounds are checked when a search starts (`Space::check`), with the parameter's name in the message.
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tune/config.hpp"
#include "tune/random.hpp"

namespace manta::tune {

class Domain;
struct Parameter;

/// An ordered list of named domains; a nested Space gives a nested table.
class Space {
 public:
  Space();
  Space(std::initializer_list<Parameter> parameters);
  Space(const Space&);
  Space(Space&&) noexcept;
  Space& operator=(const Space&);
  Space& operator=(Space&&) noexcept;
  ~Space();

  /// Adds a parameter at the end.
  void add(std::string name, Domain domain);
  const std::vector<Parameter>& parameters() const noexcept { return parameters_; }

  /// InvalidArgument naming the parameter: an empty choice, low >= high, a bound that is no number or, for loguniform,
  /// not above 0, a name that is empty, holds a '/' or stands there twice.
  void check() const;
  /// One line that tells two spaces apart (functions excepted).
  std::string describe() const;

 private:
  std::vector<Parameter> parameters_;
};

/// Where one value comes from. Made by the functions below, or from a plain value, which is a constant.
class Domain {
 public:
  enum class Kind { kConstant, kUniform, kLogUniform, kRandint, kChoice, kGrid, kSampleFrom, kNested };
  using Function = std::function<Value(Random&, const Config&)>;

  template <class T>
    requires(!std::is_same_v<std::remove_cvref_t<T>, Domain> && std::is_convertible_v<T, Value>)
  Domain(T&& constant) : values_{Value(std::forward<T>(constant))} {}
  Domain(Space nested) : kind_(Kind::kNested), nested_(std::make_shared<const Space>(std::move(nested))) {}
  Domain(Kind kind, double low, double high) : kind_(kind), low_(low), high_(high) {}
  Domain(std::int64_t low, std::int64_t high) : kind_(Kind::kRandint), int_low_(low), int_high_(high) {}
  Domain(Kind kind, std::vector<Value> values) : kind_(kind), values_(std::move(values)) {}
  explicit Domain(Function function) : kind_(Kind::kSampleFrom), function_(std::move(function)) {}

  Kind kind() const noexcept { return kind_; }
  double low() const noexcept { return low_; }
  double high() const noexcept { return high_; }
  std::int64_t int_low() const noexcept { return int_low_; }
  std::int64_t int_high() const noexcept { return int_high_; }
  /// The options of a choice or grid; the constant itself, alone.
  const std::vector<Value>& values() const noexcept { return values_; }
  const Space& nested() const noexcept { return *nested_; }

  /// Draws a value. `so_far` is what sample_from functions read. Not for grids and nested spaces.
  Value sample(Random& random, const Config& so_far) const;
  std::string describe() const;

 private:
  Kind kind_{Kind::kConstant};
  double low_{0};
  double high_{0};
  std::int64_t int_low_{0};
  std::int64_t int_high_{0};
  std::vector<Value> values_{};
  Function function_{};
  std::shared_ptr<const Space> nested_{};
};

struct Parameter {
  std::string name;
  Domain domain;
};

/// A double in [low, high).
inline Domain uniform(Number low, Number high) { return {Domain::Kind::kUniform, low, high}; }
/// A double in [low, high), uniform in its logarithm. Requires 0 < low < high.
inline Domain loguniform(Number low, Number high) { return {Domain::Kind::kLogUniform, low, high}; }
/// An integer from low to high - 1: the upper bound is exclusive, as in Ray and numpy.
inline Domain randint(std::int64_t low, std::int64_t high) { return {low, high}; }
/// One of the options, each as likely.
inline Domain choice(std::initializer_list<Value> options) { return {Domain::Kind::kChoice, std::vector(options)}; }
template <class T>
Domain choice(const std::vector<T>& options) {
  return {Domain::Kind::kChoice, std::vector<Value>(options.begin(), options.end())};
}
/// Each of the values once: all grids of a space are crossed, and `num_samples` repeats the whole.
inline Domain grid_search(std::initializer_list<Value> values) { return {Domain::Kind::kGrid, std::vector(values)}; }
template <class T>
Domain grid_search(const std::vector<T>& values) {
  return {Domain::Kind::kGrid, std::vector<Value>(values.begin(), values.end())};
}

/// A function of the generator, of the configuration so far, of both or of nothing. It runs in the driver only, when a
/// trial is made. One that reads another sample_from parameter is called again until that has its value.
template <class F>
Domain sample_from(F function) {
  if constexpr (std::is_invocable_v<F&, Random&, const Config&>)
    return Domain(Domain::Function([f = std::move(function)](Random& r, const Config& c) mutable { return Value(f(r, c)); }));
  else if constexpr (std::is_invocable_v<F&, Random&>)
    return Domain(Domain::Function([f = std::move(function)](Random& r, const Config&) mutable { return Value(f(r)); }));
  else if constexpr (std::is_invocable_v<F&, const Config&>)
    return Domain(Domain::Function([f = std::move(function)](Random&, const Config& c) mutable { return Value(f(c)); }));
  else {
    static_assert(std::is_invocable_v<F&>,
                  "sample_from takes a function of (Random&), (const Config&), (Random&, const Config&) or ()");
    return Domain(Domain::Function([f = std::move(function)](Random&, const Config&) mutable { return Value(f()); }));
  }
}

}  // namespace manta::tune
