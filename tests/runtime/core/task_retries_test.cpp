// How often a task runs again, and when its turn is.
#include <doctest/doctest.h>

#include "runtime/core/task_table.hpp"

namespace manta::core {

TEST_SUITE("runtime/core/task_retries") {
  // max_retries of more than the count of failures has bits for: the count began anew after 65,536, and a task with max_retries 70,000
  // that failed each time ran for ever.
  TEST_CASE("a task with 70,000 retries fails 70,000 times and once more; one without end goes on") {
    constexpr int kMany = 70'000;
    for (const int most : {kMany, 65'535, 65'536, -1}) {
      CAPTURE(most);
      TaskTable tasks;
      TaskEffects effects;
      TaskNode task;
      task.id = {1};
      task.max_retries = most;
      task.shape = tasks.shape_index({.request = {.cpus = 1}});
      tasks.submit(task, effects);
      tasks.lease_granted(task.shape, {1}, effects);
      tasks.settle(effects);
      int again = 0;
      while (again <= kMany && task.state == TaskState::kAssigned && tasks.failed(task, 1, effects)) {
        ++again;
        tasks.settle(effects);
        effects = {};
      }
      CHECK(again == (most < 0 ? kMany + 1 : most));
      CHECK(task.state == TaskState::kAssigned);
      tasks.finished(task, 1, effects);
    }
  }

  // It went to the front: what failed again and again kept all others of its shape from running.
  TEST_CASE("a task that threw and runs again goes behind what waits, but for a nested one") {
    for (const bool nested : {false, true}) {
      CAPTURE(nested);
      TaskTable tasks;
      TaskEffects effects;
      TaskNode fails, other;
      other.id = {2};
      for (auto* task : {&fails, &other}) {
        task->max_retries = -1;
        task->shape = tasks.shape_index({.request = {.cpus = 1}});
      }
      fails.id = {1};
      fails.nested = nested;
      tasks.submit(fails, effects);
      tasks.submit(other, effects);
      tasks.lease_granted(fails.shape, {1}, effects);
      tasks.settle(effects);
      REQUIRE(fails.state == TaskState::kAssigned);
      REQUIRE(tasks.failed(fails, TaskTable::kBatchTime, effects));
      tasks.settle(effects);
      CHECK((other.state == TaskState::kAssigned) == !nested);
      CHECK((fails.state == TaskState::kAssigned) == nested);
    }
  }
}

}  // namespace manta::core
