#include "runtime/base/fifo.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <memory>
#include <random>

namespace manta {

TEST_SUITE("runtime/base/fifo") {
  TEST_CASE("it does what a deque does") {
    std::mt19937 random(11);
    Fifo<int> queue;
    std::deque<int> model;
    for (int step = 0; step < 20'000; ++step) {
      const auto what = random() % 10;
      if (what == 0) {
        std::vector<int> many(random() % 40, step);
        model.insert(model.end(), many.begin(), many.end());
        queue.append(std::move(many));
      } else if (what == 1) {
        queue.push_front(step), model.push_front(step);
      } else if (what == 2) {
        queue.push_back(step), model.push_back(step);
      } else if (what == 3) {
        const auto place = static_cast<std::ptrdiff_t>(random() % (model.size() + 1));
        queue.insert(queue.begin() + place, step), model.insert(model.begin() + place, step);
      } else if (what == 4 && !model.empty()) {
        const auto place = static_cast<std::ptrdiff_t>(random() % model.size());
        queue.erase(queue.begin() + place), model.erase(model.begin() + place);
      } else if (!model.empty()) {
        REQUIRE(queue.pop_front() == model.front());
        model.pop_front();
      }
      REQUIRE(queue.size() == model.size());
      REQUIRE(std::equal(queue.begin(), queue.end(), model.begin(), model.end()));
    }
  }

  TEST_CASE("what is taken out is kept no longer") {
    Fifo<std::shared_ptr<int>> queue;
    const auto item = std::make_shared<int>(1);
    queue.append({item, std::make_shared<int>(2)});
    queue.pop_front();
    REQUIRE(item.use_count() == 1);
    queue.append({item, std::make_shared<int>(3), std::make_shared<int>(4), std::make_shared<int>(5)});
    queue.erase(queue.begin() + 1);
    REQUIRE(item.use_count() == 1);
  }
}

}  // namespace manta
