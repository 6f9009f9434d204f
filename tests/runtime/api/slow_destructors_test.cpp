// Arguments and results whose destructors wait or take long: they go on a thread of their own, once, and a process does not leave before.
#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "runtime/promise.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

int same(int x) { return x; }
int slow(int milliseconds) { return std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)), milliseconds; }

/// Acts in the process that made it, once: what came over the wire has nothing to do.
struct Last {
  std::function<void()> act{};
  Last() = default;
  explicit Last(std::function<void()> act) : act(std::move(act)) {}
  Last(Last&& other) noexcept : act(std::exchange(other.act, nullptr)) {}
  Last& operator=(Last&& other) noexcept { return std::swap(act, other.act), *this; }
  ~Last() {
    if (act) act();
  }
  template <class Archive>
  void save(Archive& archive) const { archive(0); }
  template <class Archive>
  void load(Archive& archive) {
    int nothing = 0;
    archive(nothing);
  }
};
int take(const Last&) { return 1; }

struct Owns {
  Owns(std::vector<std::string> one, const std::vector<std::string>& other, int) : held(one.size() + other.size()) {}
  std::size_t held;
};

/// May be constructed again, so its argument is kept.
struct Busy {
  explicit Busy(const Last&) {}
  int one() { return 1; }
  int stay() { return std::this_thread::sleep_for(100s), 1; }
};

/// As the last one of a worker's: its file is there still when that has been cut off.
int remove_after(Context& ctx, const std::string& file) {
  append(file, "x");
  return ctx.get(ctx.remote<take>(Last([file] {
    std::this_thread::sleep_for(200ms);
    fs::remove(file);
  })));
}

/// What it prints lies in the program's buffer when the worker is told to leave, which a destructor of two seconds keeps it from.
int print_to(Context& ctx, const std::string& file) {
  std::fputs("printed", std::fopen(file.c_str(), "w"));
  return ctx.get(ctx.remote<take>(Last([] { std::this_thread::sleep_for(2s); })));
}

/// Submits something with a value that removes the file a while after it is let go.
int remove_late(Context& ctx, const std::string& file) {
  append(file, "x");
  return ctx.get(ctx.remote<take>(Last([file] {
    std::this_thread::sleep_for(30ms);
    fs::remove(file);
  })));
}

/// Has the last refs to values of other processes.
struct Holder {
  std::vector<ObjectRef<Last>> held{};
  int hold(const std::vector<ObjectRef<Last>>& refs) { return held = refs, 1; }
  int drop() { return held.clear(), 1; }
  int pid() { return ::getpid(); }
};
struct Desk {
  int add(int x) { return x + 1; }
};
struct Lender {
  std::vector<ObjectRef<Last>> lend(Context& ctx, const std::string& begun, const std::string& gate) {
    return {ctx.put(Last([begun, gate] { append(begun, "x"), pass(gate, 0); }))};
  }
  int one() { return 1; }
};

}  // namespace

/// Ends while the destructor of a task's, or a constructor's, argument takes a minute: 0 when the end was bounded.
int slow_destructor_driver(bool of_actor) {
  auto options = small_machine();
  options.shutdown_timeout = 100ms;
  auto rt = Runtime::start(options);
  std::atomic<bool> begun{false};
  ActorHandle<Busy> busy;
  if (of_actor) {  // it is destroyed when its process is ended, after the time that all have
    busy = rt.actor<Busy>({.max_restarts = 1}).spawn(Last([] { std::this_thread::sleep_for(60s); }));
    rt.get(busy.call<&Busy::one>());
    busy.call<&Busy::stay>();
  } else {
    rt.get(rt.remote<take>(Last([&] { begun = true, std::this_thread::sleep_for(60s); })));
    if (!eventually([&] { return begun.load(); }, 30s)) return 2;
  }
  const auto begin = SteadyClock::now();
  rt.shutdown();
  return SteadyClock::now() - begin < 20s ? 0 : 1;
}

