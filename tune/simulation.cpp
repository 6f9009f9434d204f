#include "tune/simulation.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <utility>

#include "runtime/errors.hpp"
#include "tune/core/assembly.hpp"
#include "tune/core/runner.hpp"
#include "tune/core/simulated_host.hpp"

namespace manta::tune {

namespace {

/// A simulation is not resumed, so nobody reads its journal.
class NoLog final : public EventLog {
 public:
  void append(std::span<const std::byte>) override {}
  void sync() override {}
  void for_each(const std::function<void(std::span<const std::byte>)>&) const override {}
};

class Timeline final : public Reporter {
 public:
  explicit Timeline(const SimulatedHost& host) : host_(host) {}
  void on_event(const ExperimentMachine& machine, const EventBody& event, const Effects& effects) override {
    rows->resize(machine.trials().size());
    times_.resize(machine.trials().size());
    if (const auto* report = std::get_if<TrialReported>(&event); report && effects.recorded) take(machine, *report, effects.rung);
    for (const Exploited& copied : effects.exploits) times_[copied.trial] = machine.trial(copied.trial).time_total_s;
  }
  void warning(const std::string& text) override { warnings.push_back(text); }

  std::vector<SimulatedReport> reports{};
  std::shared_ptr<ResultGrid::Rows> rows{std::make_shared<ResultGrid::Rows>()};
  std::vector<std::string> warnings{};

 private:
  void take(const ExperimentMachine& machine, const TrialReported& report, double rung) {
    const double value = report.metrics.get(machine.options().metric).value_or(std::numeric_limits<double>::quiet_NaN());
    reports.push_back({host_.now_s(), report.trial, report.iteration, value});
    times_[report.trial] += report.time_this_iter_s;
    (*rows)[report.trial].push_back({report.iteration, host_.now_ms(), times_[report.trial], rung, report.metrics});
  }

  const SimulatedHost& host_;
  std::vector<double> times_;  ///< time_total_s of each trial: after an exploit the machine has the donor's
};

/// What so many trials hold; at least a CPU for each.
Resources resources_of(const SimulatedCluster& cluster, const TrialResources& trial) {
  const auto times = [&](Amount each) { return each.times(static_cast<std::int64_t>(cluster.workers)); };
  Resources total{{"GPU", 0}};
  for (const auto& [name, amount] : trial.all()) total.set(name, times(amount));
  if (!(total["CPU"] > Amount(0))) total.set("CPU", times(Amount(1)));
  return total;
}

/// Whether a limit of time is reached by then, if nothing happens until then.
bool is_due(const TuneOptions& options, const ExperimentMachine& machine, std::int64_t at_ms) {
  if (machine.finished()) return false;
  return (options.time_budget_s > 0 && machine.time_since_start_s(at_ms) >= options.time_budget_s) || machine.stopper_ends_all(at_ms) ||
         (options.trial_time_limit_s > 0 && machine.any_runs_longer(options.trial_time_limit_s, at_ms));
}

void check(const SimulatedTrainable& trainable, const SimulatedCluster& cluster) {
  if (!trainable.step) throw InvalidArgument("simulate: SimulatedTrainable::step is empty; it says what an iteration reports.");
  if (cluster.workers < 1) throw InvalidArgument("simulate: SimulatedCluster::workers is 0; it must be 1 or more.");
  const auto is_up_to = [](double most, double value) { return value >= 0 && value <= most; };
  if (!is_up_to(1000, cluster.straggler_sd) || !is_up_to(SimulatedResult::kMostSeconds, cluster.start_seconds))
    throw InvalidArgument("simulate: straggler_sd must be from 0 to 1000, and start_seconds from 0 to 1e9.");
  if (!(cluster.drop_probability >= 0) || !(cluster.drop_probability < 1))
    throw InvalidArgument("simulate: drop_probability must be from 0 to below 1.");
}

}  // namespace

SimulatedTrainable learning_curves(std::string metric, std::vector<std::vector<double>> curves, double seconds_per_iteration) {
  SimulatedTrainable trainable{.name = "learning_curves"};
  for (const auto& row : curves) trainable.iterations = std::max<std::uint64_t>(trainable.iterations, row.size());
  trainable.step = [metric = std::move(metric), curves = std::move(curves),
                    seconds_per_iteration](SimulatedStep& step) -> std::optional<SimulatedResult> {
    const auto row = step.config.get<std::int64_t>("row");
    if (row < 0 || std::cmp_greater_equal(row, curves.size()))
      throw InvalidArgument("learning_curves: the configuration asks for row " + std::to_string(row) + " of a table of " +
                            std::to_string(curves.size()) + " rows.");
    const std::vector<double>& curve = curves[static_cast<std::size_t>(row)];
    if (step.iteration > curve.size()) return std::nullopt;
    return SimulatedResult{{{metric, curve[step.iteration - 1]}}, seconds_per_iteration};
  };
  return trainable;
}

Simulation simulate(const TuneOptions& options, const SimulatedTrainable& trainable, const SimulatedCluster& cluster) {
  check(trainable, cluster);
  const Trainable stand_in{trainable.name, trainable.iterations != 0, {}};
  const Resources total = resources_of(cluster, options.resources);
  check_options(options, stand_in, total);
  const auto most = static_cast<std::size_t>(options.max_concurrent);
  const std::size_t concurrency = most == 0 ? cluster.workers : std::min(most, cluster.workers);
  const std::string name = options.name.empty() ? trainable.name : options.name;
  const ExperimentCreated header = describe(options, stand_in, name);
  const auto checkpoints = std::make_shared<MemoryCheckpoints>(!cluster.files.empty());
  SimulatedHost host(trainable, cluster, *checkpoints);
  ExperimentMachine machine = make_machine(options, stand_in, header, total, concurrency);
  std::vector<std::unique_ptr<Logger>> loggers;
  if (!cluster.files.empty()) loggers = make_loggers(options, machine);
  Experiment experiment(std::move(machine), std::make_unique<NoLog>(), cluster.files / name, std::move(loggers),
                        [&host] { return host.now_ms(); }, checkpoints);
  host.set_due_at([&options, &experiment](std::int64_t at_ms) { return is_due(options, experiment.machine(), at_ms); });
  experiment.begin(header, 0);
  Timeline timeline(host);
  const auto now = [&host] {
    return Runner::SteadyClock::time_point(std::chrono::duration_cast<Runner::SteadyClock::duration>(std::chrono::duration<double>(host.now_s())));
  };
  RunnerOptions runs = runner_options(options, header.seed, total, concurrency);
  runs.poll = std::chrono::hours(24);  // the clock stops at what is due before that
  Runner runner(experiment, host, timeline, std::move(runs), [] { return false; }, now);
  runner.run();
  experiment.sync();
  for (const std::string& warning : experiment.take_warnings()) timeline.warning(warning);
  return {collect(experiment, options, name, 0, std::move(timeline.rows)), std::move(timeline.reports), host.now_s(), host.busy_s(),
          std::move(timeline.warnings)};
}

}  // namespace manta::tune
