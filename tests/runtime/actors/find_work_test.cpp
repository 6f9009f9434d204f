#include <doctest/doctest.h>

#include <random>

#include "runtime/actors/executor.hpp"

namespace manta::detail {
namespace {

// One that takes it for a Fifo puts work into it whose order it does not hear of: a call that came back did, and cancels missed then.
static_assert(!std::is_convertible_v<WorkQueue*, Fifo<Work>*>);

WorkQueue queue_of(const std::vector<std::uint64_t>& ids) {
  WorkQueue queue;
  for (const auto id : ids) queue.push_back(Work{.id = {id}});
  return queue;
}

TEST_SUITE("runtime/actors/find_work") {
  // A cancel that missed looked at all: fifty thousand of them kept their actor from its work for up to a quarter of a minute.
  TEST_CASE("that work is not there is known without a look at all, as long as the ids grow") {
    WorkQueue queue = queue_of({2, 4, 6});
    queue.append({});
    CHECK(queue.knows_order());
    queue.push_back(Work{.id = {8}});
    CHECK(queue.knows_order());
    queue.push_back(Work{.id = {3}});  // a second time
    CHECK_FALSE(queue.knows_order());
    CHECK(queue.find({3}) - queue.begin() == 4);
    queue.push_back(Work{.id = {10}});
    CHECK_FALSE(queue.knows_order());
    while (!queue.empty()) queue.pop_front();
    std::vector<Work> works(2);
    works[0].id = {5}, works[1].id = {7};
    queue.append(std::move(works));
    CHECK(queue.knows_order());
    const auto taken = std::exchange(queue, {});
    CHECK(taken.knows_order());
    queue.push_back(Work{.id = {1}});
    CHECK(queue.knows_order());
  }

  TEST_CASE("work is found whatever the order of the ids, and none that is not there") {
    std::mt19937 random(3);
    for (int round = 0; round < 200; ++round) {
      std::vector<std::uint64_t> ids(random() % 40);
      for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = 2 * i + 2;
      if (round % 2) std::shuffle(ids.begin(), ids.end(), random);  // as calls of several processes come
      auto queue = queue_of(ids);
      for (std::size_t i = 0; i < ids.size(); ++i) REQUIRE(queue.find({ids[i]}) - queue.begin() == static_cast<std::ptrdiff_t>(i));
      for (std::size_t i = 0; i < ids.size(); ++i) {
        const auto found = queue.find_in_order({ids[i]});
        REQUIRE((found - queue.begin() == static_cast<std::ptrdiff_t>(i) || (round % 2 && found == queue.end())));
      }
      for (std::uint64_t id = 1; id < 2 * ids.size() + 4; id += 2) REQUIRE(queue.find({id}) == queue.end());
    }
  }
}

}  // namespace
}  // namespace manta::detail
