#include "tune/core/runner.hpp"

#include <algorithm>
#include <utility>

#include "runtime/errors.hpp"
#include "tune/core/journal_codec.hpp"

namespace manta::tune {

namespace {
constexpr std::uint64_t kMostFailedInARow = 1000;  // of trials that cannot be started, where there is no end of trials
}

Runner::Runner(Experiment& experiment, TrialHost& host, Reporter& reporter, RunnerOptions options,
               std::function<bool()> interrupted, Now now)
    : experiment_(experiment),
      host_(host),
      reporter_(reporter),
      options_(std::move(options)),
      interrupted_(std::move(interrupted)),
      now_(std::move(now)),
      callbacks_(options_.callbacks) {}

void Runner::run() {
  try {
    loop();
  } catch (...) {
    kill_all();
    keep_what_came();
    throw;
  }
  kill_all();
  callbacks_.tell_end(experiment_);
  pass_warnings_on();
}

void Runner::loop() {
  while (!interrupted_()) {
    check_limits();
    const bool more = fill();
    commit();
    look_after();
    if (more) continue;
    if (!active_.empty() || held_back_) {
      turn();
    } else if (experiment_.machine().finished()) {
      return;
    } else {
      release_idle();
    }
  }
}

void Runner::turn() {
  for (HostEvent& event : host_.wait(longest_wait())) handle(std::move(event));
  commit();
  kill_overdue();
}

/// No longer than until somebody is due to be launched again or killed: a virtual clock goes nowhere by itself.
std::chrono::milliseconds Runner::longest_wait() const {
  const auto now = now_();
  std::chrono::milliseconds wait = options_.poll;
  const auto ends_at = [&](SteadyClock::time_point due) {
    wait = std::min(wait, std::max(std::chrono::ceil<std::chrono::milliseconds>(due - now), std::chrono::milliseconds(1)));
  };
  if (first_kill_) ends_at(*first_kill_);
  if (!held_back_) return wait;
  for (const auto& [trial, back_off] : back_offs_)
    if (now < back_off.until) ends_at(back_off.until);
  return wait;
}

/// What can wait until trials have been answered and launched.
void Runner::look_after() {
  experiment_.tidy();
  pass_warnings_on();
  reporter_.tick(experiment_.machine());
}

/// Nothing runs and nothing can be started, so it is for the scheduler to release or stop somebody.
void Runner::release_idle() {
  const std::size_t before = experiment_.machine().unfinished();
  apply(SchedulerIdle{});
  make_trials();
  commit();
  const ExperimentMachine& machine = experiment_.machine();
  if (machine.unfinished() != before || machine.next_to_run() || machine.finished()) return;
  if (const std::size_t waiting = machine.count(TrialState::kPending))
    throw InvalidArgument("tune: nothing runs, and the scheduler '" + machine.options().scheduler + "' starts none of the " + std::to_string(waiting) +
                          " trials that wait: its choose_trial_to_run gave none, and its on_idle moved nobody.");
  throw InvalidArgument("tune: nothing runs, and the searcher waits for a result that will not come.");
}

/// True when a trial failed before it was started: limits, fail_fast and signals come first, and then the others. An experiment
/// in which no trial can be started would never come to them else.
bool Runner::fill() {
  held_back_ = false;
  do start_trials();
  while (!failed_unstarted_ && make_trials());
  return std::exchange(failed_unstarted_, false);
}

/// One for a free worker, which is then started before the next one is asked for: whether there are resources for another
/// shows only then, and a searcher that learns must not be asked for trials that would wait for room.
bool Runner::make_trials() {
  bool made = false;
  const std::size_t free = active_.size() < options_.concurrency ? 1 : 0;
  while (auto created = experiment_.machine().propose(free, waiting_to_retry())) {
    apply(std::move(*created));
    made = true;
  }
  return made;
}

void Runner::start_trials() {
  while (active_.size() < options_.concurrency) {
    const auto next = experiment_.machine().next_to_run([this](TrialIndex trial) {
      return active_.contains(trial) || (backs_off(trial) && (held_back_ = true));
    });
    if (!next || !start(*next) || failed_unstarted_) return;
  }
}

/// False when there is no room for it now.
bool Runner::start(TrialIndex index) {
  const Trial& trial = experiment_.machine().trial(index);
  auto resources = resources_of(trial);
  if (!resources) return true;
  const Resources wanted = resources->all();
  if (options_.room && !options_.room->fits(wanted)) {
    if (!active_.empty()) return false;
    fail_unstarted(index, "it needs " + wanted.to_string() + ", but in all there is " + options_.room->total().to_string() +
                              ". Ask for less in TuneOptions::resources or resources_of.");
    return true;
  }
  const auto dir = std::filesystem::absolute(experiment_.trial_dir(trial));
  experiment_.make_trial_dir(trial);
  if (trial.cloned) experiment_.commit();  // which makes the copy that it goes on from
  TrialSpec spec = spec_of(trial, dir);
  spec.resources = std::move(*resources);
  apply(TrialStarted{index, spec.iteration, host_.tells_begin()});
  if (options_.room) options_.room->take(wanted);
  active_[index] = {.held = wanted, .begun = !host_.tells_begin(), .iteration = experiment_.machine().trial(index).iteration};
  failed_in_a_row_ = 0;
  launches_.push_back({std::move(spec), dir / "trial.log"});
  return true;
}

/// None when the user's function failed, and the trial with it.
std::optional<TrialResources> Runner::resources_of(const Trial& trial) {
  if (!options_.resources_of) return trial.resources.value_or(TrialResources{});
  try {
    return options_.resources_of(trial);
  } catch (...) {
    fail_unstarted(trial.index, "resources_of failed: " + current_exception_info().to_string());
    return std::nullopt;
  }
}

/// Where there is an end of trials, it comes, however many fail.
void Runner::fail_unstarted(TrialIndex index, const std::string& error) {
  apply(TrialStarted{index, 0});
  apply(TrialFailed{index, error, true, false});
  failed_unstarted_ = true;
  if (++failed_in_a_row_ >= kMostFailedInARow && experiment_.machine().options().endless)
    throw InvalidArgument("tune: the last " + std::to_string(failed_in_a_row_) + " trials could not be started, and with num_samples = -1 there " +
                          "would be more without end. The last one: " + error);
}

/// It may come with later results only, so this is no error; but a name that is misspelt never comes.
void Runner::warn_of_missing_score(TrialIndex index) {
  const std::string& score = experiment_.machine().options().score_attribute;
  const Trial& trial = experiment_.machine().trial(index);
  if (score.empty() || told_of_no_score_ || !trial.ended() || trial.results == 0) return;
  if (trial.checkpoints.empty() || trial.copy_only || trial.value(score) || trial.range(score)) return;
  told_of_no_score_ = true;
  reporter_.warning("trial " + trial.name + " has ended, and no result of it had '" + score + "' (CheckpointOptions::score_attribute): its checkpoints cannot be " +
                    "compared. It reported: " + trial.last.names() + ". Others may lack it too; look whether the name is right.");
}

void Runner::warn_of_lost_work(const Trial& trial) {
  if (!trial.checkpoints.empty())
    reporter_.warning("trial " + trial.name + ": its checkpoint '" + trial.checkpoints.back().name +
                      "' is gone; it begins again.");
  else if (trial.iteration > 0 && !std::exchange(told_of_no_checkpoints_, true))
    reporter_.warning("trial " + trial.name + " has come to iteration " + std::to_string(trial.iteration) +
                      " and saved nothing, so it begins again; others may too. Report with a checkpoint, or say with "
                      "save_when_leaving how a trial that is paused is saved.");
}

TrialSpec Runner::spec_of(const Trial& trial, const std::filesystem::path& dir) {
  const CheckpointRef* checkpoint = experiment_.usable_checkpoint(trial);
  if (!checkpoint) warn_of_lost_work(trial);
  TrialSpec spec{.index = trial.index, .id = trial.id, .name = trial.name, .dir = dir.string()};
  spec.config = encode_config(trial.config);
  spec.checkpoint = checkpoint ? (dir / checkpoint->name).string() : "";
  spec.iteration = checkpoint ? checkpoint->iteration : 0;
  spec.seed = Random::stream(options_.seed, trial.index, "trial")();
  spec.checkpoint_frequency = options_.checkpoint_frequency;
  spec.checkpoint_at_end = options_.checkpoint_at_end;
  spec.keep_trainable = options_.reuse_actors;
  spec.buffer_results = experiment_.machine().may_pause() ? 1 : options_.buffer_results;
  return spec;
}

void Runner::handle(HostEvent event) {
  const auto found = active_.find(event.trial);
  if (found == active_.end()) return;
  const bool leaving = found->second.kill_at.has_value();
  if (!leaving && !found->second.begun && !event.crashed) begin(event.trial, found->second);
  if (event.begun) return;
  const Decision decision = take_results(event.trial, event.reply);
  if (!event.gone())
    answers_.emplace_back(event.trial, decision);
  else if (event.reply.kind == TrialReply::kFinished || !interrupted_())
    on_gone(event);
  else
    forget(event.trial);  // the signal may have been for it too: no failure of its own
}

/// It has its place. What it says may come sooner than the news of that.
void Runner::begin(TrialIndex trial, Active& active) {
  active.begun = true;
  apply(TrialBegun{trial});
}

/// All results of a word. After one that ends the trial's run the later ones do not count, and none of a trial that is leaving.
Decision Runner::take_results(TrialIndex trial, TrialReply& reply) {
  Decision decision = active_.at(trial).kill_at ? Decision::kStop : Decision::kContinue;
  const auto take = [&](TrialReply& result) {
    if (decision == Decision::kContinue)
      decision = take_result(trial, result);
    else if (!result.checkpoint.empty())
      drop_checkpoint(trial, result);
  };
  for (TrialReply& earlier : reply.earlier) take(earlier);
  if (reply.kind == TrialReply::kReported) take(reply);
  return decision;
}

/// Of a result that does not count. Where trials save themselves at their end this is that checkpoint: who has just saved does not again.
void Runner::drop_checkpoint(TrialIndex trial, const TrialReply& result) {
  if (options_.checkpoint_at_end)
    apply(TrialCheckpointed{trial, result.iteration, result.checkpoint, result.checkpoint_bytes});
  else
    experiment_.drop_checkpoint(trial, {result.iteration, result.checkpoint});
}

Decision Runner::take_result(TrialIndex trial, TrialReply& reply) {
  const ExperimentMachine& machine = experiment_.machine();
  const Effects* effects = nullptr;
  if (const std::uint64_t last = machine.trial(trial).iteration; reply.iteration > last + 1) {
    apply(TrialFailed{trial, "it reported iteration " + std::to_string(reply.iteration) + " after " + std::to_string(last) + ": report from one thread only", true, false});
    stop(trial);
    if (!reply.checkpoint.empty()) drop_checkpoint(trial, reply);
    return Decision::kStop;
  }
  if (!machine.recorded(trial, reply.iteration))
    effects = &apply(TrialReported{trial, reply.iteration, std::move(reply.metrics), reply.time_this_iter_s, reply.checkpoint, reply.pid,
                                   reply.checkpoint_bytes});
  else if (!reply.checkpoint.empty())
    effects = &apply(TrialCheckpointed{trial, reply.iteration, reply.checkpoint, reply.checkpoint_bytes});
  if (effects && effects->decision != Decision::kContinue) {
    stop(trial);
    return effects->exploited ? Decision::kStop : effects->decision;
  }
  return machine.trial(trial).ended() ? Decision::kStop : Decision::kContinue;
}

void Runner::on_gone(const HostEvent& event) {
  const bool was_leaving = active_.at(event.trial).kill_at.has_value();
  const std::uint64_t began_at = active_.at(event.trial).iteration;
  forget(event.trial);
  if (was_leaving)  // its last state is journaled already
    take_leaving_checkpoint(event.reply, event.trial);
  else if (event.crashed || event.reply.kind == TrialReply::kFailed)
    fail(event, began_at);
  else
    apply(TrialFinished{event.trial});
  const Trial& trial = experiment_.machine().trial(event.trial);
  if (trial.ended()) back_offs_.erase(event.trial);
  if (!was_leaving && trial.iteration <= began_at) check_time_passes(trial);
}

/// On a virtual clock a trial that fails at once takes no time: where there is no end of trials, no limit of time would ever come either.
void Runner::check_time_passes(const Trial& fruitless) {
  const std::int64_t now_ms = experiment_.now_ms();
  fruitless_ = now_ms == fruitless_at_ms_ ? fruitless_ + 1 : 1;
  fruitless_at_ms_ = now_ms;
  if (fruitless_ / options_.concurrency < kMostFailedInARow || !experiment_.machine().options().endless) return;
  throw InvalidArgument("tune: " + std::to_string(fruitless_) + " runs of trials have ended at the same moment and without one result, and with " +
                        "num_samples = -1 there would be more without end. The last one, " + fruitless.name + ": " +
                        (fruitless.error.empty() ? "it reported nothing." : fruitless.error));
}

void Runner::fail(const HostEvent& event, std::uint64_t began_at) {
  const bool again = !event.for_good && experiment_.machine().may_retry(event.trial);
  if (again) back_off(event.trial, experiment_.machine().trial(event.trial).iteration > began_at);
  apply(TrialFailed{event.trial, event.reply.error, event.for_good, again});
}

/// One that fails again and again without a new result would else be launched without end, as fast as it can fail.
void Runner::back_off(TrialIndex trial, bool got_on) {
  if (got_on) return static_cast<void>(back_offs_.erase(trial));
  constexpr std::uint32_t kMostDoublings = 7;
  BackOff& back_off = back_offs_[trial];
  if (back_off.fruitless++ == 0) return;  // the first one is as likely an accident
  back_off.until = now_() + options_.retry_back_off * (1u << std::min(back_off.fruitless - 2, kMostDoublings));
}

/// Trials that would be started were it not for their back-off: they keep no others from being made.
std::size_t Runner::waiting_to_retry() const {
  return static_cast<std::size_t>(std::count_if(back_offs_.begin(), back_offs_.end(), [this](const auto& each) {
    return backs_off(each.first) && experiment_.machine().trial(each.first).state == TrialState::kPending;
  }));
}

bool Runner::backs_off(TrialIndex trial) const {
  const auto found = back_offs_.find(trial);
  return found != back_offs_.end() && now_() < found->second.until;
}

void Runner::take_leaving_checkpoint(const TrialReply& reply, TrialIndex index) {
  if (reply.kind == TrialReply::kFinished && !reply.error.empty())
    reporter_.warning("trial " + experiment_.machine().trial(index).name + ": " + reply.error);
  if (!reply.checkpoint.empty()) apply(TrialCheckpointed{index, reply.iteration, reply.checkpoint, reply.checkpoint_bytes});
}

const Effects& Runner::apply(EventBody body) {
  tell_last();
  Event event{experiment_.now_ms(), std::move(body)};
  Effects staged = experiment_.stage(event);
  untold_ = {std::move(event), std::move(staged)};
  for (const TrialIndex other : untold_->effects.others_ended) {
    back_offs_.erase(other);
    if (active_.contains(other)) stop(other);
  }
  return untold_->effects;
}

/// Late, so that a trial does not wait for it, and before the machine takes another event.
void Runner::tell_last() {
  if (!untold_) return;
  const auto& [event, effects] = *untold_;
  experiment_.write_files(event, effects);
  callbacks_.note(experiment_.machine(), event.body, effects);
  reporter_.on_event(experiment_.machine(), event.body, effects);
  if (effects.ended || std::holds_alternative<TrialCheckpointed>(event.body)) warn_of_missing_score(trial_of(event.body).value());
  for (const TrialIndex other : effects.others_ended) warn_of_missing_score(other);
  untold_.reset();
}

/// Journals what has happened and does what had to wait for that.
void Runner::commit() {
  experiment_.commit();
  for (const auto& [trial, decision] : std::exchange(answers_, {})) host_.answer(trial, decision);
  for (const TrialIndex trial : std::exchange(kills_, {})) host_.kill(trial);
  experiment_.remove_superseded();
  for (const Launch& launch : std::exchange(launches_, {})) host_.launch(launch.spec, launch.log_file);
  tell_last();
  callbacks_.tell(experiment_);
}

void Runner::stop(TrialIndex trial) {
  const auto kill_at = now_() + std::chrono::duration_cast<SteadyClock::duration>(options_.stop_grace);
  active_.at(trial).kill_at = kill_at;
  first_kill_ = std::min(first_kill_.value_or(kill_at), kill_at);
}

void Runner::forget(TrialIndex trial) {
  const auto found = active_.find(trial);
  if (options_.room) options_.room->give_back(found->second.held);
  active_.erase(found);
}

void Runner::kill_overdue() {
  const auto now = now_();
  if (!first_kill_ || now <= *first_kill_) return;
  first_kill_.reset();
  std::vector<TrialIndex> overdue;
  for (const auto& [trial, active] : active_) {
    if (!active.kill_at) continue;
    if (*active.kill_at < now)
      overdue.push_back(trial);
    else
      first_kill_ = std::min(first_kill_.value_or(*active.kill_at), *active.kill_at);
  }
  for (const TrialIndex trial : overdue) {
    host_.kill(trial);
    forget(trial);
    if (experiment_.machine().trial(trial).ended()) back_offs_.erase(trial);
  }
}

void Runner::kill_all() {
  for (const auto& [trial, active] : active_) host_.kill(trial);
  active_.clear();
}

/// After an error: the results of the turn in which it came are as good as any. A second error would only hide the first.
void Runner::keep_what_came() noexcept {
  try {
    experiment_.commit();
    if (experiment_.broken()) return;
    tell_last();
    experiment_.sync();
    pass_warnings_on();
  } catch (...) {
    return;
  }
}

void Runner::pass_warnings_on() {
  for (const std::string& warning : experiment_.take_warnings()) reporter_.warning(warning);
  for (const std::string& warning : callbacks_.take_warnings()) reporter_.warning(warning);
}

}  // namespace manta::tune
