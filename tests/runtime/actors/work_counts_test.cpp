#include "runtime/actors/work_counts.hpp"

#include <doctest/doctest.h>

#include <thread>

namespace manta::detail {

TEST_SUITE("runtime/actors/work_counts") {
  // A retired process subtracted one number from another that was read a moment later, found nothing left, and left its task behind.
  TEST_CASE("who looks while actors come and go always sees the task that is there") {
    WorkCounts counts;
    counts.submitted();
    std::thread actors([&] {
      for (int i = 0; i < 200'000; ++i) counts.actor_begun(), counts.actor_ended();
    });
    bool seen = true;
    for (int i = 0; i < 200'000; ++i) {
      const auto now = counts.now();
      seen &= now.submitted == 1 && now.actors <= 1 && now.all() == 1 + now.actors;
    }
    actors.join();
    CHECK(seen);
    counts.ended();
    CHECK(counts.now().all() == 0);
  }
}

}  // namespace manta::detail
