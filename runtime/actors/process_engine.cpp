#include "runtime/actors/process_engine.hpp"

#include "runtime/actors/borrowed_link.hpp"
#include "runtime/base/log.hpp"

namespace manta::detail {

namespace {

Work work_of(wire::Task task) {
  Work work{.id = task.id, .name = std::make_shared<const std::string>(task.name), .attempt = static_cast<int>(task.attempt)};
  work.encoded = std::make_unique<wire::Task>(std::move(task));
  return work;
}

std::vector<Work> work_of(std::vector<wire::Task> tasks) {
  std::vector<Work> work;
  work.reserve(tasks.size());
  for (auto& task : tasks) work.push_back(work_of(std::move(task)));
  return work;
}

/// Of all Runtimes of a program: what one is asked about another one's tasks and objects it does not find, instead of one of its own.
IdSource& driver_ids() {
  static IdSource ids(kNodeProcess);
  return ids;
}

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
         std::holds_alternative<wire::ReferenceUpdates>(message) || std::holds_alternative<wire::ObjectSettled>(message) ||
         std::holds_alternative<wire::ActorRequest>(message) || std::holds_alternative<wire::ActorPlace>(message) ||
         std::holds_alternative<wire::ActorLent>(message) || std::holds_alternative<wire::ExplainRequest>(message) ||
         std::holds_alternative<wire::ExplainReply>(message);
}

struct ProcessEngine::System {
  struct Config : caf::actor_system_config {
    Config() { load<ElasticScheduler>(); }
  };
  Config config;
  caf::actor_system system{config};
};

ProcessEngine::ProcessEngine(ProcessId self, Resources total, std::uint64_t inline_bytes, bool portable, QueueLimits queue_limits)
    : self_(self), total_(std::move(total)), portable_(portable), queue_limits_(queue_limits), own_ids_(self),
      ids_(self == kNodeProcess ? driver_ids() : own_ids_),
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
  {
    const NoLoggerLeft guard;
    system_ = std::make_unique<System>();
  }
  auto& scheduler = ElasticScheduler::of(system());
  scheduler.begin();
  scheduler.set_parallelism(parallelism);
  lane_ = std::make_unique<Lane>(2);
  bin_ = std::make_unique<Bin>(*lane_);
  callbacks_ = std::make_shared<Lane>(1);
  remote_explain_ = std::make_unique<RemoteExplain>(*this, *lane_, [this](core::ReferenceId id, ProcessId reader) { return explain_lent(id, reader); });
  references_ = std::make_shared<ReferenceKeeper>(self_, ids_, *this, *store_, *lane_, environment_.inline_bytes,
                                                  [this](const wire::Reference& reference, std::shared_ptr<ReferenceKeeper::Borrow> borrow) {
                                                    return std::make_shared<BorrowedLink>(owner_, reference, std::move(borrow));
                                                  });
  environment_.references = references_.get();
  host_ = std::make_unique<WorkerHost>(system(), environment_);
  lineage_ = std::make_shared<Lineage>(
      lineage_bytes, Lineage::Hooks{.submit =
                                        [engine = weak_from_this(), gate = gate_](std::shared_ptr<OwnedTask> task) {
                                          const UseGate::Use use(*gate);
                                          const auto alive = engine.lock();
                                          if (use && alive) return alive->owner_->resubmit(std::move(task));
                                          task->record->result->set_error(stopped_error());
                                          if (task->record->more)
                                            for (const auto& each : *task->record->more) each->set_error(stopped_error());
                                        },
                                    .wait =
                                        [engine = weak_from_this()](Cell& cell, Deadline deadline) {
                                          auto alive = engine.lock();
                                          return !alive || alive->wait(cell, deadline);
                                        },
                                    .post =
                                        [engine = weak_from_this(), gate = gate_](std::function<void()> job) {
                                          const UseGate::Use use(*gate);
                                          const auto alive = engine.lock();
                                          use && alive ? alive->lane_->post(std::move(job)) : job();  // at the end it fails what waits for it
                                        }});
  owner_ = std::make_shared<Owner>(system(), ids_, *this, *host_, *store_, *lane_, *bin_, *references_, *lineage_,
                                   Owner::Options{.portable = portable_, .total = total_, .inline_bytes = environment_.inline_bytes,
                                                  .max_queued_bytes = queue_limits_.bytes, .gate = gate_});
  waits_ = std::make_unique<ActorWaits>(*this);
  coroutine_waits_ = std::make_unique<CoroutineWaits>(long_wait(), [this](const std::string& name, Cell& awaited) { log_wait(name, awaited); });
  environment_.coroutine_waits = coroutine_waits_.get();
  named_ = std::make_unique<NamedActors>(ids_, *this, *owner_, *references_,
                                         [this](wire::NameRequest request) { return ask_directory(std::move(request)); },
                                         [this](Cell& cell, Deadline deadline) { return wait(cell, deadline); });
}

