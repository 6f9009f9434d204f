#include "runtime/core/reference_table.hpp"

#include <doctest/doctest.h>

#include <random>

#include "tests/runtime/core/reference_world.hpp"

namespace manta::core {

TEST_SUITE("runtime/core/reference_table") {
  TEST_CASE("an object that its owner gave away is let go when the ref comes back") {
    ReferenceTable owner(0), borrower(1);
    ReferenceEffects effects;
    const auto id = object_of(0);
    owner.give(id, 1, effects);
    CHECK(effects.sends.empty());
    CHECK(owner.lent(id));
    CHECK(borrower.accept(id, 0));
    CHECK(borrower.accept(id, 0));  // two hand-overs
    owner.give(id, 1, effects);
    borrower.dropped(id, effects);
    const auto sent = take(effects);
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].second == ReferenceUpdate{ReferenceOperation::kReturn, id, 0, 2});
    owner.deliver(1, sent[0].second, effects);
    CHECK(effects.released == std::vector<ReferenceId>{id});
    CHECK(borrower.borrowed_count() == 0);
  }

  TEST_CASE("a ref that a borrower passes on is returned before its owner hears of it, and the object stays") {
    ReferenceTable owner(0), second(1), third(2);
    ReferenceEffects effects;
    const auto id = object_of(0);
    owner.give(id, 1, effects);
    second.accept(id, 0);
    second.give(id, 2, effects);
    const auto lend = take(effects);
    third.accept(id, 1);
    third.dropped(id, effects);
    owner.deliver(2, take(effects).at(0).second, effects);  // overtakes the lend
    CHECK(owner.lent(id));
    owner.deliver(1, lend.at(0).second, effects);
    CHECK(owner.lent(id));
    CHECK(effects.released.empty());
    second.dropped(id, effects);
    owner.deliver(1, take(effects).at(0).second, effects);
    CHECK(effects.released == std::vector<ReferenceId>{id});
  }

  TEST_CASE("a ref that goes home needs no word to anybody") {
    ReferenceTable owner(0), borrower(1);
    ReferenceEffects effects;
    owner.give(object_of(0), 1, effects);
    borrower.accept(object_of(0), 0);
    borrower.give(object_of(0), 0, effects);
    CHECK(effects.sends.empty());
    CHECK_FALSE(owner.accept(object_of(0), 1));
  }

  TEST_CASE("a borrower's death gives back what it had, and what came for it later") {
    ReferenceTable owner(0);
    ReferenceEffects effects;
    owner.give(object_of(0), 1, effects);
    owner.give(object_of(0), 2, effects);
    owner.process_gone(1, effects);
    CHECK(effects.released.empty());
    owner.deliver(2, {ReferenceOperation::kLend, object_of(0), 1, 1}, effects);  // to the dead one
    owner.deliver(2, {ReferenceOperation::kReturn, object_of(0), 0, 1}, effects);
    CHECK(effects.released == std::vector<ReferenceId>{object_of(0)});
  }

  TEST_CASE("what a dead process said that it would give is counted again, after its last message") {
    ReferenceTable owner(0), third(2);
    ReferenceEffects effects;
    const auto id = object_of(0);
    owner.give(id, 1, effects);
    owner.deliver(1, {ReferenceOperation::kLend, id, 2, 1}, effects);  // and died before the ref itself left it
    owner.process_gone(1, effects);
    const auto asked = take(effects);
    REQUIRE(asked.size() == 1);
    CHECK(asked[0].first == 2);
    third.deliver(0, asked[0].second, effects);
    CHECK(effects.sends.empty());  // it does not know yet that nothing more will come
    third.process_gone(1, effects);
    const auto answer = take(effects);
    REQUIRE(answer.size() == 1);
    owner.deliver(2, answer[0].second, effects);
    CHECK(effects.released == std::vector<ReferenceId>{id});
  }

  TEST_CASE("a borrower learns that the owner is gone") {
    ReferenceTable borrower(1);
    ReferenceEffects effects;
    borrower.accept(object_of(2), 2);
    borrower.accept(object_of(3), 2);
    borrower.process_gone(2, effects);
    CHECK(effects.orphaned == std::vector<ReferenceId>{object_of(2)});
    CHECK(borrower.is_gone(2));
    borrower.dropped(object_of(2), effects);
    CHECK(effects.sends.empty());
  }

  TEST_CASE("the dead take no memory once all before them are dead too, and are known for ever") {
    ReferenceTable owner(0);
    ReferenceEffects effects;
    for (ProcessId process = 1; process <= 10'000; ++process)
      if (process != 77) owner.process_gone(process, effects);
    CHECK(owner.gone_ranges() == 2);  // before and behind the one that lives
    for (ProcessId process = 1; process <= 10'000; ++process) CHECK(owner.is_gone(process) == (process != 77));
    owner.process_gone(77, effects);
    CHECK(owner.gone_ranges() == 1);
    CHECK_FALSE(owner.is_gone(10'001));
  }

  TEST_CASE("whatever is handed around in whatever order: nothing is let go too early, and in the end all is") {
    for (const bool star : {false, true})
      for (unsigned seed = 1; seed <= 400; ++seed) {
        CAPTURE(seed);
        CAPTURE(star);
        std::mt19937 random(seed);
        World world([&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); }, star);
        for (int i = 0; i < 400; ++i) world.step();
        world.settle();
      }
  }
}

}  // namespace manta::core
