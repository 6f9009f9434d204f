#pragma once
// Searcher: what proposes configurations. Pure: no thread, no clock; the same seed and the same order of calls give the
// same proposals. One searcher belongs to one experiment and is called by the driver's thread only.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tune/config.hpp"
#include "tune/objective.hpp"
#include "tune/search_space.hpp"

namespace manta::tune {

struct Suggestion {
  enum class Kind { kConfig, kWait, kDone };  ///< kWait: ask again after a result; kDone: there will be no more
  Kind kind{Kind::kDone};
  Config config{};
  std::string tag{};  ///< a short text that tells the trial from others: "lr=0.0100,l1=64"
};

class Searcher {
 public:
  virtual ~Searcher() = default;

  /// The configuration of trial `index`; gives a configuration once for each index, in order. kWait and kDone change
  /// nothing in the searcher: a replay of the journal calls `suggest` only for the trials that were made. Throws what a
  /// user's function throws.
  virtual Suggestion suggest(TrialIndex index) = 0;
  /// Whether `suggest_given` may be called.
  virtual bool takes_given() const { return false; }
  /// `suggest` with a configuration of the user's; what it leaves out is drawn. InvalidArgument when it is not of the space or forbidden.
  virtual Suggestion suggest_given(TrialIndex, const Config& /*given*/) { return {}; }
  /// A result after which the trial goes on or pauses. `rung`: above 0 when it filled a rung of the scheduler, of that
  /// resource (the budget of BOHB).
  virtual void on_result(TrialIndex, const ResultView&, double /*rung*/) {}
  /// The trial ended; `last` is null when it failed or reported nothing. `rung` as above, for a last result that is new.
  virtual void on_complete(TrialIndex, const ResultView* /*last*/, double /*rung*/) {}
  virtual void on_pause(TrialIndex) {}
  virtual void on_resume(TrialIndex) {}

  /// How many trials there will be, where that is known: no more are asked for. A searcher that gives none makes
  /// SearcherContext::num_samples trials, which the experiment counts for it, unless `suggest` says kDone before. One of which
  /// num_samples means something else, as the repetitions of a grid, says here how many it makes.
  virtual std::optional<std::uint64_t> total() const { return std::nullopt; }
  /// How many proposals may wait to be started: 1 for a searcher that learns from results, so that each is made when there
  /// is a worker for it.
  virtual std::uint32_t suggest_ahead() const { return 1; }

  /// The whole state, and back: after `restore(save())` the next suggestions are the same.
  virtual std::string save() const = 0;
  virtual void restore(std::string_view state) = 0;
  /// After a restore: InvalidArgument unless what was restored has suggested trials 0 to `trials` - 1, of which `running` have
  /// not ended. A searcher that keeps nothing of trials has nothing to compare.
  virtual void check_restored(std::uint64_t /*trials*/, std::uint64_t /*running*/) const {}
};

/// What an experiment tells its searcher once.
struct SearcherContext {
  Space space{};                         ///< checked
  std::vector<Objective> objectives{};   ///< at least one with a searcher that learns
  /// TuneOptions::num_samples; 2^32 - 1 and more where there is no end (-1, a Study). For the searcher inside `repeat`: either divided by the
  /// repetitions, rounded up.
  std::uint64_t num_samples{1};
  std::uint64_t seed{0};
  std::size_t concurrency{1};            ///< trials that may run at a time
};

/// A searcher to be: its name for tables, all its options as text (two that differ in the text are different
/// experiments), and how to make it. `make` throws InvalidArgument for options or a space that it cannot search.
struct SearcherSpec {
  std::string name{};
  std::string description{};
  std::function<std::unique_ptr<Searcher>(const SearcherContext&)> make{};
  bool learns{false};  ///< suggests by results, which it takes for those of the configurations that it suggested
};

/// Random and grid search (tune/searchers/variants.hpp).
SearcherSpec random_search();

}  // namespace manta::tune
