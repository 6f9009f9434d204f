#include "runtime/base/small_mutex.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

namespace manta {

TEST_SUITE("runtime/base/small_mutex") {
  TEST_CASE("one thread at a time holds it") {
    SmallMutex mutex;
    int count = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 20'000; ++i) {
          std::lock_guard lock(mutex);
          ++count;
        }
      });
    for (auto& thread : threads) thread.join();
    REQUIRE(count == 80'000);
  }

  TEST_CASE("who waits longer than it looks is woken, also when several do") {
    SmallMutex mutex;
    std::unique_lock held(mutex);
    int count = 0;
    std::atomic<int> begun{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([&] {
        ++begun;
        std::lock_guard lock(mutex);
        ++count;
      });
    while (begun < 3) std::this_thread::yield();
    const auto looked_long_enough = std::chrono::steady_clock::now() + std::chrono::milliseconds(2);
    while (std::chrono::steady_clock::now() < looked_long_enough) std::this_thread::yield();
    held.unlock();
    for (auto& thread : threads) thread.join();
    REQUIRE(count == 3);
  }
}

}  // namespace manta
