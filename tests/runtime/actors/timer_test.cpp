#include "runtime/actors/timer.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

namespace manta::detail {

TEST_SUITE("runtime/actors/timer") {
  TEST_CASE("calls come in the order of their times, and what is due behind the end is dropped") {
    std::atomic<int> seen{0}, late{0};
    {
      Timer timer;
      const auto now = SteadyClock::now();
      timer.at(now + std::chrono::hours(1), [&] { ++late; });
      timer.at(now + std::chrono::milliseconds(2), [&] { seen = seen * 10 + 2; });
      timer.at(now + std::chrono::milliseconds(1), [&] { seen = seen * 10 + 1; });
      while (seen < 12) std::this_thread::yield();
    }
    CHECK(seen == 12);
    CHECK(late == 0);
  }

  TEST_CASE("calls far ahead whose reason is over take no memory for long, the others stay") {
    Timer timer;
    const auto later = SteadyClock::now() + std::chrono::hours(1);
    std::vector<std::shared_ptr<int>> alive;
    std::size_t most = 0;
    for (int i = 0; i < 100'000; ++i) {
      auto reason = std::make_shared<int>(i);
      timer.at(later, [] {}, [weak = std::weak_ptr(reason)] { return weak.expired(); });
      if (i % 100 == 0) alive.push_back(std::move(reason));
      most = std::max(most, timer.waiting());
    }
    CHECK(timer.waiting() >= alive.size());
    CHECK(most <= 2 * alive.size() + 1024);
  }
}

}  // namespace manta::detail
