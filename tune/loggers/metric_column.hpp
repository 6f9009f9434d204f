#pragma once
// How a reported metric is called in a file that has columns of its own beside the metrics.
#include <algorithm>
#include <span>
#include <string>
#include <string_view>

namespace manta::tune {

/// Its name, or "metrics/NAME" where a column of the file's own is called so: neither overwrites the other.
inline std::string metric_column(const std::string& metric, std::span<const std::string_view> own) {
  const bool taken = metric.starts_with("config/") || std::find(own.begin(), own.end(), metric) != own.end();
  return taken ? "metrics/" + metric : metric;
}

/// Of progress.csv and result.jsonl.
inline constexpr std::string_view kResultColumns[] = {"training_iteration", "trial_id", "time_this_iter_s", "time_total_s",
                                                      "timestamp_ms", "pid", "checkpoint"};

}  // namespace manta::tune
