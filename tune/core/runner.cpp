#include "tune/core/runner.hpp"

#include "runtime/errors.hpp"
#include "tune/core/journal_codec.hpp"

namespace manta::tune {

namespace {
constexpr std::chrono::milliseconds kPoll{100};  // how late a signal or a redraw may be noticed
}

Runner::Runner(Experiment& experiment, TrialHost& host, Reporter& reporter, RunnerOptions options,
               std::function<bool()> interrupted, Now now)
    : experiment_(experiment),
      host_(host),
      reporter_(reporter),
      options_(options),
      interrupted_(std::move(interrupted)),
      now_(std::move(now)) {}

void Runner::run() {
  try {
    loop();
  } catch (...) {
    kill_all();
    throw;
  }
  kill_all();
}

void Runner::loop() {
  while (!interrupted_()) {
    make_trials();
    start_trials();
    if (active_.empty()) {
      if (experiment_.machine().finished()) return;
      release_idle();
      continue;
    }
    for (const HostEvent& event : host_.wait(kPoll)) {
      if (interrupted_() && event.gone()) return;  // it died of the same Ctrl-C: no failure of its own
      handle(event);
    }
    kill_overdue();
    for (const std::string& warning : experiment_.take_warnings()) reporter_.warning(warning);
    reporter_.tick(experiment_.machine());
  }
}

/// Nothing runs and nothing can be started, so it is for the scheduler to release or stop somebody.
void Runner::release_idle() {
  const std::size_t before = experiment_.machine().unfinished();
  apply(SchedulerIdle{});
  make_trials();
  const bool moved = experiment_.machine().unfinished() != before || experiment_.machine().next_to_run();
  if (!moved && !experiment_.machine().finished())
    throw InvalidArgument("tune: nothing runs, and the searcher waits for a result that will not come.");
}

void Runner::make_trials() {
  while (auto created = experiment_.machine().propose()) apply(std::move(*created));
}

void Runner::start_trials() {
  while (active_.size() < options_.concurrency) {
    const auto next = experiment_.machine().next_to_run([this](TrialIndex trial) { return active_.contains(trial); });
    if (!next) return;
    start(*next);
    make_trials();
  }
}

void Runner::start(TrialIndex index) {
  const Trial& trial = experiment_.machine().trial(index);
  const CheckpointRef* checkpoint = experiment_.usable_checkpoint(trial);
  if (!checkpoint && !trial.checkpoints.empty())
    reporter_.warning("trial " + trial.name + ": its checkpoint '" + trial.checkpoints.back().name +
                      "' is gone; it begins again.");
  experiment_.make_trial_dir(trial);
  const auto dir = std::filesystem::absolute(experiment_.trial_dir(trial));
  TrialSpec spec{.index = index, .id = trial.id, .name = trial.name, .dir = dir.string()};
  spec.config = encode_config(trial.config);
  spec.checkpoint = checkpoint ? (dir / checkpoint->name).string() : "";
  spec.iteration = checkpoint ? checkpoint->iteration : 0;
  spec.seed = Random::stream(options_.seed, index, "trial")();
  spec.checkpoint_frequency = options_.checkpoint_frequency;
  apply(TrialStarted{index, spec.iteration});
  active_.emplace(index, std::nullopt);
  host_.launch(spec, dir / "trial.log");
}

void Runner::handle(const HostEvent& event) {
  const auto found = active_.find(event.trial);
  if (found == active_.end()) return;
  if (event.gone()) return on_gone(event);
  if (found->second) return host_.answer(event.trial, Decision::kStop);
  on_report(event.trial, event.reply);
}

void Runner::on_report(TrialIndex trial, const TrialReply& reply) {
  const bool again = experiment_.machine().recorded(trial, reply.iteration);
  last_effects_ = {};
  if (!again)
    apply(TrialReported{trial, reply.iteration, reply.metrics(), reply.time_this_iter_s, reply.checkpoint, reply.pid});
  else if (!reply.checkpoint.empty())
    apply(TrialCheckpointed{trial, reply.iteration, reply.checkpoint});
  if (last_effects_.decision != Decision::kContinue) stop(trial);
  // A trial that takes over another one's state has none of its own to save.
  host_.answer(trial, last_effects_.exploited ? Decision::kStop : last_effects_.decision);
}

void Runner::on_gone(const HostEvent& event) {
  const bool was_stopping = active_.at(event.trial).has_value();
  active_.erase(event.trial);
  if (was_stopping) return;  // its last state is journaled already
  if (event.crashed || event.reply.kind == TrialReply::kFailed)
    apply(TrialFailed{event.trial, event.reply.error});
  else
    apply(TrialFinished{event.trial});
}

void Runner::apply(EventBody body) {
  const EventBody copy = body;
  last_effects_ = experiment_.apply(std::move(body));
  for (const TrialIndex other : last_effects_.others_ended)
    if (active_.contains(other)) stop(other);
  reporter_.on_event(experiment_.machine(), copy, last_effects_);
}

void Runner::stop(TrialIndex trial) {
  active_[trial] = now_() + std::chrono::duration_cast<SteadyClock::duration>(options_.stop_grace);
}

void Runner::kill_overdue() {
  const auto now = now_();
  for (auto it = active_.begin(); it != active_.end();) {
    const bool overdue = it->second && *it->second < now;
    if (overdue) host_.kill(it->first);
    it = overdue ? active_.erase(it) : std::next(it);
  }
}

void Runner::kill_all() {
  for (const auto& [trial, deadline] : active_) host_.kill(trial);
  active_.clear();
}

}  // namespace manta::tune
