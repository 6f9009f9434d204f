// Actors with a process of their own that follow each other: the process of the next one is kept ready.
#include <unistd.h>

#include <algorithm>
#include <csignal>
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

/// A stop is for a thread of it to take, and the others run on until that one has had a CPU.
bool is_stopped(int pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("State:")) return line.find('T') != std::string::npos;
  return true;  // it has ended
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

/// Dies in its constructor.
struct Stillborn {
  explicit Stillborn(const std::string& log) {
    append(log, ".");
    ::raise(SIGKILL);
  }
  int say() const { return 1; }
};

/// Ends with a process that is kept ready, for a second at least, for actors without options.
void make_spare(Runtime& rt) {
  for (int i = 0; i < 30; ++i) {
    const auto actor = rt.actor<Speaker>({.isolation = own_process}).spawn();
    rt.get(actor.call<&Speaker::pid>());
    if (i > 0 && eventually([] { return !spares().empty(); }, 2s)) return;
  }
  FAIL("no process is kept ready");
}

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

  // The story: it counted as a crash of the actor, which failed with ActorDied though nothing of it had ever run.
  TEST_CASE("an actor whose process, kept ready, dies before the actor has begun there begins in another one") {
    Machine machine;
    auto& rt = machine.rt;
    for (int round = 0; round < 3; ++round) {
      make_spare(rt);
      REQUIRE(eventually([&] { return rt.stats().leases == 0; }));
      const std::vector<int> ready = spares();
      for (const int pid : ready) ::kill(pid, SIGSTOP);
      REQUIRE(eventually([&] { return std::all_of(ready.begin(), ready.end(), is_stopped); }));
      const auto actor = rt.actor<Speaker>({.isolation = own_process}).spawn();
      REQUIRE(eventually([&] { return rt.stats().leases == 1; }));  // it has its process
      for (const int pid : ready) ::kill(pid, SIGKILL);
      const auto pid = rt.try_get(actor.call<&Speaker::pid>(), 60s);
      const auto why = pid.ok() ? "" : pid.error().to_string();
      REQUIRE_MESSAGE(pid.ok(), why);
      CHECK(std::count(ready.begin(), ready.end(), *pid) == 0);
    }
  }

  TEST_CASE("an actor that has begun in a process that was kept ready does not begin twice") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    for (int round = 0; round < 3; ++round) {
      make_spare(rt);
      const std::string log = folder / ("log" + std::to_string(round));
      const auto actor = rt.actor<Stillborn>({.isolation = own_process}).spawn(log);
      CHECK(error_of<ActorDied>([&] { rt.get(actor.call<&Stillborn::say>()); }).code == ErrorCode::kActorDied);
      CHECK(content(log) == ".");
    }
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
