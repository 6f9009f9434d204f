// The owner's event handling: what runs in its actor. The thread-safe face is in owner.cpp.
#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "runtime/actors/actor_link.hpp"
#include "runtime/actors/owner.hpp"
#include "runtime/base/log.hpp"

namespace manta::detail {

namespace {

constexpr core::Purpose kActorPurpose = std::uint64_t{1} << 63;  // the rest is the actor's id; tasks: the shape's index
constexpr std::uint64_t kMaxFrameBytes = 4 << 20;                // inline values in one message

std::uint64_t environment_hash(const TaskOptions& options) {
  if (options.env.empty() && options.log_file.empty() && options.echo_output) return 0;
  std::string all = options.echo_output ? "+" : "-";
  auto add = [&](const std::string& text) { all += std::to_string(text.size()) + ":" + text; };
  add(options.log_file.string());
  for (const auto& [name, value] : options.env) add(name), add(value);
  return std::hash<std::string>{}(all) | 1;
}

std::uint64_t inline_size(const wire::Task& task) {
  std::uint64_t size = task.arguments.bytes.size();
  for (const auto& ref : task.refs) size += ref.bytes.size();
  return size;
}

const FunctionEntry* filter_of(const OwnedWork& work) {
  if (work.kind == OwnedWork::Kind::kTask) return static_cast<const OwnedTask&>(work).options->retry_on.filter();
  if (work.kind != OwnedWork::Kind::kCall) return nullptr;
  const auto& options = static_cast<const OwnedCall&>(work).options;
  return options ? options->retry_on.filter() : nullptr;
}

template <class Options>
wire::ProcessOptions process_options(const Options& options, const std::string& name) {
  return {.name = name, .environment = options.env, .log_file = options.log_file.string(), .echo = options.echo_output};
}

int attempt_of(const core::TaskNode& task) { return task.crashes + task.failures + 1; }

constexpr std::chrono::seconds kEbb{1};  // for whoever holds the refs of a burst to let them go

/// Of the whole process, the program's own free memory too: that takes the allocator's locks for a while. MANTA_MALLOC_TRIM=0 in the
/// environment leaves it to the allocator.
void return_free_memory() {
#ifdef __GLIBC__
  static const char* const wanted = std::getenv("MANTA_MALLOC_TRIM");
  if (!wanted || std::string_view(wanted) != "0") ::malloc_trim(0);
#endif
}

std::shared_ptr<const ErrorInfo> share(ErrorInfo info) { return std::make_shared<const ErrorInfo>(std::move(info)); }

}  // namespace

void Owner::handle(std::vector<Event>& events) {
  const ControlSection section(bin_);
  for (auto& event : events) std::visit([this](auto& e) { on(e); }, event);
  perform();
  while (!cancelled_parents_.empty()) perform_child_cancels();
  take_back_waiters();
  bin_.destroy(std::exchange(let_go_, {}));
  look_for_ebb();
}

/// What a burst took is free by then, but lies among what is in use, where the allocator does not give it back by itself.
void Owner::look_for_ebb() {
  const auto now = unfinished();
  const bool over = work_bursts_.over(now.submitted);
  if (!actor_bursts_.over(now.actors) && !over) return;
  if (!trim_due_.exchange(true)) trim_after_ebb();
}

/// As long as much is still under way, it is looked at again.
void Owner::trim_after_ebb() {
  timer_.at(SteadyClock::now() + kEbb, [this] {
    if (unfinished().submitted > core::BurstMeter::kBurst / core::BurstMeter::kShareLeft) return trim_after_ebb();
    trim_due_ = false;
    lane_.post(return_free_memory);
  });
}

core::TaskShape Owner::shape_of(const OwnedTask& task) const {
  const auto& o = *task.options;
  return {.request = request_of(o),
          .own_process = o.isolation == Isolation::kOwnProcess || (options_.portable && o.num_gpus > Amount(0)),
          .environment = environment_hash(o),
          .retriable = o.max_retries != 0};
}

void Owner::on(Submitted& event) {
  auto& task = *event.task;
  if (task.record->function != last_function_) {
    last_function_ = task.record->function;
    last_estimate_ = &estimates_[last_function_];
  }
  task.estimate = last_estimate_;
  task.shape = shape_index(task);
  tasks_.emplace(task.id, std::move(event.task));
  const bool wanted = !task.parent || note_parent(task);
  if (stopped_ || !wanted) {
    task.record->result->set_error(wanted ? share({.code = ErrorCode::kRuntimeStopped, .message = "the runtime has been shut down"})
                                          : share(child_cancelled(task, task.id)));
    forget_task(task);
    return;
  }
  task_table_.submit(task, task_effects_);
}

void Owner::on(Spawned& event) {
  auto& constructor = *event.constructor;
  actors_.emplace(constructor.actor, event.constructor);
  actor_table_.create(constructor.actor,
                      {.max_restarts = constructor.options->max_restarts, .max_task_retries = constructor.options->max_task_retries,
                       .unordered = constructor.options->unordered, .of_task = constructor.options->of_stream,
                       .backs_off = constructor.options->backoff.initial > std::chrono::nanoseconds(0),
                       .own_process = has_own_process(constructor)},
                      constructor.unresolved, actor_effects_);
  if (stopped_) end_at_stop(constructor.actor);  // it was under way when the runtime stopped
}

void Owner::end_at_stop(ActorId actor) {
  auto& constructor = *actors_.at(actor);
  constructor.ended_at_stop = !constructor.killed;
  constructor.killed = true;
  log_if_unseen(constructor);
  constructor.last_error = stopped_error();
  actor_table_.kill(actor, actor_effects_);
  actor_table_.dropped(actor, actor_effects_);
}

void Owner::on(Called& event) {
  auto& call = *event.call;
  last_called_ = call.actor;
  if (call.options && call.options->deadline > std::chrono::nanoseconds(0))
    if (const auto deadline = deadline_in(call.options->deadline))
      timer_.at(*deadline, [this, id = call.id] { actor_->tell(DeadlinePassed{id}); }, until_done(event.call));
  calls_.emplace(call.id, std::move(event.call));
  if (const auto it = call.parent ? actors_.find(call.actor) : actors_.end(); it != actors_.end() && !it->second->borrow && it->second->options->of_stream)
    call.parent = {};
  if (!call.parent || note_parent(call)) return actor_table_.call(call, actor_effects_);
  call.record->result->set_error(share(child_cancelled(call, call.id)));
  forget_call(call);
}

void Owner::on(ArgumentSettled& event) {
  auto& work = *event.work;
  const bool failed = event.error != nullptr;
  const bool by_value = event.index == kByValue;
  if (by_value) take_placed(event);
  auto error = [&] {
    return share({.code = event.error->code,
                  .message = "it did not run: " + (by_value ? std::string("its arguments were lost, and could not be stored again")
                                                            : "object argument " + std::to_string(event.index + 1) + " failed"),
                  .where = *work.name(),
                  .cause = as_cause(event.error),
                  .did_not_run = true});
  };
  if (work.kind == OwnedWork::Kind::kTask) {
    auto& task = static_cast<OwnedTask&>(work);
    if (!tasks_.contains(task.id)) return;
    if (!failed) return task_table_.argument_ready(task, task_effects_);
    task_table_.withdraw(task);
    work.record->result->set_error(error());
    forget_task(task);
  } else if (work.kind == OwnedWork::Kind::kCall) {
    auto& call = static_cast<OwnedCall&>(work);
    if (!calls_.contains(call.id)) return;
    if (!failed) return actor_table_.argument_ready(call, actor_effects_);
    actor_table_.withdraw(call, actor_effects_);
    work.record->result->set_error(error());
    let_go_arguments(call);
    calls_.erase(call.id);
    counts_.ended();
    settled_.push_back(event.work);
  } else {
    auto& constructor = static_cast<OwnedConstructor&>(work);
    if (!failed) return actor_table_.constructor_argument_ready(constructor.actor, actor_effects_);
    constructor.last_error = error();
    constructor.failed_unseen = !constructor.killed;
    actor_table_.constructor_argument_failed(constructor.actor, actor_effects_);
  }
}

void Owner::on(Dropped& event) {
  if (auto it = actors_.find(event.actor); it != actors_.end()) {
    if (it->second->borrow && --it->second->links > 0) return;
    release_name(*it->second);
  }
  actor_table_.dropped(event.actor, actor_effects_);
}

void Owner::on(Killed& event) {
  auto it = actors_.find(event.actor);
  if (it == actors_.end()) return;
  it->second->killed = true;
  if (std::exchange(it->second->ended_at_stop, false)) {  // who ends the runtime does not wait for this one
    const auto lease = actor_table_.lease_of(event.actor);
    if (const auto held = leases_.find(lease); held != leases_.end() && held->second.own_process) end_process_of(event.actor, lease);
    return;
  }
  if (!it->second->last_error)
    it->second->last_error = share({.code = ErrorCode::kActorDied, .message = "it was ended by kill()"});
  it->second->borrow ? end_borrowed(event.actor) : actor_table_.kill(event.actor, actor_effects_);
}

void Owner::on(Stop& event) {
  perform();  // its effects name tasks that are forgotten below
  std::unordered_set<ProcessId> workers;
  for (const auto& [id, held] : leases_)
    if (held.worker != router_.self()) workers.insert(held.worker);
  for (const auto worker : workers) router_.send(worker, wire::CancelWork{});  // ahead of what ends the actors there: methods may end by themselves
  end_tasks(event.everything);
  if (event.everything)
    for (const auto& [id, joined] : joined_) joined->cancel(id, true);  // its thread sleeps inside another task
  std::vector<ActorId> actors;
  for (auto& [id, actor] : actors_) actors.push_back(id);
  for (auto id : actors) end_at_stop(id);
  if (!event.everything) return;
  perform();
  for (auto calls = std::exchange(calls_, {}); const auto& [id, call] : calls) {
    call->record->result->set_error(stopped_error());
    throw_away_record(*call);
    counts_.ended();
  }
}

/// At the end of the runtime; `running`: those too that may run.
void Owner::end_tasks(bool running) {
  std::vector<std::shared_ptr<OwnedTask>> tasks;
  for (const auto& [id, task] : tasks_)
    if (running || !task->may_run()) tasks.push_back(task);
  for (auto& task : tasks) {
    const bool may_run = task->may_run();
    task_table_.withdraw(*task);
    task->record->result->set_error(stopped_error());
    may_run ? counts_.ended(tasks_.erase(task->id)) : forget_task(*task);  // it may be using its arguments
    settled_.push_back(std::move(task));
  }
}

void Owner::on(wire::TasksDone& done) {
  for (const auto& ended : done.ended) on_task_ended(ended);
  for (auto& outcome : done.outcomes) on_task_outcome(outcome);
  if (done.held_up) task_table_.held_up(done.lease);
}

void Owner::on(wire::ActorDone& done) {
  for (const auto& ended : done.ended) on_call_ended(ended);
  for (auto& outcome : done.outcomes) on_call_outcome(outcome);
}

void Owner::on(Delivered& delivered) {
  auto& message = *delivered;
  if (auto* refused = std::get_if<wire::LeaseRefused>(&message)) {
    on_refused(*refused);
  } else if (auto* lost = std::get_if<wire::LeaseLost>(&message)) {
    on_lost(*lost);
  } else if (auto* removed = std::get_if<wire::GroupRemoved>(&message)) {
    end_group(removed->group, removed->error);
  } else if (auto* destroyed = std::get_if<wire::ActorDestroyed>(&message)) {
    on_destroyed(*destroyed);
  } else if (auto* orphans = std::get_if<wire::Orphans>(&message)) {
    for (auto id : orphans->objects)
      if (!store_.holds(id)) store_.free(id);
  }
}

void Owner::on(wire::LeaseGranted& granted) {
  HeldLease held{.info = granted.lease, .worker = granted.worker};
  if (stopped_ && held.worker != router_.self()) router_.send(held.worker, wire::CancelWork{});  // for a retry
  if (granted.purpose & kActorPurpose) {
    const ActorId actor{granted.purpose & ~kActorPurpose};
    if (auto it = actors_.find(actor); it != actors_.end()) held.own_process = has_own_process(*it->second);
    leases_[granted.lease.id] = std::move(held);
    actor_table_.lease_granted(actor, granted.lease.id, actor_effects_);
  } else {
    const auto shape = static_cast<std::uint32_t>(granted.purpose);
    held.own_process = task_table_.has_shape(shape) && task_table_.shape(shape).own_process;
    leases_[granted.lease.id] = std::move(held);
    task_table_.lease_granted(shape, granted.lease.id, task_effects_);
  }
}

void Owner::on_refused(const wire::LeaseRefused& refused) {
  if (refused.purpose & kActorPurpose) {
    const ActorId actor{refused.purpose & ~kActorPurpose};
    if (auto it = actors_.find(actor); it != actors_.end()) {
      it->second->last_error = share(refused.error);
      actor_table_.kill(actor, actor_effects_);
    }
  } else if (!task_table_.has_shape(static_cast<std::uint32_t>(refused.purpose))) {
    return;  // nobody wants it any more
  } else if (const auto group = task_table_.shape(static_cast<std::uint32_t>(refused.purpose)).request.group;
             group && refused.error.code == ErrorCode::kCancelled) {
    task_table_.refused_all(static_cast<std::uint32_t>(refused.purpose));
    end_group(group, refused.error);
  } else {
    const auto shape = static_cast<std::uint32_t>(refused.purpose);
    const bool all = refused.error.code == ErrorCode::kInfeasibleResources;  // no lease for any task of the shape
    while (auto* node = task_table_.refused(shape)) {
      auto& task = static_cast<OwnedTask&>(*node);
      task.record->result->set_error(share(refused.error));
      forget_task(task);
      if (!all) break;
    }
    if (all) task_table_.refused_all(shape);
  }
}

void Owner::on_lost(const wire::LeaseLost& lost) {
  perform();  // what was decided before still goes to that lease; afterwards nothing may
  if (!leases_.erase(lost.lease)) return;
  const auto error = share(lost.error);
  lost_[lost.lease] = error;
  const auto had_it = actors_.find(actor_table_.actor_of(lost.lease));
  if (had_it != actors_.end() && !lost.unused) had_it->second->last_error = error;
  if (had_it != actors_.end() && lost.unused) --had_it->second->starts;
  const bool for_memory = lost.error.code == ErrorCode::kOutOfMemory;
  task_table_.lease_lost(lost.lease, {.own_doing = lost.own_doing, .shared = lost.shared, .for_memory = for_memory}, task_effects_);
  actor_table_.lease_lost(lost.lease, actor_effects_,
                          {.own_doing = lost.own_doing, .shared = lost.shared, .for_memory = for_memory, .unused = lost.unused});
  if (had_it != actors_.end()) let_go_if_over(*had_it->second);
}

Work Owner::typed_work(OwnedWork& work, TaskId id, int attempt) {
  Work typed{.id = id, .name = work.name(), .attempt = attempt, .record = work.record};
  typed.retry_on = filter_of(work);
  return typed;
}

/// An object whose copy in the store was lost since is to be turned into bytes once more, which may block: it is sent as one that the store does
/// not have, so that the work comes back, in its turn, as one whose argument is lost.
Result<wire::Task> Owner::wire_task(OwnedWork& work, TaskId id, int attempt, ProcessId to) {
  std::vector<std::optional<EncodedValue>> refs;
  for (std::size_t i = 0; i < work.record->refs.size(); ++i) {
    if (needs_encoding(*work.record->refs[i])) {
      refs.emplace_back();
      continue;
    }
    auto encoded = encode_cell(*work.record->refs[i]);
    if (!encoded)
      return ErrorInfo{.code = encoded.error().code, .message = "it did not run: object argument " + std::to_string(i + 1) + " could not be sent",
                       .where = *work.name(), .cause = share(encoded.error()), .did_not_run = true};
    refs.push_back(std::move(*encoded));
  }
  const auto key = function_key(*work.record->function);
  wire::Task task{.id = id, .module = key.module, .offset = key.offset, .name = *work.name(),
                  .attempt = static_cast<std::uint32_t>(attempt), .arguments = references_.outgoing(work.encoded->arguments, to)};
  for (const auto& value : refs)
    task.refs.push_back(value ? references_.outgoing(*value, to) : wire::Value{.stored = ids_.next<ObjectId>(), .stored_size = 1});
  if (const auto* filter = filter_of(work)) {
    const auto filter_key = function_key(*filter);
    task.retry_module = filter_key.module, task.retry_offset = filter_key.offset;
  }
  return task;
}

Work Owner::typed_call(OwnedCall& call) {
  auto work = typed_work(call, call.id, call.crashes + call.failures + 1);
  work.caller = router_.self();
  if (call.options && !call.options->concurrency_group.empty()) {
    work.encoded = std::make_unique<wire::Task>();
    work.encoded->group = call.options->concurrency_group;
  }
  return work;
}

Result<wire::Task> Owner::wire_call(OwnedCall& call, ProcessId to) {
  auto task = wire_task(call, call.id, call.crashes + call.failures + 1, to);
  if (!task) return task;
  task->losses = call.losses;
  if (call.options) task->group = call.options->concurrency_group;
  return task;
}

void Owner::send_tasks(LeaseId lease, std::span<OwnedTask* const> tasks) {
  if (!leases_.contains(lease)) return;
  const auto& held = leases_.at(lease);
  for (const auto now = SteadyClock::now(); auto* task : tasks) task->sent_at = now, uncharge_arguments(*task);
  if (held.worker == router_.self()) {
    std::vector<Work> work;
    work.reserve(tasks.size());
    for (auto* task : tasks) work.push_back(typed_work(*task, task->id, attempt_of(*task)));
    return host_.run(router_.self(), held.info, std::move(work));
  }
  wire::RunTasks message{.owner = router_.self(), .lease = held.info};
  std::uint64_t bytes = 0;
  for (auto* task : tasks) {
    auto made = wire_task(*task, task->id, attempt_of(*task), held.worker);
    if (!made) {
      actor_->tell(wire::TasksDone{.lease = lease, .outcomes = {{.id = task->id, .result = made.error()}}});
      continue;
    }
    message.tasks.push_back(std::move(*made));
    bytes += inline_size(message.tasks.back());
    if (bytes < kMaxFrameBytes) continue;
    router_.send(held.worker, std::exchange(message, {.owner = router_.self(), .lease = held.info}));
    bytes = 0;
  }
  if (!message.tasks.empty()) router_.send(held.worker, std::move(message));
}

void Owner::send_calls(ActorId actor, LeaseId lease, std::span<OwnedCall* const> calls) {
  if (!leases_.contains(lease)) return;
  const auto& held = leases_.at(lease);
  for (const auto now = SteadyClock::now(); auto* call : calls) call->sent_at = now;
  if (held.worker == router_.self()) {
    std::vector<Work> work;
    work.reserve(calls.size());
    for (auto* call : calls) work.push_back(typed_call(*call));
    return host_.call(actor, std::move(work));
  }
  wire::CallActor message{.actor = actor};
  std::uint64_t bytes = 0;
  for (auto* call : calls) {
    auto made = wire_call(*call, held.worker);
    if (!made) {
      actor_->tell(wire::ActorDone{.actor = actor, .outcomes = {{.id = call->id, .result = made.error()}}});
      continue;
    }
    message.calls.push_back(std::move(*made));
    bytes += inline_size(message.calls.back());
    if (bytes < kMaxFrameBytes) continue;
    router_.send(held.worker, std::exchange(message, {.actor = actor}));
    bytes = 0;
  }
  if (!message.calls.empty()) router_.send(held.worker, std::move(message));
}

void Owner::want(const core::TaskEffects::Want& want) {
  if (!task_table_.has_shape(want.shape))  // forgotten since, as it wants nothing
    return router_.send(kNodeProcess, wire::WantLeases{.purpose = want.shape});
  const auto& shape = task_table_.shape(want.shape);
  const auto& options = *shape_options_.at(want.shape);
  router_.send(kNodeProcess, wire::WantLeases{.purpose = want.shape, .count = want.count, .shape = shape.request,
                                              .own_process = shape.own_process,
                                              .options = process_options(options, options.name.empty() ? "task" : options.name),
                                              .retriable = shape.retriable});
}

void Owner::want_actor(ActorId actor, std::uint32_t count) {
  auto it = actors_.find(actor);
  if (it == actors_.end()) return;
  const auto& o = *it->second->options;
  router_.send(kNodeProcess,
               wire::WantLeases{.purpose = kActorPurpose | actor.value, .count = count,
                                .shape = request_of(o),
                                .own_process = has_own_process(*it->second),
                                .options = process_options(o, *it->second->label), .retriable = o.max_restarts != 0});
}

void Owner::perform() {
  if (stopped_) end_tasks(false);  // what was to run once more: it failed, its process died, it came back unstarted
  task_table_.settle(task_effects_);
  perform_tasks();
  perform_actors();
  throw_away_settled();
  count_ends();
  tell_submitters();
}

void Owner::perform_tasks() {
  auto effects = std::exchange(task_effects_, {});
  perform_failures(effects);
  if (!effects.isolate.empty()) task_table_.settle(effects);  // they are ready now: their shape asks for a lease
  for (std::size_t i = 0; i < effects.assigns.size();) {
    std::vector<OwnedTask*> group;
    const auto lease = effects.assigns[i].lease;
    for (; i < effects.assigns.size() && effects.assigns[i].lease == lease; ++i)
      group.push_back(static_cast<OwnedTask*>(effects.assigns[i].task));
    send_tasks(lease, group);
  }
  for (const auto& each : effects.wants) want(each);
  for (auto lease : effects.give_back) {
    leases_.erase(lease);
    router_.send(kNodeProcess, wire::ReleaseLease{.lease = lease});
  }
}

}  // namespace manta::detail
