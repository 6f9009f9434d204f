#include <doctest/doctest.h>

#include <random>

#include "runtime/actors/executor.hpp"

namespace manta::detail {
namespace {

Fifo<Work> queue_of(const std::vector<std::uint64_t>& ids) {
  Fifo<Work> queue;
  for (const auto id : ids) queue.push_back(Work{.id = {id}});
  return queue;
}

TEST_SUITE("runtime/actors/find_work") {
  TEST_CASE("work is found whatever the order of the ids, and none that is not there") {
    std::mt19937 random(3);
    for (int round = 0; round < 200; ++round) {
      std::vector<std::uint64_t> ids(random() % 40);
      for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = 2 * i + 2;
      if (round % 2) std::shuffle(ids.begin(), ids.end(), random);  // as calls of several processes come
      auto queue = queue_of(ids);
      for (std::size_t i = 0; i < ids.size(); ++i) REQUIRE(find_work(queue, {ids[i]}) - queue.begin() == static_cast<std::ptrdiff_t>(i));
      for (std::size_t i = 0; i < ids.size(); ++i) {
        const auto found = find_in_order(queue, {ids[i]});
        REQUIRE((found - queue.begin() == static_cast<std::ptrdiff_t>(i) || (round % 2 && found == queue.end())));
      }
      for (std::uint64_t id = 1; id < 2 * ids.size() + 4; id += 2) REQUIRE(find_work(queue, {id}) == queue.end());
    }
  }
}

}  // namespace
}  // namespace manta::detail
