#include <doctest/doctest.h>

#include <thread>

#include "tune/core/report_slot.hpp"

using namespace manta::tune;
using namespace std::chrono_literals;

TEST_SUITE("tune/report slot") {
  TEST_CASE("a slot is found by its ticket until it is closed; another process's is not known, one that was let go is") {
    const auto inbox = std::make_shared<HostInbox>();
    auto slot = ReportSlot::open(inbox, 3);
    const auto ticket = slot->ticket();
    CHECK(ReportSlot::find(ticket).slot == slot);
    CHECK_FALSE(ReportSlot::find(ticket).let_go);
    CHECK_FALSE(ReportSlot::find(ticket + 1).slot);
    CHECK_FALSE(ReportSlot::find(ticket + 1).let_go);
    slot->close();
    CHECK_FALSE(ReportSlot::find(ticket).slot);
    CHECK(ReportSlot::find(ticket).let_go);
    slot.reset();
    CHECK(ReportSlot::find(ticket).let_go);
  }

  TEST_CASE("who asks gets the answer, or none once the slot is closed; what was told is in the inbox first") {
    const auto inbox = std::make_shared<HostInbox>();
    const auto slot = ReportSlot::open(inbox, 5);
    std::vector<std::optional<Decision>> heard;
    std::thread trial([&] {
      for (int i = 0; i < 2; ++i) heard.push_back(slot->ask({.kind = TrialReply::kReported}));
    });
    for (const bool answered : {true, false}) {
      std::vector<HostInbox::Item> told;
      while (told.empty()) told = inbox->take(10s);
      REQUIRE(told.size() == 1);
      CHECK(told[0].trial == 5);
      CHECK(told[0].ticket == slot->ticket());
      answered ? slot->answer(Decision::kStop) : slot->close();
    }
    trial.join();
    CHECK(heard == std::vector<std::optional<Decision>>{Decision::kStop, std::nullopt});
    CHECK_FALSE(slot->ask({.kind = TrialReply::kReported}));
    CHECK(inbox->take(0ms).empty());
  }

  TEST_CASE("find may hold the last reference: many threads let go of slots while others look for them") {
    const auto inbox = std::make_shared<HostInbox>();
    for (int round = 0; round < 2000; ++round) {
      auto slot = ReportSlot::open(inbox, 0);
      std::thread looks([ticket = slot->ticket()] {
        for (int i = 0; i < 3; ++i) (void)ReportSlot::find(ticket);
      });
      slot->close();
      slot.reset();
      looks.join();
    }
    CHECK(ReportSlot::open(inbox, 0));
  }
}
