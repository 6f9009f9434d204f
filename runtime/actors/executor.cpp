#include "runtime/actors/executor.hpp"

#include "runtime/actors/context_engine.hpp"
#include "runtime/actors/running_coroutine.hpp"
#include "runtime/actors/worker_host.hpp"

namespace manta::detail {

namespace {

thread_local Executor* t_current = nullptr;
thread_local Executor::HelperThread* t_helper = nullptr;

std::int64_t now_ns() { return SteadyClock::now().time_since_epoch().count(); }

std::string label_of(const Work& work) {
  return *work.name + " #" + std::to_string(work.id.value & 0xffffffffffull) + " (attempt " + std::to_string(work.attempt) + ")";
}

ErrorInfo task_error(const Work& work) {
  ErrorInfo inner = current_exception_info();
  inner.message = as_message(std::move(inner.message));
  ErrorInfo outer{.code = ErrorCode::kTaskError,
                  .message = inner.message,
                  .where = label_of(work),
                  .remote_type = inner.remote_type,
                  .cause = as_cause(inner.cause)};
  if (inner.code != ErrorCode::kTaskError || inner.remote_type.empty()) {
    // The function let an error of Manta's pass, say of a task that it waited for: that one is the cause.
    outer.remote_type = "manta::" + std::string(to_string(inner.code));
    outer.cause = as_cause(std::make_shared<const ErrorInfo>(std::move(inner)));
  } else if (!inner.where.empty()) {
    outer.cause = as_cause(std::make_shared<const ErrorInfo>(std::move(inner)));
  }
  return outer;
}

std::shared_ptr<TaskRecord> decode_arguments(const FunctionEntry& function, InputArchive& archive, std::vector<std::shared_ptr<Cell>> refs) {
  const auto not_its = [&](const std::string& why) { return InvalidArgument("the arguments that came are not those of " + function.name() + ": " + why); };
  try {
    return function.decode(archive, std::move(refs));
  } catch (const ProtocolError& e) {
    throw not_its(e.info().message);
  } catch (const cereal::Exception& e) {
    throw not_its(e.what());
  } catch (const Error&) {
    throw;
  } catch (...) {
    auto thrown = std::make_shared<const ErrorInfo>(current_exception_info());
    throw_error({.code = ErrorCode::kTaskError,
                 .message = "the load or serialize of an argument of " + function.name() + " threw when it was read",
                 .remote_type = thrown->remote_type,
                 .cause = thrown});
  }
}

/// Looks at the end of a call, also one that throws, whether it asked for the end of its actor.
template <class F>
class ExitCheck {
 public:
  explicit ExitCheck(F look) : look_(std::move(look)) {}
  ~ExitCheck() { look_(); }
  ExitCheck(const ExitCheck&) = delete;

 private:
  F look_;
};

/// A stored argument cannot be read: its owner may make it again.
struct LostArgument {
  ErrorInfo error;
  ObjectId id;
};

class Running {
 public:
  explicit Running(Executor* executor) : before_(t_current) { t_current = executor; }
  ~Running() { t_current = before_; }

