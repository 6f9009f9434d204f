#include "bench/runtime/runtime_benches.hpp"

#include <stdexcept>
#include <string>

namespace manta::bench {
namespace {

constexpr std::size_t kBatch = 1000;

int add_one(int x) { return x + 1; }

struct Counter {
  int total = 0;
  int add(int by) { return total += by; }
};

void expect(bool right, const char* what) {
  if (!right) throw std::runtime_error(std::string(what) + " gave a wrong result");
}

std::size_t batches_in(std::size_t n) { return (n + kBatch - 1) / kBatch; }

}  // namespace

Body task_serial(Client& client) {
  client.get(client.remote<add_one>(0));  // where workers are processes, the first task waits for one to be made
  return [&client](std::size_t n) {
    return Timed{n, time_of([&] {
                   for (int i = 0; i < static_cast<int>(n); ++i) {
                     expect(client.get(client.remote<add_one>(i)) == i + 1, "task_serial");
                   }
                 })};
  };
}

Body task_batch_1000(Client& client) {
  client.get(client.remote<add_one>(0));
  return [&client](std::size_t n) {
    std::vector<ObjectRef<int>> refs;
    return Timed{batches_in(n) * kBatch, time_of([&] {
                   for (std::size_t batch = 0; batch < batches_in(n); ++batch) {
                     refs.clear();
                     for (std::size_t i = 0; i < kBatch; ++i) refs.push_back(client.remote<add_one>(static_cast<int>(i)));
                     expect(client.get(refs).back() == static_cast<int>(kBatch), "task_batch_1000");
                   }
                 })};
  };
}

Body actor_serial(Client& client) {
  return [&client, counter = client.actor<Counter>().spawn()](std::size_t n) {
    int total = client.get(counter.call<&Counter::add>(0));
    return Timed{n, time_of([&] {
                   for (std::size_t i = 0; i < n; ++i) {
                     expect(client.get(counter.call<&Counter::add>(1)) == ++total, "actor_serial");
                   }
                 })};
  };
}

Body actor_batch_1000(Client& client) {
  return [&client, counter = client.actor<Counter>().spawn()](std::size_t n) {
    std::vector<ObjectRef<int>> refs;
    int total = client.get(counter.call<&Counter::add>(0));
    return Timed{batches_in(n) * kBatch, time_of([&] {
                   for (std::size_t batch = 0; batch < batches_in(n); ++batch) {
                     refs.clear();
                     for (std::size_t i = 0; i < kBatch; ++i) refs.push_back(counter.call<&Counter::add>(1));
                     total += static_cast<int>(kBatch);
                     expect(client.get(refs).back() == total, "actor_batch_1000");
                   }
                 })};
  };
}

Body put_int(Client& client) {
  return [&client](std::size_t n) {
    std::vector<ObjectRef<int>> refs;
    return Timed{batches_in(n) * kBatch, time_of([&] {
                   for (std::size_t batch = 0; batch < batches_in(n); ++batch) {
                     refs.clear();
                     for (std::size_t i = 0; i < kBatch; ++i) refs.push_back(client.put(static_cast<int>(i)));
                   }
                 })};
  };
}

Body get_int(Client& client) {
  std::vector<ObjectRef<int>> refs;
  for (std::size_t i = 0; i < kBatch; ++i) refs.push_back(client.put(static_cast<int>(i)));
  return [&client, refs](std::size_t n) {
    return Timed{n, time_of([&] {
                   for (std::size_t i = 0; i < n; ++i) {
                     expect(client.get(refs[i % kBatch]) == static_cast<int>(i % kBatch), "get_int");
                   }
                 })};
  };
}

Body refs_10k(Client& client) {
  constexpr std::size_t kRefs = 10'000;
  std::vector<ObjectRef<int>> refs;
  for (std::size_t i = 0; i < kRefs; ++i) refs.push_back(client.put(static_cast<int>(i)));
  return [&client, refs](std::size_t n) {
    return Timed{n, time_of([&] {
                   for (std::size_t i = 0; i < n; ++i) expect(client.get(client.put(refs)).back() == refs.back(), "refs_10k");
                 })};
  };
}

Body placement_group(Client& client) {
  return [&client](std::size_t n) {
    return Timed{n, time_of([&] {
                   for (std::size_t i = 0; i < n; ++i) {
                     auto group = client.placement_group({.bundles = {{.num_cpus = 1}}});
                     expect(client.wait(group, std::chrono::seconds(10)), "placement_group");
                     client.remove(group);
                   }
                 })};
  };
}

namespace {

/// Refs to tasks that are done, made outside the timed part.
std::vector<ObjectRef<int>> finished_refs(Client& client) {
  std::vector<ObjectRef<int>> refs;
  for (std::size_t i = 0; i < kBatch; ++i) refs.push_back(client.remote<add_one>(static_cast<int>(i)));
  client.get(refs);
  return refs;
}

}  // namespace

Body wait_1k(Client& client) {
  return [&client, refs = finished_refs(client)](std::size_t n) {
    return Timed{n, time_of([&] {
                   for (std::size_t i = 0; i < n; ++i) {
                     auto pending = refs;
                     while (!pending.empty()) {
                       auto left = client.wait(std::move(pending)).ready;
                       left.pop_back();  // the one that is taken
                       pending = std::move(left);
                     }
                   }
                 })};
  };
}

Body as_completed_1k(Client& client) {
  return [&client, refs = finished_refs(client)](std::size_t n) {
    return Timed{n, time_of([&] {
                   for (std::size_t i = 0; i < n; ++i) {
                     std::size_t seen = 0;
                     for (const auto& ref : client.as_completed(refs)) seen += ref.ready();
                     expect(seen == kBatch, "as_completed_1k");
                   }
                 })};
  };
}

}  // namespace manta::bench
