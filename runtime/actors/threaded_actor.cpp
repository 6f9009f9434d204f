#include "runtime/actors/threaded_actor.hpp"

#include <algorithm>

#include "runtime/actors/pool_job.hpp"
#include "runtime/actors/running_coroutine.hpp"

namespace manta::detail {

namespace {

struct Kind {
  bool coroutine = false;
  std::uint64_t stream = 0;  // whose next item it gives; 0: none
};

Kind kind_of(const Work& work) {
  const auto* function = work.record ? work.record->function : nullptr;
  if (!work.record && work.encoded) function = find_function({work.encoded->module, work.encoded->offset});
  if (!function) return {};
  return {.coroutine = function->asynchronous,
          .stream = function->stream_of ? function->stream_of(work.record.get(), work.encoded ? work.encoded->arguments.bytes : Buffer()) : 0};
}

}  // namespace

/// One call of the actor at a time. Reports its outcomes as HostedActor does.
class ThreadedActor::Lane final : public Executor, public PoolJob, public std::enable_shared_from_this<Lane> {
 public:
  Lane(ThreadedActor& actor, Group& of)
      : Executor(actor.environment_), group(of), actor_(actor), id_(actor.id_) {}

  void wake() { schedule(*environment_.scheduler); }

  /// For the watchdog, which may outlive the actor; it tells no outcome behind the actor's end.
  void relieve() override {
    const auto alive = alive_.lock();
    if (!alive) return;
    std::lock_guard lock(alive->relieving_);
    report();
  }
  void report() {
    wire::ActorDone done{.actor = id_};
    ProcessId to;
    {
      std::lock_guard lock(mutex_);
      outcomes_.move_to(done);
      to = outcomes_to_;
    }
    if (!done.outcomes.empty() || !done.ended.empty()) environment_.router->send(to, std::move(done));
  }
  void cancel(TaskId id, bool recursive) override { running_work_.cancel(id, recursive); }
  void cancel_now(TaskId id, bool recursive) { running_work_.cancel_now(id, recursive); }
  bool runs(TaskId id) { return running_work_.runs(id); }
  std::vector<TaskId> cancel_all() { return running_work_.cancel_all(); }
  void resume_later(std::shared_ptr<RunningCoroutine> coroutine) override { if (const auto alive = alive_.lock()) alive->resume(group, std::move(coroutine)); }
  bool has_outcomes() {
    std::lock_guard lock(mutex_);
    return !outcomes_.empty();
  }

  /// Gives the place of a coroutine back that did not come to begin.
  void forget_beginning() {
    if (!begins) return;
    std::unique_lock lock(actor_.mutex_);
    begins = false;
    const bool was_full = actor_.full();
    --actor_.beginning_;
    const auto lanes = was_full ? actor_.staff_all() : std::vector<Lane*>();
    lock.unlock();
    ThreadedActor::wake(lanes);
  }

  Group& group;
  bool begins = false;  // counted among the actor's `beginning_`; its own thread's, written with the actor's mutex held
  std::uint64_t stream = 0;  // whose item it runs; 0: none; likewise

 private:
  std::weak_ptr<Executor> self() override { return weak_from_this(); }
  void hold(const std::shared_ptr<RunningCoroutine>& coroutine) override {
    std::lock_guard lock(actor_.mutex_);
    actor_.begun_.emplace(coroutine->id(), coroutine);
    actor_.beginning_ -= std::exchange(begins, false);
    const auto& gone = actor_.gone_callers_;
    if (std::find(gone.begin(), gone.end(), coroutine->caller()) != gone.end()) coroutine->interrupt();
  }
  void release(const std::shared_ptr<RunningCoroutine>& coroutine) override {
    std::unique_lock lock(actor_.mutex_);
    const bool was_full = actor_.full();
    actor_.begun_.erase(coroutine->id());
    const auto lanes = was_full ? actor_.staff_all() : std::vector<Lane*>();  // calls of other groups may wait for its place
    lock.unlock();
    ThreadedActor::wake(lanes);
  }
  void exit_wanted() override { actor_.exit_wanted(); }
  /// One that waits counts as a call that blocks.
  void suspended(bool waits) override { waits ? actor_.lend(1, 1) : actor_.lend(-1, -1); }
  void lend(bool blocked) override { actor_.lend(blocked ? 1 : -1, 0); }

  std::shared_ptr<PoolJob> shared_job() override { return shared_from_this(); }
  void drain() override {
    auto keep = actor_.shared_from_this();
    ++actor_.host_.busy_;
    run_all();
    --actor_.host_.busy_;
  }

