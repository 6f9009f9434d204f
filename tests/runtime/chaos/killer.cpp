#include "tests/runtime/chaos/killer.hpp"

#include <csignal>
#include <random>
#include <sstream>

#include "tests/runtime/api/support.hpp"

namespace manta_test {

std::vector<int> worker_processes() {
  std::vector<int> found;
  for (int zygote : children()) {
    std::error_code gone;
    for (const auto& thread : fs::directory_iterator("/proc/" + std::to_string(zygote) + "/task", gone)) {
      std::istringstream pids(content(thread.path() / "children"));
      for (int pid; pids >> pid;)
        if (alive(pid)) found.push_back(pid);
    }
  }
  return found;
}

Killer::Killer(std::chrono::milliseconds pace, unsigned seed) : thread_([this, pace, seed] { run(pace, seed); }) {}

void Killer::stop() {
  over_ = true;
  if (thread_.joinable()) thread_.join();
}

void Killer::run(std::chrono::milliseconds pace, unsigned seed) {
  std::mt19937 random(seed);
  const auto begin = SteadyClock::now();
  auto next = begin;
  while (!over_) {
    next += pace;
    if (const auto pids = worker_processes(); !pids.empty() && ::kill(pids[random() % pids.size()], SIGKILL) == 0) ++kills_;
    std::this_thread::sleep_until(next);
  }
  due_ = static_cast<int>((SteadyClock::now() - begin) / pace);
}

}  // namespace manta_test
