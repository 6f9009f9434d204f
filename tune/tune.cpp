#include "tune/tune.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <exception>
#include <limits>
#include <random>
#include <set>
#include <thread>

#include "runtime/in_task.hpp"
#include "runtime/promise.hpp"
#include "tune/core/assembly.hpp"
#include "tune/core/experiment.hpp"
#include "tune/core/experiment_dir.hpp"
#include "tune/core/made.hpp"
#include "tune/core/resource_plan.hpp"
#include "tune/core/runner.hpp"
#include "tune/core/runtime_host.hpp"
#include "tune/core/signals.hpp"
#include "tune/core/trial_result.hpp"
#include "tune/table.hpp"

namespace manta::tune {

namespace {

std::string name_with_time(const std::string& trainable) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "_%Y-%m-%d_%H-%M-%S", &parts);
  return trainable + text;
}

/// That, or with _2, _3 … behind it, as a new directory, so that nobody else has it.
std::string unused_name(const std::filesystem::path& results_dir, const std::string& wanted) {
  std::error_code error;
  std::filesystem::create_directories(results_dir, error);
  std::string name = wanted;
  for (int number = 2; !error; name = wanted + "_" + std::to_string(number++))
    if (std::filesystem::create_directory(results_dir / name, error)) return name;
  return wanted;  // what is in the way is told when the directory is opened
}

std::int64_t wall_clock_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

std::uint64_t random_seed() {
  std::random_device device;
  return device() % 1'000'000'000;  // short enough to be typed
}

[[noreturn]] void refuse(const std::string& text) { throw InvalidArgument("tune: " + text); }

SchedulerContext scheduler_context(const TuneOptions& options, const Trainable& trainable, std::uint64_t seed, const Resources& total) {
  return {options.metric, options.mode, seed, options.resources, total, options.further_objectives, options.space, trainable.saves_itself, options.resources_of};
}

SearcherContext searcher_context(const TuneOptions& options, std::uint64_t seed, std::size_t concurrency) {
  constexpr std::uint64_t kEndless = std::numeric_limits<TrialIndex>::max();
  const auto samples = options.num_samples < 0 ? kEndless : static_cast<std::uint64_t>(options.num_samples);
  std::vector<Objective> objectives{{options.metric, options.mode}};
  objectives.insert(objectives.end(), options.further_objectives.begin(), options.further_objectives.end());
  return {options.space, std::move(objectives), samples, seed, concurrency};
}

void check_limits(const TuneOptions& options) {
  if (options.num_samples < -1 || options.num_samples == 0)
    refuse("num_samples is " + std::to_string(options.num_samples) + "; it must be 1 or more, or -1 for trials without end.");
  if (options.num_samples == -1 && options.time_budget_s <= 0 && !options.stop.make)
    refuse("num_samples is -1, trials without end, and nothing ends the experiment. Set time_budget_s or a stopper.");
  if (options.max_concurrent < 0) refuse("max_concurrent is negative; 0 means as many as the resources allow.");
  if (options.max_failures < -1) refuse("max_failures is " + std::to_string(options.max_failures) + "; -1 means without end.");
  if (!(options.time_budget_s >= 0)) refuse("time_budget_s is " + number_text(options.time_budget_s, 6) + "; 0 means no limit.");
  if (!(options.trial_time_limit_s >= 0))
    refuse("trial_time_limit_s is " + number_text(options.trial_time_limit_s, 6) + "; 0 means no limit.");
  if (!(options.stop_grace_s >= 0)) refuse("stop_grace_s is " + number_text(options.stop_grace_s, 6) + "; 0 kills at once.");
  if (!(options.reporter.interval_s >= 0))
    refuse("reporter.interval_s is " + number_text(options.reporter.interval_s, 6) + "; it must be 0 or more seconds.");
  if (std::count(options.callbacks.begin(), options.callbacks.end(), nullptr))
    refuse("callbacks holds a null pointer; make each with std::make_shared.");
  std::set<std::string> metrics{options.metric};
  for (const Objective& objective : options.further_objectives)
    if (objective.metric.empty() || !metrics.insert(objective.metric).second)
      refuse("further_objectives has the metric '" + objective.metric + "', which is empty or there twice; `metric` is the first.");
  if (options.buffer_results < 1) refuse("buffer_results is 0; 1 means that each result is told at once.");
}

