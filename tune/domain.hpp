#pragma once
// Domain: where the value of one parameter comes from. Made by the functions below, by a plain value (a constant), or by a
// nested Space (a table).
//
//   tune::loguniform(1e-4, 1e-1)   tune::randint(1, 9)   tune::choice({"sgd", "adam"})   tune::ordinal({16, 32, 64})
//   tune::list({tune::randint(8, 65), tune::randint(8, 65)})   tune::sample_from([](tune::Random& r) { return …; })
//
// A plain value. Bounds are checked when a search starts (`Space::check`), with the parameter's name in the message.
// The names and the bounds are Ray's: an upper bound of integers is exclusive, unless the domain is quantised.
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tune/config.hpp"
#include "tune/random.hpp"

namespace manta::tune {

class Space;

class Domain {
 public:
  /// kFloat and kInteger may be logarithmic and quantised, kNormal quantised.
  enum class Kind { kConstant, kFloat, kInteger, kNormal, kChoice, kOrdinal, kGrid, kSampleFrom, kNested, kList };
  using Function = std::function<Value(Random&, const Config&)>;

  template <class T>
    requires(!std::is_same_v<std::remove_cvref_t<T>, Domain> && std::is_convertible_v<T, Value>)
  Domain(T&& constant) : options_{Value(std::forward<T>(constant))} {}
  Domain(Space nested);

  static Domain floating(double low, double high, bool log, double q);
  static Domain integer(std::int64_t low, std::int64_t high, bool log, std::int64_t q);
  static Domain normal(double mean, double sd, double q);
  static Domain options(Kind kind, std::vector<Value> options);
  static Domain function(Function function);
  static Domain elements(std::vector<Domain> elements);

  Kind kind() const noexcept { return kind_; }
  /// Drawn at random and modelled by searchers: all kinds but constants, grids, functions, tables and lists.
  bool is_searchable() const noexcept;
  bool is_log() const noexcept { return log_; }
  double low() const noexcept { return low_; }    ///< of a normal one: the mean
  double high() const noexcept { return high_; }  ///< of a normal one: the standard deviation
  double q() const noexcept { return q_; }        ///< values are multiples of it; 0: no
  std::int64_t int_q() const noexcept { return int_q_; }  ///< of an integer domain, exactly
  bool has_q() const noexcept { return has_q_; }  ///< one was given, though it be 0, which Space::check refuses
  /// This one, as one that q was given for.
  Domain with_q() && { return has_q_ = true, std::move(*this); }
  std::int64_t int_low() const noexcept { return int_low_; }
  std::int64_t int_high() const noexcept { return int_high_; }
  /// The smallest and the largest value of an integer domain, multiples of q. The first is above the last where there are none.
  std::int64_t first_integer() const noexcept;
  std::int64_t last_integer() const noexcept;
  /// How many values there are: of options, integers, or a quantised float; 0: infinitely many, or more than 2^53.
  std::uint64_t num_values() const noexcept;
  /// The options of a choice, ordinal or grid; the constant itself, alone.
  const std::vector<Value>& values() const noexcept { return options_; }
  const Space& nested() const noexcept { return *nested_; }
  const std::vector<Domain>& elements() const noexcept { return *elements_; }

  /// Draws a value. `so_far` is what sample_from functions read. Not for grids, tables and lists.
  Value sample(Random& random, const Config& so_far) const;
  /// Of a searchable domain: the value at `unit` of [0, 1], such that a uniform `unit` gives the domain's distribution.
  /// Integers, options and quantised values lie in cells side by side, logarithmic ones in the logarithm.
  Value at(double unit) const;
  /// Where in [0, 1] the value lies, within its cell: at(unit_of(v)) is v. None when the value is not of this domain.
  std::optional<double> unit_of(const Value& value) const;
  /// The edges of the cell that `unit` lies in; of a continuous domain both are `unit`.
  std::pair<double, double> cell_of(double unit) const;
  std::string describe() const;

