#pragma once
// An experiment's history as text for a terminal: what `manta tune show` prints. Pure.
#include <cstddef>
#include <string>
#include <vector>

#include "tune/history.hpp"

namespace manta::tune {

struct ShowOptions {
  std::size_t max_rows{20};  ///< of the table: the best of each state first
  std::size_t width{200};    ///< of the terminal
  std::vector<std::string> metric_columns{};     ///< empty: the metric, and others that were reported
  std::vector<std::string> parameter_columns{};  ///< empty: all
};

/// InvalidArgument for a metric that is asked for and that no trial has reported, where there are results.
std::string show_text(const ExperimentHistory& history, const ShowOptions& options = {});
/// "1: 16 results, 2: 8 results": how many results filled each rung; empty when none did.
std::string rungs_text(const ExperimentHistory& history);

}  // namespace manta::tune
