#pragma once
// Bad on purpose: std::string is used and <string> is not included.
namespace manta {
struct NotSelfContained {
  std::string text;
};
}  // namespace manta
