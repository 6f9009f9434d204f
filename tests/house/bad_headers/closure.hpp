#pragma once
#include "runtime/runtime.hpp"

inline void submit_a_closure(manta::Client& client, int y) {
  client.remote([y](int x) { return x + y; }, 1);
}
