#pragma once
// Which benches there are, what each stands beside, and what runtime each needs.
#include <memory>
#include <string>
#include <vector>

#include "bench/harness/floors.hpp"
#include "bench/harness/storage_floors.hpp"
#include "runtime/runtime.hpp"

namespace manta::bench {

/// What a bench's runtime is like.
enum class Setting { kThreads, kProcesses, kBigArena, kSmallArena };

/// What benches need beside a runtime: made when it is needed.
struct Surroundings {
  TemporaryFolder spill_folder{};
};
RuntimeOptions options_for(Setting setting, const Surroundings& around);

/// A bench before its runtime is there.
struct Plan {
  std::string name;
  std::string unit;
  std::string floor;
  Setting setting;
  Body (*make)(Client&, const Surroundings&);
  bool slow = false;  ///< takes seconds a run: with --quick only when named
  std::vector<std::string> rivals{};
};
const std::vector<Plan>& plans();

/// What one of many costs in memory, beside what it may cost.
struct MemoryPlan {
  std::string name;
  double (*bytes_of)(Client&);
  double bar;
};
const std::vector<MemoryPlan>& memory_plans();

/// Floors and rivals by name. Those that are dear are made when they are asked for, and go with the body.
class Floors {
 public:
  explicit Floors(const Machine& machine) : socket_(machine), futex_(machine), pool_(machine) {}
  Body body(const std::string& name);

 private:
  SocketPingPong socket_;  // forks: before any thread
  FutexPingPong futex_;
  QueuePool pool_;
};

}  // namespace manta::bench
