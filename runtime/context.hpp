#pragma once
// Context: what a running task or method knows about itself, and its way to the runtime. A function that wants it takes
// `manta::Context&` as its first parameter. Valid during the call only; its operations are thread-safe.
//
// Threads that the task or method starts itself may use it until the call returns, so join them first. What they submit by it is the
// task's: a recursive cancel reaches it. A wait by it throws Cancelled when the task is cancelled, and lends the task's CPUs as one on
// the task's own thread does: they are lent while at least one of its threads waits in the runtime, so what the others compute
// meanwhile has no CPU counted for it. Calls by an ActorHandle do not go by the Context: on such a thread they are nobody's children.
// In an Async or a generator this holds for what begins while it runs, and until its next co_await or co_yield. Its Context itself is there
// as long as its frame: destructors in that may look at it.
//
//   int fib(manta::Context& ctx, int n) {
//     if (n < 2) return n;
//     auto a = ctx.remote<fib>(n - 1);
//     return ctx.get(a) + fib(ctx, n - 2);
//   }
#include "runtime/client.hpp"

namespace manta {

namespace detail {
class ActorStreams;
/// What an executor knows about the work in hand.
struct Invocation {
  std::uint64_t id = 0;          ///< of the task; 0 for none
  const std::string* name = nullptr;  ///< the task's or actor's, for messages
  int attempt = 1;
  Amount num_cpus{};
  std::vector<int> gpu_ids{};
  const std::atomic<bool>* stopping = nullptr;              ///< the runtime ends
  const std::atomic<std::uint64_t>* cancelled_id = nullptr;  ///< this one is cancelled when it holds its id
  bool of_actor = false;
  ActorStreams* streams = nullptr;    ///< of the actor whose method this is
  mutable bool exit = false;          ///< set by Context::exit_actor
  /// It was cancelled, whether the runtime ends or not.
  bool unwanted() const noexcept { return cancelled_id && cancelled_id->load(std::memory_order_acquire) == id; }
};
}  // namespace detail

class Context : public Client {
 public:
  Context(std::shared_ptr<detail::Engine> engine, const detail::Invocation& invocation)
      : Client(std::move(engine)), invocation_(&invocation) {}
  /// Internal: the same way to the runtime, and `invocation`, which must outlive it.
  Context(const Context& other, const detail::Invocation& invocation) : Client(other), invocation_(&invocation) {}

  /// The GPUs that are this task's or actor's for its life: positions, from 0, among those that the program may use (all that NVML finds, or
  /// what the driver's CUDA_VISIBLE_DEVICES names, in its order). In a process of its own CUDA_VISIBLE_DEVICES names these
  /// and no others, so there the first one is CUDA device 0.
  const std::vector<int>& gpu_ids() const noexcept { return invocation_->gpu_ids; }
  Amount num_cpus() const noexcept { return invocation_->num_cpus; }
  std::uint64_t task_id() const noexcept { return invocation_->id; }
  const std::string& name() const noexcept { return *invocation_->name; }
  int attempt() const noexcept { return invocation_->attempt; }  ///< counts from 1
  /// True when nobody wants the result any more: it was cancelled, its deadline has passed, or the runtime ends. Return soon.
  bool cancelled() const noexcept {
    return (invocation_->stopping && invocation_->stopping->load(std::memory_order_relaxed)) || invocation_->unwanted();
  }

  /// Ends the actor whose method this is, once the call has ended as usual: calls that have not begun fail with ActorDied, it
  /// is not restarted, its destructor runs. Throws InvalidArgument in a task or constructor.
  void exit_actor() {
    if (!invocation_->of_actor) throw InvalidArgument("exit_actor is for methods of actors; a task ends when it returns");
    invocation_->exit = true;
  }

  /// Internal: of the actor; in a call of it only.
  detail::ActorStreams& streams() const { return *invocation_->streams; }
  /// Internal.
  const detail::Invocation& invocation() const noexcept { return *invocation_; }

 private:
  const detail::Invocation* invocation_;
};

}  // namespace manta
