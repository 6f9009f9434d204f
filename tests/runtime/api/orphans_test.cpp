// What is left of somebody who has gone: handles to actors whose owner has died, results of actors that were killed.
#include <unistd.h>

#include <csignal>

#include "support.hpp"

namespace manta_test {
namespace {

class Counter {
 public:
  int add(int by) { return total_ += by; }

 private:
  int total_ = 0;
};

struct Made {
  ActorHandle<Counter> counter;
  int pid = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(counter, pid);
  }
};

/// The process that runs this owns the actor.
Made make_counter(Context& ctx) { return {ctx.actor<Counter>().spawn(), ::getpid()}; }
int add_one(Context& ctx, ActorHandle<Counter> counter) { return ctx.get(counter.call<&Counter::add>(1), 30s); }

struct Large {
  std::vector<char> bytes;
  ObjectRef<int> ref;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(bytes, ref);
  }
};

class Slow {
 public:
  std::vector<char> large(const std::string& log, const std::string& gate) {
    append(log, "began\n");
    pass(gate, 0);
    return std::vector<char>(300'000, 'x');
  }
  Large large_with_ref(Context& ctx, const std::string& log, const std::string& gate) {
    return {large(log, gate), ctx.put(5)};
  }
};

Async<int> late(Context& ctx, std::string gate) {
  auto open = ctx.remote<pass>(gate, 1);
  co_return co_await open;
}
struct Groups {
  Async<int> wait(Context& ctx, std::string log, std::string gate) {
    append(log, "began\n");
    co_return co_await late(ctx, std::move(gate));
  }
  int plain() { return 2; }
};

/// Says on a file when it goes.
struct Mark {
  std::string file;
  ~Mark() { append(file, "ended\n"); }
};
struct Reader {
  Generator<int> lines(std::string log) {
    const Mark mark{log};
    for (int i = 0;; ++i) co_yield i;
  }
};
int read_one(Context& ctx, ActorHandle<Reader> reader, const std::string& log, const std::string& pid, const std::string& gate) {
  auto stream = reader.options({.max_unread = 1}).call<&Reader::lines>(log);
  const int first = ctx.get(*stream.next());
  append(pid, std::to_string(::getpid()) + "\n");
  return pass(gate, first);
}

int add_numbers(int a, int b) { return a + b; }
int spin(Context& ctx, const std::string& log) {
  append(log, "began\n");
  while (!ctx.cancelled()) std::this_thread::sleep_for(1ms);
  append(log, "told\n");
  return 0;
}
int parent(Context& ctx, const std::string& log, const std::string& pid) {
  auto child = ctx.remote<spin>(log);
  append(pid, std::to_string(::getpid()) + "\n");
  return ctx.get(child);
}
int grandparent(Context& ctx, const std::string& log, const std::string& pid) {
  append(pid, std::to_string(::getpid()) + "\n");
  return ctx.get(ctx.remote<parent>(log, "/dev/null"));
}

int write_when_open(const std::string& log, const std::string& gate) {
  pass(gate, 0);
  append(log, "done\n");
  return 0;
}
struct Writer {
  int write(const std::string& log, const std::string& gate) { return write_when_open(log, gate); }
};
/// Submits what it does not wait for.
int submit_and_leave(Context& ctx, ActorHandle<Writer> writer, const std::string& log, const std::string& gate) {
  ctx.remote<write_when_open>(log, gate);
  writer.call<&Writer::write>(log, gate);
  return ::getpid();
}

}  // namespace

