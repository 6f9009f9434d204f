#pragma once
// Killer: takes a random worker process of this driver at a steady pace, until it is stopped.
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace manta_test {

/// The worker processes of this driver: the children of its zygotes.
std::vector<int> worker_processes();

class Killer {
 public:
  Killer(std::chrono::milliseconds pace, unsigned seed);
  ~Killer() { stop(); }
  void stop();
  int kills() const { return kills_; }
  /// How many it should have been by the clock until stop(), had there been a worker each time.
  int due() const { return due_; }

 private:
  void run(std::chrono::milliseconds pace, unsigned seed);
  std::atomic<bool> over_{false};
  std::atomic<int> kills_{0};
  std::atomic<int> due_{0};
  std::thread thread_;
};

}  // namespace manta_test
