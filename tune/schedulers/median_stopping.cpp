#include "tune/schedulers/median_stopping.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/errors.hpp"
#include "tune/schedulers/running_quantile.hpp"
#include "tune/searchers/state_text.hpp"

namespace manta::tune {

SchedulerSpec median_stopping(MedianStoppingOptions options) {
  std::string description = "median_stopping(time_attr=" + options.time_attr + ", grace_period=" + number_text(options.grace_period, 17) +
                            ", min_samples_required=" + std::to_string(options.min_samples_required) +
                            ", min_time_slice=" + number_text(options.min_time_slice, 17) +
                            ", hard_stop=" + (options.hard_stop ? "true" : "false") + ")";
  return {"MedianStoppingRule", std::move(description),
          [options](const SchedulerContext& context) { return std::make_unique<MedianStoppingScheduler>(options, context); }};
}

MedianStoppingScheduler::MedianStoppingScheduler(MedianStoppingOptions options, const SchedulerContext& context)
    : options_(std::move(options)), metric_(context.metric), sign_(context.mode == Mode::kMax ? 1.0 : -1.0) {
  if (metric_.empty()) throw InvalidArgument("median_stopping: there is no metric to compare trials by. Set TuneOptions::metric.");
  if (options_.time_attr.empty()) throw InvalidArgument("median_stopping: time_attr is empty; \"time_total_s\" is the usual one.");
  if (!(options_.grace_period >= 0) || !(options_.min_time_slice >= 0))
    throw InvalidArgument("median_stopping: grace_period is " + number_text(options_.grace_period, 6) + " and min_time_slice " +
                          number_text(options_.min_time_slice, 6) + ", but both must be 0 or more.");
}

void MedianStoppingScheduler::Curve::add(double time, double value) {
  const bool counts_in = !std::isnan(value);
  times.push_back(time);
  values.push_back(value);
  sums.push_back((sums.empty() ? 0 : sums.back()) + (counts_in ? value : 0));
  counts.push_back((counts.empty() ? 0 : counts.back()) + (counts_in ? 1 : 0));
  if (counts_in && (!best || value > *best)) best = value;
}

/// Of what was reported in [from, to]; none where there is nothing.
std::optional<double> MedianStoppingScheduler::Curve::mean(double from, double to) const {
  const auto first = static_cast<std::size_t>(std::lower_bound(times.begin(), times.end(), from) - times.begin());
  const auto end = static_cast<std::size_t>(std::upper_bound(times.begin(), times.end(), to) - times.begin());
  if (first >= end) return std::nullopt;
  const double count = counts[end - 1] - (first ? counts[first - 1] : 0);
  if (count == 0) return std::nullopt;
  const double sum = sums[end - 1] - (first ? sums[first - 1] : 0);
  if (std::isfinite(sum)) return sum / count;
  double exact = 0;  // an infinity somewhere: prefix sums cannot be subtracted
  for (std::size_t i = first; i < end; ++i) exact += std::isnan(values[i]) ? 0 : values[i];
  return exact / count;
}

void MedianStoppingScheduler::on_start(TrialIndex trial) {
  pending_.erase(trial);
  std::erase(paused_, trial);
}

std::vector<double> MedianStoppingScheduler::means_of_others(TrialIndex trial, double time, std::size_t& others) const {
  std::vector<double> means;
  others = 0;
  for (const auto& [other, curve] : curves_) {
    if (other == trial || curve.times.empty() || !(curve.times.back() >= time)) continue;
    ++others;
    if (const auto mean = curve.mean(options_.grace_period, time)) means.push_back(*mean);
  }
  return means;
}

Verdict MedianStoppingScheduler::pause(TrialIndex trial) {
  paused_.push_back(trial);
  return Decision::kPause;
}

Verdict MedianStoppingScheduler::too_few(TrialIndex trial, Curve& curve, double time) {
  const bool somebody_waits = !pending_.empty() || !paused_.empty();
  if (!somebody_waits || !(time - curve.last_pause > options_.min_time_slice)) return {};
  curve.last_pause = time;
  return pause(trial);
}

Verdict MedianStoppingScheduler::on_result(TrialIndex trial, const ResultView& result) {
  const auto time = result.get(options_.time_attr);
  const auto value = result.get(metric_);
  if (!time || !value || std::isnan(*time) || let_off_.contains(trial)) return {};
  Curve& curve = curves_[trial];
  curve.add(*time, sign_ * *value);
  if (*time < options_.grace_period) return {};
  std::size_t others = 0;
  std::vector<double> means = means_of_others(trial, *time, others);
  if (others < options_.min_samples_required) return too_few(trial, curve, *time);
  const double median = nan_percentile(std::move(means), 50);
  if (!curve.best || !(*curve.best < median)) return {};
  ++stopped_;
  if (options_.hard_stop) return Decision::kStop;
  let_off_.insert(trial);
  return pause(trial);
}

Verdict MedianStoppingScheduler::on_complete(TrialIndex trial, const ResultView* last) {
  const auto time = last ? last->get(options_.time_attr) : std::nullopt;
  const auto value = last ? last->get(metric_) : std::nullopt;
  if (time && value && !std::isnan(*time)) {
    Curve& curve = curves_[trial];
    if (curve.times.empty() || *time > curve.times.back()) curve.add(*time, sign_ * *value);
  }
  return on_error(trial);
}

/// What it reported still counts for the others.
Verdict MedianStoppingScheduler::on_error(TrialIndex trial) {
  on_start(trial);
  let_off_.erase(trial);
  return {};
}

std::optional<TrialIndex> MedianStoppingScheduler::choose_trial_to_run(const Candidates& candidates) const {
  if (!candidates.ready.empty()) return candidates.ready.front();
  const auto found = std::find_if(paused_.begin(), paused_.end(), [&](TrialIndex trial) { return !candidates.startable || candidates.startable(trial); });
  return found == paused_.end() ? std::nullopt : std::optional(*found);
}

std::string MedianStoppingScheduler::debug_text() const {
  return "Using MedianStoppingRule: num_stopped=" + std::to_string(stopped_) + ".";
}

std::string MedianStoppingScheduler::save() const {
  StateWriter out;
  out.put(stopped_).put(pending_.size());
  for (const TrialIndex trial : pending_) out.put(trial);
  out.put(paused_.size());
  for (const TrialIndex trial : paused_) out.put(trial);
  out.put(let_off_.size());
  for (const TrialIndex trial : let_off_) out.put(trial);
  out.put(curves_.size());
  for (const auto& [trial, curve] : curves_) out.put(trial).put(curve.last_pause).put(curve.times).put(curve.values);
  return out.text();
}

void MedianStoppingScheduler::restore(std::string_view state) {
  StateReader in(state, "median_stopping");
  pending_.clear(), paused_.clear(), let_off_.clear(), curves_.clear();
  stopped_ = in.integer();
  for (std::size_t left = in.count(); left > 0; --left) pending_.insert(in.index());
  for (std::size_t left = in.count(); left > 0; --left) paused_.push_back(in.index());
  for (std::size_t left = in.count(); left > 0; --left) let_off_.insert(in.index());
  for (std::size_t left = in.count(); left > 0; --left) {
    Curve& curve = curves_[in.index()];
    curve.last_pause = in.number();
    const std::vector<double> times = in.numbers(), values = in.numbers();
    if (times.size() != values.size()) in.fail();
    for (std::size_t i = 0; i < times.size(); ++i) curve.add(times[i], values[i]);
  }
  in.end();
}

}  // namespace manta::tune
