#pragma once
// An experiment's history as one HTML page that needs no network: what `manta tune report` writes. Pictures are SVG inside
// the page; a short script inside it too links what belongs to the same trial. Pure.
#include <string>
#include <vector>

#include "tune/history.hpp"

namespace manta::tune {

/// The whole page. `objectives`: what trials are compared by; empty: the experiment's own. With two of them there is a
/// Pareto front. InvalidArgument when no trial ever reported one of them.
std::string report_page(const ExperimentHistory& history, std::vector<Objective> objectives = {});

}  // namespace manta::tune
