// What TaskTable does about tasks whose workers the node ended to save memory.
#include <doctest/doctest.h>

#include "runtime/core/task_table.hpp"
#include "tests/runtime/clean.hpp"

namespace manta::core {
namespace {

struct Table {
  TaskEffects settle() {
    tasks.settle(effects);
    return std::exchange(effects, {});
  }
  TaskEffects grant(std::uint32_t to, std::uint64_t lease) {
    tasks.lease_granted(to, {lease}, effects);
    return settle();
  }
  TaskEffects lose(std::uint64_t lease, bool shared) {
    tasks.lease_lost({lease}, {.shared = shared, .for_memory = true}, effects);
    return settle();
  }
  TaskTable tasks{};
  TaskEffects effects{};
  std::uint32_t shape = tasks.shape_index({.request = {.cpus = 1}});
  std::uint32_t alone = tasks.shape_index({.request = {.cpus = 1}, .own_process = true});
};

}  // namespace

TEST_SUITE("runtime/core/task_table") {
  TEST_CASE("fault 24: a task whose worker was ended for memory waits before it runs again, charged where it was alone there") {
    const manta_test::Clean clean;
    Table table;
    TaskNode task{.id = {1}, .shape = table.shape, .max_retries = 1};
    table.tasks.submit(task, table.effects);
    table.settle();
    table.grant(table.shape, 1);
    auto effects = table.lose(1, true);
    CHECK(effects.isolate == std::vector{&task});
    CHECK(task.crashes == 0);
    table.tasks.run_in(table.alone, task);
    CHECK(table.settle().wants.empty());
    CHECK(task.state == TaskState::kWaitingForRetry);
    table.tasks.retry_due(task);
    CHECK(table.settle().wants.size() == 1);
    CHECK(table.grant(table.alone, 2).assigns.size() == 1);
    effects = table.lose(2, false);
    CHECK(effects.back_off == std::vector{&task});
    CHECK(task.crashes == 1);
    table.tasks.retry_due(task);
    table.settle();
    table.grant(table.alone, 3);
    CHECK(table.lose(3, false).crashed == std::vector{&task});
    CHECK(task.own_deaths == 0);
  }
}

}  // namespace manta::core
