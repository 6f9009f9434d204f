#pragma once
// Sobol search: points that fill the space evenly, better than random ones and without a model. The sequence is Boost's
// (direction numbers of Joe and Kuo), shifted at random modulo 1 so that each seed gives other points (Cranley and Patterson,
// 1976). Best with a power of two trials.
//
//   .num_samples = 64, .searcher = tune::sobol()
#include "tune/searchers/search_options.hpp"
#include "tune/searchers/searcher.hpp"

namespace manta::tune {

struct SobolOptions {
  SearchOptions common{};  ///< evaluated points and start-up trials make no difference
};

/// Needs no metric. Beyond 1,000 parameters the rest of the coordinates is plain random.
SearcherSpec sobol(SobolOptions options = {});

}  // namespace manta::tune
