#include "runtime/actors/joined_task.hpp"

#include <pthread.h>

#include "runtime/base/spin.hpp"

namespace manta::detail {

namespace {

/// Below it this thread has used half of its stack. The whole address space where the system does not say.
std::uintptr_t half_of_stack() noexcept {
  pthread_attr_t attributes;
  if (::pthread_getattr_np(::pthread_self(), &attributes) != 0) return UINTPTR_MAX;
  void* lowest = nullptr;
  std::size_t size = 0;
  const bool known = ::pthread_attr_getstack(&attributes, &lowest, &size) == 0;
  ::pthread_attr_destroy(&attributes);
  return known ? reinterpret_cast<std::uintptr_t>(lowest) + size / 2 : UINTPTR_MAX;
}

}  // namespace

JoinedTask::JoinedTask(HostEnvironment& environment, Executor& waiter, Choice choice)
    : Executor(environment), waiter_(waiter), choice_(choice) {}

bool JoinedTask::stack_has_room() noexcept {
  thread_local const std::uintptr_t half = half_of_stack();
  return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) > half;
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
