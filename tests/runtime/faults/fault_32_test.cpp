// Fault 32: exceptions where no caller waits: in the constructor of an actor, in its destructor, in a noexcept function.
#include <unistd.h>

#include "../api/support.hpp"

namespace manta_test {
namespace {

struct Unborn {
  explicit Unborn(int code) { throw std::out_of_range("code " + std::to_string(code)); }
  Unborn() = default;
  int one() { return 1; }
};
int throw_it() { throw std::runtime_error("nobody may see this"); }

struct BadEnd {
  explicit BadEnd(std::string log) : file(std::move(log)) {}
  BadEnd() = default;
  ~BadEnd() noexcept(false) {
    append(file, "ending\n");
    throw_it();
  }
  int pid() const { return ::getpid(); }
  int promise() noexcept { return throw_it(); }
  std::string file{};
};
int promise(int) noexcept { return throw_it(); }

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 32: a constructor that throws gives ActorCreationFailed to every call, queued or later, and no restart") {
    for (auto where : {Isolation::kShared, own_process}) {
      Machine machine;
      auto& rt = machine.rt;
      auto unborn = rt.actor<Unborn>({.num_cpus = 1, .max_restarts = 3, .isolation = where}).spawn(42);
      std::vector<ObjectRef<int>> queued;
      for (int i = 0; i < 10; ++i) queued.push_back(unborn.call<&Unborn::one>());
      for (auto& ref : queued) {
        const auto error = error_of<ActorCreationFailed>([&] { rt.get(ref, 20s); });
        CHECK(contains(error.to_string(), "code 42"));
        CHECK(contains(error.to_string(), "std::out_of_range"));
      }
      CHECK_THROWS_AS(rt.get(unborn.call<&Unborn::one>(), 20s), ActorCreationFailed);
      CHECK(eventually([&] { return rt.available_resources() == rt.total_resources(); }));
    }
  }

  TEST_CASE("fault 32: an exception in a destructor ends the actor's own process, and nobody else") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const std::string file = folder / "log";
    auto neighbour = rt.actor<Unborn>().spawn();
    auto bad = rt.actor<BadEnd>({.num_cpus = 1, .isolation = own_process, .echo_output = false}).spawn(file);
    const int pid = rt.get(bad.call<&BadEnd::pid>());
    bad = {};
    CHECK(eventually([&] { return content(file) == "ending\n" && !alive(pid); }));
    CHECK(eventually([&] { return rt.available_resources() == rt.total_resources(); }));
    CHECK(rt.get(neighbour.call<&Unborn::one>(), 20s) == 1);
  }

  TEST_CASE("fault 32: an exception out of noexcept is a crash of the process, with its signal") {
    Machine machine;
    auto& rt = machine.rt;
    auto error = error_of<WorkerCrashed>(
        [&] { rt.get(rt.task<promise>({.max_retries = 0, .isolation = own_process, .echo_output = false}).remote(1), 20s); });
    CHECK(contains(error.message, "signal 6"));
    auto actor = rt.actor<BadEnd>({.isolation = own_process, .echo_output = false}).spawn("/dev/null");
    error = error_of<ActorDied>([&] { rt.get(actor.call<&BadEnd::promise>(), 20s); });
    REQUIRE(error.cause);
    CHECK(error.cause->code == ErrorCode::kWorkerCrashed);
    CHECK(contains(error.to_string(), "signal 6"));
  }
}

}  // namespace manta_test