 private:
  Kind kind_{Kind::kConstant};
  bool log_{false};
  bool has_q_{false};
  double low_{0};
  double high_{0};
  double q_{0};
  std::int64_t int_low_{0};
  std::int64_t int_high_{0};
  std::int64_t int_q_{0};
  std::vector<Value> options_{};
  Function function_{};
  std::shared_ptr<const Space> nested_{};
  std::shared_ptr<const std::vector<Domain>> elements_{};
};

/// A double in [low, high).
inline Domain uniform(Number low, Number high) { return Domain::floating(low, high, false, 0); }
/// A double in [low, high), uniform in its logarithm. Requires 0 < low < high.
inline Domain loguniform(Number low, Number high) { return Domain::floating(low, high, true, 0); }
/// A multiple of q from low to high inclusive, each as likely; low and high must be multiples of q.
inline Domain quniform(Number low, Number high, Number q) { return Domain::floating(low, high, false, q).with_q(); }
/// A multiple of q from low to high inclusive, uniform in its logarithm; low (above 0) and high must be multiples of q.
inline Domain qloguniform(Number low, Number high, Number q) { return Domain::floating(low, high, true, q).with_q(); }
/// An integer from low to high - 1: the upper bound is exclusive, as in Ray and numpy.
inline Domain randint(std::int64_t low, std::int64_t high) { return Domain::integer(low, high, false, 0); }
/// An integer from low to high - 1, uniform in its logarithm. Requires 0 < low.
inline Domain lograndint(std::int64_t low, std::int64_t high) { return Domain::integer(low, high, true, 0); }
/// A multiple of q from low to high **inclusive**, each as likely.
inline Domain qrandint(std::int64_t low, std::int64_t high, std::int64_t q) { return Domain::integer(low, high, false, q).with_q(); }
/// A multiple of q from low to high **inclusive**, uniform in its logarithm. Requires 0 < low.
inline Domain qlograndint(std::int64_t low, std::int64_t high, std::int64_t q) { return Domain::integer(low, high, true, q).with_q(); }
/// A double of a normal distribution.
inline Domain randn(Number mean = 0, Number sd = 1) { return Domain::normal(mean, sd, 0); }
/// A normal draw, rounded to a multiple of q.
inline Domain qrandn(Number mean, Number sd, Number q) { return Domain::normal(mean, sd, q).with_q(); }

/// One of the options, each as likely.
inline Domain choice(std::initializer_list<Value> options) { return Domain::options(Domain::Kind::kChoice, options); }
template <class T>
Domain choice(const std::vector<T>& options) {
  return Domain::options(Domain::Kind::kChoice, std::vector<Value>(options.begin(), options.end()));
}
/// One of the options, each as likely, which are in order: neighbours are alike, as searchers that learn may use.
inline Domain ordinal(std::initializer_list<Value> options) { return Domain::options(Domain::Kind::kOrdinal, options); }
template <class T>
Domain ordinal(const std::vector<T>& options) {
  return Domain::options(Domain::Kind::kOrdinal, std::vector<Value>(options.begin(), options.end()));
}
/// Each of the values once: all grids of a space are crossed, and `num_samples` repeats the whole.
inline Domain grid_search(std::initializer_list<Value> values) { return Domain::options(Domain::Kind::kGrid, values); }
template <class T>
Domain grid_search(const std::vector<T>& values) {
  return Domain::options(Domain::Kind::kGrid, std::vector<Value>(values.begin(), values.end()));
}
/// A list of so many values, each from a domain of its own; "layers/0" is the path of the first.
inline Domain list(std::vector<Domain> elements) { return Domain::elements(std::move(elements)); }

/// A function of the generator, of the configuration so far, of both or of nothing. It runs in the driver only: when a trial
/// is made; once before the first, so that what it throws is thrown before anything is written; and at a resume again for the
/// trials that there are. One that reads another sample_from parameter is called again until that has its value, and where a
/// configuration is forbidden it is drawn anew. So compute from the arguments: what counts its calls by reference counts all of these.
template <class F>
Domain sample_from(F function) {
  if constexpr (std::is_invocable_v<F&, Random&, const Config&>)
    return Domain::function([f = std::move(function)](Random& r, const Config& c) mutable { return Value(f(r, c)); });
  else if constexpr (std::is_invocable_v<F&, Random&>)
    return Domain::function([f = std::move(function)](Random& r, const Config&) mutable { return Value(f(r)); });
  else if constexpr (std::is_invocable_v<F&, const Config&>)
    return Domain::function([f = std::move(function)](Random&, const Config& c) mutable { return Value(f(c)); });
  else {
    static_assert(std::is_invocable_v<F&>,
                  "sample_from takes a function of (Random&), (const Config&), (Random&, const Config&) or ()");
    return Domain::function([f = std::move(function)](Random&, const Config&) mutable { return Value(f()); });
  }
}

}  // namespace manta::tune
