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
    done_.store(1);
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
    const bool over = loop_->run_until([this] { return done_.load() != 0; }, deadline);
    in_loop_ = false;
    return over;
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
  void end_wait() {
    if (loop_ && counted_.exchange(false)) loop_->end_wait();
  }
  std::atomic<std::int64_t> missing_;
  const bool fail_fast_;
  const std::shared_ptr<Reactor> loop_;
  std::atomic<bool> counted_{true};  // among those that wait for the loop
  std::atomic<bool> in_loop_{false};
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

}  // namespace

template <class Sleep>
bool ProcessEngine::sleep_and_explain(std::span<Cell* const> cells, Deadline deadline, Sleep&& sleep) {
  const auto late = SteadyClock::now() + long_wait();
  if (deadline && *deadline <= late) return sleep(deadline);
  if (sleep(late)) return true;
  if (const auto* slot = CancelSlot::current(); !slot || !slot->cancelled()) log_wait(cells);
  return sleep(deadline);
}

bool ProcessEngine::wait(Cell& cell, Deadline deadline) {
  if (cell.settled()) return true;
  cell.demand();
  auto* executor = Executor::current();
  if (executor && !deadline && run_awaited(*executor, cell)) return true;
  auto loop = links_loop();
  if (!loop && spin_until([&] { return cell.settled(); })) return true;
  if (executor && !deadline && executor->serial_actor() && cell.producer_kind() == Cell::Producer::kCall) return wait_for_call(*executor, cell);
  if (loop || CancelSlot::current()) {  // a sleep on the cell's own word could not be ended by a cancel
    Cell* one = &cell;
    return wait_some(std::span(&one, 1), 1, deadline, false);
  }
  Blocked blocked;
  Cell* one = &cell;
  return sleep_and_explain(std::span(&one, 1), deadline, [&cell](Deadline until) { return cell.wait(until); });
}

bool ProcessEngine::wait_while(std::atomic<std::uint32_t>& word, std::uint32_t value, Deadline deadline, std::span<Cell* const> cells) {
  auto changed = [&] { return word.load(std::memory_order_acquire) != value; };
  if (auto loop = changed() ? nullptr : links_loop()) loop->take_back();  // it is not run here
  if (spin_until(changed)) return true;
  bool in_time = true;
  {
    CancelSlot::check();
    Blocked blocked;
    in_time = sleep_and_explain(cells, deadline, [&](Deadline until) {
      CancelSlot::Sleep sleep(word, value);
      while (!changed())
        if (!futex_wait(word, value, until)) return changed();
      return true;
    });
  }
  CancelSlot::check();
  return in_time;
}

/// A method waits for another call: when that takes long, it may be for ever.
bool ProcessEngine::wait_for_call(Executor& executor, Cell& cell) {
  Cell* cells[2]{&cell, nullptr};
  if (wait_some(std::span(cells, 1), 1, SteadyClock::now() + ActorWaits::kLongWait, false)) return true;
  auto told = std::make_shared<Promise<std::uint64_t>>();
  owner_->ask_target(TaskId{cell.producer()}, told);
  const auto answer = told->ref().cell();
  cells[1] = answer.get();
  wait_some(cells, 1, {}, false);
  const ActorId target{answer->settled() && !answer->failed() ? *std::static_pointer_cast<const std::uint64_t>(answer->value()) : 0};
  if (cell.settled() || !target) return wait_some(std::span(cells, 1), 1, {}, false);
  const auto waiter = executor.serial_actor();
  const auto alarm = waits_->begin(waiter, executor.running_name() + " of actor #" + std::to_string(waiter.value & 0xffffffffffull), target);
  cells[1] = alarm.get();
  try {
    wait_some(cells, 1, {}, false);
  } catch (...) {  // cancelled
    waits_->end(waiter);
    throw;
  }
  waits_->end(waiter);
  if (!cell.settled()) throw_error(*alarm->error());
  return true;
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
  constexpr std::size_t kFew = 4;  // more go faster by workers, which take them in groups
  if (auto* executor = Executor::current(); executor && !deadline && count == cells.size() && pending.size() <= kFew) {
    for (auto* cell : pending) {
      run_awaited(*executor, *cell);
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
  auto gathering = std::make_shared<Gathering>(count - ready, fail_fast, CancelSlot::current() ? nullptr : links_loop());
  Registrations registered(pending.size());
  for (auto* cell : pending)
    registered.add(cell, fail_fast ? std::shared_ptr<Cell::Waiter>(std::make_shared<FailureWatch>(gathering, cell)) : gathering);
  bool in_time = !gathering->loop_is_free() && spin_until([&] { return gathering->done(); });
  const auto* slot = in_time ? nullptr : CancelSlot::current();
  if (!in_time && !(slot && slot->cancelled())) {
    Blocked blocked;
    in_time = sleep_and_explain(pending, deadline, [&](Deadline until) { return gathering->run_loop(until) || gathering->wait(until); });
  }
  if (slot) CancelSlot::check();
  return in_time;
}

}  // namespace manta::detail
