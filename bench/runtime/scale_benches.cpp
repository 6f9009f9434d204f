#include "bench/runtime/scale_benches.hpp"

#include <malloc.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace manta::bench {
namespace {

int add_one(int x) { return x + 1; }

int fib(Context& context, int n) {
  if (n < 2) return n;
  auto one = context.remote<fib>(n - 1);
  auto two = context.remote<fib>(n - 2);
  return context.get(one) + context.get(two);
}

struct Counter {
  int total = 0;
  int add(int by) { return total += by; }
};

std::atomic<bool> gate_open{false};
std::atomic<int> behind_gate{0};
int wait_at_gate() {
  ++behind_gate;
  gate_open.wait(false);
  return 0;
}

void expect(bool right, const char* what) {
  if (!right) throw std::runtime_error(std::string(what) + " gave a wrong result");
}

double heap_in_use() {
  const auto info = ::mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
}

/// What was used last is on its way back, by other threads: waits until it came.
double settled_heap() {
  using namespace std::chrono_literals;
  double last = heap_in_use();
  for (int i = 0; i < 100; ++i) {
    std::this_thread::sleep_for(20ms);
    const double now = heap_in_use();
    if (now > last * 0.999) return now;
    last = now;
  }
  return last;
}

std::chrono::nanoseconds cpu_time() {
  std::timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

std::vector<ActorHandle<Counter>> spawn_many(Client& client, std::size_t count) {
  std::vector<ActorHandle<Counter>> actors;
  actors.reserve(count);
  for (std::size_t i = 0; i < count; ++i) actors.push_back(client.actor<Counter>().spawn());
  return actors;
}

void call_each(Client& client, std::vector<ActorHandle<Counter>>& actors) {
  std::vector<ObjectRef<int>> refs;
  refs.reserve(actors.size());
  for (auto& actor : actors) refs.push_back(actor.call<&Counter::add>(1));
  expect(client.get(refs).back() == 1, "a call of each actor");
}

}  // namespace

Body tasks_1m(Client& client) {
  return [&client](std::size_t) {
    constexpr std::size_t kTasks = 1'000'000;
    std::vector<ObjectRef<int>> refs;
    refs.reserve(kTasks);
    return Timed{kTasks, time_of([&] {
                   for (std::size_t i = 0; i < kTasks; ++i) refs.push_back(client.remote<add_one>(static_cast<int>(i)));
                   expect(client.get(refs).back() == static_cast<int>(kTasks), "tasks_1m");
                 })};
  };
}

Body actors_10k(Client& client) {
  return [&client](std::size_t) {
    constexpr std::size_t kActors = 10'000;
    std::vector<ActorHandle<Counter>> actors;
    return Timed{kActors, time_of([&] {
                   actors = spawn_many(client, kActors);
                   call_each(client, actors);
                 })};
  };
}

Body fib_25(Client& client) {
  return [&client](std::size_t) {
    constexpr std::size_t kTasks = 242'785;
    return Timed{kTasks, time_of([&] { expect(client.get(client.remote<fib>(25)) == 75025, "fib_25"); })};
  };
}

Body in_cpu_time(Body body) {
  return [body = std::move(body)](std::size_t n) {
    const auto start = cpu_time();
    const Timed timed = body(n);
    return Timed{timed.operations, cpu_time() - start};
  };
}

double bytes_of_a_queued_task(Client& client) {
  constexpr int kTasks = 100'000;
  gate_open = false;
  behind_gate = 0;
  const auto cpus = static_cast<int>(client.total_resources()["CPU"].value());
  std::vector<ObjectRef<int>> gates;
  for (int i = 0; i < cpus; ++i) gates.push_back(client.task<wait_at_gate>({.max_retries = 0}).remote());
  while (behind_gate < cpus) std::this_thread::yield();
  std::vector<ObjectRef<int>> refs;
  refs.reserve(kTasks);
  const double before = heap_in_use();
  for (int i = 0; i < kTasks; ++i) refs.push_back(client.remote<add_one>(i));
  const double bytes = (heap_in_use() - before) / kTasks;
  gate_open = true;
  gate_open.notify_all();
  expect(client.get(refs).back() == kTasks, "queued tasks");
  return bytes + sizeof(ObjectRef<int>);
}

double bytes_of_an_idle_actor(Client& client) {
  constexpr std::size_t kActors = 100'000;
  const double before = heap_in_use();
  auto actors = spawn_many(client, kActors);
  call_each(client, actors);
  while (client.stats().unfinished > 0) std::this_thread::yield();
  return (settled_heap() - before) / static_cast<double>(kActors);
}

}  // namespace manta::bench
