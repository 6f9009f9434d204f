// Coroutines that wait when they are cancelled, and the lines of a Queue, which are such coroutines.
#include <unistd.h>

#include <csignal>

#include "runtime/promise.hpp"
#include "runtime/queue.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

struct Box {
  ObjectRef<int> ref;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(ref);
  }
};

/// Waits for what never comes, and again after it has been told.
Async<int> wait_twice(Context& ctx, Box box, std::string log) {
  auto ref = box.ref;
  append(log, "waits\n");
  for (int i = 0; i < 2; ++i) try {
      co_await ref;
    } catch (const Cancelled&) {
      append(log, ctx.cancelled() ? "told\n" : "wrong\n");
    }
  co_return 1;
}
/// Who has taken it gives it back, however he ends.
class Lock {
 public:
  int take() { return held_ = true; }
  int give_back() { return held_ = false; }
  bool held() const { return held_; }

 private:
  bool held_ = false;
};
struct Held {
  ActorHandle<Lock> lock;
  ~Held() { lock.call<&Lock::give_back>(); }
};
int hold(Context& ctx, ActorHandle<Lock> lock, Box box) {
  const Held held{lock};
  ctx.get(lock.call<&Lock::take>());
  return ctx.get(box.ref);
}
Async<int> hold_coroutine(Context&, ActorHandle<Lock> lock, Box box) {
  const Held held{lock};
  const auto taken = lock.call<&Lock::take>();
  co_await taken;
  auto ref = box.ref;
  co_return co_await ref;
}
int nothing_more() { return 0; }
/// Goes on after it has been told, and submits until it may not, and then once more when it has waited.
Async<int> submit_when_told(Context& ctx, Box box, std::string log) {
  auto ref = box.ref;
  append(log, "waits\n");
  try {
    co_await ref;
  } catch (const Cancelled&) {
    append(log, "told\n");
  }
  auto submits = [&] {
    try {
      auto child = ctx.remote<nothing_more>();
      return true;
    } catch (const Cancelled&) {
      return false;
    }
  };
  if (eventually([&] { return !submits(); }, 30s)) append(log, "told again\n");
  try {
    co_await ref;
  } catch (const Cancelled&) {
    append(log, submits() ? "submits\n" : "refused\n");
  }
  co_return 1;
}
struct Desk {
  Async<int> wait(Context& ctx, Box box, std::string log) { co_return co_await wait_twice(ctx, std::move(box), std::move(log)); }
  Async<int> submit(Context& ctx, Box box, std::string log) { co_return co_await submit_when_told(ctx, std::move(box), std::move(log)); }
  Async<int> one() { co_return 1; }  // begins when there is a place
};
constexpr char kTold[] = "waits\ntold\ntold\n";

int take(Context& ctx, Queue<int> queue, std::string log) {
  append(log, std::to_string(queue.get(ctx)) + "\n");
  return queue.get(ctx);
}
int nothing(Context& ctx, Queue<int> queue) { return static_cast<int>(queue.size(ctx)); }
int fill(Context& ctx, Queue<int> queue, std::string log) {
  queue.put(ctx, 1);
  append(log, "full\n");
  queue.put(ctx, 2);
  return 0;
}
int take_and_tell(Context& ctx, Queue<int> queue, std::string log) {
  append(log, std::to_string(::getpid()) + "\n");
  return queue.get(ctx);
}

constexpr Isolation kBoth[] = {Isolation::kShared, own_process};

}  // namespace

