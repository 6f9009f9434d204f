#include "runtime/actors/owner.hpp"

#include "runtime/actors/actor_link.hpp"
#include "runtime/actors/placement_client.hpp"
#include "runtime/process/zygote.hpp"

namespace manta::detail {

namespace {

std::shared_ptr<const std::string> name_or(const std::string& given, FunctionEntry& function) {
  return given.empty() ? shared_name(function) : std::make_shared<const std::string>(given);
}

constexpr std::size_t kManyCalls = 32;  // of one actor that wait: the next ones go to it in groups

/// The work that this thread runs has been cancelled with all that it submits.
bool submits_in_vain(const CancelSlot* parent) { return parent && parent->cancelled_with_children(); }

/// The file is made when the process prints first: where this process stands now, not where the driver does then.
template <class Options>
std::shared_ptr<const Options> with_absolute_log(std::shared_ptr<const Options> options) {
  if (!options || options->log_file.empty() || options->log_file.is_absolute()) return options;
  std::error_code error;
  auto path = std::filesystem::absolute(options->log_file, error);
  if (error) return options;
  auto changed = std::make_shared<Options>(*options);
  changed->log_file = std::move(path);
  return changed;
}

std::shared_ptr<const ErrorInfo> argument_error(const OwnedWork& work, std::size_t index, std::shared_ptr<const ErrorInfo> cause) {
  return std::make_shared<const ErrorInfo>(
      ErrorInfo{.code = cause->code,
                .message = "it did not run: object argument " + std::to_string(index + 1) + " failed",
                .where = *work.name(),
                .cause = as_cause(std::move(cause)),
                .did_not_run = true});
}

void name_producer(const TaskRecord& record, Cell::Producer kind, TaskId id) {
  record.result->set_producer(kind, id.value);
  if (record.more)
    for (const auto& cell : *record.more) cell->set_producer(kind, id.value);
}

bool is_gone(const ErrorInfo& error) { return error.code == ErrorCode::kOwnerDied || error.code == ErrorCode::kRuntimeStopped; }

/// Empty when a bundle that it names can hold it.
std::string placement_problem(const Placement& placement, const core::ResourceRequest& request) {
  const auto& bundles = placement.options->bundles;
  std::string sizes;
  for (std::size_t i = 0; i < bundles.size(); ++i) {
    if (placement.bundle >= 0 && static_cast<std::size_t>(placement.bundle) != i) continue;
    const auto size = request_of(bundles[i]);
    if (core::PlacementTable::fits(size, request)) return {};
    sizes += (sizes.empty() ? "bundle " : ", bundle ") + std::to_string(i) + " has " + size.to_string();
  }
  return "it needs " + request.to_string() + ", and in " + describe_group(placement.group, placement.options->name) + " " + sizes +
         ": ask for less, or make a group of larger bundles";
}

/// In the memory of this process: what lies in the object store takes that one's room.
std::uint64_t bytes_of(const OwnedTask& task) {
  constexpr std::uint64_t kLittle = 256;
  const auto arguments = task.record->argument_bytes() + (task.encoded ? task.encoded->arguments.bytes.size() : 0);
  return OwnedTask::kBytes + (arguments > kLittle ? arguments : 0);
}

void check_attempts(int max_retries, const Backoff& backoff, const std::string& what) {
  auto refuse = [&](const std::string& why) {
    throw_error({.code = ErrorCode::kInvalidArgument, .message = why, .where = what});
  };
  const auto none = std::chrono::nanoseconds(0);
  if (max_retries < -1) refuse("max_retries is " + std::to_string(max_retries) + ": give 0 or more, or -1 for no end");
  if (backoff.initial < none || backoff.max < none) refuse("a time of the back-off is negative");
  if (!(backoff.factor >= 1)) refuse("the back-off's factor is " + std::to_string(backoff.factor) + ": give 1 or more");
}

void check_times(const TaskOptions& options, const std::string& what) {
  check_attempts(options.max_retries, options.backoff, what);
  if (options.deadline < std::chrono::nanoseconds(0))
    throw_error({.code = ErrorCode::kInvalidArgument, .message = "the deadline is negative: give a time from the submit on, or 0 for none",
                 .where = what});
}

}  // namespace

std::shared_ptr<const ErrorInfo> stopped_error() {
  static const auto& error = *new auto(std::make_shared<const ErrorInfo>(  // needed by runtimes that end after most statics
      ErrorInfo{.code = ErrorCode::kRuntimeStopped, .message = "the runtime has been shut down before this was done"}));
  return error;
}

class Owner::ArgumentWaiter final : public Cell::Waiter {
 public:
  ArgumentWaiter(std::weak_ptr<Owner> owner, std::shared_ptr<OwnedWork> work, std::size_t index, std::weak_ptr<Cell> cell)
      : owner_(std::move(owner)), work_(std::move(work)), index_(index), cell_(std::move(cell)) {}
  void settled() override {
    auto owner = owner_.lock();
    auto cell = cell_.lock();
    if (!owner || !cell) return;
    if (const UseGate::Use use(owner->gate()); use) owner->argument_settled(work_, index_, std::move(cell));
  }
  const void* whose() const noexcept override { return work_->needs_none ? &kNobody : static_cast<const void*>(work_.get()); }

