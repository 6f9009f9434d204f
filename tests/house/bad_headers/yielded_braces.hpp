#pragma once
#include "runtime/runtime.hpp"

struct Row {
  int id = 0;
  std::string text{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(id, text);
  }
};
inline manta::Generator<Row> yield_braces() { co_yield {.id = 1, .text = "a"}; }
