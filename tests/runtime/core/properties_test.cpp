// Properties of the state machines under walks that RapidCheck chooses, and shrinks when one fails. The longer walks, with
// seeds, stand beside the machines' other tests.
#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <map>

#include "runtime/core/ledger.hpp"
#include "tests/runtime/choices.hpp"
#include "tests/runtime/core/reference_world.hpp"

namespace manta::core {
namespace {

using test::Choices;
using Numbers = std::vector<std::uint32_t>;

ResourceRequest any_request(Choices& choices) {
  const auto share = [&](std::size_t most) { return Amount::from_raw(static_cast<std::int64_t>(choices.below(most))); };
  const Amount gpus = choices.below(3) == 0 ? Amount(choices.below(4)) : share(10001);
  return {.cpus = share(20000), .gpus = gpus, .custom = {{"disk", share(9000)}}};
}

/// What all grants hold is what the ledger has given, and no GPU is given more than once.
void check_books(const ResourceLedger& ledger, const std::vector<Grant>& held) {
  std::map<int, Amount> used;
  Amount cpus, gpus, disk;
  for (const auto& grant : held) {
    for (int id : grant.gpu_ids) used[id] += grant.amounts.gpus < Amount(1) ? grant.amounts.gpus : Amount(1);
    if (!grant.cpus_lent) cpus += grant.amounts.cpus;
    gpus += grant.amounts.gpus;
    disk += grant.amounts.custom["disk"];
  }
  for (const auto& [id, amount] : used) RC_ASSERT(amount <= Amount(1));
  RC_ASSERT(ledger.available()["CPU"] == Amount(4) - cpus);
  RC_ASSERT(ledger.available()["GPU"] == Amount(3) - gpus);
  RC_ASSERT(ledger.available()["disk"] == Amount(2) - disk);
}

}  // namespace

TEST_SUITE("runtime/core/properties") {
  TEST_CASE("ledger: what is granted is what is missing, after every step; in the end it is full") {
    CHECK(rc::check([](const Numbers& numbers) {
      Choices choices(numbers);
      ResourceLedger ledger(Amount(4), {0, 1, 2}, {{"disk", 2}});
      std::vector<Grant> held;
      while (choices.left()) {
        const auto what = choices.below(5);
        if (what < 2) {
          const auto request = any_request(choices);
          const auto before = ledger.available();
          if (auto grant = ledger.acquire(request))
            held.push_back(*grant);
          else
            RC_ASSERT(ledger.available() == before);
        } else if (!held.empty()) {
          auto& grant = held[choices.below(held.size())];
          if (what == 2) ledger.lend_cpus(grant);
          if (what == 3) ledger.reclaim_cpus(grant);
          if (what == 4) {
            ledger.release(grant);
            std::swap(grant, held.back());
            held.pop_back();
          }
        }
        check_books(ledger, held);
      }
      for (const auto& grant : held) ledger.release(grant);
      RC_ASSERT(ledger.full());
    }));
  }

  TEST_CASE("ledger: a request that fits an empty machine fits it again after any history") {
    CHECK(rc::check([](const Numbers& numbers) {
      Choices choices(numbers);
      ResourceLedger ledger(Amount(4), {0, 1, 2}, {{"disk", 2}}), fresh = ledger;
      std::vector<Grant> held;
      while (choices.left())
        if (auto grant = ledger.acquire(any_request(choices))) held.push_back(*grant);
      while (!held.empty()) {
        std::swap(held[choices.below(held.size())], held.back());
        ledger.release(held.back());
        held.pop_back();
      }
      const ResourceRequest whole{.cpus = 4, .gpus = 3, .custom = {{"disk", 2}}};
      RC_ASSERT(ledger.acquire(whole).has_value() == fresh.acquire(whole).has_value());
    }));
  }

  TEST_CASE("owner table: nothing is let go while somebody anywhere has it, and in the end all is") {
    CHECK(rc::check([](const Numbers& numbers, bool star) {
      Choices choices(numbers);
      World world([&](std::size_t n) { return choices.below(n); }, star);
      while (choices.left()) world.step();
      world.settle();
    }));
  }
}

}  // namespace manta::core
