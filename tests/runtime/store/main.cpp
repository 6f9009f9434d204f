// The entry of each test program of the stores; with --child it plays a HoldingChild instead.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "tests/runtime/store/store_fixtures.hpp"

int main(int argc, char** argv) {
  if (argc == 5 && std::string_view(argv[1]) == "--child") {
    manta::test::child_roles().at(argv[2])(argv[3], [end = std::atoi(argv[4])] {
      if (::write(end, "r", 1) != 1) ::_exit(127);
      while (true) ::pause();
    });
    return 1;
  }
  return doctest::Context(argc, argv).run();
}
