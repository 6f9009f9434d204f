// Many tasks and calls at once: the submitting thread leaves them to whoever has to do with their owner next (docs/design/0008, 0023),
// which must never be nobody.
#include <unistd.h>

#include <atomic>
#include <sstream>

#include "support.hpp"

namespace manta_test {
namespace {

struct Tally {
  int total = 0;
  int add(int by) { return total += by; }
  int wait_at(const std::string& gate) { return pass(gate, 0); }
  Async<int> add_late(ObjectRef<int> by) {
    const int value = co_await by;
    co_return total += value;
  }
  int fail(int) { throw std::runtime_error("as it is told"); }
};
int same(int x) { return x; }

[[maybe_unused]] std::uint64_t resident_bytes() {  // not where sanitizers keep what is freed
  std::uint64_t all = 0, resident = 0;
  std::istringstream(content("/proc/self/statm")) >> all >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}
using Ints = std::vector<ObjectRef<int>>;
Ints pass_on(const Ints& refs) { return refs; }
struct Courier {
  Ints pass_on(const Ints& refs) { return refs; }
};

/// Calls one at a time and in bursts of all lengths up to those that fill an inbox.
void call_in_bursts(Client& rt, const ActorHandle<Tally>& tally, int rounds) {
  int expected = 0;
  for (int round = 0; round < rounds; ++round) {
    std::vector<ObjectRef<int>> refs;
    for (int i = 0; i < (round * 37) % 700 + 1; ++i) refs.push_back(tally.call<&Tally::add>(1)), ++expected;
    REQUIRE(rt.get(refs).back() == expected);
  }
}

}  // namespace

TEST_SUITE("runtime/api/bursts") {
#if defined(__GLIBC__) && !defined(MANTA_SANITIZED)
  // What a million tasks had taken was free when they were done, and stayed resident: 300 MB in a process that did nothing.
  TEST_CASE("the memory that a burst took goes back to the system when it is over") {
    if (in_processes()) return;  // the same owner
    constexpr std::uint64_t kMiB = 1 << 20;
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    Gate gate;
    rt.get(rt.remote<same>(1));
    const auto before = resident_bytes();
    {
      const auto first = rt.task<pass>({.num_cpus = 1}).remote(gate.path(), 0);
      std::vector<ObjectRef<int>> refs;
      for (int i = 0; i < 200'000; ++i) refs.push_back(rt.remote<same>(i));
      CHECK(resident_bytes() > before + 50 * kMiB);
      const auto last = refs.back();
      refs.clear();  // before the work ends: what is let go only after the look a second later stays until the next burst
      gate.open();
      CHECK(rt.get(last) == 199'999);
    }
    CHECK(eventually([&] { return resident_bytes() < before + 25 * kMiB; }));
  }
#endif

  TEST_CASE("bursts of calls of every length end, and in order") {
    Machine machine;
    call_in_bursts(machine.rt, machine.rt.actor<Tally>().spawn(), 100);
  }

  TEST_CASE("several threads send bursts to actors of their own") {
    Machine machine;
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([&] { call_in_bursts(machine.rt, machine.rt.actor<Tally>().spawn(), 40); });
    for (auto& thread : threads) thread.join();
  }

  TEST_CASE("while one actor is busy with a long call and hundreds behind it, other actors and tasks answer") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto busy = rt.actor<Tally>().spawn(), other = rt.actor<Tally>().spawn();
    rt.get(busy.call<&Tally::add>(0));
    const auto first = busy.call<&Tally::wait_at>(gate.path());
    std::vector<ObjectRef<int>> behind;
    for (int i = 0; i < 400; ++i) {
      behind.push_back(busy.call<&Tally::add>(1));
      if (i % 50 == 0) CHECK(rt.get(other.call<&Tally::add>(1), 60s) == i / 50 + 1);
    }
    CHECK(rt.get(rt.remote<same>(5), 60s) == 5);
    CHECK_FALSE(first.ready());
    gate.open();
    CHECK(rt.get(behind).back() == 400);
  }

  TEST_CASE("a call behind a burst may be what a coroutine of the same actor waits for") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto tally = rt.actor<Tally>().spawn();
    std::vector<ObjectRef<int>> late;
    for (int i = 0; i < 60; ++i) late.push_back(tally.call<&Tally::add_late>(rt.remote<pass>(gate.path(), 1)));
    std::vector<ObjectRef<int>> plain;
    for (int i = 0; i < 300; ++i) plain.push_back(tally.call<&Tally::add>(1));
    gate.open();
    rt.get(plain);
    rt.get(late);
    CHECK(rt.get(tally.call<&Tally::add>(0)) == 360);
  }

  TEST_CASE("calls that fail, are cancelled, or have options of their own take their places among a burst") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto tally = rt.actor<Tally>().spawn();
    tally.call<&Tally::wait_at>(gate.path());
    std::vector<ObjectRef<int>> plain, failing, cancelled;
    for (int i = 0; i < 300; ++i) {
      plain.push_back(tally.call<&Tally::add>(1));
      if (i % 3 == 0) failing.push_back(tally.options({.max_retries = 0}).call<&Tally::fail>(i));
      if (i % 7 == 0) cancelled.push_back(tally.call<&Tally::add>(1000));
    }
    for (const auto& ref : cancelled) rt.cancel(ref);
    for (const auto& ref : cancelled) CHECK_THROWS_AS(rt.get(ref), Cancelled);
    gate.open();
    CHECK(rt.get(plain).back() == 300);
    for (const auto& ref : failing) CHECK_THROWS_AS(rt.get(ref), TaskError);
  }

  // Their workers gave back what came with the arguments before the results had left, as results leave in groups.
  TEST_CASE("refs that go to a worker and come home in values are the same objects, also in a burst") {
    Machine machine;
    auto& rt = machine.rt;
    auto courier = rt.actor<Courier>().spawn();
    rt.get(rt.remote<pass_on>(Ints{}));
    std::vector<ObjectRef<Ints>> back;
    std::vector<ObjectRef<int>> sent;
    for (int i = 0; i < 300; ++i) {
      sent.push_back(rt.put(i));
      back.push_back(i % 2 ? rt.remote<pass_on>(Ints{sent.back()}) : courier.call<&Courier::pass_on>(Ints{sent.back()}));
    }
    for (int i = 0; i < 300; ++i) CHECK(rt.get(back[static_cast<std::size_t>(i)]) == Ints{sent[static_cast<std::size_t>(i)]});
  }

  TEST_CASE("an actor that is killed in a burst fails what has not run, and nothing stays behind") {
    Machine machine;
    auto& rt = machine.rt;
    for (int round = 0; round < 5; ++round) {
      auto tally = rt.actor<Tally>().spawn();
      std::vector<ObjectRef<int>> refs;
      for (int i = 0; i < 500; ++i) refs.push_back(tally.call<&Tally::add>(1));
      tally.kill();
      for (int i = 0; i < 200; ++i) refs.push_back(tally.call<&Tally::add>(1));
      for (const auto& ref : refs) static_cast<void>(rt.try_get(ref, 60s));
      CHECK_THROWS_AS(rt.get(refs.back()), ActorDied);
    }
  }
}

}  // namespace manta_test
