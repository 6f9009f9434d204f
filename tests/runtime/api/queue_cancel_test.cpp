// A Queue's values when getters are cancelled: each is got once, or still in the queue. The story: one that arrived at the moment of
// the cancel was lost, on its way to a getter that did not take it any more.
#include <algorithm>
#include <atomic>
#include <numeric>
#include <sstream>

#include <signal.h>
#include <unistd.h>

#include "support.hpp"
#include "runtime/queue.hpp"

namespace manta_test {
namespace {

/// Takes values for ever, and writes each down; what it has written down it has got.
int take_all(Context& ctx, const Queue<int>& queue, const std::string& log) {
  while (true) {
    const int value = queue.get(ctx);
    append(log, std::to_string(value) + ";");
  }
}

std::vector<int> numbers_in(const std::string& log) {
  std::vector<int> found;
  std::istringstream text(content(log));
  for (std::string each; std::getline(text, each, ';');) found.push_back(std::stoi(each));
  return found;
}

std::vector<int> first_numbers(int count) {
  std::vector<int> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

/// Where it is copied on another thread than the program's first, it waits for its gate: so it keeps a queue busy.
struct Held {
  std::string gate{};
  int number = 0;
  Held() = default;
  Held(std::string at, int n) : gate(std::move(at)), number(n) {}
  Held(Held&&) = default;
  Held(const Held& other) : gate(other.gate), number(other.number) {
    if (!gate.empty() && ::gettid() != ::getpid()) pass(gate, 0);
  }
  Held& operator=(const Held&) = default;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(gate, number);
  }
};
using HeldQueue = detail::QueueActor<Held>;

int wait_until_told(Context& ctx, const std::string& log) {
  append(log, "child;");
  while (!ctx.cancelled()) std::this_thread::sleep_for(1ms);
  append(log, "told;");
  return 0;
}
/// A getter whose value came as it was cancelled: it gives the value back, and has another child beside that.
int give_one_back(Context& ctx, const ActorHandle<HeldQueue>& queue, const std::string& log) {
  auto cell = std::make_shared<detail::Cell>(detail::type_ops<std::optional<Held>>());
  cell->set_value(std::make_shared<const std::optional<Held>>(Held({}, 7)));
  detail::GiveBack<Held> back(queue.link(), cell);
  back.settled();
  back.unwanted(*queue.link());
  const auto child = ctx.remote<wait_until_told>(log);
  while (!ctx.cancelled()) std::this_thread::sleep_for(1ms);
  return 0;
}

int get_in_process(Context& ctx, const ActorHandle<HeldQueue>& queue, const std::string& log) {
  const auto value = queue.call<&HeldQueue::get>(std::uint64_t{5});
  append(log, std::to_string(::getpid()) + ";");
  return ctx.get(value)->number;
}

/// Of a queue whose getters have all gone, but whose cancels may still be on their way.
void check_all_there(Runtime& rt, const Queue<int>& queue, std::vector<int> got, int put) {
  const auto missing = [&] { return static_cast<std::size_t>(put) - got.size(); };
  eventually([&] {
    while (auto value = queue.try_get(rt)) got.push_back(*value);
    return missing() == 0;
  }, 20s);
  std::sort(got.begin(), got.end());
  CHECK(got == first_numbers(put));
}

}  // namespace

TEST_SUITE("runtime/api") {
  TEST_CASE("a value that arrives as its getter's ref is cancelled is in the ref or back in the queue") {
    Machine machine;
    auto& rt = machine.rt;
    constexpr int kRounds = 400;
    Queue<int> queue(rt, kRounds);
    std::vector<ObjectRef<std::optional<int>>> refs;
    std::atomic<int> round{-1};
    std::thread producer([&] {
      for (int i = 0; i < kRounds; ++i) {
        while (round < i) std::this_thread::yield();
        queue.put(rt, i);
      }
    });
    for (int i = 0; i < kRounds; ++i) {
      refs.push_back(queue.get_async());
      round = i;
      for (int spin = 0; spin < i % 50 * 40; ++spin) std::atomic_signal_fence(std::memory_order_seq_cst);  // some are there, some not
      rt.cancel(refs.back());
    }
    producer.join();
    std::vector<int> got;
    for (const auto& ref : refs)
      if (const auto value = rt.try_get(ref, 60s); value.ok()) got.push_back(value->value());
    refs.clear();
    check_all_there(rt, queue, std::move(got), kRounds);
  }

  TEST_CASE("a value that arrives as the task that waits for it is cancelled is the task's or back in the queue") {
    Machine machine(small_machine(2));
    auto& rt = machine.rt;
    Folder folder;
    constexpr int kValues = 300;
    Queue<int> queue(rt, kValues);
    std::atomic<bool> over{false};
    std::thread producer([&] {
      for (int i = 0; i < kValues; ++i) queue.put(rt, i);
      over = true;
    });
    std::vector<std::string> logs;
    for (int i = 0; !over || i < 20; ++i) {
      logs.push_back(folder / ("log" + std::to_string(i)));
      const auto taker = rt.remote<take_all>(queue, logs.back());
      const auto some = static_cast<std::size_t>(1 + i % 3);
      eventually([&] { return numbers_in(logs.back()).size() >= some || over; }, 10s);
      rt.cancel(taker, {.recursive = i % 2 == 0});
      CHECK_THROWS_AS(rt.get(taker), Cancelled);
    }
    producer.join();
    CHECK(eventually([&] { return rt.stats().unfinished == 0; }));  // all takers have returned; as they wait, their CPUs are lent
    std::vector<int> got;
    for (const auto& log : logs)
      for (const int value : numbers_in(log)) got.push_back(value);
    check_all_there(rt, queue, std::move(got), kValues);
  }

  // Given back as a child of the getter, the value was cancelled on its way home by whoever cancelled the getter and all that is its.
  TEST_CASE("a value on its way back to a queue is not cancelled with the getter that did not take it") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    Gate gate;
    const auto log = folder / "log";
    auto queue = rt.actor<HeldQueue>({.num_cpus = 0, .max_coroutines = 100}).spawn(std::uint64_t{10});
    const auto busy = queue.call<&HeldQueue::try_put>(Held(gate.path(), 1));
    const auto getter = rt.remote<give_one_back>(queue, log);
    CHECK(eventually([&] { return content(log) == "child;"; }));
    rt.cancel(getter);
    CHECK(eventually([&] { return content(log) == "child;told;"; }));  // all that is the getter's has been cancelled
    gate.open();
    CHECK(rt.get(busy, 60s));
    CHECK(eventually([&] { return rt.get(queue.call<&HeldQueue::size>(), 60s) == 2; }, 20s));
  }

