#pragma once
// Searchers around a searcher.
//
//   .searcher = tune::limit_concurrency(tune::tpe(), 4)        // at most 4 of its trials at a time
//   .searcher = tune::repeat(tune::tpe(), 3)                   // each configuration three times, judged by the mean
#include <cstddef>
#include <string>

#include "tune/searchers/searcher.hpp"

namespace manta::tune {

struct LimitOptions {
  /// Results are handed on when a whole batch has ended, and only then is the next batch begun. A trial that is paused leaves
  /// its batch, and one that is resumed joins the batch that runs.
  bool batch{false};
};

/// At most `max_concurrent` trials of the inner searcher at a time; paused ones do not count. InvalidArgument for 0.
SearcherSpec limit_concurrency(SearcherSpec inner, std::size_t max_concurrent, LimitOptions options = {});

/// The parameter by which the repetitions of a configuration differ: 0, 1, …
inline constexpr const char* kRepetition = "__trial_index__";

struct RepeatOptions {
  bool set_index{true};  ///< each repetition has its number in kRepetition, for a seed
};

/// Every configuration of the inner searcher as `times` trials in a row. When all have ended, the inner searcher is told the
/// mean of each metric over those that gave a number; none of them: that it failed. `num_samples` counts trials: an
/// incomplete last group is never told of, and with fewer than `times` there is no other: the inner searcher learns nothing.
/// A configuration counts as paused while none of its trials runs, all have been made, and one or more are paused.
/// InvalidArgument for 0, and for more than 2^32 - 1.
SearcherSpec repeat(SearcherSpec inner, std::uint64_t times, RepeatOptions options = {});

}  // namespace manta::tune