/// What a process cannot be started with would be told by every trial.
void check_env(const TuneOptions& options) {
  if (!options.env.empty() && options.isolation != own_process)
    refuse("env is for trials in processes of their own; set isolation = manta::own_process.");
  for (const auto& [name, value] : options.env)
    if (name.empty() || name.find('=') != std::string::npos || name.find('\0') != std::string::npos || value.find('\0') != std::string::npos)
      refuse("env has the variable '" + one_line(name) + "', which no process can have: its name must not be empty nor have a '=', and neither name nor "
             "value a zero byte.");
}

}  // namespace

namespace {
std::string mode_text(Mode mode) { return mode == Mode::kMin ? "min" : "max"; }
}  // namespace

ExperimentCreated describe(const TuneOptions& options, const Trainable& trainable, std::string name) {
  ExperimentCreated header{.name = std::move(name), .seed = options.seed ? *options.seed : random_seed()};
  header.description = {{"trainable", trainable.name},
                        {"metric", options.metric},
                        {"mode", mode_text(options.mode)},
                        {"num_samples", std::to_string(options.num_samples)},
                        {"space", options.space.describe()},
                        {"searcher", options.searcher.description},
                        {"scheduler", options.scheduler.description},
                        {"stop", options.stop.description},
                        {"max_iterations", std::to_string(options.max_iterations)}};
  const std::string& attribute = options.checkpoints.score_attribute;
  const std::string& score = attribute.empty() ? options.metric : attribute;
  const Mode score_mode = options.checkpoints.score_mode.value_or(options.mode);
  if (score != options.metric || score_mode != options.mode) header.description.emplace_back(kCheckpointScore, mode_text(score_mode) + " " + score);
  for (const auto& [metric, mode] : options.further_objectives)
    header.description.emplace_back("and metric " + metric, mode_text(mode));
  return header;
}

namespace {
/// Whether the scheduler stops every trial once it has seen the first: budgets may come with the configurations.
bool stops_trials_like(Config first, Scheduler& scheduler) {
  scheduler.fill_config(0, first);
  scheduler.on_trial_add(0, first);
  return scheduler.stops_every_trial();
}

/// Null: there is none.
std::unique_ptr<Stopper> make_stopper(const TuneOptions& options) {
  if (!options.stop.make) return nullptr;
  return make_checked("stopper", options.stop, StopperContext{options.metric, options.mode});
}
}  // namespace

void check_options(const TuneOptions& options, const Trainable& trainable, const Resources& total) {
  options.space.check();
  check_limits(options);
  if (options.checkpoints.num_to_keep < 1) refuse("checkpoints.num_to_keep is 0; a trial goes on from its newest checkpoint, so keep 1 or more.");
  if (!options.scheduler.make) refuse("there is no scheduler; tune::fifo() and tune::asha() make one.");
  check_env(options);
  if (!options.searcher.make) refuse("there is no searcher; tune::random_search() makes one.");
  if (options.scheduler.changes_configs && options.searcher.learns)
    refuse("the scheduler " + options.scheduler.name + " changes configurations while trials run, and the searcher '" + options.searcher.name +
           "' would take their results for those of what it suggested. Use tune::random_search(), or another scheduler.");
  const auto scheduler = make_checked("scheduler", options.scheduler, scheduler_context(options, trainable, 0, total));
  const auto stopper = make_stopper(options);
  const bool stops = scheduler->stops_every_trial() || (stopper && stopper->stops_every_trial());
  const auto searcher = make_checked("searcher", options.searcher, searcher_context(options, 0, 1));
  const Suggestion first = searcher->suggest(0);  // what a sample_from function throws, it throws now
  const bool limited = options.max_iterations != 0 || options.time_budget_s > 0 || options.trial_time_limit_s > 0;
  if (!trainable.ends_by_itself && !limited && !stops && !stops_trials_like(first.config, *scheduler))
    refuse("the class trainable " + trainable.name + " is stepped until it is stopped, and " +
           (options.stop.make ? "its stopper " + options.stop.name + " may never stop a trial" : "nothing stops it") +
           ". Set max_iterations, time_budget_s or trial_time_limit_s, the stopper timeout, or a scheduler with a max_t; or stop_at_budget, with a "
           "number in every configuration.");
}

