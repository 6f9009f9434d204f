// How threads wait for what is not there yet: asleep, or running the loop that brings it, with their CPUs lent.
#include "runtime/actors/process_engine.hpp"
#include "runtime/base/spin.hpp"

namespace manta::detail {

namespace {

/// While it lives, this thread waits: its task's CPUs and its place in the pool go to others.
class Blocked {
 public:
  Blocked() : executor_(Executor::current()), helper_(executor_ ? nullptr : Executor::HelperThread::current()) {
    Reactor::stand_back();
    if (executor_) executor_->set_blocked(true);
    if (helper_) helper_->set_blocked(true);
    section_.emplace();
  }
  ~Blocked() {
    section_.reset();
    if (executor_) executor_->set_blocked(false);
    if (helper_) helper_->set_blocked(false);
  }

 private:
  Executor* executor_;
  Executor::HelperThread* helper_;
  std::optional<ElasticScheduler::BlockedSection> section_;
};

/// Wakes one thread when enough of several cells are settled, or one has failed. The thread sleeps, or meanwhile runs the loop
/// that brings the results.
class Gathering final : public Cell::Waiter {
 public:
  Gathering(std::size_t missing, bool fail_fast, std::shared_ptr<Reactor> loop = nullptr)
      : missing_(static_cast<std::int64_t>(missing)), fail_fast_(fail_fast), loop_(std::move(loop)) {
    if (loop_) loop_->begin_wait();
  }
  ~Gathering() override { end_wait(); }
  void settled() override {
    if (--missing_ <= 0) finish();
  }
  void finish() {
    end_wait();
    done_.store(kDone);
    if (in_loop_)
      loop_->nudge();
    else
      futex_wake_all(done_);
  }
  bool loop_is_free() const { return loop_ && loop_->lies_free(); }
  /// Waits by running the loop; false when it is not free.
  bool run_loop(Deadline deadline) {
    if (!loop_) return false;
    in_loop_ = true;
    const bool over = loop_->run_until([this] { return done_.load() != kWaits; }, deadline);
    in_loop_ = false;
    return over;
  }
  bool fail_fast() const { return fail_fast_; }
  bool done() const {  // by a cancel too, which leaves a value of its own
    const auto seen = done_.load(std::memory_order_acquire);
    return seen != kWaits && seen != kNudged;
  }
  bool wait(Deadline deadline) {
    return wait_or(deadline, [] { return false; });
  }
  /// Sleeps until it is done or `other()` holds, which is looked at again after a nudge; false at the deadline.
  template <class Other>
  bool wait_or(Deadline deadline, Other&& other) {
    while (true) {
      if (auto seen = done_.load(std::memory_order_acquire); seen == kNudged) done_.compare_exchange_strong(seen, kWaits);
      if (done() || other()) return true;
      CancelSlot::Sleep sleep(done_, kWaits);  // each time anew: a cancel is not seen in the word while that is nudged
      while (done_.load(std::memory_order_acquire) == kWaits)
        if (!futex_wait(done_, kWaits, deadline)) return done() || other();
    }
  }
  /// Writes also where it has been nudged already: what made `other()` hold is seen with what is read last.
  void nudge() {
    auto seen = done_.load(std::memory_order_relaxed);
    while (seen == kWaits || seen == kNudged)
      if (done_.compare_exchange_weak(seen, kNudged)) return futex_wake_all(done_);
  }

 private:
  static constexpr std::uint32_t kWaits = 0, kDone = 1, kNudged = 2;
  void end_wait() {
    if (loop_ && counted_.exchange(false)) loop_->end_wait();
  }
  std::atomic<std::int64_t> missing_;
  const bool fail_fast_;
  const std::shared_ptr<Reactor> loop_;
  std::atomic<bool> counted_{true};  // among those that wait for the loop
  std::atomic<bool> in_loop_{false};
  std::atomic<std::uint32_t> done_{kWaits};
};

/// Wakes the thread of a gathering for a look at something else.
class Nudge final : public Cell::Waiter {
 public:
  explicit Nudge(std::shared_ptr<Gathering> gathering) : gathering_(std::move(gathering)) {}
  void settled() override { gathering_->nudge(); }

 private:
  std::shared_ptr<Gathering> gathering_;
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

/// What was left with cells by a wait; taken back when it ends, however that is.
class Registrations {
 public:
  explicit Registrations(std::size_t count) { all_.reserve(count); }
  ~Registrations() {
    for (auto& [cell, waiter] : all_) cell->forget(waiter->whose());
  }
  Registrations(const Registrations&) = delete;
  void add(Cell* cell, std::shared_ptr<Cell::Waiter> waiter) {
    all_.emplace_back(cell, waiter);
    cell->on_settled(std::move(waiter));
  }

