#include "runtime/actors/joined_task.hpp"

#include "runtime/base/spin.hpp"
#include "runtime/base/threads.hpp"

namespace manta::detail {

JoinedTask::JoinedTask(HostEnvironment& environment, Executor& waiter, Choice choice)
    : Executor(environment), waiter_(waiter), choice_(choice) {}

bool JoinedTask::stack_has_room() noexcept {
  const StackExtent stack = own_stack();  // where the system does not say there is none to spare
  return stack.size != 0 && reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) > stack.lowest + stack.size / 2;
}

void JoinedTask::give(Work work) {
  work_ = std::move(work);
  answer(kGiven);
}

void JoinedTask::answer(std::uint32_t how) {
  if (answer_.exchange(how, std::memory_order_acq_rel) == kSleeps) futex_wake_one(answer_);
}

bool JoinedTask::granted() {
  const auto answered = [this] { return answer_.load(std::memory_order_acquire) > kSleeps; };
  if (!spin_until(answered)) {
    std::uint32_t asked = kAsked;
    answer_.compare_exchange_strong(asked, kSleeps, std::memory_order_acq_rel);
    while (!answered()) futex_wait(answer_, kSleeps, std::nullopt);  // the owner never blocks
  }
  return answer_.load(std::memory_order_acquire) == kGiven;
}

wire::Outcome JoinedTask::run() {
  const Draining draining(*this);
  return *execute(work_, nullptr, environment_.router->self(), {.cpus = work_.joined_cpus}, false);
}

}  // namespace manta::detail