 private:
  std::weak_ptr<Owner> owner_;
  std::shared_ptr<OwnedWork> work_;
  std::size_t index_;
  std::weak_ptr<Cell> cell_;
};

Owner::Owner(caf::actor_system& system, IdSource& ids, Router& router, WorkerHost& host, StoreAccess& store, Lane& lane, Bin& bin,
             ReferenceKeeper& references, Lineage& lineage, Options options)
    : ids_(ids), router_(router), host_(host), store_(store), lane_(lane), bin_(bin), references_(references), lineage_(lineage),
      options_(std::move(options)) {
  timer_.start();  // later it could fail where nobody hears it
  actor_ = std::make_unique<ControlActor<Event>>(system, [this](std::vector<Event>& events) { handle(events); });
}

Owner::~Owner() { end(); }

template <class WorkOptions>
void Owner::check(const WorkOptions& options, const std::string& what) const {
  const auto request = request_of(options);
  auto refuse = [&](ErrorCode code, const std::string& why) { throw_error({.code = code, .message = why, .where = what}); };
  auto check_one = [&](const std::string& name, Amount amount) {
    if (amount < Amount(0)) refuse(ErrorCode::kInvalidArgument, "an amount of " + name + " that is negative or not a number: give 0 or more");
    if (amount > options_.total[name] && !options.wait_if_infeasible && !options.placement.group)
      refuse(ErrorCode::kInfeasibleResources,
             "it needs " + amount_text(name, amount) + ", and this machine has " + options_.total[name].to_string() +
                 " in all (" + options_.total.to_string() + "): ask for less, or start the runtime with more");
  };
  if (options.isolation > Isolation::kOwnProcess)
    refuse(ErrorCode::kInvalidArgument, "its isolation is " + std::to_string(static_cast<int>(options.isolation)) +
                                            ": give Isolation::kShared or manta::own_process");
  for (const auto& [name, amount] : options.resources)
    if (name.empty()) refuse(ErrorCode::kInvalidArgument, "a custom resource has no name: give it one");
  if (request.gpus > Amount(1) && !request.gpus.is_whole())
    refuse(ErrorCode::kInvalidArgument, request.gpus.to_string() + " GPUs: more than one must be a whole number");
  check_one("CPU", request.cpus);
  check_one("GPU", request.gpus);
  for (const auto& [name, amount] : request.custom) check_one(name, amount);
  for (const char* name : {"CPU", "GPU", "memory"})
    if (options.resources[name] != Amount(0))
      refuse(ErrorCode::kInvalidArgument, std::string(name) + " is no custom resource: say it by num_cpus, num_gpus, memory_bytes");
  if (const auto& placement = options.placement; placement.group) {
    const auto why = placement_problem(placement, request);
    if (!why.empty()) refuse(ErrorCode::kInvalidArgument, why);
  }
  if (options.isolation != Isolation::kOwnProcess && !(options.env.empty() && options.log_file.empty()))
    refuse(ErrorCode::kInvalidArgument, std::string(options.env.empty() ? "a log_file" : "an environment") +
                                            " of its own needs .isolation = manta::own_process");
  if (request.gpus > Amount(0) && options.env.contains("CUDA_VISIBLE_DEVICES"))
    refuse(ErrorCode::kInvalidArgument, "its env has CUDA_VISIBLE_DEVICES, which num_gpus sets to the GPUs that it gets: leave out one of the two");
  if (!options.env.empty())
    if (const auto fits = check_request({.env = {options.env.begin(), options.env.end()}}); !fits)
      refuse(fits.error().code, fits.error().message);
}

bool Owner::needs_encoding(Cell& cell) const { return cell.needs_encoding(options_.inline_bytes, &store_); }

Result<EncodedValue> Owner::encode_cell(Cell& cell) try {
  auto encoded = cell.encoded(options_.inline_bytes, [this](std::uint64_t size, const StoreAccess::Fill& fill) {
    return store_.place(size, fill, router_.self());
  }, &store_);
  if (encoded)
    if (auto checked = references_.check(*encoded); !checked) return checked.error();
  return encoded;
} catch (...) {  // a serialise function of the user's
  return current_exception_info();
}

Owner::Pending Owner::pending_arguments(OwnedWork& work, bool may_block) {
  Pending pending;
  const auto& refs = work.record->refs;
  for (std::size_t i = 0; i < refs.size(); ++i) {
    if (!refs[i]->settled() || refs[i]->failed())
      pending.emplace_back(i, refs[i]);  // a failed one reports at once when it is watched
    else if (!may_block && needs_encoding(*refs[i]))
      pending.emplace_back(i, refs[i]);  // encoded by the lane, which says what is wrong
    else if (work.portable && may_block)  // of what is gone for good the result will say so, as of an argument that has failed
      if (auto encoded = encode_cell(*refs[i]); !encoded && !is_gone(encoded.error()))
        throw_error(*argument_error(work, i, std::make_shared<const ErrorInfo>(encoded.error())));
  }
  return pending;
}

bool Owner::fail_at_once(OwnedWork& work) {
  const auto& refs = work.record->refs;
  for (std::size_t i = 0; i < refs.size(); ++i) {
    if (!refs[i]->failed()) continue;
    work.record->result->set_error(argument_error(work, i, refs[i]->error()));
    return true;
  }
  if (!stopped_) return false;
  work.record->result->set_error(stopped_error());
  return true;
}

void Owner::watch_arguments(const std::shared_ptr<OwnedWork>& work, const Pending& pending) {
  // The work may be at its end already, its record's refs gone: only `pending` is looked at.
  for (const auto& [index, cell] : pending) {
    cell->on_settled(std::make_shared<ArgumentWaiter>(weak_from_this(), work, index, cell));
    if (work->needs_none) cell->forget(&kNobody);  // it has come to its end since, and found nothing here to take back
  }
}

void Owner::argument_settled(const std::shared_ptr<OwnedWork>& work, std::size_t index, std::shared_ptr<Cell> cell) {
  if (work->needs_none) return;  // at the end of the runtime the lane goes first
  if (work->portable && !cell->failed() && needs_encoding(*cell)) {
    lane_.post([self = shared_from_this(), work, index, cell] {
      auto encoded = self->encode_cell(*cell);
      auto error = encoded ? nullptr : std::make_shared<const ErrorInfo>(encoded.error());
      self->actor_->tell(ArgumentSettled{work, std::move(error), index});
    });
    return;
  }
  actor_->tell(ArgumentSettled{work, cell->error(), index});
}

EncodedValue Owner::encode_arguments(const OwnedWork& work) {
  OutputArchive count;
  work.record->encode_arguments(count);
  EncodedValue arguments;
  References found;
  auto write = [&](std::span<std::byte> target) {
    OutputArchive archive(target, &found);
    work.record->encode_arguments(archive);
    archive.finish();
  };
  if (count.size() <= options_.inline_bytes) {
    auto [buffer, target] = Buffer::allocate(count.size());
    write(target);
    arguments.bytes = std::move(buffer);
  } else {
    arguments.stored = store_.place(count.size(), write, router_.self()).value();
  }
  if (found.empty()) return arguments;
  arguments.references = std::make_shared<const References>(std::move(found));
  references_.check(arguments).value();
  return arguments;
}

void Owner::prepare(const std::shared_ptr<OwnedWork>& work) try {
  if (work->portable) work->need_encoded().arguments = encode_arguments(*work);
} catch (const Error& error) {
  auto info = error.info();
  if (info.where.empty()) info.where = "the arguments of " + *work->name();
  throw_error(std::move(info));
}

void Owner::submit(std::shared_ptr<TaskRecord> record, std::shared_ptr<const TaskOptions> options, bool nested) {
  static const auto& kDefaultValues = *new TaskOptions;
  static const std::shared_ptr<const TaskOptions> kDefaults(std::shared_ptr<const void>(), &kDefaultValues);  // counts nothing
  bin_.wait_for_room();
  auto task = make_pooled<OwnedTask>();
  task->options = options ? with_absolute_log(std::move(options)) : kDefaults;
  task->record = std::move(record);
  const bool own_process = task->options->isolation == Isolation::kOwnProcess;
  if (task->options != kDefaults || !defaults_fit_.load(std::memory_order_relaxed)) {
    check(*task->options, *task->name());
    check_times(*task->options, *task->name());
    if (task->options == kDefaults) defaults_fit_ = true;
  }
  task->portable = options_.portable || own_process;
  task->id = ids_.next<TaskId>();
  task->nested = nested;
  task->max_retries = task->options->max_retries;
  task->backs_off = task->options->backoff.initial > std::chrono::nanoseconds(0);
  if (const auto* slot = CancelSlot::submitting()) task->parent = slot->id();
  const bool alone = own_process || (options_.portable && task->options->num_gpus > Amount(0));
  name_producer(*task->record, alone ? Cell::Producer::kOwnProcessTask : Cell::Producer::kTask, task->id);
  if (fail_at_once(*task)) return;
  prepare(task);
  const auto pending = pending_arguments(*task);
  task->unresolved = static_cast<std::uint32_t>(pending.size());
  counts_.submitted();
  task->charged_bytes = bytes_of(*task);
  queued_bytes_.fetch_add(task->charged_bytes, std::memory_order_relaxed);
  const auto its_options = task->options;
  const auto id = task->id;
  auto watched = pending.empty() ? nullptr : task;
  std::weak_ptr<const OwnedWork> limited;
  if (its_options->deadline > std::chrono::nanoseconds(0)) limited = task;
  actor_->tell_with_next(Submitted{std::move(task)}, [this, nested, &its_options] {
    return !nested && saturated_.load(std::memory_order_relaxed) == its_options.get();
  });
  if (its_options->deadline > std::chrono::nanoseconds(0))
    if (const auto deadline = deadline_in(its_options->deadline))
      timer_.at(*deadline, [this, id] { actor_->tell(DeadlinePassed{id}); }, until_done(std::move(limited)));
  if (watched) watch_arguments(watched, pending);
}

/// Whoever starts a generator task knows of no actor.
void Owner::check_spawn(const OwnedConstructor& actor) const {
  const auto& options = *actor.options;
  const auto what = (options.of_stream ? "" : "actor ") + *actor.label;
  check(options, what);
  options.of_stream ? check_attempts(options.max_restarts, options.backoff, what) : check_actor(options, what);
}

std::shared_ptr<ActorLink> Owner::spawn(std::shared_ptr<TaskRecord> record, std::shared_ptr<const ActorOptions> options, ActorId actor) {
  if (stopped_) throw_error(*stopped_error());
  if (submits_in_vain(CancelSlot::submitting())) CancelSlot::check();
  auto constructor = std::make_shared<OwnedConstructor>();
  constructor->options = share_options(with_absolute_log(std::move(options)));
  const auto& label = constructor->options->label.empty() ? constructor->options->name : constructor->options->label;
  constructor->label = name_or(label, *record->function);
  constructor->record = std::move(record);
  const bool own_process = constructor->options->isolation == Isolation::kOwnProcess;
  check_spawn(*constructor);
  constructor->portable = options_.portable || own_process;
  constructor->id = ids_.next<TaskId>();
  constructor->actor = actor;
  constructor->named = !constructor->options->name.empty();
  prepare(constructor);
  const auto pending = pending_arguments(*constructor);
  constructor->unresolved = static_cast<std::uint32_t>(pending.size());
  counts_.actor_begun();
  auto link = std::make_shared<OwnedActorLink>(weak_from_this(), constructor->actor, constructor->label, constructor->portable,
                                               constructor->options);
  actor_->tell(Spawned{constructor});
  watch_arguments(constructor, pending);
  return link;
}

/// Actors of the same options, say a hundred thousand, have them once.
std::shared_ptr<const ActorOptions> Owner::share_options(std::shared_ptr<const ActorOptions> options) {
  std::lock_guard lock(actor_options_mutex_);
  if (!actor_options_ || *actor_options_ != *options) actor_options_ = std::move(options);
  return actor_options_;
}

void Owner::call(ActorId actor, std::shared_ptr<TaskRecord> record, std::shared_ptr<const CallOptions> options, bool portable,
                 bool holds_back) {
  if (stopped_) throw_error(*stopped_error());
  bin_.wait_for_room();
  const auto* parent = CancelSlot::submitting();
  if (submits_in_vain(parent)) CancelSlot::check();
  auto call = make_pooled<OwnedCall>();
  call->record = std::move(record);
  call->portable = portable;
  call->options = std::move(options);
  call->id = ids_.next<TaskId>();
  if (parent && !call->record->function->stream_of) call->parent = parent->id();  // a stream's items are its holder's, who may be another one later
  call->interleaves = call->record->asynchronous();
  call->holds_back = holds_back && !call->interleaves;
  name_producer(*call->record, Cell::Producer::kCall, call->id);
  call->actor = actor;
  if (fail_at_once(*call)) return;
  prepare(call);
  const auto pending = pending_arguments(*call);
  call->unresolved = static_cast<std::uint32_t>(pending.size());
  counts_.submitted();
  const bool usual = !call->options && !call->interleaves && pending.empty();
  auto watched = pending.empty() ? nullptr : call;
  // One of many in a row: they go to the actor in groups while this thread makes more, by the actor's thread when that is busy.
  if (calls_waiting_.load(std::memory_order_relaxed) < kManyCalls)
    actor_->tell(Called{std::move(call)});
  else if (usual && busy_actor_.load(std::memory_order_relaxed) == actor.value)
    actor_->tell_with_next(Called{std::move(call)}, [this, actor] { return busy_actor_.load(std::memory_order_relaxed) == actor.value; });
  else
    actor_->tell_in_background(Called{std::move(call)});
  if (watched) watch_arguments(watched, pending);
  if (submits_in_vain(parent)) cancel_children({parent->id()});  // cancelled in between
}

std::uint32_t Owner::shape_index(const OwnedTask& task) {
  if (task.options == last_options_ && task_table_.has_shape(last_shape_)) return last_shape_;
  last_options_ = task.options;
  last_shape_ = shape_index(shape_of(task), task.options);
  return last_shape_;
}

std::uint32_t Owner::shape_index(const core::TaskShape& shape, const std::shared_ptr<const TaskOptions>& options) {
  constexpr std::size_t kFew = 64;
  const auto index = task_table_.shape_index(shape);
  if (shape_options_.size() > kFew + 2 * task_table_.shapes())  // those of shapes that were forgotten
    std::erase_if(shape_options_, [this](const auto& each) { return !task_table_.has_shape(each.first); });
  shape_options_.try_emplace(index, options);
  return index;
}

/// A serial actor of this process with enough calls in hand, none of which lets the next one begin before it has ended: a further
/// call can only begin when one of them ends, which is told.
bool Owner::keeps_its_thread_busy(ActorId actor) const {
  if (!actor_table_.has_calls_in_a_row(actor, kManyCalls)) return false;
  const auto it = actors_.find(actor);
  const auto lease = leases_.find(actor_table_.lease_of(actor));
  if (it == actors_.end() || it->second->borrow || lease == leases_.end() || lease->second.worker != router_.self()) return false;
  return it->second->options->max_concurrency <= 1 && it->second->options->concurrency_groups.empty();
}

void Owner::tell_submitters() {
  saturated_.store(last_options_ && task_table_.saturated(last_shape_) ? last_options_.get() : nullptr, std::memory_order_relaxed);
  calls_waiting_.store(calls_.size(), std::memory_order_relaxed);
  busy_actor_.store(last_called_ && keeps_its_thread_busy(last_called_) ? last_called_.value : 0, std::memory_order_relaxed);
}

void Owner::drop_result(const wire::Outcome& outcome) {
  if (auto* value = std::get_if<wire::Value>(&outcome.result); value && value->stored) store_.free(value->stored);
  for (const auto& value : outcome.more)
    if (value.stored) store_.free(value.stored);
}

void Owner::dropped(ActorId actor, const std::string& name) {
  if (!name.empty()) free_name(actor, name);
  actor_->tell(Dropped{actor});
}
void Owner::kill(ActorId actor, const std::string& name) {
  if (!name.empty()) free_name(actor, name);
  actor_->tell(Killed{actor});
}
void Owner::deliver(wire::Message message) {
  if (auto* tasks = std::get_if<wire::TasksDone>(&message))
    actor_->tell(std::move(*tasks));
  else if (auto* calls = std::get_if<wire::ActorDone>(&message))
    actor_->tell(std::move(*calls));
  else if (auto* granted = std::get_if<wire::LeaseGranted>(&message))
    actor_->tell(std::move(*granted));
  else if (auto* created = std::get_if<wire::ActorCreated>(&message))
    actor_->tell(make_pooled<wire::ActorCreated>(std::move(*created)));
  else
    actor_->tell(std::make_unique<wire::Message>(std::move(message)));
}

void Owner::stop() {
  stopped_ = true;
  actor_->tell(Stop{.everything = false});
}

/// On a machine that is overloaded the last events may not have been handled: nobody may wait for ever for what they would have ended.
void Owner::end() {
  timer_.stop();
  const auto unhandled = actor_->stop();
  const auto leave = [this](OwnedWork& work) {
    if (work.record && work.record->result) work.record->result->set_error(stopped_error());  // of no effect where it is settled
    throw_away_left(work);
  };
  for (const auto& event : unhandled) {
    if (const auto* submitted = std::get_if<Submitted>(&event)) leave(*submitted->task);
    if (const auto* called = std::get_if<Called>(&event)) leave(*called->call);
    if (const auto* spawned = std::get_if<Spawned>(&event)) leave(*spawned->constructor);
  }
  for (const auto& [id, task] : tasks_) leave(*task);
  for (const auto& [id, call] : calls_) leave(*call);
  for (const auto& [id, actor] : actors_) leave(*actor);
  bin_.destroy(std::exchange(let_go_, {}));
}

void Owner::abandon() { actor_->tell(Stop{.everything = true}); }

std::string Owner::describe(const OwnedConstructor& actor) const {
  if (actor.borrow) return *actor.label;  // its owner's description
  return describe_actor(*actor.label, actor.actor);
}

}  // namespace manta::detail
