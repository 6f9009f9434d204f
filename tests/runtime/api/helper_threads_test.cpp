// Threads that a task or method starts itself: what they wait for and submit by its Context. The story: they lent no CPU, so a task that
// waited in a std::async for a child was a deadlock; no cancel reached them, nor what they had submitted.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <future>

#include "runtime/as_completed.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

constexpr std::size_t kThreads = 3;

int same(int x) { return x; }

int get_in_thread(Context& ctx, double cpus) {
  auto got = std::async(std::launch::async, [&] { return ctx.get(ctx.task<same>({.num_cpus = cpus}).remote(5)); });
  return got.get();
}
Async<int> get_in_thread_of_coroutine(Context& ctx, double cpus) { co_return get_in_thread(ctx, cpus); }

/// Each for children that need all CPUs, by all the ways to wait.
int wait_in_many_threads(Context& ctx, double cpus) {
  std::vector<std::future<int>> got;
  for (std::size_t i = 0; i < kThreads; ++i)
    got.push_back(std::async(std::launch::async, [&ctx, cpus] {
      const auto child = ctx.task<same>({.num_cpus = cpus});
      int sum = 0;
      for (auto& ready : ctx.as_completed(std::vector{child.remote(1), child.remote(2)})) sum += ctx.get(ready);
      const std::vector both{child.remote(3), child.remote(4)};
      ctx.wait(both, {.count = 2});
      for (const int each : ctx.get(both)) sum += each;
      return sum;
    }));
  int sum = ctx.get(ctx.task<same>({.num_cpus = cpus}).remote(100));
  for (auto& each : got) sum += each.get();
  return sum;
}

struct Worker {
  int wait(Context& ctx, double cpus) { return get_in_thread(ctx, cpus); }
};

/// A line in the file for each thread whose wait ended with Cancelled.
int note_cancels(Context& ctx, const std::string& gate, const std::string& file) {
  const auto never = ctx.task<pass>({.num_cpus = 0}).remote(gate, 1);
  auto wait = [&] {
    try {
      ctx.get(never);
    } catch (const Cancelled&) {
      append(file, "cancelled\n");
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) threads.emplace_back(wait);
  append(file, "begun\n");
  wait();
  for (auto& each : threads) each.join();
  append(file, "joined\n");
  return 0;
}

void until_cancelled(Context& ctx, const std::string& file) {
  append(file, "begun\n");
  while (!ctx.cancelled()) std::this_thread::sleep_for(1ms);
  append(file, "cancelled\n");
}

/// Its thread submits a child; when it has been cancelled, another one.
void submit_in_thread(Context& ctx, const std::string& file, const std::string& refused) {
  std::thread([&] { ctx.task<until_cancelled>({.num_cpus = 0}).remote(file); }).join();
  while (!ctx.cancelled()) std::this_thread::sleep_for(1ms);
  std::thread([&] {
    try {
      ctx.remote<same>(1);
    } catch (const Cancelled&) {
      append(refused, "refused\n");
    }
  }).join();
}

/// Keeps from one call what a thread of its own uses in later ones.
class Keeper {
 public:
  void keep(Context& ctx) { builder_.emplace(ctx.task<pass>({.num_cpus = 0})); }
  ~Keeper() {
    if (own_.joinable()) own_.join();
  }
  void submit_and_stay(Context& ctx, const std::string& gate, const std::string& file) {
    own_ = std::thread([this, gate] { made_ = builder_->remote(gate, 7); });
    own_.join();
    append(file, "begun\n");
    while (!ctx.cancelled()) std::this_thread::sleep_for(1ms);
  }
  int made(Context& ctx) { return ctx.get(made_); }

 private:
  std::optional<TaskBuilder<pass>> builder_;
  std::thread own_;
  ObjectRef<int> made_;
};

/// Returns while its thread waits; 0 when that has not lent the CPUs.
int leave_thread_behind(Context& ctx, const std::string& gate, const std::string& file) {
  auto completions = ctx.as_completed(std::vector{ctx.task<pass>({.num_cpus = 0}).remote(gate, 3)});
  std::thread([completions = std::move(completions), file]() mutable {
    completions.next();
    append(file, "ended\n");
  }).detach();
  return eventually([&] { return ctx.available_resources() == ctx.total_resources(); }) ? 1 : 0;  // once it waits
}

/// Its thread waits for ever for a line, and holds the file's lock. The process; 0 when that did not come so far.
int leave_reader_behind() {
  int ends[2];
  if (::pipe(ends) != 0) return 0;
  auto* file = ::fdopen(ends[0], "r");
  std::thread([file] {
    char line[8];
    [[maybe_unused]] const auto* none = std::fgets(line, sizeof line, file);
  }).detach();
  const auto is_locked = [file] {
    if (::ftrylockfile(file) != 0) return true;
    ::funlockfile(file);
    return false;
  };
  return eventually(is_locked, 30s) ? ::getpid() : 0;
}
/// The text is in a buffer of its process when it returns.
int write_and_leave_open(const std::string& file) {
  std::fputs("written", std::fopen(file.c_str(), "w"));
  return ::getpid();
}

void ask_and_leave(Context& ctx, const std::string& gate, const std::string& file) {
  ctx.on_ready(ctx.task<pass>({.num_cpus = 0}).remote(gate, 3), [file](const ObjectRef<int>&) { append(file, "called\n"); });
}

void ask_much_and_leave(Context& ctx, const std::string& gate, const std::string& file) {
  append(file + ".pid", std::to_string(::getpid()));
  for (int i = 0; i < 3; ++i)
    ctx.on_ready(ctx.task<pass>({.num_cpus = 0}).remote(gate, i), [file](const ObjectRef<int>&) {
      std::this_thread::sleep_for(100ms);
      append(file, "called;");
    });
}

}  // namespace