TEST_SUITE("runtime/api/orphans") {
  TEST_CASE("the first call of an actor whose owner has died already fails, also in a process that begins later") {
    Machine machine;
    auto& rt = machine.rt;
    const auto used = rt.get(rt.task<make_counter>({.isolation = own_process}).remote());
    const auto unused = rt.get(rt.task<make_counter>({.isolation = own_process}).remote());
    CHECK(rt.get(used.counter.call<&Counter::add>(1)) == 1);
    for (const auto& each : {used, unused}) ::kill(each.pid, SIGKILL);
    CHECK(eventually([&] { return !alive(used.pid) && !alive(unused.pid); }));
    CHECK(eventually([&] {  // this process hears of the deaths a moment later
      const auto call = used.counter.call<&Counter::add>(1);
      rt.wait(std::vector{call});
      return call.failed();
    }));
    for (const auto& each : {used, unused}) {
      const auto error = error_of<ActorDied>([&] { rt.get(each.counter.call<&Counter::add>(1), 30s); });
      REQUIRE(error.cause);
      CHECK(error.cause->code == ErrorCode::kOwnerDied);
      const auto elsewhere = error_of<TaskError>([&] { rt.get(rt.task<add_one>({.isolation = own_process}).remote(each.counter), 40s); });
      CHECK_MESSAGE(contains(elsewhere.to_string(), "ActorDied"), elsewhere.to_string());
    }
  }

  TEST_CASE("the result of a call that ran while its actor was killed leaves nothing in the store, nor do refs in it") {
    for (const int at_once : {1, 2}) {
      Machine machine;
      auto& rt = machine.rt;
      Folder folder;
      Gate gate;
      const std::string log = folder / "log";
      auto first = rt.actor<Slow>({.max_concurrency = at_once}).spawn();
      auto second = rt.actor<Slow>({.max_concurrency = at_once}).spawn();
      auto large = first.call<&Slow::large>(log, gate.path());
      auto with_ref = second.call<&Slow::large_with_ref>(log, gate.path());
      CHECK(eventually([&] { return content(log) == "began\nbegan\n"; }));
      first.kill();
      second.kill();
      error_of<ActorDied>([&] { rt.get(large, 30s); });
      error_of<ActorDied>([&] { rt.get(with_ref, 30s); });
      gate.open();
    }
  }

  TEST_CASE("a call of one group that waits for the place of another group's coroutine gets it") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    Gate gate;
    const std::string log = folder / "log";
    auto actor = rt.actor<Groups>({.concurrency_groups = {{"one", 1}, {"other", 1}}, .max_coroutines = 1})
                     .in_group<&Groups::wait>("one")
                     .in_group<&Groups::plain>("other")
                     .spawn();
    auto waiting = actor.call<&Groups::wait>(log, gate.path());
    CHECK(eventually([&] { return content(log) == "began\n"; }));  // calls of two groups begin in any order
    auto plain = actor.call<&Groups::plain>();
    CHECK(rt.wait(std::vector{plain}, {.timeout = 100ms}).ready.empty());
    gate.open();
    CHECK(rt.get(waiting, 30s) == 1);
    CHECK(rt.get(plain, 30s) == 2);
  }

  TEST_CASE("a stream of a method ends when the process that reads it dies") {
    for (int at_once : {1, 2}) {
      Machine machine;
      auto& rt = machine.rt;
      Folder folder;
      Gate gate;
      const std::string log = folder / "log", pid = folder / "pid";
      auto reader = rt.actor<Reader>({.max_concurrency = at_once}).spawn();
      auto mine = reader.options({.max_unread = 1}).call<&Reader::lines>(folder / "other");
      auto dies = rt.task<read_one>({.max_retries = 0, .isolation = own_process}).remote(reader, log, pid, gate.path());
      CHECK(eventually([&] { return contains(content(pid), "\n"); }));
      CHECK(content(log).empty());
      ::kill(std::stoi(content(pid)), SIGKILL);
      CHECK(eventually([&] { return content(log) == "ended\n"; }));
      CHECK(rt.get(*mine.next(), 30s) == 0);
      CHECK(content(folder / "other").empty());
      error_of<WorkerCrashed>([&] { rt.get(dies, 30s); });
    }
  }

  TEST_CASE("what a process that died had submitted is told to stop, and what that has submitted too") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    int i = 0;
    for (bool deep : {false, true}) {
      const std::string name = std::to_string(++i), log = folder / ("log" + name), pid = folder / ("pid" + name);
      const TaskOptions options{.max_retries = 0, .isolation = own_process};
      auto dies = deep ? rt.task<grandparent>(options).remote(log, pid) : rt.task<parent>(options).remote(log, pid);
      CHECK(eventually([&] { return contains(content(pid), "\n") && content(log) == "began\n"; }));
      ::kill(std::stoi(content(pid)), SIGKILL);
      error_of<WorkerCrashed>([&] { rt.get(dies, 30s); });
      CHECK(eventually([&] { return content(log) == "began\ntold\n"; }));
    }
  }

  TEST_CASE("what a task in a process of its own has submitted is done, though nobody waits for it and the task has ended") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    Gate gate;
    const std::string log = folder / "log";
    auto writer = rt.actor<Writer>().spawn();
    const int pid = rt.get(rt.task<submit_and_leave>({.isolation = own_process}).remote(writer, log, gate.path()));
    CHECK(rt.get(rt.remote<add_numbers>(1, 2)) == 3);  // the process has been told to leave by then, as a rule
    CHECK(alive(pid));
    gate.open();
    CHECK(eventually([&] { return content(log) == "done\ndone\n"; }));
    CHECK(eventually([&] { return !alive(pid); }));
  }
}

}  // namespace manta_test
