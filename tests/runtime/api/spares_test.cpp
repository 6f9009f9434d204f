// Actors with a process of their own that follow each other: the process of the next one is kept ready.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "support.hpp"

namespace manta_test {
namespace {

std::string name_of_process(int pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  std::getline(in, name);
  return name;
}

int parent_of(int pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("PPid:")) return std::atoi(line.c_str() + 5);
  return 0;
}

/// This program's processes that no actor has come into yet: children of its zygote.
std::vector<int> spares() {
  std::vector<int> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const int pid = std::atoi(entry.path().filename().c_str());
    if (pid > 0 && name_of_process(pid) == "manta-spare" && parent_of(parent_of(pid)) == ::getpid()) found.push_back(pid);
  }
  return found;
}

struct Speaker {
  int pid() const { return ::getpid(); }
  std::string name() const { return name_of_process(::getpid()); }
  std::string environment(const std::string& variable) const {
    const char* value = std::getenv(variable.c_str());
    return value ? value : "unset";
  }
  int say(const std::string& text) const { return std::printf("%s\n", text.c_str()); }
};

}  // namespace

TEST_SUITE("runtime/api/spares") {
  TEST_CASE("an actor that follows others has the process that was kept ready, with its own name, environment and log file") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const auto options = [&](const std::string& label) {
      return ActorOptions{.label = label, .isolation = own_process, .env = {{"COLOUR", "green"}}, .log_file = folder / (label + ".log"), .echo_output = false};
    };
    std::optional<ActorHandle<Speaker>> actor = rt.actor<Speaker>(options("first")).spawn();
    rt.get(actor->call<&Speaker::pid>());
    actor.reset();
    actor = rt.actor<Speaker>(options("second")).spawn();
    rt.get(actor->call<&Speaker::pid>());
    bool taken = false;
    std::string label;
    for (int i = 3; i < 100 && !taken; ++i) {  // one that is seen may not be ready yet: then it is for the next
      REQUIRE(eventually([] { return !spares().empty(); }));
      const std::vector<int> seen = spares();
      label = "number " + std::to_string(i);
      actor.reset();
      actor = rt.actor<Speaker>(options(label)).spawn();
      taken = std::count(seen.begin(), seen.end(), rt.get(actor->call<&Speaker::pid>())) == 1;
    }
    REQUIRE(taken);
    CHECK(rt.get(actor->call<&Speaker::name>()) == label);
    CHECK(rt.get(actor->call<&Speaker::environment>("COLOUR")) == "green");
    rt.get(actor->call<&Speaker::say>("here"));
    CHECK(eventually([&] { return content(folder / (label + ".log")) == "here\n"; }));

    const auto red = rt.actor<Speaker>({.isolation = own_process, .env = {{"COLOUR", "red"}}}).spawn();
    CHECK(rt.get(red.call<&Speaker::environment>("COLOUR")) == "red");
  }

  TEST_CASE("the processes that were kept ready end soon after the last actor that they were for") {
    Machine machine;
    auto& rt = machine.rt;
    for (int i = 0; i < 3; ++i) {
      const auto actor = rt.actor<Speaker>({.isolation = own_process}).spawn();
      rt.get(actor.call<&Speaker::pid>());
      if (i > 0) CHECK(eventually([] { return !spares().empty(); }));
    }
    CHECK(eventually([] { return spares().empty(); }));
  }
}

}  // namespace manta_test