 private:
  std::vector<std::pair<Cell*, std::shared_ptr<Cell::Waiter>>> all_{};
};

/// Takes out the cells that have settled; true when one of them failed.
bool drop_settled(std::vector<Cell*>& pending) {
  bool failed = false;
  std::erase_if(pending, [&](Cell* cell) { return cell->settled() && (failed |= cell->failed(), true); });
  return failed;
}

/// The one that has not settled; null when there are more, or none.
Cell* only_pending(std::span<Cell* const> cells) {
  Cell* only = nullptr;
  for (auto* cell : cells)
    if (!cell->settled() && cell != only && std::exchange(only, cell)) return nullptr;
  return only;
}

/// A method of an actor that runs one call at a time waits for all of several cells. When that takes long, it may be for ever: the node
/// is told of one call among them; when that has come, and the rest takes long again, of the next. So of methods that wait for one another
/// for ever, each is told of in the end, by a call that never comes, and they have a cycle.
class CycleWatch {
 public:
  /// All must outlive it. `gathering`: of the cells.
  CycleWatch(ActorWaits& waits, Owner& owner, const Executor& waiter, std::span<Cell* const> cells, const std::shared_ptr<Gathering>& gathering)
      : waits_(waits), owner_(owner), waiter_(waiter), cells_(cells), gathering_(gathering) {}

  /// False at the deadline; may be called again. Throws DeadlockDetected.
  bool sleep(Deadline deadline) {
    while (true) {
      const auto late = SteadyClock::now() + ActorWaits::kLongWait;
      if (deadline && *deadline <= late) return gathering_->wait(deadline);
      if (gathering_->wait(late)) return true;
      while (next_ < cells_.size() && (cells_[next_]->settled() || cells_[next_]->producer_kind() != Cell::Producer::kCall)) ++next_;
      if (next_ == cells_.size()) return gathering_->wait(deadline);
      if (!watch(*cells_[next_], deadline)) return gathering_->done();
      ++next_;
    }
  }

 private:
  /// Until the call has come, the whole wait is over, or nothing can be said of the call; false at the deadline.
  bool watch(Cell& call, Deadline deadline) {
    const auto told = std::make_shared<Promise<std::uint64_t>>();
    owner_.ask_target(TaskId{call.producer()}, told);
    const auto answer = told->ref().cell();
    if (!either(call, *answer, deadline)) return false;
    if (call.settled() || gathering_->done() || answer->failed()) return true;
    const ActorId target{*std::static_pointer_cast<const std::uint64_t>(answer->value())};
    if (!target) return true;
    const ActorWaits::Wait wait(waits_, waiter_.serial_actor(), waiter_.running_name(), target, [&] { return call.settled() || gathering_->done(); });
    if (!either(call, *wait.alarm(), deadline)) return false;
    if (!call.settled() && !gathering_->done()) throw_error(*wait.alarm()->error());
    return true;
  }
  /// Until one of them is settled, or the whole wait is over; false at the deadline.
  bool either(Cell& one, Cell& other, Deadline deadline) {
    const auto nudge = std::make_shared<Nudge>(gathering_);
    Registrations registered(2);
    registered.add(&one, nudge);
    registered.add(&other, nudge);
    return gathering_->wait_or(deadline, [&] { return one.settled() || other.settled(); });
  }