RuntimeStats ProcessEngine::own_stats() const {
  const auto references = references_->counts();
  const auto unfinished = owner_->unfinished();
  return {.unfinished = unfinished.submitted, .queued_bytes = owner_->queued_bytes(), .actors = unfinished.actors, .lent_objects = references.lent,
          .borrowed_objects = references.borrowed, .lineage_bytes = lineage_->bytes()};
}

void ProcessEngine::submit(std::shared_ptr<TaskRecord> record, std::shared_ptr<const TaskOptions> options) {
  const auto* parent = CancelSlot::submitting();
  if (parent && parent->cancelled_with_children()) CancelSlot::check();
  if (!owner_->has_room()) await_room(*record);
  owner_->submit(std::move(record), std::move(options), Executor::current() || Executor::HelperThread::current());
  if (parent && parent->cancelled_with_children()) owner_->cancel_children({parent->id()});  // cancelled in between
}

std::shared_ptr<ActorLink> ProcessEngine::spawn(std::shared_ptr<TaskRecord> constructor,
                                                std::shared_ptr<const ActorOptions> options, const FunctionEntry& type) {
  if (options->name.empty() || options->detached) return owner_->spawn(std::move(constructor), std::move(options), ids_.next<ActorId>());
  return named_->spawn(std::move(constructor), std::move(options), type);
}

void ProcessEngine::await_room(const TaskRecord& record) {
  const auto deadline = deadline_in(queue_limits_.timeout);
  auto& word = owner_->room_word();
  while (true) {
    const auto seen = word.load(std::memory_order_acquire);
    if (owner_->has_room()) return;
    if (!wait_while(word, seen, deadline, {})) break;
  }
  throw_error({.code = ErrorCode::kResourceExhausted,
               .message = "its submitter's tasks that are not done fill " + std::to_string(queue_limits_.bytes >> 10) +
                          " KiB, and no room came within " + std::to_string(queue_limits_.timeout.count()) +
                          " ms: submit fewer at once and get some first, or raise RuntimeOptions::max_queued_bytes",
               .where = *shared_name(*record.function)});
}
std::shared_ptr<ActorLink> ProcessEngine::find_actor(const std::string& name, const FunctionEntry& type) { return named_->find(name, type); }

void ProcessEngine::cancel(Cell& cell, const CancelOptions& options) {
  if (const UseGate::Use use(*gate_); use && owner_) owner_->cancel(cell, options);  // after the end of the runtime everything is settled
}

void ProcessEngine::give_up(Cell& cell) {
  if (const UseGate::Use use(*gate_); use && owner_) owner_->give_up(cell);
}

GroupHandle ProcessEngine::place_group(std::shared_ptr<const PlacementGroupOptions> options) {
  const UseGate::Use use(*gate_);
  use.need();
  return placements_.place(std::move(options));
}

std::shared_ptr<Cell> ProcessEngine::watch_group(GroupId group) {
  const UseGate::Use use(*gate_);
  use.need();
  return placements_.watch(group);
}

void ProcessEngine::remove_group(GroupId group) {
  gate_->need_own_process();
  if (const UseGate::Use use(*gate_); use) placements_.remove(group);
}

std::vector<GroupHandle> ProcessEngine::find_groups(const std::string& name) {
  const UseGate::Use use(*gate_);
  use.need();
  return placements_.find(name);
}

bool ProcessEngine::run_awaited(Executor& waiter, Cell& cell) {
  constexpr std::size_t kManyThreads = 64;
  const bool crowded = ElasticScheduler::of(system()).thread_count() >= kManyThreads;
  if (portable_ && !crowded) return false;  // in a worker process its crash would be the waiting task's
  while (!cell.settled() && cell.producer_kind() == Cell::Producer::kTask && JoinedTask::stack_has_room()) {
    CancelSlot::check();
    auto joined = std::make_shared<JoinedTask>(environment_, waiter, crowded ? JoinedTask::Choice::kAny : JoinedTask::Choice::kShort);
    owner_->join(TaskId{cell.producer()}, joined);
    if (!joined->granted()) break;
    wire::TasksDone done{.lease = waiter.held().id};
    auto outcome = joined->run();
    waiter.joined(outcome.nanoseconds);
    Outcomes outcomes;
    outcomes.add(std::move(outcome), true);
    outcomes.move_to(done);
    owner_->deliver(std::move(done));  // an error is in the cell after that, or the task is ready once more
    CancelSlot::check();
  }
  return cell.settled();
}

void ProcessEngine::send(ProcessId to, wire::Message message) {
  to == self_ ? deliver(self_, std::move(message)) : send_remote(to, message);
}

