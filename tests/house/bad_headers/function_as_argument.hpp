#pragma once
#include "runtime/runtime.hpp"

inline int half(int x) { return x / 2; }
inline void submit_a_function(manta::Client& client) { client.remote(half, 1); }