ExperimentMachine make_machine(const TuneOptions& options, const Trainable& trainable, const ExperimentCreated& header,
                               const Resources& total, std::size_t concurrency) {
  MachineOptions machine{.metric = options.metric,
                         .mode = options.mode,
                         .trial_prefix = trial_id_prefix(header),
                         .trainable = trainable.name,
                         .scheduler = options.scheduler.name,
                         .max_iterations = options.max_iterations,
                         .max_failures = options.max_failures,
                         .keep_checkpoints = options.checkpoints.num_to_keep,
                         .keep_best_checkpoints = options.checkpoints.keep_best,
                         .score_attribute = options.checkpoints.score_attribute,
                         .score_mode = options.checkpoints.score_mode,
                         .checkpoint_budget_bytes = options.checkpoints.budget_bytes,
                         .endless = options.num_samples < 0};
  if (!machine.endless) machine.num_samples = static_cast<std::uint64_t>(options.num_samples);
  for (const Objective& objective : options.further_objectives) machine.further_metrics.push_back(objective.metric);
  auto searcher = make_checked("searcher", options.searcher, searcher_context(options, header.seed, concurrency));
  auto scheduler = make_checked("scheduler", options.scheduler, scheduler_context(options, trainable, header.seed, total));
  return {std::move(machine), std::move(searcher), std::move(scheduler), make_stopper(options)};
}

namespace {

/// What one trial takes: what the scheduler gave it, else what its configuration asks for.
std::function<TrialResources(const Trial&)> resources_by_trial(const TuneOptions& options) {
  return [&options](const Trial& trial) {
    if (trial.resources) return *trial.resources;
    return options.resources_of ? options.resources_of(trial.config) : options.resources;
  };
}

}  // namespace

RunnerOptions runner_options(const TuneOptions& options, std::uint64_t seed, const Resources& total, std::size_t concurrency) {
  return {.concurrency = concurrency,
          .seed = seed,
          .checkpoint_frequency = options.checkpoints.frequency,
          .stop_grace = std::chrono::duration<double>(std::min(options.stop_grace_s, 1e9)),  // beyond, the clock would overflow
          .retry_back_off = std::chrono::milliseconds(50),
          .checkpoint_at_end = options.checkpoints.at_end,
          .reuse_actors = options.reuse_actors,
          .buffer_results = options.buffer_results,
          .time_budget_s = options.time_budget_s,
          .trial_time_limit_s = options.trial_time_limit_s,
          .kills_trials = options.isolation == own_process,
          .fail_fast = options.fail_fast != FailFast::kOff,
          .resources_of = resources_by_trial(options),
          .room = ResourceLedger(total),
          .callbacks = options.callbacks};
}

std::vector<std::unique_ptr<Logger>> make_loggers(const TuneOptions& options, const ExperimentMachine& machine) {
  std::vector<std::unique_ptr<Logger>> loggers;
  if (options.loggers.json) loggers.push_back(make_json_logger());
  if (options.loggers.policies && machine.may_pause()) loggers.push_back(make_policy_logger());  // a trial pauses to become a copy
  if (options.loggers.csv) loggers.push_back(make_csv_logger());
  if (options.loggers.tensorboard) loggers.push_back(make_tensorboard_logger());
  return loggers;
}

namespace {

Experiment make_experiment(const TuneOptions& options, const Trainable& trainable, const ExperimentCreated& header,
                           ExperimentDir dir, const Resources& total, std::size_t concurrency) {
  ExperimentMachine machine = make_machine(options, trainable, header, total, concurrency);
  auto loggers = make_loggers(options, machine);
  return {std::move(machine), std::move(dir.log), std::move(dir.path), std::move(loggers), wall_clock_ms};
}

TrialResult result_of(const Experiment& experiment, const Trial& trial) {
  const MachineOptions& machine = experiment.machine().options();
  return result_of(trial, experiment.trial_dir(trial), machine.score_mode.value_or(machine.mode),
                   [&](const CheckpointRef& checkpoint) { return experiment.has_checkpoint(trial, checkpoint); });
}

}  // namespace

ResultGrid collect(const Experiment& experiment, const TuneOptions& options, const std::string& name, int signal,
                   std::shared_ptr<const ResultGrid::Rows> rows) {
  std::vector<TrialResult> trials;
  for (const Trial& trial : experiment.machine().trials()) trials.push_back(result_of(experiment, trial));
  return {{name, experiment.dir(), options.metric, options.mode, signal, options.further_objectives}, std::move(trials), std::move(rows)};
}

