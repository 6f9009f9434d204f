// Fault 5: a driver that is killed had spilled. Its store has names in a directory, which no kernel removes; its zygote does.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>

#include "../api/support.hpp"

namespace manta_test {

namespace {
int same(int x) { return x; }
}  // namespace

/// Spills and stays, to be killed. args: the directory, if it is to be given one.
int run_spilling(const std::vector<std::string>& args) {
  auto options = small_machine();
  options.workers = Workers::kProcess;  // values of threads stay in memory
  options.arena_bytes = 8u << 20;
  if (!args.empty()) options.spill_dir = args[0];
  auto rt = Runtime::start(options);
  rt.get(rt.remote<same>(1));  // so there are workers, and a zygote
  std::vector<ObjectRef<std::vector<std::uint64_t>>> refs;
  while (rt.stats().spilled_objects == 0 && refs.size() < 1000) {
    refs.push_back(rt.put(std::vector<std::uint64_t>(1u << 17, refs.size())));
  }
  std::cout << (rt.stats().spilled_objects > 0 ? "spilled" : "has not spilled") << std::endl;
  std::this_thread::sleep_for(60s);
  return 0;
}

namespace {

/// What a driver without a directory of its own has: in one of these, by its pid and a random part.
std::vector<fs::path> default_stores(const fs::path& temporary, int driver) {
  std::vector<fs::path> stores;
  std::error_code none;
  for (const auto& place : {temporary, fs::path("/var/tmp")})
    for (const auto& entry : fs::directory_iterator(place / ("manta-spill-" + std::to_string(::getuid())), none))
      if (entry.path().filename().string().starts_with(std::to_string(driver) + "-1-")) stores.push_back(entry.path());
  return stores;
}
bool any_exists(const std::vector<fs::path>& paths) {
  return std::any_of(paths.begin(), paths.end(), [](const fs::path& path) { return fs::exists(path); });
}

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 5: a driver that is killed leaves nothing of what it has spilled, wherever that was") {
    const Clean clean;
    Folder folder;
    const char* before = std::getenv("TMPDIR");
    const std::string temporary = before ? before : "/tmp";
    for (const bool given : {false, true}) {
      CAPTURE(given);
      SubProgram driver("spilling", given ? std::vector<std::string>{folder / "spill"} : std::vector<std::string>{});
      REQUIRE(driver.read_line() == "spilled");
      const auto stores = given ? std::vector<fs::path>{folder / "spill"} : default_stores(temporary, driver.pid);
      REQUIRE(any_exists(stores));
      ::kill(driver.pid, SIGKILL);
      driver.wait();
      CHECK(eventually([&] { return !any_exists(stores); }, 30s));
      CHECK(eventually([] { return children().empty(); }, 30s));
    }
  }
}

}  // namespace manta_test