TEST_SUITE("runtime/api/helper_threads") {
  TEST_CASE("a wait in a thread of a task or method lends its CPUs") {
    Machine machine;
    auto& rt = machine.rt;
    CHECK(rt.get(rt.task<get_in_thread>({.num_cpus = 4}).remote(4), 60s) == 5);
    CHECK(rt.get(rt.task<get_in_thread>({.num_cpus = 4, .isolation = own_process}).remote(4), 60s) == 5);
    CHECK(rt.get(rt.task<get_in_thread_of_coroutine>({.num_cpus = 4}).remote(4), 60s) == 5);
    auto serial = rt.actor<Worker>({.num_cpus = 1}).spawn();
    CHECK(rt.get(serial.call<&Worker::wait>(4), 60s) == 5);
    serial.kill();
    auto threaded = rt.actor<Worker>({.num_cpus = 1, .max_concurrency = 2}).spawn();
    const auto a = threaded.call<&Worker::wait>(4), b = threaded.call<&Worker::wait>(4);
    CHECK(rt.get(a, 60s) + rt.get(b, 60s) == 10);
  }

  TEST_CASE("many threads of a task wait at once, in every way, and its CPUs come back") {
    Machine machine;
    auto& rt = machine.rt;
    for (int i = 0; i < 5; ++i)
      CHECK(rt.get(rt.task<wait_in_many_threads>({.num_cpus = 4}).remote(4), 60s) == 100 + 10 * static_cast<int>(kThreads));
    CHECK(eventually([&] { return rt.available_resources() == rt.total_resources(); }));
  }

  TEST_CASE("a cancel ends the waits of all threads of a task") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    const Folder folder;
    const auto file = folder / "notes";
    const auto ref = rt.remote<note_cancels>(gate.path(), file.string());
    CHECK(eventually([&] { return contains(content(file), "begun"); }));
    rt.cancel(ref, {.recursive = false});
    CHECK(eventually([&] { return contains(content(file), "joined"); }));
    const auto notes = content(file);
    CHECK(static_cast<std::size_t>(std::count(notes.begin(), notes.end(), '\n')) == kThreads + 3);
    gate.open();
  }

  TEST_CASE("what a thread of a task submits is the task's child") {
    Machine machine;
    auto& rt = machine.rt;
    const Folder folder;
    const auto file = folder / "child", refused = folder / "refused";
    const auto ref = rt.remote<submit_in_thread>(file.string(), refused.string());
    CHECK(eventually([&] { return contains(content(file), "begun"); }));
    rt.cancel(ref);
    CHECK(eventually([&] { return contains(content(file), "cancelled"); }));
    CHECK(eventually([&] { return contains(content(refused), "refused"); }));
  }

  TEST_CASE("what an actor has kept of an earlier call is no way into a later one") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    const Folder folder;
    const auto file = folder / "notes";
    auto keeper = rt.actor<Keeper>().spawn();
    const auto kept = keeper.call<&Keeper::keep>();
    const auto stays = keeper.call<&Keeper::submit_and_stay>(gate.path(), file.string());
    const auto made = keeper.call<&Keeper::made>();
    CHECK(eventually([&] { return contains(content(file), "begun"); }));
    rt.cancel(stays);
    gate.open();
    CHECK(rt.get(made, 60s) == 7);
    rt.get(kept);
  }

  TEST_CASE("a thread that waits beyond the end of its task has nothing of it any more") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    const Folder folder;
    const auto file = folder / "notes";
    CHECK(rt.get(rt.task<leave_thread_behind>({.num_cpus = 4}).remote(gate.path(), file.string()), 60s) == 1);
    CHECK(eventually([&] { return rt.available_resources() == rt.total_resources(); }));
    CHECK(rt.get(rt.task<get_in_thread>({.num_cpus = 4}).remote(4), 60s) == 5);
    gate.open();
    CHECK(eventually([&] { return contains(content(file), "ended"); }));
  }

  TEST_CASE("a callback that a task has asked for comes after its end") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    const Folder folder;
    const auto file = folder / "notes";
    rt.get(rt.remote<ask_and_leave>(gate.path(), file.string()));
    rt.get(rt.remote<same>(1));
    gate.open();
    CHECK(eventually([&] { return contains(content(file), "called"); }));
  }

  // It left in the middle of the first one.
  TEST_CASE("a process of its own ends behind the callbacks that it owes") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    const Folder folder;
    const std::string file = folder / "notes";
    rt.get(rt.task<ask_much_and_leave>({.isolation = own_process}).remote(gate.path(), file));
    gate.open();
    CHECK(eventually([&] { return content(file) == "called;called;called;"; }, 30s));
    CHECK(eventually([&] { return !alive(std::stoi(content(file + ".pid"))); }, 30s));
  }

  // To end it flushed all files, and slept for the lock of the one that was being read; nobody ended it before the runtime did.
  TEST_CASE("a process ends with its task though a thread that is left behind waits for a line of a file") {
    Machine machine;
    auto& rt = machine.rt;
    const int process = rt.get(rt.task<leave_reader_behind>({.isolation = own_process}).remote());
    REQUIRE(process != 0);
    CHECK(eventually([&] { return !alive(process); }));
  }

  TEST_CASE("what a task has written to a file that it has not closed is there when its process has ended") {
    Machine machine;
    auto& rt = machine.rt;
    const Folder folder;
    const auto file = folder / "text";
    const int process = rt.get(rt.task<write_and_leave_open>({.isolation = own_process}).remote(file.string()));
    CHECK(eventually([&] { return !alive(process); }));
    CHECK(content(file) == "written");
  }
}

}  // namespace manta_test