  void run_all() {
    const Draining draining(*this);
    reported_ = last_end();
    Work work;
    for (auto step = actor_.next(*this, work); step != Step::kRest; step = actor_.next(*this, work)) {
      if (step == Step::kEnd) return actor_.end();
      if (step == Step::kConstruct) construct(work);
      if (step == Step::kCall) run(work);
      if (step == Step::kReport) report();
      if (step == Step::kForget) actor_.end_streams();
      work = {};
    }
    actor_.lend_if_idle();
  }

  void construct(Work& work) {
    actor_.lend(0, 1);
    auto outcome = *execute(work, &actor_.object_, actor_.owner_, actor_.lease_info_, false);
    actor_.lend(0, -1);
    const bool ok = std::holds_alternative<wire::Value>(outcome.result);
    environment_.router->send(actor_.owner_, wire::ActorCreated{.actor = actor_.id_, .lease = actor_.lease_info_.id, .outcome = std::move(outcome)});
    actor_.constructed(ok);
  }

  void run(Work& work) {
    const auto caller = work.caller;
    bool behind = has_outcomes();
    if (behind && caller != outcomes_to_) report(), behind = false;
    in_actor_ = true;
    streams_ = &actor_.open_streams_;
    actor_.lend(0, 1);
    auto outcome = execute(work, &actor_.object_, caller, actor_.lease_info_, behind);
    actor_.lend(0, -1);
    forget_beginning();
    bool full;
    {
      std::scoped_lock lock(actor_.mutex_, mutex_);
      outcomes_to_ = caller;
      if (outcome) outcomes_.add(std::move(*outcome), is_local(caller));  // of a killed actor too: whoever gets it lets go of what it holds
      full = outcomes_.size() >= kMaxOutcomes;
    }
    if (!full && last_end() - reported_ < kReportTime) return;
    report();
    reported_ = look_at_clock();
  }

