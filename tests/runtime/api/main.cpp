// The program of the tests of the public face: also its own workers, and the programs that other tests start and kill.
#define DOCTEST_CONFIG_IMPLEMENT
#include <sys/prctl.h>

#include "support.hpp"

namespace {
manta::Workers g_workers = manta::Workers::kThread;
}

manta::Workers manta_test::workers() { return g_workers; }

int main(int argc, char** argv) {
  manta::Runtime::enter_worker_mode(argc, argv);
  std::vector<std::string> words;
  std::vector<char*> kept{argv[0]};
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--workers=process")
      g_workers = manta::Workers::kProcess;
    else if (word != "--workers=thread")
      words.push_back(word), kept.push_back(argv[i]);
  }
  if (words.size() >= 2 && words[0] == "--sub") return manta_test::run_sub_program(words[1], {words.begin() + 2, words.end()});
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // what a killed driver leaves comes to us and can be seen
  kept.push_back(nullptr);
  return doctest::Context(static_cast<int>(kept.size()) - 1, kept.data()).run();
}