void ProcessEngine::deliver(ProcessId from, wire::Message message) {
  const ControlSection section(*bin_);
  if (auto* run = std::get_if<wire::RunTasks>(&message)) {
    references_->incoming(run->tasks, from);
    host_->run(from, run->lease, work_of(std::move(run->tasks)));
  } else if (auto* create = std::get_if<wire::CreateActor>(&message)) {
    references_->incoming(create->constructor, from);
    auto work = work_of(std::move(create->constructor));
    host_->create(from, create->actor, create->lease, std::move(work), std::move(create->concurrency));
  } else if (auto* call = std::get_if<wire::CallActor>(&message)) {
    references_->incoming(call->calls, from);
    auto work = work_of(std::move(call->calls));
    for (auto& each : work) each.caller = from;
    host_->call(call->actor, std::move(work));
  } else if (auto* destroy = std::get_if<wire::DestroyActor>(&message)) {
    if (auto running = host_->destroy(destroy->actor, destroy->kill); !running.empty()) owner_->cancel_children(std::move(running));
  } else if (auto* cancel = std::get_if<wire::CancelWork>(&message)) {
    const bool of_all = !cancel->lease && !cancel->actor;
    if (!of_all) {
      host_->cancel(from, *cancel);
      if (cancel->recursive) owner_->cancel_children(std::move(cancel->tasks));
    } else if (self_ != kNodeProcess && !environment_.stopping.exchange(true)) {  // the node's process knows by itself
      owner_->stop();
    }
  } else if (auto* gone = std::get_if<wire::OwnerGone>(&message)) {
    if (auto running = host_->drop_owner(gone->owner); !running.empty()) owner_->cancel_children(std::move(running));
    references_->process_gone(gone->owner);
    owner_->process_gone(gone->owner);
    named_->process_gone(gone->owner);
  } else if (auto* request = std::get_if<wire::ActorRequest>(&message)) {
    request->operation == wire::ActorOperation::kLend ? named_->lend(from, *request) : owner_->deliver(from, *request);
  } else if (auto* place = std::get_if<wire::ActorPlace>(&message)) {
    owner_->deliver(from, std::move(*place));
  } else if (auto* found = std::get_if<wire::DeadlockFound>(&message)) {
    if (from == kNodeProcess) ActorWaits::is_question(*found) ? confirm_later(*found) : waits_->deliver(*found);
  } else if (auto* lent = std::get_if<wire::ActorLent>(&message)) {
    named_->deliver(from, std::move(*lent));
  } else if (auto* updates = std::get_if<wire::ReferenceUpdates>(&message)) {
    references_->deliver(from, *updates);
  } else if (auto* settled = std::get_if<wire::ObjectSettled>(&message)) {
    references_->deliver(from, std::move(*settled));
  } else if (auto* question = std::get_if<wire::ExplainRequest>(&message)) {
    remote_explain_->serve(from, *question);
  } else if (auto* explained = std::get_if<wire::ExplainReply>(&message)) {
    remote_explain_->deliver(std::move(*explained));
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

/// Behind what lies in the owner's inbox: the answer that ends the wait may be there.
void ProcessEngine::confirm_later(const wire::DeadlockFound& question) {
  class Confirm final : public Cell::Waiter {
   public:
    Confirm(ActorWaits& waits, const wire::DeadlockFound& question) : waits_(waits), question_(question) {}
    void settled() override { waits_.deliver(question_); }

   private:
    ActorWaits& waits_;
    const wire::DeadlockFound question_;
  };
  const auto taken_in = std::make_shared<Promise<std::uint64_t>>();
  taken_in->ref().cell()->on_settled(std::make_shared<Confirm>(*waits_, question));
  owner_->ask_target({}, taken_in);
}

bool ProcessEngine::finish_work(SteadyClock::time_point deadline) {
  environment_.stopping = true;
  owner_->stop();
  while (owner_->unfinished().all() > 0 || !host_->idle()) {
    if (SteadyClock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

void ProcessEngine::abandon_work() {
  owner_->abandon();
  // First all refs say RuntimeStopped; then what only waits is told that nobody wants it any more.
  for (int i = 0; i < 500 && owner_->unfinished().submitted > 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  environment_.abandoned = true;
  static_cast<void>(host_->drop_owner(self_));  // of what these had submitted, nothing is left
}

void ProcessEngine::end_system(bool idle) {
  if (!system_) return;
  if (!idle) {
    // User code still runs on the pool's threads and cannot be stopped from outside: what it stands on stays.
    log(LogLevel::kWarning, "code of tasks or callbacks still runs at the end of the runtime; it is left behind until the process ends");
    keep_for_ever(shared_from_this());
    return;
  }
  references_->close();
  bin_->close();
  lane_.reset();
  for (int i = 0; i < 1000 && owner_.use_count() > 1; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // who came too late has it for a moment
  owner_.reset();
  host_.reset();
  system_.reset();
}

}  // namespace manta::detail
