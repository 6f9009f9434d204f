#pragma once
// The search space: names and the domains that their values are drawn from, conditions and forbidden combinations.
//
//   tune::Space space{{"l1", tune::sample_from([](tune::Random& r) { return 1 << r.randint(2, 9); })},
//                     {"lr", tune::loguniform(1e-4, 1e-1)},
//                     {"optimizer", tune::choice({"sgd", "adam"})},
//                     {"momentum", tune::uniform(0, 1), tune::when("optimizer", "sgd")},
//                     {"model", tune::Space{{"depth", tune::grid_search({2, 3})}, {"bias", true}}},
//                     tune::forbid({{"optimizer", "adam"}, {"model/depth", 3}})};
//
// A plain value. It is checked when a search starts (`Space::check`), with the parameter's name in the message. As JSON:
// tune/space_json.hpp.
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tune/condition.hpp"
#include "tune/domain.hpp"

namespace manta::tune {

struct Parameter {
  std::string name;
  Domain domain;
  Condition condition{};  ///< inactive, absent, while this does not hold
};

/// An ordered list of named domains; a nested Space gives a nested table.
class Space {
 public:
  /// What stands in a space's braces: a parameter or a forbidden combination.
  struct Item {
    Item(std::string name, Domain domain, Condition condition = {})
        : parameter{std::move(name), std::move(domain), std::move(condition)} {}
    Item(Parameter made) : parameter(std::move(made)) {}
    Item(Forbidden made) : parameter{"", Value(), {}}, forbidden(std::move(made)) {}
    Parameter parameter;
    std::optional<Forbidden> forbidden{};  ///< else `parameter`
  };

  Space() = default;
  Space(std::initializer_list<Item> items);

  /// Adds a parameter at the end.
  void add(std::string name, Domain domain, Condition condition = {});
  /// No configuration may have all of this at once.
  void add(Forbidden forbidden);
  const std::vector<Parameter>& parameters() const noexcept { return parameters_; }
  const std::vector<Forbidden>& forbidden() const noexcept { return forbidden_; }

  /// InvalidArgument naming the parameter: an empty choice, low >= high, a bound that is no number or, for a logarithmic
  /// domain, not above 0, a bound of a quantised float that is no multiple of q, a name that is empty, holds a '/' or
  /// stands there twice; a condition on a name that is not there, that never holds, or that depends on itself; a forbidden
  /// combination without a clause, which would forbid everything.
  void check() const;
  /// One line that tells two spaces apart (functions excepted).
  std::string describe() const;

 private:
  std::vector<Parameter> parameters_{};
  std::vector<Forbidden> forbidden_{};
};

}  // namespace manta::tune
