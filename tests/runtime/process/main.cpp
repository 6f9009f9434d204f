// The program of the tests with real processes: also its own zygote, worker, sub-driver, and the strangers that a
// driver may meet (MANTA_TEST_STRANGER).
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "runtime/process/zygote.hpp"
#include "tests/runtime/process/test_worker.hpp"

namespace {

/// A program whose static object starts a thread before main, if asked to.
struct ThreadStarter {
  ThreadStarter() {
    if (std::getenv("MANTA_TEST_STATIC_THREAD"))
      std::thread([] {
        for (;;) ::pause();
      }).detach();
  }
} thread_starter;

}  // namespace

int main(int argc, char** argv) {
  if (const char* stranger = std::getenv("MANTA_TEST_STRANGER")) {
    if (std::string_view(stranger) == "exits") return 3;
    if (std::string_view(stranger) == "lies") return manta_test::run_lying_zygote();
    if (std::string_view(stranger) == "closes" || std::string_view(stranger) == "starts") ::close_range(3, ~0U, 0);
    if (std::string_view(stranger) == "starts") return manta::Zygote::start({}).ok() ? 4 : 5;  // by then it should be a zygote itself
    for (;;) ::pause();
  }
  if (manta::is_zygote_process()) return manta_test::run_worker(manta::run_zygote());
  if (argc > 1 && std::string_view(argv[1]) == "--sub-driver") return manta_test::run_sub_driver();
  if (argc > 1 && std::string_view(argv[1]) == "--asking-driver") return manta_test::run_asking_driver();
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // what a dead driver leaves comes to us and can be seen
  return doctest::Context(argc, argv).run();
}
