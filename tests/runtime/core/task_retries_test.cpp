// max_retries of more than the count of failures has bits for: as many as were asked for, and no more. The story: the count began
// anew after 65,536, and a task with max_retries 70,000 that failed each time ran for ever.
#include <doctest/doctest.h>

#include "runtime/core/task_table.hpp"

namespace manta::core {

TEST_SUITE("runtime/core/task_retries") {
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
}

}  // namespace manta::core
