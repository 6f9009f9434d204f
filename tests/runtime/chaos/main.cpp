// The program of the chaos test: also its own workers.
#define DOCTEST_CONFIG_IMPLEMENT
#include "tests/runtime/api/support.hpp"

namespace {
manta::Workers g_workers = manta::Workers::kProcess;
}

manta::Workers manta_test::workers() { return g_workers; }

int main(int argc, char** argv) {
  manta::Runtime::enter_worker_mode(argc, argv);
  std::vector<char*> kept{argv[0]};
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--workers=thread")
      g_workers = manta::Workers::kThread;
    else if (word != "--workers=process")
      kept.push_back(argv[i]);
  }
  kept.push_back(nullptr);
  return doctest::Context(static_cast<int>(kept.size()) - 1, kept.data()).run();
}