 private:
  Executor* before_;
};

}  // namespace

Executor* Executor::current() noexcept { return t_current; }

void Executor::set_blocked(bool blocked) {
  if (blocked) relieve();
  change_waiting(blocked ? 1 : -1);
}

void Executor::change_waiting(int change) {
  std::lock_guard lock(waiting_mutex_);
  count_waiting(change);
}

void Executor::count_waiting(int change) {
  const bool before = waiting_ > 0;
  waiting_ += change;
  if (const bool some = waiting_ > 0; some != before) some_wait(some);
}

void Executor::some_wait(bool some) {
  // Of a task without CPUs too: nobody may hope for its GPUs, or whatever it holds, while it waits. An actor holds them for life anyway.
  if (lease_->cpus > Amount(0) || (!in_actor_ && lease_->id)) lend(some);
}

/// Those that still wait, of a work that has ended, have nothing of it any more.
void Executor::forget_helpers() {
  std::lock_guard lock(waiting_mutex_);
  ++works_ended_;
  count_waiting(-std::exchange(waiting_helpers_, 0));
}

std::uint32_t Executor::works_ended() {
  std::lock_guard lock(waiting_mutex_);
  return works_ended_;
}

/// Looks at works_ended_ first: when the work ends after this belongs to it, that is another number. A thread that outlives its work and is
/// just here when the next one begins may be taken for a thread of that.
Executor::HelperThread::HelperThread(std::shared_ptr<Executor> executor)
    : executor_(std::move(executor)), works_ended_(executor_ ? executor_->works_ended() : 0) {
  if (!executor_) return;
  helper_.emplace(executor_->running_work_);
  if (helper_->belongs()) t_helper = this;
}

Executor::HelperThread::~HelperThread() {
  if (t_helper == this) t_helper = nullptr;
}

Executor::HelperThread* Executor::HelperThread::current() noexcept { return t_helper; }

void Executor::HelperThread::set_blocked(bool blocked) {
  std::lock_guard lock(executor_->waiting_mutex_);
  if (executor_->works_ended_ != works_ended_) return;
  if (blocked) executor_->relieve();  // with the lock held: it may use what is there only while the work runs
  const int change = blocked ? 1 : -1;
  executor_->waiting_helpers_ += change;
  executor_->count_waiting(change);
}

void Executor::lend(bool blocked) { environment_.router->send(kNodeProcess, wire::SetBlocked{.lease = lease_->id, .blocked = blocked}); }

std::shared_ptr<TaskRecord> Executor::decoded(Work& work) {
  MANTA_CHECK(work.encoded);
  const auto* function = find_function({work.encoded->module, work.encoded->offset});
  if (!function || !function->decode)
    throw FunctionNotFound("this worker's build does not know the function " + work.encoded->name +
                           ": driver and worker must run the same executable");
  auto bytes_of = [&](const wire::Value& value) {
    if (!value.stored) return value.bytes;
    auto opened = environment_.store->open(value.stored);
    if (!opened && opened.error().code == ErrorCode::kObjectLost) throw LostArgument{opened.error(), value.stored};  // the owner has them still
    return opened.value();
  };
  std::vector<std::shared_ptr<Cell>> refs;
  for (const auto& value : work.encoded->refs) {
    auto cell = make_pooled<Cell>(type_ops<Unknown>());
    if (value.stored)
      cell->set_stored(environment_.store->borrowed(value.stored, value.stored_size), ReferenceKeeper::of(value));
    else
      cell->set_bytes(value.bytes, ReferenceKeeper::of(value));
    refs.push_back(std::move(cell));
  }
  InputArchive archive(bytes_of(work.encoded->arguments), ReferenceKeeper::of(work.encoded->arguments));
  auto record = decode_arguments(*function, archive, std::move(refs));
  record->result = make_pooled<Cell>(function->result_ops());
  if (function->make_more) record->more = std::make_unique<std::vector<std::shared_ptr<Cell>>>(function->make_more());
  return record;
}

/// What it throws is not the task's doing.
Executor::HeldValues Executor::read_arguments(const Work& work, const TaskRecord& record) {
  HeldValues held;
  if (!work.encoded) return held;
  for (std::size_t i = 0; i < work.encoded->refs.size(); ++i) {
    try {
      held.push_back(record.refs[i]->value());
    } catch (const ObjectLost& lost) {
      if (!work.encoded->refs[i].stored) throw;  // a load of the user's threw it
      throw LostArgument{lost.info(), work.encoded->refs[i].stored};
    }
  }
  return held;
}

/// Turns all results into bytes before one of them is handed out: when one cannot be, the work fails with that error, and what was
/// placed for the owner goes to it as further results, to be freed there.
void Executor::add_results(const Work& work, TaskRecord& record, ProcessId owner, wire::Outcome& outcome) {
  auto& references = *environment_.references;
  auto encode = [&](Cell& cell) {
    return cell.encoded(environment_.inline_bytes, [&](std::uint64_t size, const StoreAccess::Fill& fill) {
                 return environment_.store->place(size, fill, owner);
               }).value();
  };
  EncodedValue first;
  std::vector<EncodedValue> others;
  try {
    first = encode(*record.result);
    references.check(first).value();
    if (record.more)
      for (const auto& cell : *record.more) references.check(others.emplace_back(encode(*cell))).value();
  } catch (...) {
    auto error = current_exception_info();
    if (error.where.empty()) error.where = "the result of " + label_of(work);
    outcome.result = std::move(error);
    others.push_back(std::move(first));
    for (const auto& value : others)
      if (value.stored) outcome.more.push_back({.stored = {value.stored->id()}, .stored_size = value.stored->size()});
    return;
  }
  outcome.result = references.outgoing(first, owner);
  for (const auto& value : others) outcome.more.push_back(references.outgoing(value, owner));
}

/// It may wait for others before it is sent. A ref that came with the arguments and goes home with the value must not be given back first.
void Executor::keep_references(const TaskRecord& record, wire::Outcome& outcome) {
  if (const auto* value = std::get_if<wire::Value>(&outcome.result); value && value->references) outcome.keep.push_back(record.result);
  for (std::size_t i = 0; i < outcome.more.size(); ++i)  // with an error none of them has any
    if (outcome.more[i].references) outcome.keep.push_back((*record.more)[i]);
}

void Executor::note_failure(const Work& work, bool began, wire::Outcome& outcome) {
  if (!began) {
    auto error = current_exception_info();
    if (error.where.empty()) error.where = *work.name;
    error.did_not_run = error.code != ErrorCode::kCancelled;  // else its arguments could not be had, or its function
    outcome.result = std::move(error);
    return;
  }
  auto error = task_error(work);
  // The end of the runtime is not the task's doing: whoever waits for the task hears of it as of a ref that it waits for itself.
  if (environment_.stopping && error.cause && error.cause->code == ErrorCode::kRuntimeStopped) error.code = ErrorCode::kRuntimeStopped;
  outcome.result = std::move(error);
  const auto* filter = work.retry_on;
  if (!work.record && work.encoded && work.encoded->retry_module) filter = find_function({work.encoded->retry_module, work.encoded->retry_offset});
  outcome.retry = filter && filter->matches && filter->matches();
}

Invocation Executor::invocation_of(const Work& work, const wire::LeaseInfo& lease, const CancelSlot& slot) const {
  return {.id = work.id.value, .name = work.name.get(), .attempt = work.attempt, .num_cpus = lease.cpus, .gpu_ids = lease.gpu_ids,
          .stopping = &environment_.stopping, .cancelled_id = &slot.cancelled_id(), .of_actor = in_actor_, .streams = streams_};
}

/// The record whose cells hold the results; null for a coroutine that waits. `record`: keeps one that was made of bytes. `began`: what is
/// thrown is the task's own doing.
TaskRecord* Executor::run(Work& work, ActorObject* instance, const wire::LeaseInfo& lease, const CancelSlot& slot, std::shared_ptr<TaskRecord>& record,
                          bool& began) {
  if (!work.coroutine) CancelSlot::check();  // one that has begun hears it at its co_await
  auto& context = draining_->context();
  if (work.coroutine && work.coroutine->interrupted()) running_work_.cancel_now(work.id, work.coroutine->interrupted_with_children());
  if (!work.coroutine) {
    if (!work.record) record = decoded(work);
    const auto& its_record = work.record ? work.record : record;
    const auto held = read_arguments(work, *its_record);
    if (!its_record->asynchronous()) {
      auto& invocation = draining_->invocation_ = invocation_of(work, lease, slot);
      began = true;
      const ExitCheck check([&] { if (invocation.exit) exit_wanted(); });
      its_record->run(instance, context, *its_record->result);
      return its_record.get();
    }
    work.coroutine = std::make_shared<RunningCoroutine>(self(), work, its_record, draining_->engine_->behind(), invocation_of(work, lease, slot),
                                                       environment_.coroutine_waits);
    began = true;
    hold(work.coroutine);
    if (slot.cancelled())
      work.coroutine->interrupt(slot.cancelled_with_children());  // who cancelled it may not have found it yet
    else if (work.coroutine->interrupted())
      running_work_.cancel_now(work.id, work.coroutine->interrupted_with_children());  // its caller is gone
    work.coroutine->begin(instance);
  }
  began = true;
  bool waits = false;
  const ExitCheck check([&] { if (!waits && work.coroutine->wants_exit()) exit_wanted(); });
  const ContextEngine::RunBy bound(work.coroutine->engine(), *this);
  waits = !work.coroutine->advance(slot.cancelled_id(), [this](bool stops) { suspended(stops); });
  return waits ? nullptr : work.coroutine->record().get();
}

Executor::Draining::Draining(Executor& executor) : executor_(executor) {
  executor.draining_ = this;
  executor.since_.store(executor.look_at_clock(), std::memory_order_seq_cst);
}

Executor::Draining::~Draining() {
  executor_.since_.store(0, std::memory_order_seq_cst);
  executor_.draining_ = nullptr;
  if (engine_) engine_->run_by(nullptr);
}

Context& Executor::Draining::context() {
  constexpr long kOurs = 2;  // ours and the context's
  if (context_ && engine_.use_count() <= kOurs) return *context_;
  // Else the work before has kept its way to the runtime, say in a builder: what is done by that is not this work's.
  if (engine_) engine_->run_by(nullptr);
  auto engine = executor_.environment_.engine.lock();
  if (!engine) throw RuntimeStopped("the runtime has been shut down");
  engine_ = make_pooled<ContextEngine>(std::move(engine), &executor_);
  return context_.emplace(engine_, invocation_);
}

std::int64_t Executor::look_at_clock() noexcept { return last_end_ = now_ns(); }

std::optional<wire::Outcome> Executor::execute(Work& work, ActorObject* instance, ProcessId owner, const wire::LeaseInfo& lease, bool behind) {
  wire::Outcome outcome{.id = work.id};
  lease_ = &lease;
  joined_ = 0;
  const auto start = last_end_;
  since_.store(start, std::memory_order_release);
  if (behind && !watched_.load(std::memory_order_seq_cst)) environment_.watchdog->watch(self().lock());
  running_name_ = work.name;
  bool began = false;  // else what is thrown is not the task's own doing
  bool waits = false;
  {
    std::shared_ptr<TaskRecord> made;
    Running running(this);
    // What they destroy is the user's, who may call from there: no cancel of the work, or of one that waits for it on this thread, is to throw
    // there, so they go after it.
    const CancelSlot::Outside outside;
    std::shared_ptr<TaskRecord> record;
    std::shared_ptr<RunningCoroutine> coroutine;
    RunningWork::Scope scope(running_work_, work.id, is_local(owner));
    try {
      if (auto* its_record = run(work, instance, lease, scope.slot(), made, began)) {
        if (!is_local(owner)) {
          add_results(work, *its_record, owner, outcome);
          keep_references(*its_record, outcome);
        }
      } else {
        waits = true;
      }
    } catch (const LostArgument& lost) {
      auto error = lost.error;
      error.did_not_run = true;
      outcome.result = std::move(error);
      outcome.lost = lost.id;
    } catch (...) {
      note_failure(work, began, outcome);
    }
    if (work.coroutine && !waits) release(work.coroutine);
    coroutine = std::move(work.coroutine);
    record = std::move(work.record);
  }
  if (running_work_.take_helped()) forget_helpers();
  outcome.nanoseconds = look_at_clock() - start;
  outcome.joined_nanoseconds = joined_;
  if (waits) return std::nullopt;
  return outcome;
}

}  // namespace manta::detail
