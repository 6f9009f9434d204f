#pragma once
#include "runtime/runtime.hpp"

class Closed {
 public:
  explicit Closed(int) {}
};
inline std::vector<Closed> make_closed() { return {}; }
inline void ask_for_closed(manta::Client& client) { client.remote<make_closed>(); }
