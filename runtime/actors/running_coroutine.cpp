#include "runtime/actors/running_coroutine.hpp"

namespace manta::detail {

namespace {

const FunctionEntry* filter_of(const Work& work) {
  if (work.record || !work.encoded || work.encoded->retry_module == 0) return work.retry_on;
  return find_function({work.encoded->retry_module, work.encoded->retry_offset});
}

}  // namespace

class RunningCoroutine::Wakeup final : public Cell::Waiter {
 public:
  Wakeup(std::weak_ptr<RunningCoroutine> waiting, std::uint64_t wait) : waiting_(std::move(waiting)), wait_(wait) {}
  void settled() override {
    if (const auto waiting = waiting_.lock()) waiting->wake(wait_);
  }

 private:
  const std::weak_ptr<RunningCoroutine> waiting_;
  const std::uint64_t wait_;
};

RunningCoroutine::RunningCoroutine(std::weak_ptr<Executor> home, const Work& work, std::shared_ptr<TaskRecord> record,
                                   std::shared_ptr<Engine> engine, Invocation invocation, CoroutineWaits* waits)
    : home_(std::move(home)), id_(work.id), name_(work.name), attempt_(work.attempt), caller_(work.caller), retry_on_(filter_of(work)), record_(std::move(record)), long_waits_(waits),
      invocation_(std::move(invocation)), engine_(make_pooled<ContextEngine>(std::move(engine), nullptr)), context_(engine_, invocation_) {}

RunningCoroutine::~RunningCoroutine() {
  if (place_) long_waits_->remove(*place_);  // first: until then it may be looked at
  forget_wait();
}

std::shared_ptr<Cell> RunningCoroutine::awaited(std::uint64_t wait) {
  std::unique_lock turn(turn_, std::try_to_lock);
  return turn && awaited_ == wait ? awaited_cell_ : nullptr;
}

void RunningCoroutine::begin(ActorObject* instance) {
  coroutine_ = record_->begin(instance, context_);
  next_ = coroutine_->start(*this);
}

bool RunningCoroutine::advance(const std::atomic<std::uint64_t>& cancelled_id, const std::function<void(bool)>& suspended) {
  std::lock_guard turn(turn_);
  invocation_.cancelled_id = &cancelled_id;
  forget_wait();
  if (std::exchange(waits_, false)) suspended(false);
  next_.resume();
  if (!coroutine_->done()) {
    waits_ = true;
    suspended(true);
    return false;
  }
  ended_ = CancelSlot::end_running();
  coroutine_->settle(*record_->result, *record_);
  return true;
}

void RunningCoroutine::abandon() {
  std::lock_guard turn(turn_);
  forget_wait();
  coroutine_.reset();
}

/// A wait that was interrupted leaves nothing behind with a cell that may stay unsettled for ever.
void RunningCoroutine::forget_wait() {
  const auto cell = std::move(awaited_cell_);
  const auto wakeup = std::move(wakeup_);
  if (cell && !cell->settled()) cell->forget(wakeup->whose());
}

void RunningCoroutine::resume_when_settled(const std::shared_ptr<Cell>& cell, std::coroutine_handle<> coroutine) {
  next_ = coroutine;  // the thread that runs it holds turn_
  const auto wait = ++waits_begun_;
  awaited_ = wait;
  awaited_cell_ = cell;
  wakeup_ = std::make_shared<Wakeup>(weak_from_this(), wait);
  if (long_waits_ && !place_) place_ = long_waits_->add(*this);
  cell->on_settled(wakeup_);
  if (interrupted_ || invocation_.cancelled_id->load() == invocation_.id) wake(wait);
}

/// Once for each wait, whether what it awaits is there or nobody wants it any more.
void RunningCoroutine::wake(std::uint64_t wait) {
  if (forks_ != count_forks()) return;  // a fork lets a promise go, say: what waits for that is not the fork's to run
  if (!awaited_.compare_exchange_strong(wait, 0)) return;
  if (const auto home = home_.lock()) home->resume_later(shared_from_this());
}

void RunningCoroutine::interrupt(bool recursive) {
  if (recursive) recursive_ = true;
  interrupted_ = true;
  if (const auto wait = awaited_.load()) wake(wait);
}

Work RunningCoroutine::work() {
  Work work{.id = id_, .name = name_, .attempt = attempt_, .caller = caller_};
  work.retry_on = retry_on_;
  work.coroutine = shared_from_this();
  return work;
}

}  // namespace manta::detail