  TEST_CASE("a getter whose process has died before its turn takes nothing") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    Gate gate;
    const auto log = folder / "log";
    auto queue = rt.actor<HeldQueue>({.num_cpus = 0, .max_coroutines = 100}).spawn(std::uint64_t{10});
    CHECK(rt.get(queue.call<&HeldQueue::try_put>(Held({}, 7)), 60s));
    const auto busy = queue.call<&HeldQueue::try_put>(Held(gate.path(), 1));
    const auto getter = rt.task<get_in_process>({.max_retries = 0, .isolation = own_process}).remote(queue, log);
    CHECK(eventually([&] { return !numbers_in(log).empty(); }, 30s));
    std::this_thread::sleep_for(100ms);  // its call is in the line
    ::kill(numbers_in(log).at(0), SIGKILL);
    CHECK_THROWS_AS(rt.get(getter, 30s), WorkerCrashed);
    std::this_thread::sleep_for(300ms);  // the queue hears of it
    gate.open();
    CHECK(rt.get(busy, 60s));
    const auto left = rt.get(queue.call<&HeldQueue::try_get>(), 60s);
    REQUIRE(left);
    CHECK(left->number == 7);
    CHECK(rt.get(queue.call<&HeldQueue::size>(), 60s) == 1);
  }

  TEST_CASE("values that come back to a full queue do not make it larger for good") {
    // Behaviour: each let one more in, as long as somebody waited to put.
    Machine machine;
    auto& rt = machine.rt;
    auto queue = rt.actor<detail::QueueActor<int>>().spawn(std::uint64_t{1});
    using Q = detail::QueueActor<int>;
    CHECK(rt.get(queue.call<&Q::try_put>(1), 30s));
    const auto second = queue.call<&Q::put>(std::uint64_t{1}, 2);
    CHECK(rt.get(queue.call<&Q::try_get>(), 30s) == 1);
    CHECK(rt.get(second, 30s));
    const auto third = queue.call<&Q::put>(std::uint64_t{2}, 3);
    rt.get(queue.call<&Q::give_back>(std::optional<int>(1)), 30s);
    CHECK(rt.get(queue.call<&Q::try_get>(), 30s) == 1);
    CHECK(rt.get(queue.call<&Q::size>(), 30s) == 1);
    CHECK_FALSE(third.ready());
    CHECK(rt.get(queue.call<&Q::try_get>(), 30s) == 2);
    CHECK(rt.get(third, 30s));
    CHECK(rt.get(queue.call<&Q::try_get>(), 30s) == 3);
  }

  TEST_CASE("a getter that is cancelled once its value is there gives it back, to the front") {
    Machine machine;
    auto& rt = machine.rt;
    Queue<std::string> queue(rt, 3);
    auto first = queue.get_async();
    rt.cancel(first);
    CHECK_THROWS_AS(rt.get(first), Cancelled);
    for (const char* text : {"a", "b", "c"}) queue.put(rt, text);
    CHECK(queue.get(rt) == "a");
    CHECK(queue.get(rt, 10s) == "b");
    CHECK(queue.try_get(rt) == "c");
    CHECK_FALSE(queue.try_get(rt));
    CHECK_THROWS_AS(Queue<int>().get(rt), InvalidArgument);
  }
}

}  // namespace manta_test
