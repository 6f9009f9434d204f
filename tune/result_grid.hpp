#pragma once
// ResultGrid: what an experiment found. A plain value: it stays when the runtime and the experiment are gone.
//
//   const tune::TrialResult& best = grid.best();
//   load(*best.checkpoint_dir);  best.config.get<double>("lr");  best.metrics.get("loss");
//   tune::ResultGrid earlier = tune::load_experiment("manta_results/cifar");     // tune/history.hpp
//   earlier.filter([](const tune::TrialResult& trial) { return trial.iterations > 3; }).sorted().to_csv();
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tune/objective.hpp"
#include "tune/trial.hpp"

namespace manta::tune {

struct TrialResult {
  TrialIndex index{0};
  std::string id{};
  std::string name{};
  TrialState state{TrialState::kPending};
  Config config{};               ///< of the last result
  Metrics metrics{};             ///< the last result
  std::uint64_t iterations{0};   ///< of the last result: results reported, those of the trial that it went on as a copy of among them
  double time_total_s{0};        ///< until the last result
  std::uint32_t failures{0};
  std::string error{};           ///< of the last failure, or that it was ended at its time limit; empty: none
  std::vector<MetricRange> ranges{};  ///< smallest and largest of every metric over all results
  std::filesystem::path dir{};
  std::filesystem::path log_file{};   ///< the trial's output; there only for trials in processes of their own
  /// The newest one on disk; none of a trial that became another one's copy and reported nothing since: what it has is not of its result.
  std::optional<std::filesystem::path> checkpoint_dir{};
  std::optional<std::filesystem::path> best_checkpoint_dir{};  ///< of those on disk, the one with the best score
  bool timed_out{false};         ///< ended at its time limit

  /// Of the last result: "training_iteration", "time_total_s", or a reported metric.
  std::optional<double> value(std::string_view name) const { return ResultView{iterations, time_total_s, metrics}.get(name); }
};

/// One result as the journal has it, or a simulation.
struct ResultRow {
  std::uint64_t iteration{0};
  std::int64_t time_ms{0};   ///< since 1970, UTC; of a simulation: since its beginning, by the virtual clock
  double time_total_s{0};    ///< time in the user's code until then
  double rung{0};            ///< above 0: the scheduler compared it with others at that resource
  Metrics metrics{};

  /// "training_iteration", "time_total_s", or a reported metric.
  std::optional<double> value(std::string_view name) const { return ResultView{iteration, time_total_s, metrics}.get(name); }
};

/// Which of a trial's results counts, as in Ray. kLast, the default there too: the last one, to which checkpoint_dir belongs.
/// kAll: the best it ever had. kAvg, kLast5Avg, kLast10Avg: the mean of all, of the last 5, of the last 10 results; these,
/// and kAll for the least time_total_s, are read from the experiment's journal, or taken from the simulation.
enum class Scope { kLast, kAll, kAvg, kLast5Avg, kLast10Avg };

class ResultGrid {
 public:
  using Rows = std::vector<std::vector<ResultRow>>;  ///< every result, by TrialResult::index

  struct Summary {
    std::string experiment{};
    std::filesystem::path dir{};
    std::string metric{};
    Mode mode{Mode::kMin};
    int signal{0};  ///< SIGINT or SIGTERM when the run was interrupted
    std::vector<Objective> further_objectives{};  ///< as in TuneOptions
  };
  /// Without `rows` the journal in the experiment's directory has them.
  ResultGrid(Summary summary, std::vector<TrialResult> trials, std::shared_ptr<const Rows> rows = nullptr)
      : summary_(std::move(summary)), trials_(std::move(trials)), rows_(std::move(rows)) {}

  const std::vector<TrialResult>& trials() const noexcept { return trials_; }
  std::size_t size() const noexcept { return trials_.size(); }
  /// NotFound, with how many there are, beyond the last.
  const TrialResult& operator[](std::size_t index) const { return index < trials_.size() ? trials_[index] : fail_beyond(index); }
  auto begin() const noexcept { return trials_.begin(); }
  auto end() const noexcept { return trials_.end(); }

  /// The best trial by the experiment's metric and mode, or those given. NaN and infinities are never the best; of
  /// equals the first. NotFound, with the first failure's text, when no trial has a finite value.
  const TrialResult& best(Scope scope = Scope::kLast) const;
  const TrialResult& best(std::string_view metric, Mode mode, Scope scope = Scope::kLast) const;

  /// The trials for which `keep` is true, in a grid of their own.
  ResultGrid filter(const std::function<bool(const TrialResult&)>& keep) const;
  /// The same trials, the best first; those without a finite value last, in their order.
  ResultGrid sorted(Scope scope = Scope::kLast) const;
  ResultGrid sorted(std::string_view metric, Mode mode, Scope scope = Scope::kLast) const;
  /// The trials that no other one beats in every objective, by their last results; the best in the first objective first. Those
  /// without a finite value of each are left out. The objectives are the experiment's (its metric, then further_objectives;
  /// InvalidArgument when it has no metric), or those given.
  std::vector<const TrialResult*> pareto_front() const { return pareto_front(objectives("pareto_front")); }
  std::vector<const TrialResult*> pareto_front(const std::vector<Objective>& objectives) const;
  /// What the last results cover beyond `reference`, a value of each objective, in their order and as they are reported: the
  /// product of the differences for one trial; grows as the front gets better (tune::hypervolume). InvalidArgument when there
  /// are more or fewer values than objectives, which are as above, or one is NaN.
  double hypervolume(const std::vector<double>& reference) const { return hypervolume(reference, objectives("hypervolume")); }
  double hypervolume(const std::vector<double>& reference, const std::vector<Objective>& objectives) const;
  /// Every result of a trial, in order, from the journal or the simulation. NotFound when there is none.
  std::vector<ResultRow> curve(const TrialResult& trial) const;

  /// Trials whose last state is ERROR.
  std::vector<const TrialResult*> errors() const;
  /// True when a signal ended the run early; `signal` says which: exit with 128 + it.
  bool interrupted() const noexcept { return summary_.signal != 0; }
  int signal() const noexcept { return summary_.signal; }
  const std::filesystem::path& dir() const noexcept { return summary_.dir; }
  const std::string& experiment() const noexcept { return summary_.experiment; }

  /// A header and a row for each trial: name, state, parameters as config/…, last metrics (metrics/NAME where NAME is one of the
  /// other columns), iterations, time, error.
  std::vector<std::vector<std::string>> table() const;
  /// The table as CSV, numbers exact.
  std::string to_csv() const;
  void write_csv(std::ostream& out) const;  ///< a row at a time: for very many trials
  /// The same as JSON: an array of objects with config and metrics inside. NaN and infinities are texts.
  std::string to_json() const;
  void write_json(std::ostream& out) const;  ///< a trial at a time

 private:
  /// What each trial is compared by; nothing where there is no finite number.
  std::vector<std::optional<double>> values(std::string_view metric, Mode mode, Scope scope) const;
  void require_metric(const char* call) const;
  [[noreturn]] const TrialResult& fail_beyond(std::size_t index) const;
  std::vector<Objective> objectives(const char* call) const;
  std::shared_ptr<const Rows> rows() const;

  Summary summary_;
  std::vector<TrialResult> trials_;
  std::shared_ptr<const Rows> rows_;  ///< shared by grids of the same experiment; null: in the journal
};

}  // namespace manta::tune
