// The program of the tests on the real runtime: also its own workers, and the driver that the kill tests kill.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <sys/prctl.h>

#include <string_view>

#include "trainables.hpp"

int main(int argc, char** argv) {
  manta::Runtime::enter_worker_mode(argc, argv);
  if (argc > 4 && std::string_view(argv[1]) == "--driver") return manta::tune::testing::run_driver(argc, argv);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // what a killed driver leaves comes to us and can be seen
  return doctest::Context(argc, argv).run();
}
