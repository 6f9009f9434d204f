#include "tune/core/signals.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/errors.hpp"

using namespace manta;
using namespace manta::tune;

namespace {

/// The wait status of a child that runs `body`.
template <class F>
int in_child(F body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    for (int number : {SIGINT, SIGTERM}) ::signal(number, SIG_DFL);  // not doctest's
    body();
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  return status;
}

}  // namespace

TEST_SUITE("tune/core") {
  TEST_CASE("the first signal is noted, the second ends the process at once with its code") {
    for (int number : {SIGINT, SIGTERM}) {
      CHECK(in_child([&] {
              InterruptGuard guard;
              ::raise(number);
              if (InterruptGuard::signal() != number) ::_exit(1);
            }) == 0);
      const int status = in_child([&] {
        InterruptGuard guard;
        ::raise(number);
        ::raise(number);
        ::_exit(1);
      });
      CHECK(WIFEXITED(status));
      CHECK(WEXITSTATUS(status) == 128 + number);
    }
  }

  TEST_CASE("the former handlers come back, and a new guard begins without a signal") {
    const int status = in_child([] {
      {
        InterruptGuard guard;
        ::raise(SIGINT);
      }
      {
        InterruptGuard guard;
        if (InterruptGuard::signal() != 0) ::_exit(1);
      }
      ::raise(SIGINT);  // as before: it ends the process
      ::_exit(1);
    });
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGINT);
  }

  TEST_CASE("two experiments at once in one process are refused") {
    InterruptGuard guard;
    CHECK_THROWS_AS(InterruptGuard{}, InvalidArgument);
  }
}
