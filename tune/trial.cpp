#include "tune/trial.hpp"

#include <algorithm>
#include <cctype>

namespace manta::tune {

std::string_view to_string(TrialState state) noexcept {
  static constexpr std::string_view kNames[] = {"PENDING", "RUNNING", "PAUSED", "TERMINATED", "ERROR"};
  return kNames[static_cast<std::size_t>(state)];
}

const MetricRange* Trial::range(std::string_view metric) const noexcept {
  const auto found = std::find_if(ranges.begin(), ranges.end(), [&](const MetricRange& r) { return r.name == metric; });
  return found == ranges.end() ? nullptr : &*found;
}

std::string Trial::dir_name() const {
  constexpr std::size_t kMaxTag = 60;
  std::string text = tag.substr(0, kMaxTag);
  for (char& c : text)
    if (!std::isalnum(static_cast<unsigned char>(c)) && std::string_view("=,._-").find(c) == std::string_view::npos) c = '_';
  return text.empty() ? id : id + "_" + text;
}

}  // namespace manta::tune
