// Shapes of tasks: as many as are in use are known, however many there were, and what comes late for one that was forgotten is
// of no effect. The story: each shape that ever was stayed, and each submit looked through them all.
#include <doctest/doctest.h>

#include <memory>
#include <random>
#include <set>
#include <vector>

#include "runtime/core/task_table.hpp"

namespace manta::core {
namespace {

TaskShape shape_number(std::uint64_t number) { return {.request = {.cpus = 1}, .environment = number}; }

struct Table {
  TaskTable tasks{};
  TaskEffects effects{};
  std::uint64_t next_lease = 0;

  std::unique_ptr<TaskNode> submit(std::uint32_t shape) {
    auto task = std::make_unique<TaskNode>();
    task->id = {1};
    task->max_retries = 3;
    task->shape = shape;
    tasks.submit(*task, effects);
    settle();
    return task;
  }
  TaskEffects settle() {
    tasks.settle(effects);
    return std::exchange(effects, {});
  }
  void run(std::uint32_t shape) {
    const auto task = submit(shape);
    tasks.lease_granted(shape, {++next_lease}, effects);
    settle();
    REQUIRE(task->state == TaskState::kAssigned);
    tasks.finished(*task, 1000, effects);
    CHECK(settle().give_back.size() == 1);
  }
};

}  // namespace

TEST_SUITE("runtime/core/task_shapes") {
  TEST_CASE("a queue whose first one waits keeps its order while others come behind it and go") {
    ReadyQueue queue;
    std::vector<std::unique_ptr<TaskNode>> nodes;
    std::vector<TaskNode*> waiting;  // in order
    std::mt19937 random(5);
    const auto push = [&](bool front) {
      auto* node = nodes.emplace_back(std::make_unique<TaskNode>()).get();
      front ? queue.push_front(node) : queue.push_back(node);
      waiting.insert(front ? waiting.begin() : waiting.end(), node);
    };
    push(false);
    for (int i = 0; i < 5000; ++i) {
      push(i % 500 == 0);
      if (waiting.size() < 100) continue;
      const auto gone = waiting.begin() + 1 + static_cast<std::ptrdiff_t>(random() % (waiting.size() - 1));
      queue.erase(**gone);
      waiting.erase(gone);
      if (i % 50 == 0)
        while (waiting.size() > 10) queue.erase(*waiting.back()), waiting.pop_back();
      REQUIRE(queue.size() == waiting.size());
      REQUIRE(queue.front() == waiting.front());
      REQUIRE(queue.ahead_of(*waiting.back()) == waiting.size() - 1);
      REQUIRE(queue.ahead_of(*waiting[waiting.size() / 2]) == waiting.size() / 2);
    }
    for (auto* each : waiting) {
      REQUIRE(queue.front() == each);
      queue.pop_front();
    }
    CHECK(queue.empty());
  }

  TEST_CASE("a hundred thousand shapes, one after another, are a few at a time") {
    Table table;
    std::size_t most = 0;
    for (std::uint64_t i = 0; i < 100'000; ++i) {
      table.run(table.tasks.shape_index(shape_number(i)));
      most = std::max(most, table.tasks.shapes());
    }
    CHECK(most <= 64);
  }

  TEST_CASE("shapes in use stay, and are found again") {
    Table table;
    std::vector<std::unique_ptr<TaskNode>> waiting;
    std::vector<std::uint32_t> indices;
    for (std::uint64_t i = 0; i < 500; ++i) {
      indices.push_back(table.tasks.shape_index(shape_number(i)));
      waiting.push_back(table.submit(indices.back()));
      table.run(table.tasks.shape_index(shape_number(10'000 + i)));
    }
    CHECK(table.tasks.shapes() >= 500);
    CHECK(table.tasks.shapes() <= 1100);
    CHECK(std::set<std::uint32_t>(indices.begin(), indices.end()).size() == 500);
    for (std::uint64_t i = 0; i < 500; ++i) {
      CHECK(table.tasks.shape_index(shape_number(i)) == indices[i]);
      CHECK(table.tasks.shape(indices[i]).environment == i);
      table.tasks.withdraw(*waiting[i]);
    }
    table.settle();
    for (std::uint64_t i = 0; i < 2000; ++i) table.run(table.tasks.shape_index(shape_number(20'000 + i)));
    CHECK(table.tasks.shapes() <= 64);
  }

  TEST_CASE("a lease or a refusal that comes late for a forgotten shape does not meet the one in its place") {
    Table table;
    const auto old = table.tasks.shape_index(shape_number(0));
    table.run(old);
    std::uint64_t next = 1;
    while (table.tasks.has_shape(old)) table.run(table.tasks.shape_index(shape_number(next++)));
    REQUIRE(next <= 65);
    std::vector<std::unique_ptr<TaskNode>> waiting;  // in all places that there are
    for (int i = 0; i < 100; ++i) waiting.push_back(table.submit(table.tasks.shape_index(shape_number(1000 + i))));
    table.tasks.lease_granted(old, {9999}, table.effects);
    const auto effects = table.settle();
    CHECK(effects.give_back == std::vector<LeaseId>{{9999}});
    CHECK(effects.assigns.empty());
    CHECK(table.tasks.refused(old) == nullptr);
    table.tasks.refused_all(old);
    CHECK_FALSE(table.tasks.saturated(old));
    for (const auto& each : waiting) CHECK(each->state == TaskState::kReady);
    CHECK(table.tasks.shape_index(shape_number(0)) != old);
  }

  TEST_CASE("a task that goes on under another shape is counted there") {
    Table table;
    const auto shared = table.tasks.shape_index(shape_number(0));
    const auto task = table.submit(shared);
    table.tasks.lease_granted(shared, {1}, table.effects);
    table.settle();
    table.tasks.lease_lost({1}, {.shared = true}, table.effects);
    REQUIRE(table.effects.isolate.size() == 1);
    auto alone = shape_number(0);
    alone.own_process = true;
    const auto own = table.tasks.shape_index(alone);
    table.tasks.run_in(own, *task);
    table.settle();
    for (std::uint64_t i = 1; i < 200; ++i) table.run(table.tasks.shape_index(shape_number(i)));
    CHECK(table.tasks.has_shape(own));
    CHECK_FALSE(table.tasks.has_shape(shared));
    table.tasks.withdraw(*task);
  }
}

}  // namespace manta::core
