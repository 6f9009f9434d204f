#pragma once
#include "runtime/runtime.hpp"

struct Counter {
  int add(int x) { return x; }
};
inline void submit_a_method(manta::Client& client) { client.remote<&Counter::add>(5); }
