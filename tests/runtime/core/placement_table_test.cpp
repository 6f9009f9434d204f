#include "runtime/core/placement_table.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>

#include "runtime/core/lease_table.hpp"

namespace manta::core {
namespace {

struct Table {
  explicit Table(int cpus, int gpus = 0) : leases(ResourceLedger(Amount(cpus), ids_of(gpus), {{"licence", 1}}), ids) {}
  static std::vector<int> ids_of(int gpus) {
    std::vector<int> all;
    for (int id = 0; id < gpus; ++id) all.push_back(id);
    return all;
  }
  bool group(std::uint64_t id, std::vector<ResourceRequest> bundles, const std::string& name = {}) {
    return leases.add_group({.id = {id}, .owner = 1, .name = name, .bundles = std::move(bundles)}, effects);
  }
  void want(Purpose purpose, ResourceRequest shape, std::uint32_t count = 1) {
    leases.want({.owner = 1, .purpose = purpose, .shape = std::move(shape), .count = count}, effects);
  }
  std::vector<Lease> granted() { return std::exchange(effects.granted, {}); }
  std::vector<GroupId> placed() { return std::exchange(effects.placed, {}); }
  Amount free(const std::string& name = "CPU") const { return leases.ledger().available()[name]; }
  IdSource ids{0};
  LeaseTable leases;
  LeaseEffects effects{};
};

}  // namespace

TEST_SUITE("runtime/core/placement_table") {
  TEST_CASE("a group that does not fit whole takes nothing, and is placed when room appears") {
    Table table(3);
    table.want(1, {.cpus = 1});
    const auto running = table.granted();
    CHECK(table.group(7, {{.cpus = 1}, {.cpus = 2}}));
    CHECK(table.placed().empty());
    CHECK(table.free() == Amount(2));
    table.leases.release(running[0].id, table.effects);
    CHECK(table.placed() == std::vector{GroupId{7}});
    CHECK(table.free() == Amount(0));
    table.leases.remove_group({7}, table.effects);
    CHECK(table.leases.ledger().full());
  }

  TEST_CASE("bundles that must each be on a machine of their own are never placed on one, and hold up nobody; a single one is placed") {
    Table table(4);
    auto strict = [&](std::uint64_t id, std::vector<ResourceRequest> bundles) {
      return table.leases.add_group({.id = {id}, .owner = 1, .strategy = PlacementStrategy::kStrictSpread, .bundles = std::move(bundles)},
                                    table.effects);
    };
    table.want(1, {.cpus = 4});
    const auto whole = table.granted();
    REQUIRE(whole.size() == 1);
    CHECK(strict(7, {{.cpus = 1}, {.cpus = 1}}));
    table.leases.release(whole[0].id, table.effects);
    CHECK(table.placed().empty());
    CHECK(table.free() == Amount(4));
    table.want(2, {.cpus = 4});  // not kept for the group, though that was first
    const auto later = table.granted();
    REQUIRE(later.size() == 1);
    table.leases.release(later[0].id, table.effects);
    table.want(2, {.cpus = 4}, 0);
    for (const auto& lease : table.granted()) table.leases.release(lease.id, table.effects);
    CHECK(strict(8, {{.cpus = 1}}));
    CHECK(table.placed() == std::vector{GroupId{8}});
    table.leases.remove_group({7}, table.effects);
    table.leases.remove_group({8}, table.effects);
    CHECK(table.leases.ledger().full());
  }

  TEST_CASE("what is placed in a bundle takes from it and not from the machine, up to what the bundle has") {
    Table table(4);
    table.group(7, {{.cpus = 1}, {.cpus = 2}});
    table.want(1, {.cpus = 1, .group = {7}, .bundle = 0}, 2);
    table.want(2, {.cpus = 1, .group = {7}}, 9);
    const auto held = table.granted();
    REQUIRE(held.size() == 3);
    CHECK(held[0].grant.bundle == 0);
    CHECK(held[1].grant.bundle == 1);
    CHECK(held[2].grant.bundle == 1);
    CHECK(table.free() == Amount(1));
    table.want(3, {.cpus = 1});  // outside
    CHECK(table.granted().size() == 1);
    table.leases.set_blocked(held[0].id, true, table.effects);  // its CPU goes to who waits in that bundle
    const auto next = table.granted();
    REQUIRE(next.size() == 1);
    CHECK(next[0].purpose == 1);
  }

  TEST_CASE("a bundle has its GPUs' ids for life; fractions within share them") {
    Table table(8, 3);
    table.want(1, {.gpus = 0.5});
    const auto outside = table.granted();
    table.group(7, {{.gpus = 0.5}, {.gpus = 2}});
    REQUIRE(table.placed().size() == 1);
    table.want(2, {.gpus = 0.25, .group = {7}, .bundle = 0}, 3);
    table.want(3, {.gpus = 1, .group = {7}, .bundle = 1}, 3);
    auto held = table.granted();
    REQUIRE(held.size() == 4);
    CHECK(held[0].grant.gpu_ids == outside[0].grant.gpu_ids);  // the share that was left of that GPU
    CHECK(held[1].grant.gpu_ids == held[0].grant.gpu_ids);
    CHECK(held[2].grant.gpu_ids != held[3].grant.gpu_ids);
    CHECK(table.free("GPU") == Amount(0));
    table.leases.release(held[2].id, table.effects);
    const auto again = table.granted();
    REQUIRE(again.size() == 1);
    CHECK(again[0].grant.gpu_ids == held[2].grant.gpu_ids);
  }

  TEST_CASE("removal refuses what waits, and gives each bundle back when the last one in it has ended") {
    Table table(4);
    table.group(7, {{.cpus = 1}, {.cpus = 2}});
    table.want(1, {.cpus = 1, .group = {7}, .bundle = 0}, 2);
    const auto held = table.granted();
    REQUIRE(held.size() == 1);
    CHECK(table.leases.remove_group({7}, table.effects) == std::vector{held[0].id});
    REQUIRE(table.effects.refused.size() == 1);
    CHECK(table.effects.refused[0].purpose == 1);
    CHECK(table.free() == Amount(3));
    CHECK(table.leases.remove_group({7}, table.effects).empty());
    table.want(2, {.cpus = 1, .group = {7}});
    CHECK(table.effects.refused.size() == 2);  // it is gone, though a bundle is still in use
    table.leases.release(held[0].id, table.effects);
    CHECK(table.leases.ledger().full());
    CHECK(table.leases.groups().size() == 0);
  }

  TEST_CASE("a large group is not starved by a stream of small work, nor does it starve what it leaves room for") {
    Table table(2);
    table.want(1, {.cpus = 1});
    auto running = table.granted();
    table.group(7, {{.cpus = 1}, {.cpus = 1}});
    int passed = 0;
    for (Purpose small = 100; small < 1000; ++small) {
      table.want(small, {.cpus = 1});
      auto now = table.granted();
      if (now.empty()) break;
      ++passed;
      table.leases.release(now[0].id, table.effects);
    }
    CHECK(passed == LeaseTable::kMaxPassedOver);
    table.want(5, {.custom = {{"licence", 1}}});
    CHECK(table.granted().size() == 1);
    table.leases.release(running[0].id, table.effects);
    CHECK(table.placed().size() == 1);
  }

  TEST_CASE("a stream of small work within a bundle does not starve a large request there") {
    Table table(4);
    table.group(7, {{.cpus = 2}});
    auto in_bundle = [](double cpus) { return ResourceRequest{.cpus = cpus, .group = {7}, .bundle = 0}; };
    table.want(1, in_bundle(1));
    const auto running = table.granted();
    table.want(2, in_bundle(2));
    int passed = 0;
    for (Purpose small = 100; small < 1000; ++small) {
      table.want(small, in_bundle(1));
      auto now = table.granted();
      if (now.empty()) break;
      ++passed;
      table.leases.release(now[0].id, table.effects);
    }
    CHECK(passed == LeaseTable::kMaxPassedOver);
    table.want(3, {.cpus = 2});  // the machine's own CPUs are no concern of the bundle's
    CHECK(table.granted().size() == 1);
    table.leases.release(running[0].id, table.effects);
    CHECK(table.granted().at(0).purpose == 2);
  }

  TEST_CASE("what one machine can never hold is said") {
    const ResourceLedger machine(Amount(4), {0, 1}, {});
    auto why = [&](PlacementStrategy strategy, const std::vector<ResourceRequest>& bundles) {
      return PlacementTable::why_infeasible(machine, strategy, bundles);
    };
    const std::vector<ResourceRequest> two(2, {.cpus = 1});
    CHECK(why(PlacementStrategy::kPack, two).empty());
    CHECK(why(PlacementStrategy::kSpread, two).empty());
    CHECK(why(PlacementStrategy::kStrictPack, two).empty());
    CHECK_FALSE(why(PlacementStrategy::kStrictSpread, two).empty());
    CHECK(why(PlacementStrategy::kStrictSpread, {{.cpus = 1}}).empty());
    CHECK(why(PlacementStrategy::kPack, {{.cpus = 5}}).find("bundle 0") == 0);
    CHECK_FALSE(why(PlacementStrategy::kPack, {{.cpus = 3}, {.cpus = 2}}).empty());
    CHECK(why(PlacementStrategy::kPack, {{.gpus = 0.4}, {.gpus = 0.4}, {.gpus = 0.6}, {.gpus = 0.6}}).empty());
    CHECK_FALSE(why(PlacementStrategy::kPack, {{.gpus = 0.6}, {.gpus = 0.6}, {.gpus = 0.6}}).empty());
    CHECK_FALSE(why(PlacementStrategy::kPack, {{.gpus = 2}, {.gpus = 0.1}}).empty());
  }

  TEST_CASE("a name is taken while its group is there") {
    Table table(2);
    CHECK(table.group(7, {{.cpus = 1}}, "mine"));
    CHECK_FALSE(table.group(8, {{.cpus = 1}}, "mine"));
    CHECK(table.leases.groups().find("mine")->id == GroupId{7});
    table.leases.remove_group({7}, table.effects);
    CHECK(table.leases.groups().find("mine") == nullptr);
    CHECK(table.group(8, {{.cpus = 1}}, "mine"));
  }

  TEST_CASE("after any sequence of groups, leases and removals the ledger is full, and nothing was given twice") {
    for (unsigned seed = 0; seed < 300; ++seed) {
      CAPTURE(seed);
      std::mt19937 random(seed);
      auto pick = [&](unsigned n) { return random() % n; };
      Table table(4, 3);
      std::map<LeaseId, Lease> held;
      std::uint64_t next_group = 1;
      auto some = [&]() -> ResourceRequest {
        return {.cpus = Amount::from_raw(pick(3) * 5000), .gpus = pick(2) ? Amount(pick(3)) : Amount::from_raw(pick(10001)), .custom = {{"licence", 0.25}}};
      };
      auto take = [&] {
        for (auto& lease : table.granted()) REQUIRE(held.emplace(lease.id, lease).second);
        std::map<int, Amount> used;
        for (const auto& [id, lease] : held)
          for (int gpu : lease.grant.gpu_ids) used[gpu] += lease.grant.amounts.gpus < Amount(1) ? lease.grant.amounts.gpus : Amount(1);
        for (const auto& [gpu, amount] : used) REQUIRE(amount <= Amount(1));
        table.effects = {};
      };
      auto release = [&](std::map<LeaseId, Lease>::iterator it) {
        table.leases.release(it->first, table.effects);
        held.erase(it);
      };
      for (int step = 0; step < 200; ++step) {
        const auto what = pick(6);
        if (what == 0) {
          std::vector<ResourceRequest> bundles(1 + pick(3));
          for (auto& bundle : bundles) bundle = some();
          table.group(next_group++, bundles);
        } else if (what == 1) {
          table.leases.remove_group({1 + pick(static_cast<unsigned>(next_group))}, table.effects);
        } else if (what < 4) {
          auto shape = some();
          if (pick(3)) shape.group = {1 + pick(static_cast<unsigned>(next_group))}, shape.bundle = static_cast<std::int32_t>(pick(4)) - 1;
          table.want(pick(20), shape, pick(3));
        } else if (!held.empty()) {
          auto it = held.begin();
          std::advance(it, static_cast<long>(pick(static_cast<unsigned>(held.size()))));
          what == 4 ? release(it) : table.leases.set_blocked(it->first, pick(2) == 0, table.effects);
        }
        take();
      }
      for (std::uint64_t group = 1; group < next_group; ++group) table.leases.remove_group({group}, table.effects);
      for (Purpose purpose = 0; purpose < 20; ++purpose) table.want(purpose, {}, 0);
      take();
      while (!held.empty()) release(held.begin()), take();
      REQUIRE(table.leases.waiting() == 0);
      REQUIRE(table.leases.groups().size() == 0);
      REQUIRE(table.leases.ledger().full());
    }
  }
}

}  // namespace manta::core
