#include "runtime/actors/process_engine.hpp"

#include "runtime/base/log.hpp"
#include "runtime/base/spin.hpp"

namespace manta::detail {

namespace {

Work work_of(wire::Task task) {
  return {.id = task.id, .name = std::make_shared<const std::string>(task.name), .attempt = static_cast<int>(task.attempt),
          .encoded = std::move(task)};
}

std::vector<Work> work_of(std::vector<wire::Task> tasks) {
  std::vector<Work> work;
  work.reserve(tasks.size());
  for (auto& task : tasks) work.push_back(work_of(std::move(task)));
  return work;
}

/// While it lives, this thread waits: its task's CPUs and its place in the pool go to others.
class Blocked {
 public:
  Blocked() : executor_(Executor::current()) {
    if (executor_) executor_->set_blocked(true);
    section_.emplace();
  }
  ~Blocked() {
    section_.reset();
    if (executor_) executor_->set_blocked(false);
  }

 private:
  Executor* executor_;
  std::optional<ElasticScheduler::BlockedSection> section_;
};

/// Wakes one thread when enough of several cells are settled, or one has failed.
class Gathering final : public Cell::Waiter {
 public:
  Gathering(std::size_t missing, bool fail_fast) : missing_(static_cast<std::int64_t>(missing)), fail_fast_(fail_fast) {}
  void settled() override {
    if (--missing_ <= 0) finish();
  }
  void finish() {
    done_.store(1, std::memory_order_release);
    futex_wake_all(done_);
  }
  bool fail_fast() const { return fail_fast_; }
  bool done() const { return done_.load(std::memory_order_acquire) != 0; }
  bool wait(Deadline deadline) {
    CancelSlot::Sleep sleep(done_, 0);
    while (!done())
      if (!futex_wait(done_, 0, deadline)) return done();
    return true;
  }

 private:
  std::atomic<std::int64_t> missing_;
  const bool fail_fast_;
  std::atomic<std::uint32_t> done_{0};
};

/// One cell's share in a gathering that ends at the first failure.
class FailureWatch final : public Cell::Waiter {
 public:
  FailureWatch(std::shared_ptr<Gathering> gathering, Cell* cell) : gathering_(std::move(gathering)), cell_(cell) {}
  void settled() override { cell_->failed() ? gathering_->finish() : gathering_->settled(); }

