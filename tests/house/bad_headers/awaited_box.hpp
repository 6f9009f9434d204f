#pragma once
#include "runtime/runtime.hpp"

inline manta::Async<int> await_what_cannot_be_copied(manta::ObjectRef<std::unique_ptr<int>> ref) {
  const auto box = co_await ref;
  co_return *box;
}