TEST_SUITE("runtime/api/coroutine cancel") {
  TEST_CASE("a cancelled coroutine that waits for what never comes hears it at its co_await, each time, and its CPU is free again") {
    Promise<int> never;
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    Folder folder;
    int i = 0;
    for (auto where : kBoth) {
      const std::string log = folder / std::to_string(++i);
      auto ref = rt.task<wait_twice>({.isolation = where}).remote(Box{never.ref()}, log);
      CHECK(eventually([&] { return content(log) == "waits\n"; }));
      rt.cancel(ref);
      error_of<Cancelled>([&] { rt.get(ref, 30s); });
      CHECK(eventually([&] { return content(log) == kTold; }));
    }
    const std::string log = folder / "late";
    auto late = rt.task<wait_twice>({.deadline = 200ms}).remote(Box{never.ref()}, log);
    error_of<Timeout>([&] { rt.get(late, 30s); });
    CHECK(eventually([&] { return contains(content(log), "told\ntold\n"); }));
  }

  TEST_CASE("so does a method, which then leaves its place to others") {
    Promise<int> never;
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    int i = 0;
    for (auto where : kBoth)
      for (int at_once : {1, 2}) {
        const std::string log = folder / std::to_string(++i);
        auto desk = rt.actor<Desk>({.max_concurrency = at_once, .max_coroutines = 1, .isolation = where}).spawn();
        auto ref = desk.call<&Desk::wait>(Box{never.ref()}, log);
        CHECK(eventually([&] { return content(log) == "waits\n"; }));
        auto next = desk.call<&Desk::one>();
        rt.cancel(ref);
        CHECK(rt.get(next, 30s) == 1);
        CHECK(content(log) == kTold);
      }
  }

  // The call in the destructor threw Cancelled: the program ended, or, where that was caught, the lock was held for ever.
  TEST_CASE("what cancelled work gives back in destructors, as the exception leaves it, arrives") {
    Machine machine;
    auto& rt = machine.rt;
    const Promise<int> never;
    for (const bool coroutine : {false, true})
      for (const bool by_deadline : {false, true}) {
        CAPTURE(coroutine);
        CAPTURE(by_deadline);
        auto lock = rt.actor<Lock>({.num_cpus = 0}).spawn();
        const TaskOptions options{.max_retries = 0, .deadline = by_deadline ? 500ms : 0ms};
        const auto held = coroutine ? rt.task<hold_coroutine>(options).remote(lock, Box{never.ref()}) : rt.task<hold>(options).remote(lock, Box{never.ref()});
        CHECK(eventually([&] { return rt.get(lock.call<&Lock::held>()) || held.ready(); }));
        if (!by_deadline) rt.cancel(held);
        CHECK_FALSE(rt.try_get(held, 20s).ok());
        CHECK(eventually([&] { return !rt.get(lock.call<&Lock::held>()); }, 20s));
      }
  }

  TEST_CASE("a second cancel of a coroutine that goes on reaches what it submits later, too") {
    // Behaviour: of a task it was forgotten at the next co_await.
    Promise<int> never;
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    int i = 0;
    const auto cancel_twice = [&](const auto& ref, const std::string& log) {
      CHECK(eventually([&] { return content(log) == "waits\n"; }));
      rt.cancel(ref, {.recursive = false});
      CHECK(eventually([&] { return contains(content(log), "told\n"); }));
      rt.cancel(ref);
      CHECK(eventually([&] { return content(log).ends_with("submits\n") || content(log).ends_with("refused\n"); }));
      CHECK(content(log) == "waits\ntold\ntold again\nrefused\n");
    };
    for (auto where : kBoth) {
      const std::string task = folder / std::to_string(++i), call = folder / std::to_string(++i);
      cancel_twice(rt.task<submit_when_told>({.isolation = where}).remote(Box{never.ref()}, task), task);
      auto desk = rt.actor<Desk>({.isolation = where}).spawn();
      cancel_twice(desk.call<&Desk::submit>(Box{never.ref()}, call), call);
    }
  }

  TEST_CASE("a getter of a queue that is cancelled or dies leaves the line: the next value is for the others") {
    for (int round = 0; round < 5; ++round) {
      Machine machine;
      auto& rt = machine.rt;
      Folder folder;
      const std::string log = folder / "log", pid = folder / "pid";
      Queue<int> queue(rt, 10);
      auto cancelled = rt.remote<take>(queue, log);
      queue.put(rt, 1);
      CHECK(eventually([&] { return content(log) == "1\n"; }));
      rt.cancel(cancelled);
      auto dies = rt.task<take_and_tell>({.max_retries = 0, .isolation = own_process}).remote(queue, pid);
      CHECK(eventually([&] { return contains(content(pid), "\n"); }));
      ::kill(std::stoi(content(pid)), SIGKILL);
      error_of<WorkerCrashed>([&] { rt.get(dies, 30s); });
      for (int i = 0; i < 100; ++i) rt.get(rt.remote<nothing>(queue));  // the actor hears of both within some round trips
      for (int value : {2, 3, 4}) {
        queue.put(rt, value);
        CHECK(queue.get(rt, 10s) == value);
      }
    }
  }

  TEST_CASE("a putter that is cancelled leaves the line with its value") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const std::string log = folder / "log";
    Queue<int> queue(rt, 1);
    auto putter = rt.remote<fill>(queue, log);
    CHECK(eventually([&] { return content(log) == "full\n"; }));
    rt.cancel(putter);
    error_of<Cancelled>([&] { rt.get(putter, 30s); });
    CHECK(eventually([&] { return rt.stats().unfinished == 0; }));
    CHECK(queue.get(rt) == 1);
    CHECK_FALSE(queue.get(rt, 20ms));
  }
}

}  // namespace manta_test
