#pragma once
#include "runtime/runtime.hpp"

inline int half(int x) { return x / 2; }
inline void submit_another_type(manta::Client& client) { client.remote<half>(client.put(1L)); }
