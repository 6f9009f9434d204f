// Known answers while workers die. What is checked at the end: nothing is left of all those who died.
#include <cstdlib>

#include "tests/runtime/chaos/killer.hpp"
#include "runtime/actors/node_engine.hpp"
#include "tests/runtime/chaos/workload.hpp"

namespace manta_test {
namespace {

#ifdef __SANITIZE_THREAD__  // a worker that is ten times slower needs longer to come up and do one task
constexpr auto kPace = 1000ms;
#else
constexpr auto kPace = 100ms;
#endif

/// Ten seconds in ctest, so that all the tests together stay short: that is a hundred kills, of which one in the first few finds
/// what is badly wrong. What is rare needs the whole minute, which `ctest -C minute` runs as a test of its own.
std::chrono::seconds duration() {
  const char* text = std::getenv("MANTA_CHAOS_SECONDS");
  return std::chrono::seconds(text ? std::max(1, std::atoi(text)) : 10);
}

unsigned seed() {
  const char* text = std::getenv("MANTA_CHAOS_SEED");
  return text ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : 1;
}

/// The engine behind a runtime, for a look at its object store.
struct Inside : Client {
  static detail::NodeEngine& of(Runtime& rt) { return dynamic_cast<detail::NodeEngine&>(*(rt.*(&Inside::engine_))); }
};

}  // namespace

TEST_SUITE("runtime/chaos") {
  TEST_CASE("every answer is right while a random worker process is killed each 100 ms, and nothing is left of the dead") {
    Folder folder;
    auto options = small_machine();
    options.arena_bytes = 16u << 20;
    options.spill_dir = folder / "spill";
    MESSAGE("seed " << seed() << ", " << duration().count() << " s");
    Machine machine(options);
    auto& rt = machine.rt;
    Workload workload(rt, folder.path.string(), seed());
    workload.round();  // before the fds are counted: what is made once is made by now
    int kills = 0, due = 0;
    {
      Killer killer(kPace, seed());
      const auto end = SteadyClock::now() + duration();
      while (SteadyClock::now() < end) workload.round();
      killer.stop();
      kills = killer.kills(), due = killer.due();
    }
    MESSAGE(workload.rounds() << " rounds, " << kills << " kills of " << due << " that were due");
    CHECK(due >= duration() / kPace);
    CHECK(2 * kills >= due);  // now and then all workers are dead, or not there yet
    workload.round();  // and all is well afterwards
    auto& objects = Inside::of(rt);
    CHECK(objects.object_stats().spill_bytes_written > 0);
    workload.finish();
    ObjectStoreStats left;
    const bool empty = eventually([&] {
      left = objects.object_stats();
      return left.objects == 0 && left.arena.used_bytes == 0;
    });
    CHECK_MESSAGE(empty, left.objects << " objects, " << left.pinned_objects << " pinned, " << left.unsealed_objects
                                      << " unsealed, " << left.arena.used_bytes << " bytes left");
    CHECK(left.lost_objects == 0);
  }
}

}  // namespace manta_test
