#include "tune/trial.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>

namespace manta::tune {

std::string_view to_string(TrialState state) noexcept {
  static constexpr std::string_view kNames[] = {"PENDING", "RUNNING", "PAUSED", "TERMINATED", "ERROR"};
  return kNames[static_cast<std::size_t>(state)];
}

const MetricRange* Trial::range(std::string_view metric) const noexcept {
  const auto found = std::find_if(ranges.begin(), ranges.end(), [&](const MetricRange& r) { return r.name == metric; });
  return found == ranges.end() ? nullptr : &*found;
}

void Trial::take_config(Config changed) {
  if (results > 0 && !before_exploit) before_exploit = BeforeExploit{std::move(config), iteration, time_total_s};
  config = std::move(changed);
}

void Trial::go_back_to_result() {
  if (!before_exploit) return;
  config = std::move(before_exploit->config);
  iteration = before_exploit->iteration;
  time_total_s = before_exploit->time_total_s;
  before_exploit.reset();
}

void Trial::record(std::uint64_t at, const Metrics& metrics, double time_this_iter_s) {
  iteration = at;
  before_exploit.reset();
  copy_only = false;
  ++results;
  time_total_s += time_this_iter_s;
  last = metrics;
  for (const auto& [metric, value] : metrics) {
    auto found = std::find_if(ranges.begin(), ranges.end(), [&metric = metric](const MetricRange& r) { return r.name == metric; });
    if (found == ranges.end()) found = ranges.insert(ranges.end(), MetricRange{metric, value, NAN, NAN});
    found->last = value;
    if (!std::isfinite(value)) continue;
    found->min = std::fmin(found->min, value);  // fmin and fmax pass over the NaN that both begin with
    found->max = std::fmax(found->max, value);
  }
}

void name_trial(Trial& trial, const std::string& prefix, const std::string& trainable) {
  char number[16];
  std::snprintf(number, sizeof number, "_%05u", trial.index);
  trial.id = prefix + number;
  trial.name = trainable + "_" + trial.id;
}

std::string Trial::dir_name() const {
  constexpr std::size_t kMaxTag = 60;
  std::string text = tag.substr(0, kMaxTag);
  for (char& c : text)
    if (!std::isalnum(static_cast<unsigned char>(c)) && std::string_view("=,._-").find(c) == std::string_view::npos) c = '_';
  return text.empty() ? id : id + "_" + text;
}

}  // namespace manta::tune
