#include "runtime/core/ledger.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>

namespace manta::core {

TEST_SUITE("runtime/core/ledger") {
  TEST_CASE("ten tenths are one") {
    ResourceLedger ledger(Amount(1), {}, {});
    std::vector<Grant> grants;
    for (int i = 0; i < 10; ++i) grants.push_back(*ledger.acquire({.cpus = 0.1}));
    CHECK_FALSE(ledger.acquire({.cpus = 0.0001}));
    CHECK(ledger.acquire({.cpus = 0}));
    for (const auto& grant : grants) ledger.release(grant);
    CHECK(ledger.full());
  }

  TEST_CASE("fractions fill a GPU that is in use before they open another") {
    ResourceLedger ledger(Amount(8), {4, 7}, {});
    const auto a = *ledger.acquire({.gpus = 0.5});
    const auto b = *ledger.acquire({.gpus = 0.25});
    CHECK(a.gpu_ids == b.gpu_ids);
    const auto c = *ledger.acquire({.gpus = 0.5});
    CHECK(c.gpu_ids != a.gpu_ids);
    CHECK_FALSE(ledger.acquire({.gpus = 1}));
    const auto d = *ledger.acquire({.gpus = 0.25});  // the fullest that has room
    CHECK(d.gpu_ids == a.gpu_ids);
    ledger.release(c);
    CHECK(ledger.acquire({.gpus = 1})->gpu_ids == c.gpu_ids);
  }

  TEST_CASE("several shares of GPUs are placed whenever there is a way to place them") {
    // Behaviour: the largest first, each to the fullest GPU with room, was taken for the only way: these were refused as more than there is.
    ResourceLedger two(Amount(8), {3, 5}, {});
    const std::vector<ResourceRequest> tight{{.gpus = .2}, {.gpus = .5}, {.gpus = .4}, {.gpus = .3}, {.gpus = .4}, {.gpus = .2}};
    const auto grants = two.acquire_all(tight);
    REQUIRE(grants);
    CHECK(two.available()["GPU"] == Amount(0));
    std::map<int, Amount> used;
    for (std::size_t i = 0; i < tight.size(); ++i) {
      CHECK((*grants)[i].amounts == tight[i]);
      REQUIRE((*grants)[i].gpu_ids.size() == 1);
      used[(*grants)[i].gpu_ids[0]] += tight[i].gpus;
    }
    CHECK(used == std::map<int, Amount>{{3, 1}, {5, 1}});
    for (const auto& grant : *grants) two.release(grant);
    CHECK(two.full());
    // With whole ones beside them, and CPUs that lack only for the last: nothing stays taken.
    ResourceLedger four(Amount(2), {0, 1, 2, 3}, {});
    auto more = tight;
    more.push_back({.cpus = 2, .gpus = 2});
    CHECK(four.acquire_all(more));
    ResourceLedger few(Amount(1), {0, 1, 2, 3}, {});
    CHECK_FALSE(few.acquire_all(more));
    CHECK(few.full());
  }

  TEST_CASE("shares are placed just when trying all ways finds one") {
    std::mt19937 random(7);
    const auto tenths = [](std::size_t count) { return Amount::from_raw(static_cast<std::int64_t>(count) * 1000); };
    int placed = 0, refused = 0;
    for (int round = 0; round < 3000; ++round) {
      std::vector<Amount> free(1 + random() % 3), shares(1 + random() % 6);
      for (auto& each : free) each = tenths(random() % 11);
      for (auto& each : shares) each = tenths(1 + random() % 9);
      std::sort(shares.rbegin(), shares.rend());
      const auto fits = [&](const std::vector<std::size_t>& places) {
        auto left = free;
        for (std::size_t i = 0; i < places.size(); ++i) left[places[i]] -= shares[i];
        return std::all_of(left.begin(), left.end(), [](Amount each) { return each >= Amount(0); });
      };
      bool possible = false;
      std::vector<std::size_t> places(shares.size(), 0);
      for (bool last = false; !last && !possible;) {
        possible = fits(places);
        std::size_t digit = 0;
        while (digit < places.size() && ++places[digit] == free.size()) places[digit++] = 0;
        last = digit == places.size();
      }
      const auto found = pack_shares(free, shares);
      REQUIRE(found.has_value() == possible);
      if (found) CHECK(fits(*found));
      ++(possible ? placed : refused);
    }
    CHECK(placed > 300);
    CHECK(refused > 300);
  }

  TEST_CASE("a packing that is hard to find is found: what did not go once is not tried again") {
    std::vector<Amount> free, shares;
    for (const double part : {.41, .23, .49, .22, .59, .31}) free.emplace_back(part);
    for (const double part : {.17, .17, .17, .17, .17, .12, .12, .12, .12, .11, .11, .11, .10, .09, .08, .08, .08}) shares.emplace_back(part);
    const auto found = pack_shares(free, shares);
    REQUIRE(found);
    for (std::size_t i = 0; i < shares.size(); ++i) {
      REQUIRE(free[(*found)[i]] >= shares[i]);
      free[(*found)[i]] -= shares[i];
    }
  }

  TEST_CASE("more than one GPU is whole ones") {
    ResourceLedger ledger(Amount(8), {0, 1, 2}, {});
    const auto half = *ledger.acquire({.gpus = 0.5});
    CHECK_FALSE(ledger.acquire({.gpus = 3}));
    const auto two = *ledger.acquire({.gpus = 2});
    CHECK(two.gpu_ids.size() == 2);
    ledger.release(two);
    ledger.release(half);
    CHECK(ledger.acquire({.gpus = 3}));
  }

  TEST_CASE("a refused request takes nothing") {
    ResourceLedger ledger(Amount(2), {0}, {{"disk", 1}});
    CHECK_FALSE(ledger.acquire({.cpus = 1, .gpus = 2}));
    CHECK_FALSE(ledger.acquire({.cpus = 1, .gpus = 1, .custom = {{"disk", 2}}}));
    CHECK_FALSE(ledger.acquire({.cpus = 3, .gpus = 1, .custom = {{"disk", 1}}}));
    CHECK_FALSE(ledger.acquire({.custom = {{"unknown", 0.1}}}));
    CHECK(ledger.full());
  }

  TEST_CASE("what can never fit is said with what there is") {
    ResourceLedger ledger(Amount(2), {0}, {{"disk", 1}});
    CHECK(ledger.why_infeasible({.cpus = 2, .gpus = 1, .custom = {{"disk", 1}}}).empty());
    const auto why = ledger.why_infeasible({.gpus = 2});
    CHECK(why.find("2 GPU") != std::string::npos);
    CHECK(why.find("disk: 1") != std::string::npos);
    CHECK_FALSE(ledger.why_infeasible({.custom = {{"tape", 1}}}).empty());
    const auto all = *ledger.acquire({.cpus = 2});
    CHECK(ledger.why_infeasible({.cpus = 2}).empty());  // busy is not infeasible
    ledger.release(all);
  }

  TEST_CASE("amounts beyond the largest or smallest become that, in sums, differences and products") {
    const Amount most = Amount::from_raw(INT64_MAX), least = Amount::from_raw(INT64_MIN);
    CHECK(most + Amount(1) == most);
    CHECK(least + Amount(-1) == least);
    CHECK(most - Amount(-1) == most);
    CHECK(least - Amount(1) == least);
    CHECK(most - most == Amount(0));
    CHECK(most.times(2) == most);
    CHECK(most.times(-2) == least);
    CHECK(Amount(-4e14).times(3) == least);
    CHECK(Amount(0.5).times(3) == Amount(1.5));
  }

  TEST_CASE("lent CPUs serve others; taken back they may leave less than none, and all ends full") {
    ResourceLedger ledger(Amount(1), {}, {});
    auto first = *ledger.acquire({.cpus = 1});
    ledger.lend_cpus(first);
    ledger.lend_cpus(first);
    auto second = *ledger.acquire({.cpus = 1});
    CHECK_FALSE(ledger.acquire({.cpus = 1}));
    ledger.reclaim_cpus(first);
    ledger.reclaim_cpus(first);
    CHECK(ledger.available()["CPU"] == Amount(-1));
    CHECK(ledger.acquire({.cpus = 0}));
    CHECK_FALSE(ledger.acquire({.cpus = 0.1}));
    ledger.lend_cpus(second);
    ledger.release(second);  // released while lent
    ledger.release(first);
    CHECK(ledger.full());
  }

  TEST_CASE("after any sequence the ledger is exactly full again and never gave more than it had") {
    for (unsigned seed = 0; seed < 200; ++seed) {
      CAPTURE(seed);
      std::mt19937 random(seed);
      auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
      ResourceLedger ledger(Amount(4), {0, 1, 2}, {{"disk", 2}});
      std::vector<Grant> held;
      for (int step = 0; step < 300; ++step) {
        const int what = pick(5);
        if (what < 2) {
          const Amount gpus = pick(3) == 0 ? Amount(pick(4)) : Amount::from_raw(pick(10001));
          ResourceRequest request{.cpus = Amount::from_raw(pick(20000)), .gpus = gpus, .custom = {{"disk", Amount::from_raw(pick(9000))}}};
          if (auto grant = ledger.acquire(request)) held.push_back(*grant);
        } else if (!held.empty()) {
          auto& grant = held[static_cast<std::size_t>(pick(static_cast<int>(held.size())))];
          if (what == 2) ledger.lend_cpus(grant);
          if (what == 3) ledger.reclaim_cpus(grant);
          if (what == 4) {
            ledger.release(grant);
            std::swap(grant, held.back());
            held.pop_back();
          }
        }
        std::map<int, Amount> used;
        Amount cpus, disk;
        for (const auto& grant : held) {
          for (int id : grant.gpu_ids) used[id] += grant.amounts.gpus < Amount(1) ? grant.amounts.gpus : Amount(1);
          if (!grant.cpus_lent) cpus += grant.amounts.cpus;
          disk += grant.amounts.custom["disk"];
        }
        for (const auto& [id, amount] : used) REQUIRE(amount <= Amount(1));
        REQUIRE(ledger.available()["CPU"] == Amount(4) - cpus);
        REQUIRE(ledger.available()["disk"] == Amount(2) - disk);
        REQUIRE(disk <= Amount(2));
      }
      for (const auto& grant : held) ledger.release(grant);
      REQUIRE(ledger.full());
    }
  }
}

}  // namespace manta::core
