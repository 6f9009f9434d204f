#include <cstdio>

#include "runtime/runtime.hpp"

int square(int x) { return x * x; }

int main(int argc, char** argv) {
  manta::Runtime rt = manta::Runtime::start(argc, argv);
  std::printf("%d\n", rt.get(rt.remote<square>(9)));
}
