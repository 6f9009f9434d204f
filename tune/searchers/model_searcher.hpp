#pragma once
// ModelSearcher: what the searchers that learn from results have in common: the history of trials as points of the unit
// cube, points to evaluate first, results known beforehand, start-up trials, forbidden combinations, sample_from, save and
// restore. A searcher derives from it and says where the next point lies.
//
// Behind a scheduler that pauses trials at rungs (promotion-type ASHA, HyperBand) most trials end late or all at once. So the
// result of a rung at which a trial pauses is an observation like one that ended there: it counts as a start-up result, and
// is replaced when the trial has come further. One that ends while it is paused was pruned at that rung.
//
// Trial i is drawn from a generator of its own (seed, i): so the same results in the same order give the same suggestions.
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tune/searchers/encoding.hpp"
#include "tune/searchers/search_options.hpp"
#include "tune/searchers/searcher.hpp"

namespace manta::tune {

/// One trial as searchers see it.
struct Observation {
  /// kPruned: its last result filled a rung of the scheduler, which stopped or paused it there. kFailed: it gave no number to
  /// learn from, but NaN, an infinity or an error.
  enum class State { kRunning, kComplete, kPruned, kFailed };

  std::vector<double> point{};   ///< in the unit cube, snapped to the values' places; NaN: inactive
  /// Of each objective, smaller is better: maximised ones are negated. Finite, but +inf where a failed trial has none.
  std::vector<double> losses{};
  State state{State::kRunning};
  double step{0};                ///< of the last result: its iteration
  /// It paused at a rung and has not ended: this is what the rung's result says, until another one's or its end says more.
  bool open{false};

  /// There is something to learn from, be it that it failed.
  bool told() const noexcept { return state != State::kRunning; }
  bool ended() const noexcept { return told() && !open; }
  bool has_result() const noexcept { return state == State::kComplete || state == State::kPruned; }
  double loss() const noexcept { return losses.front(); }
};

class ModelSearcher : public Searcher {
 public:
  /// InvalidArgument for a space with grid_search, no objective though it `learns`, and a point to evaluate or an evaluated
  /// one that is not of the space. One that does not learn waits for nothing. `name` tells one searcher's draws from another's.
  ModelSearcher(std::string name, const SearcherContext& context, SearchOptions options, bool learns = true);

  bool takes_given() const final { return true; }
  Suggestion suggest_given(TrialIndex index, const Config& given) final;
  Suggestion suggest(TrialIndex index) final;
  void on_result(TrialIndex trial, const ResultView& result, double rung) override;
  void on_complete(TrialIndex trial, const ResultView* last, double rung) final;
  void on_pause(TrialIndex trial) final;
  void on_resume(TrialIndex trial) final { paused_.erase(trial); }
  std::optional<std::uint64_t> total() const override { return context_.num_samples; }

  std::string save() const final;
  /// InvalidArgument when the text is no such searcher's, or of another space.
  void restore(std::string_view state) final;
  void check_restored(std::uint64_t trials, std::uint64_t running) const final;

 protected:
  /// Where the next trial lies, once the start-up trials have ended. Coordinates that are NaN though active are drawn at
  /// random. It is called again, with the generator as it is then, when the answer is forbidden; and it must give the same
  /// for the same history and generator.
  virtual std::vector<double> propose(TrialIndex index, Random& random) = 0;
  /// A start-up trial's point.
  virtual std::vector<double> start_up(TrialIndex, Random& random) { return encoding_.sample(random); }
  /// Another point for the trial, at random, when what was proposed goes with nothing that the functions of the space draw.
  virtual std::vector<double> redrawn(TrialIndex, Random& random) { return encoding_.sample(random); }
  /// A trial ended, or paused at a rung with a first result there; it is in the history already. Once for each trial: what it
  /// gives later stands in the history alone. Also called, in order, for what was evaluated beforehand.
  virtual void learn(const Observation&) {}
  /// A trial that was learned of while it was paused has given no number after all.
  virtual void forget(const Observation&) {}
  /// False: a trial is learned of when it ends, and runs until then.
  virtual bool learns_of_paused() const { return true; }
  /// A result that fills a rung: what it would be if the trial ended here.
  virtual void learn_rung(const Observation&, double /*rung*/) {}
  /// What a searcher keeps besides the history.
  virtual std::string save_model() const { return {}; }
  virtual void restore_model(std::string_view) {}

  const ParameterEncoding& encoding() const noexcept { return encoding_; }
  const SearcherContext& context() const noexcept { return context_; }
  const SearchOptions& options() const noexcept { return options_; }
  /// What was evaluated beforehand, then the trials in the order in which they were made.
  const std::vector<Observation>& history() const noexcept { return history_; }
  /// How many gave a number: completed and pruned ones, and those that paused at a rung.
  std::size_t num_results() const noexcept { return results_; }

 private:
  Observation& observation_of(TrialIndex trial);
  void add_evaluated(const EvaluatedPoint& evaluated, std::size_t number);
  void check_points() const;
  bool must_wait(TrialIndex index) const;
  std::vector<double> next_point(TrialIndex index, Random& random);
  Suggestion make(TrialIndex index, std::vector<double> point, const Config* given, Random& random);
  std::vector<double> completed(const Config& given, Random& random) const;
  Config configuration(const std::vector<double>& point, const Config* given, Random& random) const;
  void check_observation(const Observation& observation) const;
  void take(Observation& place, Observation now);
  void fill(Observation& observation, const ResultView& result) const;

  std::string name_;
  SearcherContext context_;
  SearchOptions options_;
  bool learns_;
  ParameterEncoding encoding_;
  std::vector<Observation> history_;
  std::size_t results_{0};
  std::size_t running_{0};         // trials that have not ended, the paused ones among them
  std::set<TrialIndex> paused_{};
  std::optional<std::pair<TrialIndex, Observation>> at_rung_;  // of the newest result, where it filled one: it may pause there now
};

}  // namespace manta::tune