 private:
  std::shared_ptr<Gathering> gathering_;
  Cell* cell_;
};

/// Not destroyed at exit either, but reachable, so that it does not count as a leak.
void keep_for_ever(std::shared_ptr<ProcessEngine> engine) {
  static std::mutex mutex;
  static auto* kept = new std::vector<std::shared_ptr<ProcessEngine>>;
  std::lock_guard lock(mutex);
  kept->push_back(std::move(engine));
}

}  // namespace

bool may_come_from_a_worker(const wire::Message& message) {
  return std::holds_alternative<wire::RunTasks>(message) || std::holds_alternative<wire::TasksDone>(message) ||
         std::holds_alternative<wire::CreateActor>(message) || std::holds_alternative<wire::ActorCreated>(message) ||
         std::holds_alternative<wire::CallActor>(message) || std::holds_alternative<wire::ActorDone>(message) ||
         std::holds_alternative<wire::DestroyActor>(message) || std::holds_alternative<wire::ActorDestroyed>(message) ||
         std::holds_alternative<wire::CancelWork>(message) ||
         std::holds_alternative<wire::ReferenceUpdates>(message) || std::holds_alternative<wire::ObjectSettled>(message);
}

struct ProcessEngine::System {
  struct Config : caf::actor_system_config {
    Config() { load<ElasticScheduler>(); }
  };
  Config config;
  caf::actor_system system{config};
};

ProcessEngine::ProcessEngine(ProcessId self, Resources total, std::uint64_t inline_bytes, bool portable, QueueLimits queue_limits)
    : self_(self), total_(std::move(total)), portable_(portable), queue_limits_(queue_limits), ids_(self),
      placements_(*this, ids_, total_) {
  environment_.inline_bytes = inline_bytes;
  environment_.router = this;
}

ProcessEngine::~ProcessEngine() = default;

caf::actor_system& ProcessEngine::system() { return system_->system; }

void ProcessEngine::begin(std::shared_ptr<StoreAccess> store, std::size_t parallelism, std::uint64_t lineage_bytes) {
  store_ = std::move(store);
  environment_.store = store_.get();
  environment_.engine = weak_from_this();
  system_ = std::make_unique<System>();
  ElasticScheduler::of(system()).set_parallelism(parallelism);
  lane_ = std::make_unique<Lane>(2);
  callbacks_ = std::make_shared<Lane>(1);
  references_ = std::make_shared<ReferenceKeeper>(self_, ids_, *this, *store_, *lane_, environment_.inline_bytes);
  environment_.references = references_.get();
  host_ = std::make_unique<WorkerHost>(system(), environment_);
  lineage_ = std::make_shared<Lineage>(
      lineage_bytes, Lineage::Hooks{.submit =
                                        [engine = weak_from_this()](std::shared_ptr<OwnedTask> task) {
                                          if (auto alive = engine.lock()) alive->owner_->resubmit(std::move(task));
                                        },
                                    .wait =
                                        [engine = weak_from_this()](Cell& cell) {
                                          if (auto alive = engine.lock()) alive->wait(cell, {});
                                        }});
  owner_ = std::make_shared<Owner>(system(), ids_, *this, *host_, *store_, *lane_, *references_, *lineage_,
                                   Owner::Options{.portable = portable_, .total = total_, .inline_bytes = environment_.inline_bytes,
                                                  .max_queued_bytes = queue_limits_.bytes});
}

RuntimeStats ProcessEngine::own_stats() const {
  const auto references = references_->counts();
  return {.unfinished = owner_->unfinished() - owner_->actors(), .actors = owner_->actors(), .lent_objects = references.lent,
          .borrowed_objects = references.borrowed, .lineage_bytes = lineage_->bytes()};
}

void ProcessEngine::submit(std::shared_ptr<TaskRecord> record, std::shared_ptr<const TaskOptions> options) {
  const auto* parent = CancelSlot::current();
  if (parent && parent->cancelled_with_children()) CancelSlot::check();
  if (!owner_->has_room()) await_room(*record);
  owner_->submit(std::move(record), std::move(options), Executor::current() != nullptr);
  if (parent && parent->cancelled_with_children()) owner_->cancel_children({parent->id()});  // cancelled in between
}

std::shared_ptr<ActorLink> ProcessEngine::spawn(std::shared_ptr<TaskRecord> constructor,
                                                std::shared_ptr<const ActorOptions> options) {
  return owner_->spawn(std::move(constructor), std::move(options));
}

void ProcessEngine::await_room(const TaskRecord& record) {
  const auto deadline = SteadyClock::now() + queue_limits_.timeout;
  auto& word = owner_->room_word();
  while (true) {
    const auto seen = word.load(std::memory_order_acquire);
    if (owner_->has_room()) return;
    if (!wait_while(word, seen, deadline)) break;
  }
  throw_error({.code = ErrorCode::kResourceExhausted,
               .message = "its submitter's tasks that are not done fill " + std::to_string(queue_limits_.bytes >> 10) +
                          " KiB, and no room came within " + std::to_string(queue_limits_.timeout.count()) +
                          " ms: submit fewer at once and get some first, or raise RuntimeOptions::max_queued_bytes",
               .where = *shared_name(*record.function)});
}

bool ProcessEngine::wait(Cell& cell, Deadline deadline) {
  if (!cell.settled()) cell.demand();
  if (spin_until([&] { return cell.settled(); })) return true;
  if (CancelSlot::current()) {  // a sleep on the cell's own word could not be ended by a cancel
    Cell* one = &cell;
    return wait_some(std::span(&one, 1), 1, deadline, false);
  }
  Blocked blocked;
  return cell.wait(deadline);
}

void ProcessEngine::cancel(Cell& cell, const CancelOptions& options) {
  if (owner_) owner_->cancel(cell, options);  // after the end of the runtime everything is settled
}

bool ProcessEngine::wait_while(std::atomic<std::uint32_t>& word, std::uint32_t value, Deadline deadline) {
  auto changed = [&] { return word.load(std::memory_order_acquire) != value; };
  if (spin_until(changed)) return true;
  bool in_time = true;
  {
    CancelSlot::check();
    Blocked blocked;
    CancelSlot::Sleep sleep(word, value);
    while (in_time && !changed()) in_time = futex_wait(word, value, deadline) || changed();
  }
  CancelSlot::check();
  return in_time;
}

void ProcessEngine::post_callback(std::function<void()> callback) {
  auto guarded = [callback = std::move(callback)] {
    try {
      callback();
    } catch (...) {
      log(LogLevel::kError, "a callback of on_ready threw: " + current_exception_info().message);
    }
  };
  std::shared_ptr<Lane> lane;
  {
    std::lock_guard lock(callbacks_mutex_);
    lane = callbacks_;
  }
  lane ? lane->post(std::move(guarded)) : guarded();
}

void ProcessEngine::end_callbacks() {
  std::shared_ptr<Lane> lane;
  {
    std::lock_guard lock(callbacks_mutex_);
    lane = std::exchange(callbacks_, nullptr);
  }
}

bool ProcessEngine::wait_some(std::span<Cell* const> cells, std::size_t count, Deadline deadline, bool fail_fast) {
  std::vector<Cell*> pending;
  for (auto* cell : cells) {
    if (!cell->settled())
      pending.push_back(cell);
    else if (fail_fast && cell->failed())
      return true;
  }
  const auto ready = cells.size() - pending.size();
  if (ready >= count) return true;
  auto gathering = std::make_shared<Gathering>(count - ready, fail_fast);
  std::vector<std::pair<Cell*, std::shared_ptr<Cell::Waiter>>> registered;
  registered.reserve(pending.size());
  for (auto* cell : pending) {
    std::shared_ptr<Cell::Waiter> waiter = gathering;
    if (fail_fast) waiter = std::make_shared<FailureWatch>(gathering, cell);
    registered.emplace_back(cell, waiter);
    cell->on_settled(std::move(waiter));
  }
  bool in_time = spin_until([&] { return gathering->done(); });
  const auto* slot = in_time ? nullptr : CancelSlot::current();
  if (!in_time && !(slot && slot->cancelled())) {
    Blocked blocked;
    in_time = gathering->wait(deadline);
  }
  for (auto& [cell, waiter] : registered) cell->forget(waiter.get());
  if (slot) CancelSlot::check();
  return in_time;
}

void ProcessEngine::send(ProcessId to, wire::Message message) {
  to == self_ ? deliver(self_, std::move(message)) : send_remote(to, message);
}

void ProcessEngine::deliver(ProcessId from, wire::Message message) {
  if (auto* run = std::get_if<wire::RunTasks>(&message)) {
    references_->incoming(run->tasks, from);
    host_->run(from, run->lease, work_of(std::move(run->tasks)));
  } else if (auto* create = std::get_if<wire::CreateActor>(&message)) {
    references_->incoming(create->constructor, from);
    auto work = work_of(std::move(create->constructor));
    host_->create(from, create->actor, create->lease, std::move(work), std::move(create->concurrency));
  } else if (auto* call = std::get_if<wire::CallActor>(&message)) {
    references_->incoming(call->calls, from);
    host_->call(call->actor, work_of(std::move(call->calls)));
  } else if (auto* destroy = std::get_if<wire::DestroyActor>(&message)) {
    host_->destroy(destroy->actor, destroy->kill);
  } else if (auto* cancel = std::get_if<wire::CancelWork>(&message)) {
    host_->cancel(from, *cancel);
    if (cancel->recursive) owner_->cancel_children(std::move(cancel->tasks));
  } else if (auto* gone = std::get_if<wire::OwnerGone>(&message)) {
    host_->drop_owner(gone->owner);
    references_->process_gone(gone->owner);
  } else if (auto* updates = std::get_if<wire::ReferenceUpdates>(&message)) {
    references_->deliver(from, *updates);
  } else if (auto* settled = std::get_if<wire::ObjectSettled>(&message)) {
    references_->deliver(from, std::move(*settled));
  } else if (auto* done = std::get_if<wire::TasksDone>(&message)) {
    references_->incoming(done->outcomes, from);
    owner_->deliver(std::move(message));
  } else if (auto* calls = std::get_if<wire::ActorDone>(&message)) {
    references_->incoming(calls->outcomes, from);
    owner_->deliver(std::move(message));
  } else if (auto* placed = std::get_if<wire::GroupPlaced>(&message)) {
    placements_.deliver(*placed);
  } else if (auto* groups = std::get_if<wire::Groups>(&message)) {
    placements_.deliver(std::move(*groups));
  } else if (std::holds_alternative<wire::LeaseGranted>(message) || std::holds_alternative<wire::LeaseRefused>(message) ||
             std::holds_alternative<wire::LeaseLost>(message) || std::holds_alternative<wire::ActorCreated>(message) ||
             std::holds_alternative<wire::ActorDestroyed>(message) || std::holds_alternative<wire::Orphans>(message) ||
             std::holds_alternative<wire::GroupRemoved>(message)) {
    owner_->deliver(std::move(message));
  } else {
    deliver_control(from, std::move(message));
  }
}

bool ProcessEngine::finish_work(SteadyClock::time_point deadline) {
  environment_.stopping = true;
  owner_->stop();
  while (owner_->unfinished() > 0 || !host_->idle()) {
    if (SteadyClock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

void ProcessEngine::abandon_work() { owner_->abandon(); }

void ProcessEngine::end_system(bool idle) {
  if (!system_) return;
  if (!idle) {
    // User code still runs on the pool's threads and cannot be stopped from outside: what it stands on stays.
    log(LogLevel::kWarning, "tasks are still running at the end of the runtime; they are left behind until the process ends");
    keep_for_ever(shared_from_this());
    return;
  }
  references_->close();
  lane_.reset();
  owner_.reset();
  host_.reset();
  system_.reset();
}

}  // namespace manta::detail
