#pragma once
#include <mutex>

#include "runtime/runtime.hpp"

struct Rooted {
  std::mutex mutex{};
  int value = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(value);
  }
};
inline Rooted rooted() { return {}; }
inline void submit_what_cannot_be_moved(manta::Client& client) { client.remote<rooted>(); }
