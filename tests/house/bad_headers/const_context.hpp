#pragma once
#include "runtime/runtime.hpp"

inline int look(const manta::Context& context) { return context.attempt(); }
inline void submit_with_a_const_context(manta::Client& client) { client.remote<look>(); }
