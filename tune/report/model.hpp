#pragma once
// What the report's pictures have in common: one number for each trial, and each parameter as numbers over the trials. Pure.
#include <optional>
#include <string>
#include <vector>

#include "tune/history.hpp"
#include "tune/report/fanova.hpp"
#include "tune/report/svg.hpp"

namespace manta::tune {

/// A parameter that differs between trials. `values` has one entry a trial: the number, or the index of the level; nothing
/// where the trial's configuration has it not.
struct ReportParameter {
  std::string name{};
  int digits{5};                      ///< of a number's text, so many that they show how values differ
  std::vector<std::string> levels{};  ///< of a categorical one; empty: numeric
  bool logarithmic{false};
  std::vector<std::optional<double>> values{};

  Scale scale() const;
};

struct ReportModel {
  const ExperimentHistory& history;
  std::vector<Objective> objectives{};              ///< the first is what trials are ranked by
  std::vector<std::vector<std::optional<double>>> values{};  ///< for each objective, each trial's last finite number
  std::vector<ReportParameter> parameters{};
  std::vector<double> goodness{};                   ///< each trial's rank by the first objective: 0 worst, 1 best; -1: none
  std::vector<std::size_t> by_rank{};               ///< trials that have a number, the best first
  std::vector<Importance> importances{};            ///< of parameters and pairs

  const Objective& objective() const { return objectives.front(); }
  const std::vector<std::optional<double>>& value() const { return values.front(); }
  std::vector<double> finite_values(std::size_t objective = 0) const;
  /// "loss (smaller is better)".
  std::string axis_title(std::size_t objective = 0) const;
  /// Of the trials that have a number at most `count`: the best half of them, the others evenly from the rest; worst first.
  std::vector<std::size_t> shown(std::size_t count) const;
};

ReportModel make_model(const ExperimentHistory& history, std::vector<Objective> objectives);

}  // namespace manta::tune
