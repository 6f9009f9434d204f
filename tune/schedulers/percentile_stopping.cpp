#include "tune/schedulers/percentile_stopping.hpp"

#include <cmath>

#include "runtime/errors.hpp"
#include "tune/searchers/state_text.hpp"

namespace manta::tune {

SchedulerSpec percentile_stopping(PercentileStoppingOptions options) {
  std::string description = "percentile_stopping(time_attr=" + options.time_attr + ", percentile=" + number_text(options.percentile, 17) +
                            ", n_startup_trials=" + std::to_string(options.n_startup_trials) +
                            ", n_warmup_steps=" + number_text(options.n_warmup_steps, 17) +
                            ", interval_steps=" + number_text(options.interval_steps, 17) +
                            ", n_min_trials=" + std::to_string(options.n_min_trials) + ")";
  return {"PercentileStopping", std::move(description),
          [options](const SchedulerContext& context) { return std::make_unique<PercentileStoppingScheduler>(options, context); }};
}

PercentileStoppingScheduler::PercentileStoppingScheduler(PercentileStoppingOptions options, const SchedulerContext& context)
    : options_(std::move(options)), metric_(context.metric), sign_(context.mode == Mode::kMin ? 1.0 : -1.0) {
  const auto refuse = [](const std::string& what) { throw InvalidArgument("percentile_stopping: " + what); };
  if (metric_.empty()) refuse("there is no metric to compare trials by. Set TuneOptions::metric.");
  if (!(options_.percentile >= 0 && options_.percentile <= 100)) refuse("percentile is " + number_text(options_.percentile, 6) + ", but it must be from 0 to 100.");
  if (!(options_.n_warmup_steps >= 0)) refuse("n_warmup_steps is " + number_text(options_.n_warmup_steps, 6) + ", but it must be 0 or more.");
  if (options_.time_attr.empty()) refuse("time_attr is empty; \"training_iteration\" is the usual one.");
  if (options_.time_attr == "time_total_s")
    refuse("time_attr is \"time_total_s\", but trials are compared at the same step, and hardly two report at the same second. "
           "Use \"training_iteration\", or median_stopping.");
  if (!(options_.interval_steps > 0)) refuse("interval_steps is " + number_text(options_.interval_steps, 6) + ", but it must be above 0.");
}

/// No earlier result since the last multiple of the interval.
bool PercentileStoppingScheduler::first_in_interval(const Curve& curve, double time) const {
  const double passed = std::floor((time - options_.n_warmup_steps) / options_.interval_steps);
  const double begin = passed * options_.interval_steps + options_.n_warmup_steps;
  auto before = curve.lower_bound(time);
  return before == curve.begin() || std::prev(before)->first < begin;
}

Verdict PercentileStoppingScheduler::on_result(TrialIndex trial, const ResultView& result) {
  const auto time = result.get(options_.time_attr);
  const auto value = result.get(metric_);
  if (!time || !value || std::isnan(*time)) return {};
  Curve& curve = running_[trial];
  curve[*time] = sign_ * *value;
  if (completed_ == 0 || completed_ < options_.n_startup_trials) return {};
  if (*time < options_.n_warmup_steps || !first_in_interval(curve, *time)) return {};
  double best = std::numeric_limits<double>::quiet_NaN();
  for (const auto& [at, own] : curve) best = std::fmin(best, own);
  const auto others = at_time_.find(*time);
  const bool compared = others != at_time_.end() && others->second.size() >= options_.n_min_trials;
  if (!std::isnan(best) && !(compared && best > others->second.value())) return {};
  ++stopped_;
  running_.erase(trial);
  return Decision::kStop;
}

Verdict PercentileStoppingScheduler::on_complete(TrialIndex trial, const ResultView* last) {
  Curve& curve = running_[trial];
  const auto time = last ? last->get(options_.time_attr) : std::nullopt;
  const auto value = last ? last->get(metric_) : std::nullopt;
  if (time && value && !std::isnan(*time)) curve[*time] = sign_ * *value;
  for (const auto& [at, own] : curve) at_time_.try_emplace(at, options_.percentile).first->second.add(own);
  ++completed_;
  running_.erase(trial);
  return {};
}

std::string PercentileStoppingScheduler::debug_text() const {
  return "Using PercentileStopping: num_stopped=" + std::to_string(stopped_) + ".";
}

std::string PercentileStoppingScheduler::save() const {
  StateWriter out;
  out.put(stopped_).put(completed_).put(running_.size());
  for (const auto& [trial, curve] : running_) {
    out.put(trial).put(curve.size());
    for (const auto& [time, value] : curve) out.put(time).put(value);
  }
  out.put(at_time_.size());
  for (const auto& [time, values] : at_time_) out.put(time).put(values.numbers());
  return out.text();
}

void PercentileStoppingScheduler::restore(std::string_view state) {
  StateReader in(state, "percentile_stopping");
  running_.clear(), at_time_.clear();
  stopped_ = in.integer();
  completed_ = in.integer();
  for (std::size_t left = in.count(); left > 0; --left) {
    Curve& curve = running_[in.index()];
    for (std::size_t points = in.count(); points > 0; --points) {
      const double time = in.comparable();
      curve[time] = in.number();
    }
  }
  for (std::size_t left = in.count(); left > 0; --left) {
    RunningQuantile& values = at_time_.try_emplace(in.comparable(), options_.percentile).first->second;
    for (const double value : in.numbers()) values.add(value);
  }
  in.end();
}

}  // namespace manta::tune
