#pragma once
#include "runtime/runtime.hpp"

struct Numbers {
  manta::Generator<int> all() { co_yield 1; }
};
inline void stream_a_method(manta::Client& client) { client.remote<&Numbers::all>(); }