namespace {

/// With resources that differ from trial to trial, what each one asks for decides when it starts.
std::size_t concurrency_of(const TuneOptions& options, const Resources& total) {
  constexpr std::size_t kManyAtATime = 1024;
  if (!options.resources_of) return plan_concurrency(options.resources, total, options.max_concurrent);
  return options.max_concurrent ? static_cast<std::size_t>(options.max_concurrent) : kManyAtATime;
}

/// What the sums do not show, as one and a half GPUs or bundles that lie apart: asks for a trial's place and gives it back.
void check_place(Client& client, const TuneOptions& options) {
  if (options.resources_of) return;
  const TrialResources& resources = options.resources;
  std::vector<Bundle> bundles = resources.bundles;
  if (bundles.empty()) bundles = {{resources.num_cpus, resources.num_gpus, 0, resources.custom}};
  if (resources.bundles.empty() && TrialResources{.num_cpus = resources.num_cpus, .num_gpus = resources.num_gpus, .custom = resources.custom}.all().empty())
    return;  // trials that ask for nothing
  try {
    client.remove(client.placement_group({.bundles = std::move(bundles), .strategy = resources.strategy}));
  } catch (const Error& error) {
    const std::string text = "tune: no trial can have what TuneOptions::resources asks for: " + error.info().message;
    if (error.info().code == ErrorCode::kInfeasibleResources) throw InfeasibleResources(text);
    if (error.info().code == ErrorCode::kInvalidArgument) throw InvalidArgument(text);
    throw;
  }
}

/// In a task the loop has a thread of its own, and the task waits for it as for any value: so its CPUs go to the trials.
void run_loop(Client& client, Runner& runner, std::atomic<bool>& given_up) {
  if (!detail::in_task()) return runner.run();
  const Promise<bool> over;
  std::exception_ptr error;
  std::thread loop([&] {
    try {
      runner.run();
    } catch (...) {
      error = std::current_exception();
    }
    over.set(true);
  });
  try {
    client.get(over.ref());
  } catch (...) {  // the task was cancelled, or the runtime ends
    given_up = true;
    loop.join();
    throw;
  }
  loop.join();
  if (error) std::rethrow_exception(error);
}

/// Memory is left out: it is never the same twice.
std::string shared_out(Resources total) {
  total.set("memory", 0);
  return total.to_string();
}

void raise_first_error(const ResultGrid& grid) {
  const auto failed = grid.errors();
  if (failed.empty()) return;
  const std::string& error = failed.front()->error;
  throw TaskError("tune: fail_fast: trial " + failed.front()->name + " failed: " + error + (error.ends_with('.') ? "" : ".") +
                  " The others were ended; '" + grid.dir().string() + "' holds what they reported.");
}

}  // namespace

ResultGrid run_experiment(Client& client, const TuneOptions& options, const Trainable& trainable) {
  const InterruptGuard interrupts;
  const Resources total = client.total_resources();
  check_options(options, trainable, total);
  const std::size_t concurrency = concurrency_of(options, total);
  check_place(client, options);
  if (options.resume && options.name.empty()) refuse("resume needs the name of the experiment; set TuneOptions::name.");
  const std::string name = options.name.empty() ? unused_name(options.results_dir, name_with_time(trainable.name)) : options.name;
  ExperimentDir dir = open_experiment_dir(options.results_dir, name, options.resume);
  ExperimentCreated header = describe(options, trainable, name);
  if (options.scheduler.shares_out) header.description.emplace_back("CPUs, GPUs and the like", shared_out(total));
  if (dir.header) {
    check_same_experiment(dir.path, *dir.header, header, options.seed.has_value());
    header = *dir.header;
  }
  Experiment experiment = make_experiment(options, trainable, header, std::move(dir), total, concurrency);
  experiment.begin(header, ::getpid());
  ReporterEnvironment environment{.resources_text = [&] { return usage_text(client.total_resources(), client.available_resources()); },
                                  .dir = experiment.dir().string()};
  environment.resume_hint = "To go on, run the same again with resume (--resume) and the name '" + one_line(name) + "'.";
  const auto reporter = make_reporter(options.reporter, std::move(environment));
  RuntimeTrialHost host(client, trainable, options);
  std::atomic<bool> given_up{false};
  Runner runner(experiment, host, *reporter, runner_options(options, header.seed, total, concurrency),
                [&] { return given_up || InterruptGuard::signal() != 0; });
  run_loop(client, runner, given_up);
  experiment.sync();
  if (const std::string& reason = experiment.machine().stopped_by(); !reason.empty())
    reporter->warning("the experiment was ended early: " + reason + ".");
  for (const std::string& warning : experiment.take_warnings()) reporter->warning(warning);
  reporter->finish(experiment.machine(), InterruptGuard::signal() != 0);
  ResultGrid grid = collect(experiment, options, name, InterruptGuard::signal());
  if (options.fail_fast == FailFast::kRaise) raise_first_error(grid);
  return grid;
}

}  // namespace manta::tune
