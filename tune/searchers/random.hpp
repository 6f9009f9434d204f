#pragma once
// Random search with what every searcher may be told: configurations to try first.
//
//   .searcher = tune::random_search({.points_to_evaluate = {{{"lr", 0.01}}}})
#include "tune/searchers/search_options.hpp"
#include "tune/searchers/searcher.hpp"

namespace manta::tune {

/// Needs no metric. A space with grid_search is refused: with it `random_search()` without points goes through the grid.
/// Start-up trials and evaluated points make no difference.
SearcherSpec random_search(SearchOptions options);

}  // namespace manta::tune