  ActorWaits& waits_;
  Owner& owner_;
  const Executor& waiter_;
  const std::span<Cell* const> cells_;
  const std::shared_ptr<Gathering> gathering_;
  std::size_t next_ = 0;  // those before it need no look any more
};

}  // namespace

template <class Sleep>
bool ProcessEngine::sleep_and_explain(std::span<Cell* const> cells, Deadline deadline, Sleep&& sleep) {
  const auto late = SteadyClock::now() + long_wait();
  if (deadline && *deadline <= late) return sleep(deadline);
  if (sleep(late)) return true;
  constexpr std::chrono::seconds kSoon{10};  // then the Timeout says why, and is not to be late for this
  const auto* slot = CancelSlot::current();
  if ((!slot || !slot->cancelled()) && (!deadline || *deadline > SteadyClock::now() + kSoon)) log_wait(cells);
  return sleep(deadline);
}

bool ProcessEngine::wait(Cell& cell, Deadline deadline) {
  if (cell.settled()) return true;
  gate_->need_own_process();
  cell.demand();
  auto* executor = Executor::current();
  if (executor && !deadline && run_awaited(*executor, cell)) return true;
  auto loop = links_loop();
  if (!loop && spin_until([&] { return cell.settled(); })) return true;
  const bool may_be_in_cycle = executor && !deadline && executor->serial_actor();
  if (loop || CancelSlot::current() || may_be_in_cycle) {  // a sleep on the cell's own word could not be ended by a cancel
    Cell* one = &cell;
    return wait_some(std::span(&one, 1), 1, deadline, false);
  }
  Blocked blocked;
  Cell* one = &cell;
  return sleep_and_explain(std::span(&one, 1), deadline, [&cell](Deadline until) { return cell.wait(until); });
}

bool ProcessEngine::wait_while(std::atomic<std::uint32_t>& word, std::uint32_t value, Deadline deadline, std::span<Cell* const> cells) {
  auto changed = [&] { return word.load(std::memory_order_acquire) != value; };
  if (!changed()) gate_->need_own_process();
  if (auto loop = changed() ? nullptr : links_loop()) loop->take_back();  // it is not run here
  if (spin_until(changed)) return true;
  const auto sleep_until = [&](Deadline end) {
    bool in_time = true;
    {
      CancelSlot::check();
      Blocked blocked;
      in_time = sleep_and_explain(cells, end, [&](Deadline until) {
        CancelSlot::Sleep sleep(word, value);
        while (!changed())
          if (!futex_wait(word, value, until)) return changed();
        return true;
      });
    }
    CancelSlot::check();
    return in_time;
  };
  if (const auto* executor = Executor::current(); executor && !deadline && !cells.empty() && executor->serial_actor()) {
    if (sleep_until(SteadyClock::now() + ActorWaits::kLongWait)) return true;
    if (auto* last = only_pending(cells); last && last->producer_kind() == Cell::Producer::kCall) wait(*last, {});  // it sees a cycle
  }
  return sleep_until(deadline);
}

bool ProcessEngine::wait_some(std::span<Cell* const> cells, std::size_t count, Deadline deadline, bool fail_fast) {
  std::vector<Cell*> pending;
  for (auto* cell : cells) {
    if (!cell->settled())
      pending.push_back(cell);
    else if (fail_fast && cell->failed())
      return true;
  }
  if (cells.size() - pending.size() >= count) return true;
  gate_->need_own_process();
  constexpr std::size_t kFew = 4;  // more go faster by workers, which take them in groups
  auto* const executor = count == cells.size() && !deadline ? Executor::current() : nullptr;
  if (executor && pending.size() <= kFew) {
    for (auto* cell : pending) {
      if (cell->producer_kind() == Cell::Producer::kTask) run_awaited(*executor, *cell);
      if (fail_fast && cell->settled() && cell->failed()) return true;  // the next one may take long
    }
    if (drop_settled(pending) && fail_fast) return true;
  }
  // All are wanted, so mostly the last one: when that is there, so are nearly all others, and a look at each costs
  // nanoseconds where a registration costs ten times as much. Not for long, as one before it may fail.
  while (count == cells.size() && pending.size() > 1) {
    const auto slice = SteadyClock::now() + std::chrono::milliseconds(1);
    const bool there = wait(*pending.back(), deadline ? std::min(*deadline, slice) : slice);
    if (drop_settled(pending) && fail_fast) return true;
    if (!there) break;
  }
  if (pending.empty()) return true;
  const auto ready = cells.size() - pending.size();
  const bool may_be_in_cycle = executor && executor->serial_actor();
  auto gathering = std::make_shared<Gathering>(count - ready, fail_fast, CancelSlot::current() || may_be_in_cycle ? nullptr : links_loop());
  Registrations registered(pending.size());
  for (auto* cell : pending)
    registered.add(cell, fail_fast ? std::shared_ptr<Cell::Waiter>(std::make_shared<FailureWatch>(gathering, cell)) : gathering);
  bool in_time = !gathering->loop_is_free() && spin_until([&] { return gathering->done(); });
  const auto* slot = in_time ? nullptr : CancelSlot::current();
  if (!in_time && !(slot && slot->cancelled())) {
    Blocked blocked;
    std::optional<CycleWatch> watch;
    if (may_be_in_cycle) watch.emplace(*waits_, *owner_, *executor, pending, gathering);
    in_time = sleep_and_explain(pending, deadline, [&](Deadline until) {
      return watch ? watch->sleep(until) : gathering->run_loop(until) || gathering->wait(until);
    });
  }
  if (slot) CancelSlot::check();
  return in_time;
}

}  // namespace manta::detail
