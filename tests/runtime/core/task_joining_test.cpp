// Tasks that whoever waits for them runs, leases whose tasks submit tasks, and how often the node is told what is wanted.
#include <doctest/doctest.h>

#include <array>
#include <limits>

#include "runtime/core/task_table.hpp"

namespace manta::core {
namespace {

struct Table {
  Table() {
    for (std::size_t i = 0; i < nodes.size(); ++i) nodes[i] = {.id = {i + 1}, .shape = shape, .max_retries = 3, .estimate = &estimate};
  }
  TaskEffects submit(std::size_t index) {
    tasks.submit(nodes[index], effects);
    return settle();
  }
  TaskEffects grant(std::uint64_t lease) {
    tasks.lease_granted(shape, {lease}, effects);
    return settle();
  }
  TaskEffects settle() {
    tasks.settle(effects);
    return std::exchange(effects, {});
  }
  TaskTable tasks{};
  TaskEffects effects{};
  DurationEstimate estimate{.nanoseconds = 1000, .own = 1000};
  std::uint32_t shape = tasks.shape_index({.request = {.cpus = 1}});
  std::array<TaskNode, 200> nodes{};
};

}  // namespace

TEST_SUITE("runtime/core/task_joining") {
  TEST_CASE("a ready task that is joined leaves the queue, runs once and ends") {
    Table table;
    auto& parent = table.nodes[0];
    auto& child = table.nodes[1];
    table.submit(0);
    table.grant(1);
    table.submit(1);
    CHECK(table.tasks.join(child, parent.lease));
    CHECK(child.state == TaskState::kJoined);
    CHECK(child.may_run());
    CHECK_FALSE(table.tasks.join(child, parent.lease));  // once
    CHECK(table.grant(2).assigns.empty());
    table.tasks.finished(child, 400, table.effects);
    table.tasks.finished(child, 400, table.effects);
    CHECK(child.state == TaskState::kFinished);
    CHECK(table.tasks.unfinished() == 1);
    table.tasks.finished(parent, 2000, table.effects);
    CHECK(table.tasks.unfinished() == 0);
  }

  TEST_CASE("a task that its worker has given back unstarted is joined, and its lease serves others") {
    Table table;
    for (std::size_t i = 0; i < 2; ++i) table.submit(i);
    CHECK(table.grant(1).assigns.size() + table.grant(2).assigns.size() == 2);
    const auto lease = table.nodes[1].lease;
    CHECK(table.tasks.join(table.nodes[1], {9}));
    table.tasks.submit(table.nodes[2], table.effects);
    CHECK(table.settle().assigns.size() == 1);
    CHECK(table.nodes[2].lease == lease);
    for (std::size_t i = 0; i < 3; ++i) table.tasks.finished(table.nodes[i], 10, table.effects);
    CHECK(table.tasks.unfinished() == 0);
  }

  TEST_CASE("a joined task that fails is ready again while retries are left; an unwanted one is not") {
    Table table;
    table.submit(0);
    CHECK(table.tasks.join(table.nodes[0], {1}));
    CHECK(table.tasks.failed(table.nodes[0], 10, table.effects));
    CHECK(table.nodes[0].state == TaskState::kReady);
    CHECK(table.tasks.join(table.nodes[0], {1}));
    table.nodes[0].unwanted = true;
    CHECK_FALSE(table.tasks.failed(table.nodes[0], 10, table.effects));
    table.tasks.withdraw(table.nodes[0]);
    CHECK(table.tasks.unfinished() == 0);
  }

  TEST_CASE("what waits for arguments or for its next attempt cannot be joined") {
    Table table;
    table.nodes[0].unresolved = 1;
    table.submit(0);
    CHECK_FALSE(table.tasks.join(table.nodes[0], {1}));
    table.nodes[1].backs_off = true;
    table.submit(1);
    table.grant(1);
    CHECK(table.tasks.failed(table.nodes[1], 10, table.effects));
    CHECK_FALSE(table.tasks.join(table.nodes[1], {1}));
  }

  TEST_CASE("nothing goes behind a task that submits tasks, until it is done") {
    Table table;
    table.submit(0);
    table.grant(1);
    table.tasks.spawns({1});
    for (std::size_t i = 1; i < 4; ++i) CHECK(table.submit(i).assigns.empty());
    table.tasks.finished(table.nodes[0], 1000, table.effects);
    CHECK(table.settle().assigns.size() >= 2);  // together again
  }

  TEST_CASE("the time of joined tasks is no part of a function's own time") {
    DurationEstimate estimate{};
    estimate.add(1'000'000, 999'000);
    CHECK(estimate.nanoseconds == 1'000'000);
    CHECK(estimate.own == 1000);
  }

  TEST_CASE("a time that is negative or that of an age counts as none or as that of days, and no sum of it overflows") {
    constexpr auto kLeast = std::numeric_limits<std::int64_t>::min(), kMost = std::numeric_limits<std::int64_t>::max();
    DurationEstimate estimate{};
    for (int i = 0; i < 3; ++i) estimate.add(kMost, kLeast);
    CHECK(estimate.nanoseconds == 1'000'000'000'000'000);
    CHECK(estimate.own == estimate.nanoseconds);
    for (int i = 0; i < 200; ++i) estimate.add(kLeast, kMost);
    CHECK(estimate.nanoseconds == 0);
    CHECK(estimate.own == 0);
    Table table;
    table.submit(0);
    table.grant(1);
    for (std::size_t i = 0; i < 4; ++i) {  // the time that a lease has served is a sum of them
      auto& task = table.nodes[i];
      if (i > 0) table.submit(i), table.grant(i + 1);
      table.tasks.finished(task, kMost, table.effects);
      CHECK(task.state == TaskState::kFinished);
    }
  }

  TEST_CASE("the node is told a few times, not for each task, and at last that nothing is wanted") {
    Table table;
    std::size_t told = 0;
    std::uint32_t last = 0;
    auto count = [&](const TaskEffects& effects) {
      told += effects.wants.size();
      if (!effects.wants.empty()) last = effects.wants.back().count;
    };
    for (std::size_t i = 0; i < table.nodes.size(); ++i) count(table.submit(i));
    CHECK(last == TaskTable::kMaxWanted);
    CHECK(told <= 10);
    for (auto& node : table.nodes) {
      CHECK(table.tasks.join(node, {1}));
      count(table.settle());
    }
    CHECK(last == 0);
    CHECK(told <= 16);
  }
}

}  // namespace manta::core
