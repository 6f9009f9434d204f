#include "runtime/core/task_table.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>

#include "tests/runtime/clean.hpp"

namespace manta::core {
namespace {

struct Table {
  TaskNode& task(int max_retries = 3, bool nested = false, std::uint32_t unresolved = 0) {
    auto node = std::make_unique<TaskNode>();
    node->id = {static_cast<std::uint64_t>(nodes.size() + 1)};
    node->max_retries = max_retries;
    node->nested = nested;
    node->unresolved = unresolved;
    node->shape = shape;
    node->estimate = &estimate;
    nodes.push_back(std::move(node));
    tasks.submit(*nodes.back(), effects);
    return *nodes.back();
  }
  TaskEffects settle() {
    tasks.settle(effects);
    for (const auto& want : effects.wants) wanted = want.count;
    return std::exchange(effects, {});
  }
  TaskEffects grant(std::uint64_t lease) {
    wanted -= wanted > 0;
    tasks.lease_granted(shape, {lease}, effects);
    return settle();
  }
  TaskEffects finish(TaskNode& node, std::int64_t nanoseconds = 1000) {
    tasks.finished(node, nanoseconds, effects);
    return settle();
  }
  TaskEffects lose(std::uint64_t lease, bool own_doing = false, bool shared = false) {
    tasks.lease_lost({lease}, {.own_doing = own_doing, .shared = shared}, effects);
    return settle();
  }
  TaskTable tasks{};
  TaskEffects effects{};
  std::uint32_t wanted = 0;  ///< leases, as the node knows it
  DurationEstimate estimate{};
  std::uint32_t shape = tasks.shape_index({.request = {.cpus = 1}});
  std::vector<std::unique_ptr<TaskNode>> nodes{};
};

std::vector<TaskNode*> assigned(const TaskEffects& effects) {
  std::vector<TaskNode*> tasks;
  for (const auto& each : effects.assigns) tasks.push_back(each.task);
  return tasks;
}

}  // namespace

TEST_SUITE("runtime/core/task_table") {
  TEST_CASE("a shape is saturated while all leases are asked for, or a lease has plenty of short tasks in hand") {
    Table table;
    CHECK_FALSE(table.tasks.saturated(table.shape));
    auto& first = table.task();
    table.settle();
    CHECK_FALSE(table.tasks.saturated(table.shape));
    table.grant(1);
    table.finish(first, 1000);  // such tasks are short from now on
    for (std::size_t i = 0; i < TaskTable::kMaxWanted; ++i) table.task();
    table.settle();
    CHECK(table.tasks.saturated(table.shape));  // nobody can ask for more
    table.grant(2);
    CHECK(table.tasks.saturated(table.shape));  // all in the hands of one lease
    const auto count = table.nodes.size();
    for (std::size_t i = 1; i < count - 1; ++i) table.finish(*table.nodes[i]);
    CHECK_FALSE(table.tasks.saturated(table.shape));
  }

  TEST_CASE("a lease whose task takes long does not saturate its shape") {
    Table table;
    auto& first = table.task();
    table.settle();
    table.grant(1);
    table.finish(first, 1000);
    for (std::size_t i = 0; i < 2 * TaskTable::kEnough; ++i) table.task();
    table.settle();
    table.grant(2);
    CHECK(table.tasks.saturated(table.shape));
    table.tasks.held_up({2});
    table.settle();
    CHECK_FALSE(table.tasks.saturated(table.shape));
  }

  TEST_CASE("a task asks for a lease, runs under it, and the lease goes back") {
    Table table;
    auto& task = table.task();
    auto effects = table.settle();
    REQUIRE(effects.wants.size() == 1);
    CHECK(effects.wants[0].count == 1);
    effects = table.grant(7);
    CHECK(assigned(effects) == std::vector{&task});
    effects = table.finish(task);
    CHECK(effects.give_back == std::vector{LeaseId{7}});
    CHECK(table.tasks.unfinished() == 0);
    CHECK(table.grant(8).give_back == std::vector{LeaseId{8}});  // nobody needs it
  }

  TEST_CASE("a running task that nobody wants any more stays assigned, and is not tried again when its worker dies or gives it back") {
    Table table;
    auto& task = table.task();
    table.settle();
    table.grant(1);
    task.unwanted = true;
    CHECK_FALSE(table.tasks.failed(task, 1000, table.effects));
    auto effects = table.lose(1);
    CHECK(effects.ended == std::vector{&task});
    CHECK(effects.crashed.empty());
    CHECK(task.state == TaskState::kFinished);
    CHECK(table.tasks.unfinished() == 0);
    auto& returned = table.task();
    table.settle();
    table.grant(2);
    table.tasks.withdraw(returned);
    CHECK(table.settle().give_back == std::vector{LeaseId{2}});
    CHECK(table.tasks.unfinished() == 0);
  }

  TEST_CASE("fault 11: a grant, a result or a loss that comes twice, or after a cancel or a retry, acts once") {
    const manta_test::Clean clean;
    Table table;
    auto &a = table.task(), &b = table.task();
    table.settle();
    CHECK(table.grant(1).assigns.size() == 1);
    CHECK(table.grant(1).assigns.empty());  // the same lease again is no second one
    table.finish(a), table.finish(a);
    CHECK(table.tasks.unfinished() == 1);
    CHECK(b.state == TaskState::kAssigned);
    CHECK(table.lose(1).crashed.empty());
    CHECK(b.crashes == 1);
    table.lose(1);
    CHECK(b.crashes == 1);
    CHECK(b.state == TaskState::kReady);
    table.finish(b);  // the result of the attempt that was given up: late
    CHECK(b.state == TaskState::kReady);
    table.tasks.returned(b, table.effects);
    CHECK(assigned(table.grant(2)) == std::vector{&b});
    b.unwanted = true;
    table.tasks.withdraw(b), table.tasks.withdraw(b);
    table.finish(b);
    CHECK(table.tasks.unfinished() == 0);
    CHECK(table.lose(2).ended.empty());
  }

  TEST_CASE("a hundred thousand ready tasks are withdrawn in any order, each at once; the others keep theirs") {
    Table table;
    constexpr int kCount = 100'000;
    for (int i = 0; i < kCount; ++i) table.task(3, i % 3 == 0);
    std::vector<TaskNode*> order;
    for (auto& node : table.nodes) order.push_back(node.get());
    std::shuffle(order.begin(), order.end(), std::mt19937(5));
    for (int i = 0; i < kCount - 10; ++i) table.tasks.withdraw(*order[static_cast<std::size_t>(i)]);  // quadratic, this takes a minute
    std::vector<TaskNode*> left(order.end() - 10, order.end());
    auto nested_last_first = [](const TaskNode* a, const TaskNode* b) {
      if (a->nested != b->nested) return a->nested;
      return a->nested ? a->id > b->id : a->id < b->id;
    };
    std::sort(left.begin(), left.end(), nested_last_first);
    for (std::uint64_t lease = 1; lease <= 10; ++lease) {
      table.settle();
      CHECK(assigned(table.grant(lease)) == std::vector{left[lease - 1]});
    }
    CHECK(table.tasks.unfinished() == 10);
  }

  TEST_CASE("a task that dies in company is not charged, and goes on in a process of its own") {
    Table table;
    auto& once = table.task(0);
    table.settle();
    table.grant(1);
    CHECK(table.lose(1, false, true).crashed == std::vector{&once});  // no retries: at most once
    auto& task = table.task(1);
    table.settle();
    table.grant(1);
    auto effects = table.lose(1, true, true);
    CHECK(effects.isolate == std::vector{&task});
    CHECK(effects.crashed.empty());
    CHECK(task.crashes == 0);
    const auto alone = table.tasks.shape_index({.request = {.cpus = 1}, .own_process = true});
    table.tasks.run_in(alone, task);
    effects = table.settle();
    REQUIRE(effects.wants.size() == 1);
    CHECK(effects.wants[0].shape == alone);
    table.tasks.lease_granted(alone, {2}, table.effects);
    CHECK(assigned(table.settle()) == std::vector{&task});
    CHECK(table.lose(2, true, false).crashed.empty());
    CHECK(task.crashes == 1);
  }

  TEST_CASE("the third worker that a task ends by its own doing is the last, whatever its retries") {
    Table table;
    auto& task = table.task(-1);
    for (std::uint64_t lease = 1; lease <= 2; ++lease) {
      table.settle();
      table.grant(lease);
      CHECK(table.lose(lease, true).poisoned.empty());
    }
    table.grant(3);
    table.lose(3);  // killed from outside: does not count
    table.grant(4);
    CHECK(table.lose(4, true).poisoned == std::vector{&task});
    CHECK(task.state == TaskState::kFinished);
    CHECK(task.crashes == 4);
  }

  TEST_CASE("errors and crashes share the retries; with a back-off a task waits for its time without a lease") {
    Table table;
    auto& task = table.task(2);
    task.backs_off = true;
    table.settle();
    table.grant(1);
    REQUIRE(table.tasks.failed(task, 1000, table.effects));
    auto effects = table.settle();
    CHECK(effects.back_off == std::vector{&task});
    CHECK(effects.give_back == std::vector{LeaseId{1}});
    CHECK(task.state == TaskState::kWaitingForRetry);
    table.tasks.retry_due(task);
    table.tasks.retry_due(task);  // twice acts once
    CHECK(table.settle().wants.size() == 1);
    table.grant(2);
    CHECK(table.lose(2).back_off == std::vector{&task});
    table.tasks.retry_due(task);
    table.settle();
    table.grant(3);
    CHECK_FALSE(table.tasks.failed(task, 1000, table.effects));
    table.finish(task);
    CHECK(task.failures == 1);
    CHECK(task.crashes == 1);
    auto& withdrawn = table.task(2);
    withdrawn.backs_off = true;
    table.settle();
    table.grant(4);
    REQUIRE(table.tasks.failed(withdrawn, 1, table.effects));
    table.tasks.withdraw(withdrawn);
    table.tasks.retry_due(withdrawn);
    CHECK(withdrawn.state == TaskState::kFinished);
    CHECK(table.tasks.unfinished() == 0);
  }

  TEST_CASE("tasks of unknown or long time never lie behind each other, short ones travel together") {
    Table table;
    for (int i = 0; i < 8; ++i) table.task();
    table.settle();
    CHECK(table.grant(1).assigns.size() == 1);
    table.finish(*table.nodes[0], 2 * TaskTable::kBatchTime);
    CHECK(assigned(table.grant(2)).size() == 1);
    Table quick;
    quick.estimate.add(1000);
    for (int i = 0; i < 8; ++i) quick.task();
    quick.settle();
    CHECK(quick.grant(1).assigns.size() > 1);
    Table many;
    many.estimate.add(10);
    for (int i = 0; i < 3000; ++i) many.task();
    many.settle();
    CHECK(many.grant(1).assigns.size() <= TaskTable::kMaxBatch);
    Table timed;
    timed.estimate.add(TaskTable::kBatchTime / 4);
    for (int i = 0; i < 100; ++i) timed.task();
    timed.settle();
    CHECK(timed.grant(1).assigns.size() == 4);
  }

  TEST_CASE("a lease that is held up gets no more, and what it gives back goes first elsewhere") {
    Table table;
    table.estimate.add(1000);
    for (int i = 0; i < 4; ++i) table.task();
    table.settle();
    const auto first = assigned(table.grant(1));
    REQUIRE(first.size() > 1);
    table.tasks.held_up({1});
    table.tasks.returned(*first[1], table.effects);
    auto effects = table.settle();
    CHECK(effects.assigns.empty());
    CHECK(table.wanted > 0);
    CHECK(assigned(table.grant(2)).front() == first[1]);
    table.finish(*first[0]);  // the first lease serves again
    CHECK(table.tasks.unfinished() == 3);
  }

  TEST_CASE("nested tasks go first, the newest of them at the very front") {
    Table table;
    auto& old = table.task();
    auto& nested = table.task(3, true);
    auto& newer = table.task(3, true);
    table.settle();
    CHECK(assigned(table.grant(1)) == std::vector{&newer});
    CHECK(assigned(table.finish(newer, 2'000'000)) == std::vector{&nested});
    CHECK(assigned(table.finish(nested, 2'000'000)) == std::vector{&old});
  }

  TEST_CASE("a task waits for its arguments and leaves when one fails") {
    Table table;
    auto& task = table.task(3, false, 2);
    CHECK(table.settle().wants.empty());
    table.tasks.argument_ready(task, table.effects);
    CHECK(table.settle().wants.empty());
    table.tasks.argument_ready(task, table.effects);
    CHECK(table.settle().wants.size() == 1);
    table.tasks.withdraw(task);
    table.tasks.withdraw(task);
    CHECK(table.tasks.unfinished() == 0);
    const auto effects = table.settle();
    REQUIRE(effects.wants.size() == 1);
    CHECK(effects.wants[0].count == 0);
  }

  TEST_CASE("a task alone on its worker is charged for the worker's death, and fails when its retries are used up") {
    Table table;
    auto& task = table.task(2);
    table.settle();
    for (std::uint64_t lease = 1; lease <= 3; ++lease) {
      CHECK(assigned(table.grant(lease)) == std::vector{&task});
      const auto effects = table.lose(lease);
      CHECK(task.crashes == static_cast<int>(lease));
      CHECK(effects.crashed.size() == (lease == 3 ? 1 : 0));
    }
    CHECK(table.tasks.unfinished() == 0);
    CHECK(table.lose(3).crashed.empty());
  }

  TEST_CASE("of a batch only the deadly task fails, however often its neighbours are lost with it") {
    // The story: results of quick tasks are told in groups, so the owner does not know which one ran when the worker
    // died. The first of the batch used to be charged, and innocent tasks failed for a neighbour.
    Table table;
    table.estimate.add(1000);
    for (int i = 0; i < 20; ++i) table.task(1);
    auto& deadly = *table.nodes[10];
    std::set<TaskNode*> crashed;
    std::set<TaskNode*> done;
    std::uint64_t lease = 0;
    auto effects = table.settle();
    for (int guard = 0; table.tasks.unfinished() > 0 && guard < 1000; ++guard) {
      if (effects.assigns.empty()) effects = table.grant(++lease);
      const auto id = effects.assigns.empty() ? LeaseId{lease} : effects.assigns.front().lease;
      const auto batch = assigned(effects);
      effects = {};
      if (std::find(batch.begin(), batch.end(), &deadly) != batch.end()) {
        effects = table.lose(id.value);  // nothing of the batch had been told
        crashed.insert(effects.crashed.begin(), effects.crashed.end());
      } else {
        for (auto* node : batch) {
          done.insert(node);
          table.tasks.finished(*node, 1000, table.effects);
        }
        effects = table.settle();
      }
    }
    CHECK(crashed == std::set{&deadly});
    CHECK(done.size() == 19);
  }

  TEST_CASE("a task that may run only once shares no batch") {
    Table table;
    table.estimate.add(1000);
    auto& once = table.task(0);
    for (int i = 0; i < 5; ++i) table.task(3);
    table.settle();
    CHECK(assigned(table.grant(1)) == std::vector{&once});
    const auto effects = table.lose(1);
    CHECK(effects.crashed == std::vector{&once});
  }

  TEST_CASE("a lease goes back after a while though more waits, and is asked for again") {
    Table table;
    for (int i = 0; i < 8; ++i) table.task();
    CHECK(table.settle().wants[0].count == 8);
    CHECK(table.grant(1).assigns.size() == 1);
    CHECK(table.finish(*table.nodes[0], TaskTable::kLeaseTime / 2).assigns.size() == 1);
    const auto effects = table.finish(*table.nodes[1], TaskTable::kLeaseTime);
    CHECK(effects.assigns.empty());
    CHECK(effects.give_back == std::vector{LeaseId{1}});
    CHECK(table.grant(2).assigns.size() == 1);
  }

  TEST_CASE("a process of its own serves one task") {
    Table table;
    table.shape = table.tasks.shape_index({.own_process = true});
    auto& first = table.task();
    auto& second = table.task();
    CHECK(table.settle().wants[0].count == 2);
    CHECK(assigned(table.grant(1)) == std::vector{&first});
    auto effects = table.finish(first);
    CHECK(effects.assigns.empty());
    CHECK(effects.give_back == std::vector{LeaseId{1}});
    CHECK(assigned(table.grant(2)) == std::vector{&second});
  }

  TEST_CASE("a refused lease takes one waiting task out") {
    Table table;
    auto& first = table.task();
    auto& second = table.task();
    table.settle();
    CHECK(table.tasks.refused(table.shape) == &first);
    CHECK(table.settle().wants.empty());  // one refused of two: one still to come
    CHECK(table.tasks.refused(table.shape) == &second);
    CHECK(table.tasks.refused(table.shape) == nullptr);
    CHECK(table.tasks.unfinished() == 0);
  }

  TEST_CASE("events that come twice act once") {
    Table table;
    auto& task = table.task();
    table.settle();
    CHECK(table.grant(1).assigns.size() == 1);
    CHECK(table.grant(1).assigns.empty());
    table.finish(task);
    table.tasks.finished(task, 1, table.effects);
    table.tasks.returned(task, table.effects);
    table.tasks.held_up({1});
    CHECK(table.tasks.unfinished() == 0);
    CHECK(table.settle().assigns.empty());
  }

  TEST_CASE("whatever comes, each task runs on one lease at a time and all end") {
    for (unsigned seed = 0; seed < 300; ++seed) {
      CAPTURE(seed);
      std::mt19937 random(seed);
      Table table;
      if (seed % 2) table.estimate.add(1000);
      std::map<LeaseId, std::vector<TaskNode*>> held;
      std::uint32_t wanted = 0;
      std::uint64_t next_lease = 0;
      std::set<TaskNode*> ended;
      auto take = [&](const TaskEffects& effects) {
        for (const auto& want : effects.wants) wanted = want.count;
        for (const auto& each : effects.assigns) {
          REQUIRE(held.contains(each.lease));
          for (const auto& [lease, tasks] : held) REQUIRE(std::find(tasks.begin(), tasks.end(), each.task) == tasks.end());
          REQUIRE_FALSE(ended.contains(each.task));
          held[each.lease].push_back(each.task);
        }
        for (auto* task : effects.crashed) REQUIRE(ended.insert(task).second);
        for (auto lease : effects.give_back) {
          REQUIRE(held.at(lease).empty());
          held.erase(lease);
        }
      };
      auto grant = [&] {
        held[{++next_lease}];
        if (wanted) --wanted;
        take(table.grant(next_lease));
      };
      auto finish_one = [&] {
        for (auto& [lease, tasks] : held) {
          if (tasks.empty()) continue;
          auto* task = tasks.front();
          tasks.erase(tasks.begin());
          REQUIRE(ended.insert(task).second);
          return take(table.finish(*task, static_cast<std::int64_t>(random() % 1'000'000)));
        }
      };
      for (int step = 0; step < 300; ++step) {
        switch (random() % 6) {
          case 0: table.task(static_cast<int>(random() % 4) - 1, random() % 3 == 0); take(table.settle()); break;
          case 1: if (wanted && held.size() < 4) grant(); break;
          case 2: case 3: finish_one(); break;
          case 4:
            if (!held.empty() && random() % 3 == 0) {
              const auto lease = held.begin()->first;
              held.erase(lease);
              take(table.lose(lease.value));
            }
            break;
          case 5:
            for (auto& [lease, tasks] : held) {
              if (tasks.size() < 2) continue;
              auto* back = tasks.back();
              tasks.pop_back();
              table.tasks.held_up(lease);
              table.tasks.returned(*back, table.effects);
              take(table.settle());
              break;
            }
            break;
        }
      }
      for (int guard = 0; table.tasks.unfinished() > 0 && guard < 5000; ++guard) {
        if (wanted && held.size() < 4) grant();
        finish_one();
      }
      REQUIRE(table.tasks.unfinished() == 0);
      REQUIRE(ended.size() == table.nodes.size());
    }
  }
}

}  // namespace manta::core
