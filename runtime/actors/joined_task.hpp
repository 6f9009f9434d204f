#pragma once
// JoinedTask: a task that nobody has begun, run by the thread that waits for it, in place of two thread switches and a second
// stack. It runs under the lease of the work that waits: that lease holds its CPUs, and a wait inside the task lends them. Made by
// the waiting thread for one attempt; the owner answers by give() or refuse(), once, and may cancel it from then on.
//
// See docs/design/0016-who-waits-runs-it.md for which tasks may be joined.
#include "runtime/actors/executor.hpp"

namespace manta::detail {

class JoinedTask final : public Executor, public std::enable_shared_from_this<JoinedTask> {
 public:
  /// What may be joined. A thread that runs a task cannot leave it when its own wait is cancelled, so it takes only what is known
  /// to be short; anything, where blocking would take yet another thread of very many.
  enum class Choice : std::uint8_t { kShort, kAny };
  JoinedTask(HostEnvironment& environment, Executor& waiter, Choice choice);
  Choice choice() const noexcept { return choice_; }

  /// Whether this thread may run one more task inside the running one: half of its stack is free.
  static bool stack_has_room() noexcept;

  // The owner's answer.
  void give(Work work);
  void refuse() { answer(kRefused); }

  // The waiting thread.
  /// Waits for the answer; true for work.
  bool granted();
  wire::Outcome run();

  void relieve() override { waiter_.relieve(); }
  void cancel(TaskId id, bool recursive) override { running_work_.cancel(id, recursive); }
  void resume_later(std::shared_ptr<RunningCoroutine>) override {}
  ActorId serial_actor() const noexcept override { return waiter_.serial_actor(); }
  const wire::LeaseInfo& held() const noexcept override { return waiter_.held(); }

 private:
  static constexpr std::uint32_t kAsked = 0, kSleeps = 1, kGiven = 2, kRefused = 3;
  void answer(std::uint32_t how);
  std::weak_ptr<Executor> self() override { return weak_from_this(); }
  void hold(const std::shared_ptr<RunningCoroutine>&) override {}
  void release(const std::shared_ptr<RunningCoroutine>&) override {}
  void some_wait(bool some) override { waiter_.change_waiting(some ? 1 : -1); }

  Executor& waiter_;
  const Choice choice_;
  std::atomic<std::uint32_t> answer_{kAsked};
  Work work_{};
};

/// The question's way to the owner; dropped unanswered, it is refused.
class JoinQuestion {
 public:
  explicit JoinQuestion(std::shared_ptr<JoinedTask> joined) : joined_(std::move(joined)) {}
  JoinQuestion(JoinQuestion&&) noexcept = default;
  JoinQuestion& operator=(JoinQuestion&&) = delete;
  ~JoinQuestion() {
    if (joined_) joined_->refuse();
  }
  const JoinedTask& joined() const { return *joined_; }
  std::shared_ptr<JoinedTask> take() { return std::move(joined_); }

 private:
  std::shared_ptr<JoinedTask> joined_;
};

}  // namespace manta::detail
