#pragma once
// Conditions and forbidden combinations of a search space, as data: so every searcher sees them.
//
//   tune::Space space{{"optimizer", tune::choice({"sgd", "adam"})},
//                     {"momentum", tune::uniform(0, 1), tune::when("optimizer", "sgd")},
//                     {"layers", tune::randint(1, 4)},
//                     {"width2", tune::randint(8, 65), tune::when_at_least("layers", 2)},
//                     tune::forbid({{"optimizer", "adam"}, {"layers", 3}})};
//
// A parameter whose condition does not hold is inactive: it is absent from the configuration, and so is what depends on it.
// A name is looked for beside the parameter first, then in the spaces around it: "optimizer", or a path, "model/optimizer".
#include <concepts>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tune/value.hpp"

namespace manta::tune {

/// One value or several: "sgd", or {"sgd", "rmsprop"}.
struct OneOf {
  template <class T>
    requires(!std::same_as<std::remove_cvref_t<T>, OneOf> && std::convertible_to<T, Value>)
  OneOf(T&& value) : values{Value(std::forward<T>(value))} {}
  OneOf(std::initializer_list<Value> several) : values(several) {}
  explicit OneOf(std::vector<Value> several) : values(std::move(several)) {}

  std::vector<Value> values;
};

/// "The parameter of that name is active and its value is one of these", or is a number of at least so much.
struct Clause {
  Clause(std::string parameter, OneOf one_of) : name(std::move(parameter)), values(std::move(one_of.values)) {}

  static Clause from(std::string parameter, std::vector<Value> values) {
    return {std::move(parameter), OneOf(std::move(values))};
  }
  static Clause at_least_bound(std::string parameter, double bound) {
    Clause clause = from(std::move(parameter), {});
    clause.at_least = bound;
    return clause;
  }

  /// Whether this value of the parameter satisfies the clause; 2 and 2.0 are the same here.
  bool holds(const Value& value) const;
  /// "optimizer = sgd", "optimizer in [sgd,rmsprop]", "layers >= 2".
  std::string describe() const;

  std::string name;
  std::vector<Value> values;
  std::optional<double> at_least{};
};

/// Holds when all of its clauses do; without clauses it always does.
struct Condition {
  std::vector<Clause> clauses{};
  std::string describe() const;
};

/// A combination that no configuration may have: all of its clauses at once.
struct Forbidden {
  std::vector<Clause> clauses{};
  std::string describe() const;
};

inline Condition when(std::string name, OneOf values) { return {{Clause(std::move(name), std::move(values))}}; }
inline Condition when_at_least(std::string name, Number bound) {
  return {{Clause::at_least_bound(std::move(name), bound)}};
}
/// Both: when("optimizer", "sgd") && when_at_least("layers", 2).
inline Condition operator&&(Condition a, const Condition& b) {
  a.clauses.insert(a.clauses.end(), b.clauses.begin(), b.clauses.end());
  return a;
}
inline Forbidden forbid(std::initializer_list<Clause> all_of) { return {std::vector<Clause>(all_of)}; }

}  // namespace manta::tune
