// Very many tasks that have begun and wait, each with its lease, and very many calls that wait for their arguments: what happens to one
// must not look at all of them. With a look at all for each event these tests take many minutes.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "runtime/core/actor_table.hpp"
#include "runtime/core/task_table.hpp"

namespace manta::core {
namespace {

constexpr std::size_t kMany = 100'000;

struct Tasks {
  TaskTable table{};
  std::uint32_t shape = table.shape_index({.request = {.cpus = 1}});
  std::vector<std::unique_ptr<TaskNode>> nodes{};
  std::uint64_t leases = 0;
  TaskEffects effects{};

  TaskNode& submit() {
    auto& node = *nodes.emplace_back(std::make_unique<TaskNode>());
    node.id = {nodes.size()};
    node.shape = shape;
    table.submit(node, effects);
    return node;
  }
  TaskEffects settle() {
    table.settle(effects);
    return std::exchange(effects, {});
  }
  /// Begins, and waits.
  void begin(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      auto& task = submit();
      table.lease_granted(shape, {++leases}, effects);
      settle();
      REQUIRE(task.state == TaskState::kAssigned);
      table.held_up(task.lease);
    }
  }
};

}  // namespace

TEST_SUITE("runtime/core/waiting_leases") {
  TEST_CASE("a hundred thousand tasks that wait under their leases end one by one, each giving its lease back") {
    Tasks tasks;
    tasks.begin(kMany);
    std::vector<TaskNode*> order;
    for (const auto& node : tasks.nodes) order.push_back(node.get());
    std::shuffle(order.begin(), order.end(), std::mt19937(7));
    std::size_t given_back = 0, lost = 0;
    for (auto* task : order) {
      const auto lease = task->lease;
      if (task->id.value % 100 == 0) {
        task->max_retries = 0;
        tasks.table.lease_lost(lease, {}, tasks.effects);
        const auto effects = tasks.settle();
        REQUIRE(effects.crashed == std::vector{task});
        REQUIRE(effects.give_back.empty());
        ++lost;
      } else {
        tasks.table.finished(*task, 1000, tasks.effects);
        const auto effects = tasks.settle();
        REQUIRE(effects.give_back == std::vector{lease});
        ++given_back;
      }
    }
    CHECK(given_back + lost == kMany);
    CHECK(tasks.table.unfinished() == 0);
  }

  TEST_CASE("a lease whose task waited serves the next task when it is done, however it comes to that") {
    for (const bool by_spawning : {false, true}) {
      Tasks tasks;
      auto& first = tasks.submit();
      tasks.table.lease_granted(tasks.shape, {++tasks.leases}, tasks.effects);
      tasks.settle();
      by_spawning ? tasks.table.spawns(first.lease) : tasks.table.held_up(first.lease);
      auto& second = tasks.submit();
      tasks.settle();
      auto& third = tasks.submit();
      tasks.settle();
      CHECK(second.state == TaskState::kReady);
      tasks.table.finished(first, 1000, tasks.effects);
      CHECK(tasks.settle().give_back.empty());
      CHECK(second.state == TaskState::kAssigned);
      CHECK(second.lease == LeaseId{1});
      tasks.table.held_up(second.lease);
      tasks.submit();
      tasks.settle();
      tasks.table.withdraw(second);  // it runs elsewhere, say
      tasks.settle();
      CHECK(third.state == TaskState::kAssigned);
      CHECK(third.lease == LeaseId{1});
    }
  }

  TEST_CASE("a hundred thousand calls of an unordered actor wait for their arguments, and each goes when its own is there") {
    ActorTable actors;
    ActorEffects effects;
    constexpr ActorId kActor{1};
    std::vector<std::unique_ptr<CallNode>> calls;
    const auto call = [&](std::uint32_t unresolved) -> CallNode& {
      auto& node = *calls.emplace_back(std::make_unique<CallNode>());
      node.id = {calls.size()};
      node.actor = kActor;
      node.unresolved = unresolved;
      actors.call(node, effects);
      return node;
    };
    actors.create(kActor, {.unordered = true}, 0, effects);
    auto& early = call(1);
    actors.argument_ready(early, effects);
    CHECK(effects.sends.empty());  // the actor has no place yet
    actors.lease_granted(kActor, {1}, effects);
    actors.created(kActor, {1}, effects);
    REQUIRE(effects.sends.size() == 1);
    CHECK(effects.sends[0].call == &early);
    actors.finished(early, effects);
    for (std::size_t i = 0; i < kMany; ++i) call(1);
    std::vector<CallNode*> order;
    for (std::size_t i = 1; i < calls.size(); ++i) order.push_back(calls[i].get());
    std::shuffle(order.begin(), order.end(), std::mt19937(7));
    for (std::size_t i = 0; i < order.size(); ++i) {
      effects = {};
      if (i % 3 == 0) {
        REQUIRE(actors.cancel(*order[i], effects));
        REQUIRE(effects.sends.empty());
        continue;
      }
      actors.argument_ready(*order[i], effects);
      REQUIRE(effects.sends.size() == 1);
      REQUIRE(effects.sends[0].call == order[i]);
      if (i % 3 == 1) {  // not begun there: it goes again
        REQUIRE(actors.again(*order[i], effects));
        REQUIRE(effects.sends.size() == 2);
        REQUIRE(effects.sends[1].call == order[i]);
      }
      actors.finished(*order[i], effects);
    }
    effects = {};
    actors.dropped(kActor, effects);
    CHECK(effects.destroy.size() == 1);
  }
}

}  // namespace manta::core
