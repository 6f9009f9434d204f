#include "runtime/core/lease_table.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

namespace manta::core {
namespace {

struct Table {
  explicit Table(int cpus) : leases(ResourceLedger(Amount(cpus), {}, {{"licence", 1}}), ids) {}
  void want(ProcessId owner, Purpose purpose, double cpus, std::uint32_t count) {
    leases.want({.owner = owner, .purpose = purpose, .shape = {.cpus = cpus}, .count = count}, effects);
  }
  std::vector<Lease> granted() { return std::exchange(effects.granted, {}); }
  Lease only() {
    auto all = granted();
    REQUIRE(all.size() == 1);
    return all.front();
  }
  IdSource ids{0};
  LeaseTable leases;
  LeaseEffects effects{};
};

}  // namespace

TEST_SUITE("runtime/core/lease_table") {
  TEST_CASE("requests are served in order of arrival") {
    Table table(1);
    table.want(1, 10, 1, 1);
    table.want(2, 20, 1, 1);
    table.want(3, 30, 1, 1);
    for (Purpose expected : {10u, 20u, 30u}) {
      const auto lease = table.only();
      CHECK(lease.purpose == expected);
      table.leases.release(lease.id, table.effects);
    }
    CHECK(table.leases.ledger().full());
    CHECK(table.leases.waiting() == 0);
  }

  TEST_CASE("a request that does not fit is passed over by smaller ones, but not for ever") {
    Table table(2);
    table.want(1, 1, 1, 1);
    auto running = table.only();
    table.want(1, 2, 2, 1);
    int passed = 0;
    for (Purpose small = 100; small < 1000; ++small) {
      table.want(1, small, 1, 1);  // a small one is always waiting when another ends
      auto now = table.granted();
      if (now.empty()) break;
      REQUIRE(now.size() == 1);
      ++passed;
      table.leases.release(now[0].id, table.effects);
    }
    CHECK(passed == LeaseTable::kMaxPassedOver);
    table.leases.release(running.id, table.effects);
    CHECK(table.only().purpose == 2);
  }

  TEST_CASE("a request that is renewed for ever does not keep its place for ever") {
    Table table(2);
    table.want(1, 1, 1, 64);
    auto running = table.granted();
    REQUIRE(running.size() == 2);
    table.want(1, 2, 2, 1);
    int before = 0;
    for (; before < 2000; ++before) {
      table.want(1, 1, 1, 64);  // there is always more of the small
      table.leases.release(running.front().id, table.effects);
      running.erase(running.begin());
      for (const auto& lease : table.granted()) running.push_back(lease);
      if (running.empty() || running.back().purpose == 2) break;
    }
    CHECK(running.back().purpose == 2);
    CHECK(before <= LeaseTable::kMaxPassedOver + 2);
  }

  TEST_CASE("nobody waits for a request that only the end of an actor or of a waiting task can serve") {
    // The story: an actor held the machine's GPU and waited for tasks; a second one wanted the GPU. After so many tasks had
    // passed it over everybody waited for it, and it for the actor, for ever.
    for (bool actor : {true, false}) {
      Table table(3);
      table.leases.want({.owner = 0, .purpose = 1, .shape = {.cpus = 1, .custom = {{"licence", 1}}}, .for_life = actor}, table.effects);
      const auto holder = table.only();
      if (!actor) table.leases.set_blocked(holder.id, true, table.effects);
      table.leases.want({.owner = 0, .purpose = 2, .shape = {.cpus = 1, .custom = {{"licence", 1}}}}, table.effects);
      int served = 0;
      for (Purpose small = 100; small < 1500; ++small) {
        table.want(1, small, 1, 1);
        for (const auto& lease : table.granted()) {
          ++served;
          table.leases.release(lease.id, table.effects);
        }
      }
      CHECK(served == 1400);
      table.leases.release(holder.id, table.effects);
      CHECK(table.only().purpose == 2);
    }
  }

  TEST_CASE("nested requests go first, the newest before older ones, but others get their turn") {
    Table table(1);
    table.want(0, 1, 1, 1);
    auto lease = table.only();
    table.want(0, 2, 1, 1);
    auto nest = [&](Purpose purpose) { table.leases.want({.owner = 1, .purpose = purpose, .shape = {.cpus = 1}, .nested = true}, table.effects); };
    nest(11), nest(12);
    for (Purpose expected : {12u, 11u, 2u}) {
      table.leases.release(lease.id, table.effects);
      lease = table.only();
      CHECK(lease.purpose == expected);
    }
    table.want(0, 3, 1, 1);
    int before = 0;
    for (Purpose nested = 100; lease.purpose != 3 && before < 2000; ++nested, ++before) {
      nest(nested);
      table.leases.release(lease.id, table.effects);
      lease = table.only();
    }
    CHECK(before <= LeaseTable::kMaxPassedOver + 2);
  }

  TEST_CASE("wanting twice asks once, wanting nothing withdraws, releasing twice releases once") {
    Table table(2);
    table.want(1, 1, 1, 2);
    auto both = table.granted();
    REQUIRE(both.size() == 2);
    table.want(1, 1, 1, 1);
    table.want(1, 1, 1, 1);
    CHECK(table.leases.waiting() == 1);
    table.want(1, 1, 1, 0);
    table.want(1, 1, 1, 0);
    CHECK(table.leases.waiting() == 0);
    table.leases.release(both[0].id, table.effects);
    table.leases.release(both[0].id, table.effects);
    CHECK(table.granted().empty());
    CHECK(table.leases.ledger().available()["CPU"] == Amount(1));
    CHECK(table.leases.held() == 1);
    CHECK(table.leases.find(both[0].id) == nullptr);
    CHECK(table.leases.find(both[1].id) != nullptr);
  }

  TEST_CASE("a lease whose work waits makes room, and takes it back without making anybody wait") {
    Table table(1);
    table.want(1, 1, 1, 1);
    const auto parent = table.only();
    table.want(1, 2, 1, 1);
    CHECK(table.granted().empty());
    table.leases.set_blocked(parent.id, true, table.effects);
    const auto child = table.only();
    table.leases.set_blocked(parent.id, false, table.effects);
    table.leases.set_blocked(LeaseId{999}, true, table.effects);
    table.want(1, 3, 1, 1);
    table.leases.release(child.id, table.effects);
    CHECK(table.granted().empty());  // the parent has its CPU again
    table.leases.release(parent.id, table.effects);
    CHECK(table.only().purpose == 3);
  }

  TEST_CASE("an owner that is gone waits for nothing, and its leases are named") {
    Table table(2);
    table.want(1, 1, 1, 1);
    table.want(2, 1, 1, 1);
    const auto held = table.granted();
    table.want(1, 2, 2, 1);
    table.want(2, 3, 1, 1);
    const auto lost = table.leases.drop_owner(1, table.effects);
    REQUIRE(lost == std::vector{held[0].id});
    CHECK(table.granted().empty());
    table.leases.release(lost[0], table.effects);
    CHECK(table.only().owner == 2);
    CHECK(table.leases.drop_owner(1, table.effects).empty());
  }

  TEST_CASE("whatever comes, nobody gets more than was asked for or than there is, and all is served in the end") {
    for (unsigned seed = 0; seed < 100; ++seed) {
      CAPTURE(seed);
      std::mt19937 random(seed);
      Table table(4);
      std::map<Purpose, std::uint32_t> wanted;
      std::map<LeaseId, Lease> held;
      auto take = [&] {
        for (auto& lease : table.granted()) {
          REQUIRE(wanted[lease.purpose] > 0);
          --wanted[lease.purpose];
          REQUIRE(held.emplace(lease.id, lease).second);
        }
      };
      auto release_one = [&] {
        auto it = held.begin();
        std::advance(it, static_cast<long>(random() % held.size()));
        table.leases.release(it->first, table.effects);
        held.erase(it);
      };
      for (int step = 0; step < 200; ++step) {
        const Purpose purpose = random() % 8;
        const auto what = random() % 4;
        if (what == 0) {
          wanted[purpose] = random() % 4;
          table.want(1, purpose, static_cast<double>(purpose % 4 + 1), wanted[purpose]);
        } else if (what == 1 && !held.empty()) {
          table.leases.set_blocked(held.begin()->first, random() % 2 == 0, table.effects);
        } else if (!held.empty()) {
          release_one();
        }
        take();
      }
      while (!held.empty()) release_one(), take();
      for (const auto& [purpose, count] : wanted) REQUIRE(count == 0);
      REQUIRE(table.leases.ledger().full());
    }
  }

  TEST_CASE("after the loss of a GPU a waiting group that needs it, and work for a bundle that had it, are told so") {
    IdSource ids{0};
    LeaseTable leases(ResourceLedger(Amount(4), {0, 1}, {}), ids);
    LeaseEffects effects;
    const auto group = [](std::uint64_t id, std::vector<double> gpus) {
      PlacementSpec spec{.id = {id}, .owner = 1};
      for (double each : gpus) spec.bundles.push_back({.cpus = 1, .gpus = each});
      return spec;
    };
    REQUIRE(leases.add_group(group(1, {1}), effects));
    REQUIRE(effects.placed.size() == 1);
    REQUIRE(leases.add_group(group(2, {1, 1}), effects));  // waits for the first one's
    REQUIRE(leases.add_group(group(3, {1, 1, 1}), effects));  // never could, and wanted to wait for it
    const auto held_gpu = leases.groups().bundle({1}, 0).total()["GPU"] == Amount(1);
    REQUIRE(held_gpu);
    leases.want({.owner = 1, .purpose = 7, .shape = {.gpus = 1, .group = {1}, .bundle = 0}}, effects);
    REQUIRE(effects.granted.size() == 1);
    const auto lease = effects.granted[0];
    leases.want({.owner = 1, .purpose = 7, .shape = {.gpus = 1, .group = {1}, .bundle = 0}}, effects);
    CHECK(leases.lose_gpu(lease.grant.gpu_ids.at(0), effects) == std::vector{lease.id});
    REQUIRE(effects.unplaceable.size() == 1);
    CHECK(effects.unplaceable[0].group == GroupId{2});
    REQUIRE(effects.refused.size() == 1);
    CHECK(effects.refused[0].purpose == 7);
    CHECK(effects.refused[0].why.find("bundle") != std::string::npos);
    leases.want({.owner = 1, .purpose = 8, .shape = {.gpus = 1, .group = {1}, .bundle = 0}}, effects);
    CHECK(effects.refused.size() == 2);
    leases.want({.owner = 1, .purpose = 9, .shape = {.cpus = 1, .group = {1}, .bundle = 0}}, effects);
    CHECK(effects.granted.size() == 2);
    CHECK_FALSE(leases.why_lost(group(4, {1, 1})).empty());
    CHECK(leases.why_lost(group(5, {1})).empty());
    CHECK(leases.why_lost(group(6, {1, 1, 1})).empty());
  }

  TEST_CASE("nobody waits for what is free, whatever comes, waits, lends and gives back") {
    std::mt19937 random(5);
    for (int round = 0; round < 400; ++round) {
      IdSource ids{0};
      LeaseTable leases(ResourceLedger(Amount(2), {0, 1}, {{"memory", 100}}), ids);
      std::map<Purpose, LeaseRequest> wanted;
      std::vector<LeaseId> held;
      int grants = 0;
      while (grants < LeaseTable::kMaxPassedOver) {  // later some may be kept from others
        LeaseEffects effects;
        const auto what = random() % 3;
        if (what == 0 || held.empty()) {
          LeaseRequest request{.owner = 1, .purpose = random() % 30, .count = static_cast<std::uint32_t>(random() % 3)};
          if (const auto known = wanted.find(request.purpose); known != wanted.end())
            request.shape = known->second.shape;
          else
            request.shape = {.cpus = Amount(0.5 * static_cast<double>(random() % 5)), .gpus = Amount(0.5 * static_cast<double>(random() % 3)),
                             .custom = {{"memory", static_cast<int>(random() % 2 * random() % 100)}}};
          request.nested = random() % 4 == 0;
          wanted[request.purpose] = request;
          leases.want(request, effects);
        } else if (const auto i = static_cast<std::ptrdiff_t>(random() % held.size()); what == 1) {
          leases.release(held[static_cast<std::size_t>(i)], effects);
          held.erase(held.begin() + i);
        } else {
          leases.set_blocked(held[static_cast<std::size_t>(i)], random() % 2, effects);
        }
        for (const auto& lease : effects.granted) held.push_back(lease.id), ++grants;
        for (const auto& [purpose, request] : wanted) {
          if (!leases.wants(1, purpose)) continue;
          auto free = leases.ledger();
          REQUIRE_FALSE(free.acquire(request.shape));
        }
      }
    }
  }

  TEST_CASE("a queue of requests that all differ is served in time in proportion to it") {
    Table table(1);
    constexpr Purpose kMany = 20'000;
    for (Purpose purpose = 1; purpose <= kMany; ++purpose) table.want(1, purpose, 0.5 + static_cast<double>(purpose) / 100'000, 1);
    std::size_t served = 0;
    while (!table.effects.granted.empty())
      for (const auto& lease : table.granted()) {
        ++served;
        table.leases.release(lease.id, table.effects);
      }
    CHECK(served == kMany);  // looking at all of them each time takes minutes
    CHECK(table.leases.ledger().full());
  }

  TEST_CASE("who waits for a group, before it in line, is served when that is placed") {
    Table table(1);
    table.want(1, 1, 1, 1);
    const auto parent = table.only();
    REQUIRE(table.leases.add_group({.id = {7}, .owner = 2, .bundles = {{.cpus = 1}}}, table.effects));
    CHECK(table.effects.placed.empty());
    table.leases.want({.owner = 2, .purpose = 2, .shape = {.cpus = 1, .group = {7}}, .nested = true}, table.effects);
    table.leases.set_blocked(parent.id, true, table.effects);  // it waits for that one
    CHECK(table.effects.placed == std::vector<GroupId>{{7}});
    CHECK(table.only().purpose == 2);
  }

  TEST_CASE("what was kept for one that a lost GPU leaves without hope is others' at once") {
    IdSource ids{0};
    LeaseTable leases(ResourceLedger(Amount(200), {0, 1, 2}, {}), ids);
    LeaseEffects effects;
    const auto want = [&](Purpose purpose, double gpus) { leases.want({.owner = 1, .purpose = purpose, .shape = {.cpus = 1, .gpus = gpus}}, effects); };
    want(1, 1);
    want(2, 3);
    for (Purpose small = 100; small < 100 + LeaseTable::kMaxPassedOver; ++small) {
      want(small, 1);
      leases.release(effects.granted.back().id, effects);
    }
    effects = {};
    want(3, 1);
    CHECK(effects.granted.empty());  // kept for the one that wants all three
    CHECK(leases.lose_gpu(2, effects).empty());
    REQUIRE(effects.refused.size() == 1);
    CHECK(effects.refused[0].purpose == 2);
    REQUIRE(effects.granted.size() == 1);
    CHECK(effects.granted[0].purpose == 3);
  }

  // The story: a bundle that lacked nothing took its GPU first. Then its CPU was taken back, so that it left the GPU to the other bundle,
  // and nothing was kept of that any more; but nobody looked.
  TEST_CASE("what a starved group lacks no more, as work that waited goes on with its CPU, is given to those who wait for it at once") {
    IdSource ids{0};
    LeaseTable leases(ResourceLedger(Amount(1), {0, 1}, {}), ids);
    LeaseEffects effects;
    const auto want = [&](Purpose purpose, ResourceRequest shape) { leases.want({.owner = 1, .purpose = purpose, .shape = shape}, effects); };
    want(1, {.cpus = 1});
    want(2, {.gpus = 1});
    REQUIRE(effects.granted.size() == 2);
    const auto waits = effects.granted[0].id;
    REQUIRE(leases.add_group({.id = {7}, .owner = 1, .bundles = {{.cpus = 1, .gpus = 1}, {.gpus = 1}}}, effects));
    leases.set_blocked(waits, true, effects);
    for (Purpose small = 100; small < 100 + LeaseTable::kMaxPassedOver; ++small) {
      want(small, {.gpus = 1});
      leases.release(effects.granted.back().id, effects);
    }
    CHECK(effects.placed.empty());
    effects = {};
    want(3, {.gpus = 1});
    CHECK(effects.granted.empty());  // kept for the group
    leases.set_blocked(waits, false, effects);
    REQUIRE(effects.granted.size() == 1);
    CHECK(effects.granted[0].purpose == 3);
    want(4, {.gpus = 1});
    CHECK(effects.granted.size() == 1);
  }

  // The story: each that came was held against all that had been passed over too often. With thousands of those that took milliseconds.
  TEST_CASE("of requests that were passed over too often so many are protected, the first ones; when one of them goes, the next one is") {
    constexpr int kKept = static_cast<int>(LeaseTable::kMostKeptFor), kAll = kKept + 6;
    const auto name = [](int i) { return "resource" + std::to_string(i); };
    Resources all;
    for (int i = 0; i < kAll; ++i) all.set(name(i), Amount(2));
    IdSource ids{0};
    LeaseTable leases(ResourceLedger(Amount(1), {}, all), ids);
    LeaseEffects effects;
    const auto want = [&](Purpose purpose, int i, int amount, std::uint32_t count = 1) {
      leases.want({.owner = 1, .purpose = purpose, .shape = {.custom = {{name(i), amount}}}, .count = count}, effects);
    };
    std::vector<Purpose> expected;
    const auto granted = [&] {
      std::vector<Purpose> purposes;
      for (const auto& lease : std::exchange(effects.granted, {})) purposes.push_back(lease.purpose);
      return purposes;
    };
    std::vector<LeaseId> holders;
    for (int i = 0; i < kAll; ++i) {
      want(1000 + static_cast<Purpose>(i), i, 1);
      REQUIRE(effects.granted.size() == static_cast<std::size_t>(i) + 1);
      holders.push_back(effects.granted.back().id);
      want(2000 + static_cast<Purpose>(i), i, 2);  // waits for the other half
    }
    for (Purpose small = 1; small <= LeaseTable::kMaxPassedOver; ++small) {
      leases.want({.owner = 1, .purpose = small, .shape = {.cpus = 1}}, effects);
      leases.release(effects.granted.back().id, effects);
    }
    effects = {};
    std::vector<LeaseId> later;
    for (int i = 0; i < kAll; ++i) {
      want(3000 + static_cast<Purpose>(i), i, 1);
      if (i < kKept) continue;
      expected.push_back(3000 + static_cast<Purpose>(i));
      if (!effects.granted.empty()) later.push_back(effects.granted.back().id);
    }
    CHECK(granted() == expected);
    REQUIRE(later.size() == expected.size());
    want(2000, 0, 2, 0);
    CHECK(granted() == std::vector<Purpose>{3000});  // nothing is kept of that any more
    leases.release(later[0], effects);
    want(4000, kKept, 1);
    CHECK(granted().empty());  // the first of those that were not protected is now
    leases.release(later[1], effects);
    want(4001, kKept + 1, 1);
    CHECK(granted() == std::vector<Purpose>{4001});  // the second one is not
    leases.release(holders[1], effects);
    leases.release(holders[kKept], effects);
    CHECK(granted() == std::vector<Purpose>{2001, 2000 + static_cast<Purpose>(kKept)});
  }

  TEST_CASE("requests that need the same count as one of those that are protected, so many that cannot be served leave others what they wait for") {
    Table table(2);
    const auto want_licence = [&table](Purpose purpose) {
      table.leases.want({.owner = 1, .purpose = purpose, .shape = {.custom = {{"licence", 1}}}, .for_life = true}, table.effects);
    };
    table.want(1, 1, 1, 1);
    const auto running = table.only();
    want_licence(1000);
    table.only();
    for (Purpose hopeless = 1001; hopeless <= 1000 + 2 * LeaseTable::kMostKeptFor; ++hopeless) want_licence(hopeless);
    table.want(1, 2, 2, 1);
    for (Purpose small = 100; small < 100 + LeaseTable::kMaxPassedOver; ++small) {
      table.want(1, small, 1, 1);
      table.leases.release(table.only().id, table.effects);
    }
    table.want(1, 3, 1, 1);
    CHECK(table.granted().empty());
    table.leases.release(running.id, table.effects);
    CHECK(table.only().purpose == 2);
  }

  TEST_CASE("a lease that keeps its GPUs only gives the rest to others, on the machine and in a group") {
    for (const bool in_group : {false, true}) {
      CAPTURE(in_group);
      IdSource ids{0};
      LeaseTable leases(ResourceLedger(Amount(1), {0, 1}, {{"licence", 1}}), ids);
      LeaseEffects effects;
      const GroupId group{in_group ? 7u : 0u};
      if (in_group) REQUIRE(leases.add_group({.id = group, .owner = 1, .bundles = {{.cpus = 1, .gpus = 2, .custom = {{"licence", 1}}}}}, effects));
      const auto want = [&](Purpose purpose, double gpus) {
        leases.want({.owner = 1, .purpose = purpose, .shape = {.cpus = 1, .gpus = gpus, .custom = {{"licence", 1}}, .group = group}, .count = 1}, effects);
      };
      want(1, 1.0);
      REQUIRE(effects.granted.size() == 1);
      const auto first = effects.granted[0].id;
      leases.set_blocked(first, true, effects);
      want(2, 0);
      want(3, 2);
      CHECK(effects.granted.size() == 1);  // the licence
      leases.release_all_but_gpus(first, effects);
      leases.release_all_but_gpus(first, effects);
      leases.set_blocked(first, false, effects);
      REQUIRE(effects.granted.size() == 2);
      CHECK(effects.granted[1].purpose == 2);
      leases.release(effects.granted[1].id, effects);
      CHECK(effects.granted.size() == 2);
      leases.release(first, effects);
      REQUIRE(effects.granted.size() == 3);
      CHECK(effects.granted[2].grant.gpu_ids == std::vector{0, 1});
      leases.release(effects.granted[2].id, effects);
      if (in_group) leases.remove_group(group, effects);
      CHECK(leases.ledger().full());
    }
  }
}

}  // namespace manta::core
