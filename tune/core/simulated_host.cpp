#include "tune/core/simulated_host.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "runtime/errors.hpp"
#include "tune/core/checkpoint_files.hpp"
#include "tune/core/journal_codec.hpp"

namespace manta::tune {

namespace {

double normal(Random& random) {
  const double radius = std::sqrt(-2 * std::log(1 - random.uniform()));  // Box and Muller
  return radius * std::cos(2 * std::numbers::pi * random.uniform());
}

}  // namespace

std::string MemoryCheckpoints::key(const std::filesystem::path& checkpoint) {
  return checkpoint.parent_path().filename().string() + "/" + checkpoint.filename().string();
}

void MemoryCheckpoints::copy(const std::filesystem::path& source, const std::filesystem::path& trial_dir, const std::string& name) {
  save(trial_dir / name, load(source));
}

void MemoryCheckpoints::remove_leftovers(const std::filesystem::path& trial_dir, const std::vector<std::string>& keep) {
  std::erase_if(states_, [&](const auto& item) {
    const std::filesystem::path path = item.first;
    if (path.parent_path() != trial_dir.filename()) return false;
    return std::find(keep.begin(), keep.end(), path.filename().string()) == keep.end();
  });
}

std::vector<double> MemoryCheckpoints::load(const std::filesystem::path& checkpoint) const {
  const auto found = states_.find(key(checkpoint));
  if (found == states_.end()) throw IoError("the simulated checkpoint '" + checkpoint.string() + "' is not there.");
  return found->second;
}

SimulatedHost::SimulatedHost(SimulatedTrainable trainable, SimulatedCluster cluster, MemoryCheckpoints& checkpoints)
    : trainable_(std::move(trainable)), cluster_(cluster), checkpoints_(checkpoints) {}

void SimulatedHost::launch(const TrialSpec& spec, const std::filesystem::path&) {
  const std::uint64_t launch = ++launches_[spec.index];
  Run run{.spec = spec, .config = decode_config(spec.config), .iteration = spec.iteration, .since_s = now_s_};
  if (!spec.checkpoint.empty()) run.state = checkpoints_.load(spec.checkpoint);
  Random random = Random::stream(spec.seed ^ spec.iteration, launch, "straggler");
  run.slowness = 1 + std::fabs(normal(random)) * cluster_.straggler_sd;
  run.drop_s = std::numeric_limits<double>::infinity();
  if (cluster_.drop_probability > 0) run.drop_s = std::log1p(-random.uniform()) / std::log1p(-cluster_.drop_probability);
  runs_[spec.index] = std::move(run);
  launched_ = true;
  go_on(spec.index, cluster_.start_seconds);
}

void SimulatedHost::go_on(TrialIndex trial, double delay_s) {
  Run& run = runs_.at(trial);
  if (trainable_.iterations != 0 && run.iteration >= trainable_.iterations)
    return say(trial, delay_s, {.kind = TrialReply::kFinished});
  Random random = Random::stream(run.spec.seed, run.iteration + 1, "step");
  SimulatedStep step{run.config, run.iteration + 1, run.state, random};
  std::optional<SimulatedResult> result;
  try {
    result = trainable_.step(step);
    if (result && !(result->seconds >= 0 && result->seconds <= SimulatedResult::kMostSeconds))
      throw InvalidArgument("simulate: SimulatedResult::seconds is " + number_text(result->seconds, 6) + "; an iteration takes 0 or more, and 1e9 at most.");
  } catch (const std::exception& error) {
    return say(trial, delay_s, {.kind = TrialReply::kFailed, .error = error.what()});
  }
  if (!result) return say(trial, delay_s, {.kind = TrialReply::kFinished});
  const double seconds = result->seconds * run.slowness;
  if (run.drop_s < seconds)
    return say(trial, delay_s + run.drop_s, {.kind = TrialReply::kFailed, .error = "dropped by the simulation"}, true);
  run.drop_s -= seconds;
  TrialReply reply{.kind = TrialReply::kReported, .iteration = ++run.iteration, .metrics = result->metrics, .time_this_iter_s = seconds, .pid = 1};
  if (result->checkpoint) {
    reply.checkpoint = checkpoint_name(run.iteration);
    checkpoints_.save(std::filesystem::path(run.spec.dir) / reply.checkpoint, run.state);
  }
  say(trial, delay_s + seconds, std::move(reply));
}

void SimulatedHost::say(TrialIndex trial, double delay_s, TrialReply reply, bool crashed) {
  due_.push({now_s_ + delay_s, order_++, trial, launches_.at(trial), {trial, std::move(reply), crashed}});
}

void SimulatedHost::answer(TrialIndex trial, Decision decision) {
  if (decision == Decision::kContinue) return go_on(trial, 0);
  say(trial, 0, {.kind = TrialReply::kFinished});
}

void SimulatedHost::leave(TrialIndex trial) {
  const auto found = runs_.find(trial);
  if (found == runs_.end()) return;
  busy_s_ += now_s_ - found->second.since_s;
  runs_.erase(found);
}

void SimulatedHost::kill(TrialIndex trial) { leave(trial); }

std::vector<HostEvent> SimulatedHost::wait(std::chrono::milliseconds timeout) {
  if (std::exchange(launched_, false) && due_at_ && due_at_(now_ms())) return {};  // one began over its limit, and nobody has looked since
  while (!due_.empty() && !is_heard(due_.top())) due_.pop();
  const double latest_s = now_s_ + std::chrono::duration<double>(timeout).count();
  const bool happens = !due_.empty() && due_.top().time_s <= latest_s;
  const double next_s = happens ? std::max(now_s_, due_.top().time_s) : latest_s;
  constexpr double kEnd = 8e9;  // the driver counts its time in nanoseconds of 64 bits, and stop_grace_s, 1e9 at most, comes on top
  if (next_s > kEnd)
    throw InvalidArgument("simulate: the virtual clock has come to 8e9 s, some 250 years, and goes no further. Let iterations take less, in "
                          "another unit of time, or end the experiment earlier.");
  if (const auto limit_s = limit_before(next_s)) return now_s_ = *limit_s, std::vector<HostEvent>{};
  now_s_ = next_s;
  if (!happens) return {};
  const Due due = due_.top();
  due_.pop();
  if (due.event.gone()) leave(due.trial);
  return {due.event};
}

/// The first millisecond from now, and before that of `until_s`, at which a limit is reached; none: it is not by then. By bisection: what
/// is reached stays so.
std::optional<double> SimulatedHost::limit_before(double until_s) const {
  const std::int64_t until_ms = ms_of(until_s);
  std::int64_t not_yet = now_ms(), reached = until_ms;
  if (!due_at_ || reached <= not_yet || !due_at_(reached) || due_at_(not_yet)) return std::nullopt;  // due already: it has been acted on
  while (reached - not_yet > 1) {
    const std::int64_t middle = not_yet + (reached - not_yet) / 2;
    (due_at_(middle) ? reached : not_yet) = middle;
  }
  if (reached == until_ms) return std::nullopt;
  return static_cast<double>(reached) / 1000;
}

}  // namespace manta::tune
