#pragma once
// Study: a search without a runtime. You ask for a configuration, try it wherever you like, and tell what came of it.
//
//   tune::Study study({.space = {{"x", tune::uniform(-10, 10)}}, .metric = "loss"});
//   for (int i = 0; i < 50; ++i) {
//     auto trial = study.ask();
//     study.tell(trial, {{"loss", std::pow(trial.config.get<double>("x") - 3, 2)}});
//   }
//   study.best().config, …
//
// Several trials may be asked for before the first is told; a searcher that learns spreads them. Owned by the caller; not
// thread-safe. The same seed and the same order of calls give the same trials. `save` gives the whole state as text, for a
// file; `restore` goes on from it with the same next suggestions.
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tune/search_space.hpp"
#include "tune/searchers/searcher.hpp"
#include "tune/searchers/tpe.hpp"

namespace manta::tune {

struct StudyOptions {
  Space space{};
  std::string metric{"loss"};
  Mode mode{Mode::kMin};
  std::vector<Objective> objectives{};  ///< several, instead of `metric` and `mode`; with a searcher for several, as nsga2
  SearcherSpec searcher{tpe()};
  std::optional<std::uint64_t> seed{};  ///< none: a random one
};

struct StudyTrial {
  enum class State { kRunning, kComplete, kPruned, kFailed };

  TrialIndex number{0};
  Config config{};
  State state{State::kRunning};
  Metrics metrics{};       ///< what was told
  std::uint64_t step{0};   ///< of a pruned one
};

class Study {
 public:
  /// InvalidArgument for a space or options that are wrong.
  explicit Study(StudyOptions options);

  /// The next trial. ResourceExhausted while the searcher waits for results of trials that run; NotFound when there are no
  /// more (random_search with a grid goes round for ever).
  StudyTrial ask();
  /// The same, but none instead of the two errors.
  std::optional<StudyTrial> try_ask();

  /// The next trial that is asked for has this configuration, after those that were enqueued before; what it leaves out is drawn.
  /// InvalidArgument when it is not of the space or forbidden, or the searcher takes none: random_search() without options, repeat.
  void enqueue(Config config);
  /// A trial that was tried elsewhere, with all its active parameters: the searcher learns from it as from one that was asked for
  /// and told. InvalidArgument as above, or for metrics without the study's; ResourceExhausted while the searcher waits for results.
  const StudyTrial& add(Config config, const Metrics& metrics);

  /// How a trial ended, once for each: NotFound for one that was never asked for, InvalidArgument for one that has ended or
  /// metrics without the study's. NaN and infinities count as failures.
  void tell(const StudyTrial& trial, const Metrics& metrics);
  /// It was given up after `step` steps, with this as its last result.
  void tell_pruned(const StudyTrial& trial, std::uint64_t step, const Metrics& metrics);
  void tell_failed(const StudyTrial& trial);

  /// All trials in the order in which they were asked for or added.
  const std::vector<StudyTrial>& trials() const noexcept { return trials_; }
  /// The completed trial with the best finite metric, the first of several. NotFound when there is none.
  const StudyTrial& best() const;
  /// The numbers of the completed trials that no other one beats in every objective (ties: nowhere worse, somewhere better).
  std::vector<TrialIndex> pareto_front() const;

  std::string save() const;
  /// Takes over what another study with the same options saved. InvalidArgument when it had others, or the text is damaged;
  /// this study is then as before.
  void restore(std::string_view state);

 private:
  std::unique_ptr<Searcher> make_searcher(std::uint64_t seed) const;
  std::vector<std::string> check_given(const Config& config) const;
  void check_metrics(const std::string& who, const Metrics& metrics) const;
  void end(const StudyTrial& trial, StudyTrial::State state, std::uint64_t step, const Metrics* metrics);
  std::string describe() const;
  bool is_finite(const StudyTrial& trial) const;
  double loss_of(const StudyTrial& trial, const Objective& objective) const;

  StudyOptions options_;  ///< with `objectives` filled
  std::uint64_t seed_;
  std::unique_ptr<Searcher> searcher_;
  std::vector<StudyTrial> trials_;
  std::deque<Config> enqueued_;
};

}  // namespace manta::tune