  ThreadedActor& actor_;
  const std::weak_ptr<ThreadedActor> alive_ = actor_.weak_from_this();  // for whoever settles what a coroutine awaits as the actor ends
  const ActorId id_;
  std::mutex mutex_;
  Outcomes outcomes_;                    // guarded by mutex_; all of calls from outcomes_to_
  ProcessId outcomes_to_ = 0;
  std::int64_t reported_ = 0;
};

ThreadedActor::ThreadedActor(WorkerHost& host, HostEnvironment& environment, ProcessId owner, ActorId id, wire::LeaseInfo lease,
                             wire::Concurrency concurrency)
    : host_(host), environment_(environment), owner_(owner), id_(id), lease_info_(std::move(lease)), max_coroutines_(concurrency.coroutines) {
  groups_.push_back({.limit = std::max<std::size_t>(concurrency.limit, 1)});
  for (auto& group : concurrency.groups)
    groups_.push_back({.name = std::move(group.name), .limit = std::max<std::size_t>(group.limit, 1),
                       .methods = {group.methods.begin(), group.methods.end()}});
}

ThreadedActor::~ThreadedActor() = default;

void ThreadedActor::start(Work constructor) {
  std::unique_lock lock(mutex_);
  constructor_ = std::move(constructor);
  auto lanes = staff_all();
  lock.unlock();
  wake(lanes);
}

void ThreadedActor::refuse(const Work& call) {
  ErrorInfo error{.code = ErrorCode::kInvalidArgument, .message = "the actor has no concurrency group " + call.encoded->group, .where = *call.name};
  environment_.router->send(call.caller, wire::ActorDone{.actor = id_, .outcomes = {{.id = call.id, .result = std::move(error)}}});
}

void ThreadedActor::call(std::vector<Work> calls) {
  std::vector<Work> refused;
  std::unique_lock lock(mutex_);
  for (auto& call : calls) {
    if (auto* group = group_of(call))
      group->queue.push_back(std::move(call));
    else
      refused.push_back(std::move(call));
  }
  auto lanes = staff_all();
  lock.unlock();
  wake(lanes);
  for (const auto& each : refused) refuse(each);
}

std::vector<TaskId> ThreadedActor::destroy(bool kill) {
  std::vector<Work> dropped;  // user types: destroyed without the lock
  const bool tell = kill && (!environment_.stopping || environment_.abandoned);
  std::vector<TaskId> unwanted;
  std::vector<std::shared_ptr<Lane>> told;
  std::unique_lock lock(mutex_);
  destroying_ = true;
  killed_ |= kill;
  if (kill)
    for (auto& group : groups_) group.drop_queued(dropped);
  if (tell) {
    told = lanes_;  // those that are made later take no calls
    for (const auto& [id, each] : begun_)
      if (!each->ended()) unwanted.push_back(id);
  }
  auto lanes = staff_all();
  lock.unlock();
  for (const auto& lane : told)
    for (const auto id : lane->cancel_all()) unwanted.push_back(id);
  wake(lanes);
  return unwanted;
}

void ThreadedActor::cancel(TaskId id, bool recursive) {
  std::optional<Work> dropped;
  std::shared_ptr<RunningCoroutine> waiting;
  {
    std::lock_guard lock(mutex_);
    waiting = find_begun(begun_, id);
    if (!waiting) dropped = withdraw(id);
  }
  if (dropped) return environment_.router->send(dropped->caller, wire::ActorDone{.actor = id_, .outcomes = {cancelled_outcome(id)}});
  if (waiting) waiting->interrupt(recursive);  // first: what of it begins from now on sees that
  const auto lanes = [this] { std::lock_guard lock(mutex_); return lanes_; }();
  for (const auto& lane : lanes) waiting ? lane->cancel_now(id, recursive) : lane->cancel(id, recursive);
  if (waiting) return;
  {  // looked for again: one that begins meanwhile has met the cancel
    std::lock_guard lock(mutex_);
    waiting = find_begun(begun_, id);
  }
  if (waiting) waiting->interrupt(recursive);
}

/// A call that has not begun; none when it is not here. Looks through all of a queue, which may be long, only when it must.
std::optional<Work> ThreadedActor::withdraw(TaskId id) {
  for (const Group::Find find : {&WorkQueue::find_in_order, &WorkQueue::find}) {
    for (auto& group : groups_)
      if (auto found = group.withdraw(id, find)) return found;
    if (std::any_of(lanes_.begin(), lanes_.end(), [id](const auto& lane) { return lane->runs(id); })) break;
  }
  return std::nullopt;
}

void ThreadedActor::caller_gone(ProcessId caller) {
  std::vector<std::shared_ptr<RunningCoroutine>> waiting;
  std::vector<Lane*> lanes;
  {
    std::lock_guard lock(mutex_);
    if (ended_) return;
    for (const auto& [id, each] : begun_)
      if (each->caller() == caller) waiting.push_back(each);
    // A call that runs may be the one that opens a stream.
    if (open_streams_.has_of(caller) || running_ > 0 || !nothing_queued()) {
      gone_callers_.push_back(caller);
      gone_fresh_ = true;
      lanes = staff_all();
    }
  }
  for (const auto& each : waiting) each->interrupt();
  wake(lanes);
}

/// Of callers that are gone.
void ThreadedActor::end_streams() {
  std::vector<ProcessId> gone;
  {
    std::lock_guard lock(mutex_);
    gone = gone_callers_;
    gone_fresh_ = false;
    if (running_ == 1 && nothing_queued()) gone_callers_.clear();
  }
  open_streams_.remove_of(gone);
}

/// What waits for its stream does so only while an item of that runs, or is in `items`.
bool ThreadedActor::nothing_queued() const {
  return std::all_of(groups_.begin(), groups_.end(), [](const Group& each) { return each.queue.empty() && each.items.empty(); });
}

std::vector<ThreadedActor::Lane*> ThreadedActor::staff(Group& group) {
  std::vector<Lane*> woken;
  const bool first = &group == &groups_.front();
  std::size_t wanted = constructed_ ? std::min(group.limit, group.running + group.queue.size() + group.items.size() + group.due.size()) : 0;
  if (first && running_ == 0 && (constructor_ || destroying_ || gone_fresh_)) wanted = std::max<std::size_t>(wanted, 1);
  while (group.running < wanted) {
    if (group.idle.empty()) {
      lanes_.push_back(std::make_shared<Lane>(*this, group));
      group.idle.push_back(lanes_.back().get());
    }
    woken.push_back(group.idle.back());
    group.idle.pop_back();
    ++group.running;
    ++running_;
  }
  return woken;
}

std::vector<ThreadedActor::Lane*> ThreadedActor::staff_all() {
  std::vector<Lane*> woken;
  if (ended_) return woken;
  for (auto& group : groups_)
    for (auto* lane : staff(group)) woken.push_back(lane);
  return woken;
}

void ThreadedActor::wake(const std::vector<Lane*>& lanes) {
  for (auto* lane : lanes) lane->wake();
}

ThreadedActor::Step ThreadedActor::next(Lane& lane, Work& work) {
  std::unique_lock lock(mutex_);
  const auto stream = std::exchange(lane.stream, 0);
  if (stream != 0) lane.group.pass_on(stream);
  const auto step = choose(lane, work);
  if (stream == 0 || lane.group.items.empty() || step == Step::kEnd || step == Step::kRest) return step;
  const auto lanes = staff(lane.group);  // this one does something else first
  lock.unlock();
  wake(lanes);
  return step;
}

/// What the lane does next; with mutex_ held.
ThreadedActor::Step ThreadedActor::choose(Lane& lane, Work& work) {
  auto& group = lane.group;
  if (constructor_ && !killed_) {
    work = std::move(*constructor_);
    constructor_.reset();
    return Step::kConstruct;
  }
  if (gone_fresh_) return Step::kForget;
  if (take(lane, work)) return Step::kCall;
  if (lane.has_outcomes()) return Step::kReport;
  if (!gone_callers_.empty() && running_ == 1 && nothing_queued()) return Step::kForget;
  const bool nothing_waits = !constructed_ || exiting_ || killed_ || nothing_queued();
  if (destroying_ && running_ == 1 && nothing_waits) {
    ended_ = true;
    return Step::kEnd;
  }
  --group.running;
  --running_;
  group.idle.push_back(&lane);
  return Step::kRest;
}

/// The next work of the group whose turn it is; with mutex_ held.
bool ThreadedActor::take(Lane& lane, Work& work) {
  auto& group = lane.group;
  if (!constructed_ || killed_ || exiting_) return false;
  if (!group.due.empty()) {
    work = group.due.front()->work();
    group.due.pop_front();
    return true;
  }
  if (!group.items.empty()) {
    lane.stream = group.items.front().first;
    work = std::move(group.items.front().second);
    group.items.pop_front();
    return true;
  }
  while (!group.queue.empty() && !full()) {
    work = group.queue.pop_front();
    const auto kind = kind_of(work);
    if (kind.stream != 0) {
      const auto [of_stream, is_first] = group.streams.try_emplace(kind.stream);
      if (!is_first) {
        of_stream->second.push_back(std::move(work));
        continue;
      }
      lane.stream = kind.stream;
    }
    lane.begins = kind.coroutine;
    beginning_ += lane.begins;
    return true;
  }
  return false;
}

void ThreadedActor::resume(Group& group, std::shared_ptr<RunningCoroutine> coroutine) {
  std::unique_lock lock(mutex_);
  if (ended_ || find_begun(begun_, coroutine->id()) != coroutine) return;  // abandoned, or about to be: no lane may outlive the actor
  group.due.push_back(std::move(coroutine));
  auto lanes = staff(group);
  lock.unlock();
  wake(lanes);
}

void ThreadedActor::exit_wanted() {
  std::vector<Work> dropped;  // user types: destroyed without the lock
  std::lock_guard lock(mutex_);
  exiting_ = destroying_ = true;
  for (auto& group : groups_) group.drop_queued(dropped);
}

void ThreadedActor::constructed(bool ok) {
  std::unique_lock lock(mutex_);
  constructed_ = ok;
  auto lanes = staff_all();
  lock.unlock();
  wake(lanes);
}

void ThreadedActor::end() {
  lend(0, 1);
  BegunCoroutines waiting;
  {
    std::lock_guard lock(mutex_);
    waiting = std::move(begun_);
    for (auto& group : groups_) group.due.clear();
  }
  for (const auto& [id, each] : waiting) each->abandon();  // before the object: their frames refer to it
  open_streams_.clear();
  object_ = {};
  {
    std::lock_guard lock(host_.mutex_);
    host_.actors_.erase(id_);
  }
  { std::lock_guard told(relieving_); }  // what the watchdog has taken goes ahead of what follows
  environment_.router->send(owner_, wire::ActorDestroyed{.actor = id_, .exited = exiting_});
}

void ThreadedActor::lend(int blocked, int running) {
  if (lease_info_.cpus == Amount(0)) return;
  std::lock_guard lock(lending_mutex_);
  calls_blocked_ += blocked;
  calls_running_ += running;
  if (calls_running_ > 0)
    set_lent(calls_blocked_ >= calls_running_);
  else if (!lease_info_.lend_idle_cpus)  // else it may go on at once: lend_if_idle
    set_lent(false);
}

/// A lane has nothing more to do.
void ThreadedActor::lend_if_idle() {
  if (!lease_info_.lend_idle_cpus || lease_info_.cpus == Amount(0)) return;
  std::lock_guard lock(lending_mutex_);
  if (calls_running_ == 0) set_lent(true);
}

/// With lending_mutex_ held.
void ThreadedActor::set_lent(bool lent) {
  if (std::exchange(lent_, lent) == lent) return;
  environment_.router->send(kNodeProcess, wire::SetBlocked{.lease = lease_info_.id, .blocked = lent});
}

}  // namespace manta::detail