TEST_SUITE("runtime/api") {
  // The constructor's end and the actor's both let them go, on two threads: a double free.
  TEST_CASE("a constructor's arguments are let go once, however quickly its actor ends") {
    Machine machine;
    auto& rt = machine.rt;
    const auto number = rt.put(5);
    const std::vector<std::string> texts{std::string(50, 'x'), std::string(60, 'y')};
    const int rounds = in_processes() ? 300 : 5000;
    for (int i = 0; i < rounds; ++i) {
      { const auto actor = rt.actor<Owns>().spawn(texts, texts, number); }
      if (i % 64 == 0) CHECK(eventually([&] { return rt.stats().actors < 8; }));
    }
    CHECK(rt.get(number) == 5);
  }

  // They lay on the threads that turn values into bytes for other processes.
  TEST_CASE("destructors that wait do not keep the runtime from what they wait for") {
    Machine machine;
    auto& rt = machine.rt;
    const auto late = rt.remote<slow>(500);
    const auto awaited = rt.task<same>({.isolation = own_process}).remote(late);  // it is encoded when it is there
    std::atomic<int> seen{0};
    for (int i = 0; i < 4; ++i) CHECK(rt.get(rt.remote<take>(Last([&] { seen += rt.get(awaited, 60s); }))) == 1);
    CHECK(rt.get(awaited, 60s) == 500);
    CHECK(eventually([&] { return seen == 4 * 500; }));
  }

  TEST_CASE("what a loop has let go does not pile up behind slow destructors") {
    Machine machine;
    auto& rt = machine.rt;
    std::atomic<int> alive{0};
    int most = 0;
    for (int i = 0; i < 600; ++i) {
      ++alive;
      rt.get(rt.remote<take>(Last([&] {
        std::this_thread::sleep_for(1ms);
        --alive;
      })));
      most = std::max(most, alive.load());
    }
    CHECK(most < 400);
    CHECK(eventually([&] { return alive == 0; }));
  }

  // The wait for them was given up for all that lay there together when none of them had ended in a tenth of a second, though they do.
  TEST_CASE("nor behind destructors of some milliseconds, of works that end many at a time") {
    Machine machine;
    auto& rt = machine.rt;
    std::atomic<int> alive{0};
    int most = 0;
    for (int i = 1; i <= 1600; ++i) {
      ++alive;
      const auto ref = rt.remote<take>(Last([&] {
        std::this_thread::sleep_for(3ms);
        --alive;
      }));
      if (i % 64 == 0) rt.get(ref);
      most = std::max(most, alive.load());
    }
    CHECK(most < 900);
    CHECK(eventually([&] { return alive == 0; }));
  }

  // They ran on the thread that reads what processes send, or in the node's actor: nothing was read or granted any more, for ever.
  TEST_CASE("the last ref to a value may go in another process, by a message or a death: its destructor may wait") {
    Machine machine;
    auto& rt = machine.rt;
    auto desk = rt.actor<Desk>({.isolation = own_process}).spawn();
    CHECK(rt.get(desk.call<&Desk::add>(0)) == 1);
    for (const bool by_death : {false, true}) {
      auto holder = rt.actor<Holder>({.isolation = own_process}).spawn();
      const int pid = rt.get(holder.call<&Holder::pid>());
      std::atomic<int> closed{0};
      {
        const auto ref = rt.put(Last([&] {
          closed += rt.get(desk.call<&Desk::add>(1), 60s);
          closed += rt.get(rt.task<same>({.num_cpus = 0.5}).remote(3), 60s);
        }));
        CHECK(rt.get(holder.call<&Holder::hold>(std::vector{ref})) == 1);
      }
      if (by_death) {
        REQUIRE(::kill(pid, SIGKILL) == 0);
      } else {
        CHECK(rt.get(holder.call<&Holder::drop>(), 60s) == 1);
      }
      CHECK(rt.get(rt.task<same>({.isolation = own_process}).remote(5), 60s) == 5);
      CHECK(eventually([&] { return closed == 5; }, 60s));
    }
  }

  TEST_CASE("so may one in a worker process, which goes on meanwhile") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    Gate gate;
    const std::string begun = folder / "begun";
    auto lender = rt.actor<Lender>({.isolation = own_process}).spawn();
    CHECK(rt.get(lender.call<&Lender::lend>(begun, gate.path()), 60s).size() == 1);  // and it is let go
    CHECK(eventually([&] { return fs::exists(begun); }, 60s));
    CHECK(rt.get(lender.call<&Lender::one>(), 30s) == 1);
    gate.open();
  }

  TEST_CASE("a process of its own stays until what its tasks were given has been destroyed") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    for (int i = 0; i < 10; ++i) {
      const auto file = folder / std::to_string(i);
      CHECK(rt.get(rt.task<remove_late>({.isolation = own_process}).remote(file), 60s) == 1);
      CHECK(eventually([&] { return !fs::exists(file); }, 20s));
    }
  }

  TEST_CASE("the end is bounded when a destructor takes long") {
    SubProgram driver("slow-destructor", {});
    CHECK(driver.wait() == 0);
    SubProgram of_actor("slow-destructor", {"actor"});
    CHECK(of_actor.wait() == 0);
  }

  TEST_CASE("a worker process leaves at the end of the runtime when what it has let go is destroyed, as threads do") {
    Folder folder;
    {
      auto rt = Runtime::start(small_machine());
      for (int i = 0; i < 3; ++i) CHECK(rt.get(rt.remote<remove_after>(folder / std::to_string(i)), 60s) == 1);
    }
    for (int i = 0; i < 3; ++i) CHECK_FALSE(fs::exists(folder / std::to_string(i)));
  }

  TEST_CASE("what a task has printed to a file of its own arrives, though its worker is killed over a destructor") {
    if (!in_processes()) return;
    Folder folder;
    {
      auto rt = Runtime::start(small_machine());
      CHECK(rt.get(rt.remote<print_to>(folder / "file"), 60s) == 1);
    }
    CHECK(content(folder / "file") == "printed");
  }

  // Each submit waited a tenth of a second for it.
  TEST_CASE("one destructor that waits does not hold up each submit") {
    Machine machine;
    auto& rt = machine.rt;
    Promise<int> gate;
    rt.get(rt.remote<take>(Last([&rt, ref = gate.ref()] { rt.get(ref); })));
    const auto begin = SteadyClock::now();
    for (int i = 0; i < 1000; ++i) CHECK(rt.get(rt.remote<take>(Last([] {})), 60s) == 1);
    CHECK(SteadyClock::now() - begin < 40s);  // else a tenth of a second for each beyond the 256th
    gate.set(1);
  }

  // The last copy of the callback went where its ref was settled, say in the owner's actor.
  TEST_CASE("what a callback of on_ready holds goes on the thread that calls it") {
    Machine machine;
    auto& rt = machine.rt;
    std::atomic<int> elsewhere{0}, gone{0};
    std::atomic<std::thread::id> callers{};
    constexpr int kMany = 20'000;
    for (int i = 0; i < kMany; ++i) {
      auto held = std::make_shared<Last>([&] {
        elsewhere += std::this_thread::get_id() != callers.load();
        ++gone;
      });
      rt.on_ready(rt.remote<same>(i), [&, held = std::move(held)](const auto&) { callers = std::this_thread::get_id(); });
    }
    CHECK(eventually([&] { return gone == kMany; }));
    CHECK(elsewhere == 0);
  }
}

}  // namespace manta_test
