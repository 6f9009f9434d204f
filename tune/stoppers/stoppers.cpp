#include "tune/stoppers/stoppers.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>

#include "runtime/errors.hpp"
#include "tune/core/made.hpp"
#include "tune/searchers/state_text.hpp"

namespace manta::tune {

namespace {

/// The population standard deviation; NaN when one of them is.
template <class Numbers>
double spread(const Numbers& numbers) {
  double mean = 0, squares = 0;
  for (const double x : numbers) mean += x / static_cast<double>(numbers.size());
  for (const double x : numbers) squares += (x - mean) * (x - mean) / static_cast<double>(numbers.size());
  return std::sqrt(squares);
}

std::string metric_of(const std::string& own, const StopperContext& context, const std::string& who) {
  const std::string& metric = own.empty() ? context.metric : own;
  if (metric.empty()) throw InvalidArgument(who + ": there is no metric to look at. Set TuneOptions::metric, or the stopper's own.");
  return metric;
}

class MaxIterations final : public Stopper {
 public:
  explicit MaxIterations(std::uint64_t iterations) : iterations_(iterations) {}
  bool on_result(TrialIndex, const ResultView& result) override { return result.iteration >= iterations_; }
  bool stops_every_trial() const override { return true; }

 private:
  std::uint64_t iterations_;
};

/// Ray's TrialPlateauStopper.
class TrialPlateau final : public Stopper {
 public:
  TrialPlateau(TrialPlateauOptions options, const StopperContext& context)
      : options_(std::move(options)), metric_(metric_of(options_.metric, context, "trial_plateau")), mode_(context.mode) {
    if (options_.num_results < 1) throw InvalidArgument("trial_plateau: num_results is 0; it must be 1 or more.");
    if (!(options_.std > 0))
      throw InvalidArgument("trial_plateau: std is " + number_text(options_.std, 6) + ", but it must be above 0: a trial ends when its results spread less than that.");
  }

  bool on_result(TrialIndex trial, const ResultView& result) override {
    const auto value = result.get(metric_);
    if (!value) return false;
    Seen& seen = seen_[trial];
    ++seen.results;
    seen.last.push_back(*value);
    if (seen.last.size() > options_.num_results) seen.last.pop_front();
    return plateaued(seen);
  }
  void on_end(TrialIndex trial) override { seen_.erase(trial); }

  std::string save() const override {
    StateWriter out;
    out.put(seen_.size());
    for (const auto& [trial, seen] : seen_)
      out.put(trial).put(seen.results).put(std::vector<double>(seen.last.begin(), seen.last.end()));
    return out.text();
  }
  void restore(std::string_view state) override {
    StateReader in(state, "trial_plateau");
    seen_.clear();
    for (std::size_t left = in.count(); left > 0; --left) {
      Seen& seen = seen_[in.index()];
      seen.results = in.integer();
      for (const double value : in.numbers()) seen.last.push_back(value);
    }
    in.end();
  }

 private:
  struct Seen {
    std::uint64_t results{0};
    std::deque<double> last{};
  };
  bool plateaued(const Seen& seen) const {
    if (seen.results < options_.grace_period || seen.last.size() < options_.num_results) return false;
    if (options_.metric_threshold) {
      const double last = seen.last.back(), threshold = *options_.metric_threshold;
      if (mode_ == Mode::kMin ? last > threshold : last < threshold) return false;
    }
    return spread(seen.last) < options_.std;
  }

  TrialPlateauOptions options_;
  std::string metric_;
  Mode mode_;
  std::map<TrialIndex, Seen> seen_;
};

/// Ray's ExperimentPlateauStopper; NaN is never among the best.
class ExperimentPlateau final : public Stopper {
 public:
  ExperimentPlateau(ExperimentPlateauOptions options, const StopperContext& context)
      : options_(std::move(options)),
        metric_(metric_of(options_.metric, context, "experiment_plateau")),
        sign_(context.mode == Mode::kMin ? 1.0 : -1.0) {
    if (options_.top < 1) throw InvalidArgument("experiment_plateau: top is 0; it must be 1 or more.");
    if (!(options_.std >= 0)) throw InvalidArgument("experiment_plateau: std is " + number_text(options_.std, 6) + ", but it must be 0 or more.");
  }

  bool on_result(TrialIndex, const ResultView& result) override {
    const auto value = result.get(metric_);
    if (!value || std::isnan(*value)) return false;
    const double loss = sign_ * *value;
    best_.insert(std::upper_bound(best_.begin(), best_.end(), loss), loss);
    if (best_.size() > options_.top) best_.pop_back();
    patient_ = plateaued() ? patient_ + 1 : 0;
    return false;  // the experiment ends, not this trial alone
  }
  bool stop_all(double) const override { return plateaued() && patient_ >= options_.patience; }

  std::string save() const override { return StateWriter().put(patient_).put(best_).text(); }
  void restore(std::string_view state) override {
    StateReader in(state, "experiment_plateau");
    patient_ = in.integer();
    best_ = in.numbers();
    in.end();
  }

 private:
  bool plateaued() const { return best_.size() == options_.top && spread(best_) <= options_.std; }

  ExperimentPlateauOptions options_;
  std::string metric_;
  double sign_;
  std::vector<double> best_;  ///< small is good, the best first
  std::uint64_t patient_{0};  ///< results in a row at which the best were as close
};

class Timeout final : public Stopper {
 public:
  explicit Timeout(double seconds) : seconds_(seconds) {}
  bool on_result(TrialIndex, const ResultView&) override { return false; }
  bool stop_all(double time_since_start_s) const override { return time_since_start_s >= seconds_; }
  bool stops_every_trial() const override { return true; }

 private:
  double seconds_;
};

class StopIf final : public Stopper {
 public:
  explicit StopIf(std::function<bool(TrialIndex, const ResultView&)> function) : function_(std::move(function)) {}
  bool on_result(TrialIndex trial, const ResultView& result) override { return function_(trial, result); }

 private:
  std::function<bool(TrialIndex, const ResultView&)> function_;
};

class Combined final : public Stopper {
 public:
  Combined(std::vector<std::unique_ptr<Stopper>> parts, bool all) : parts_(std::move(parts)), all_(all) {}

  bool on_result(TrialIndex trial, const ResultView& result) override {
    std::size_t yes = 0;  // each has to see each result
    for (const auto& part : parts_) {
      const bool ends = part->on_result(trial, result);
      // Within all_of a part that ends the experiment agrees that this trial ends: else it would never come together.
      yes += ends || (all_ && part->stop_all(result.time_since_start_s));
    }
    return enough(yes);
  }
  void on_end(TrialIndex trial) override {
    for (const auto& part : parts_) part->on_end(trial);
  }
  bool stop_all(double time_since_start_s) const override {
    return enough(count([&](const Stopper& part) { return part.stop_all(time_since_start_s); }));
  }
  bool stops_every_trial() const override {
    return enough(count([](const Stopper& part) { return part.stops_every_trial(); }));
  }

  std::string save() const override {
    StateWriter out;
    for (const auto& part : parts_) out.put(std::string_view(part->save()));
    return out.text();
  }
  void restore(std::string_view state) override {
    StateReader in(state, all_ ? "all_of" : "any_of");
    for (const auto& part : parts_) part->restore(in.text());
    in.end();
  }

 private:
  template <class Says>
  std::size_t count(const Says& says) const {
    return static_cast<std::size_t>(std::count_if(parts_.begin(), parts_.end(), [&](const auto& part) { return says(*part); }));
  }
  bool enough(std::size_t yes) const { return all_ ? yes == parts_.size() : yes > 0; }

  std::vector<std::unique_ptr<Stopper>> parts_;
  bool all_;
};

StopperSpec combined(const std::string& name, std::vector<StopperSpec> stoppers, bool all) {
  std::string description = name + "(";
  for (const StopperSpec& stopper : stoppers) description += (&stopper == &stoppers.front() ? "" : ", ") + stopper.description;
  return {name, description + ")", [name, stoppers = std::move(stoppers), all](const StopperContext& context) {
            if (stoppers.empty()) throw InvalidArgument(name + ": there is no stopper in it.");
            std::vector<std::unique_ptr<Stopper>> parts;
            for (const StopperSpec& stopper : stoppers) {
              if (!stopper.make) throw InvalidArgument(name + ": one of its stoppers is empty.");
              parts.push_back(make_checked("stopper", stopper, context));
            }
            return std::make_unique<Combined>(std::move(parts), all);
          }};
}

}  // namespace

StopperSpec max_iterations(std::uint64_t iterations) {
  return {"max_iterations", "max_iterations(" + std::to_string(iterations) + ")", [iterations](const StopperContext&) {
            if (iterations == 0) throw InvalidArgument("max_iterations: a trial ends after 1 result or more, not 0.");
            return std::make_unique<MaxIterations>(iterations);
          }};
}

StopperSpec trial_plateau(TrialPlateauOptions options) {
  std::string description = "trial_plateau(metric=" + options.metric + ", std=" + number_text(options.std, 17) +
                            ", num_results=" + std::to_string(options.num_results) + ", grace_period=" + std::to_string(options.grace_period);
  if (options.metric_threshold) description += ", metric_threshold=" + number_text(*options.metric_threshold, 17);
  return {"trial_plateau", description + ")",
          [options](const StopperContext& context) { return std::make_unique<TrialPlateau>(options, context); }};
}

StopperSpec experiment_plateau(ExperimentPlateauOptions options) {
  std::string description = "experiment_plateau(metric=" + options.metric + ", std=" + number_text(options.std, 17) +
                            ", top=" + std::to_string(options.top) + ", patience=" + std::to_string(options.patience) + ")";
  return {"experiment_plateau", std::move(description),
          [options](const StopperContext& context) { return std::make_unique<ExperimentPlateau>(options, context); }};
}

StopperSpec timeout(Number seconds) {
  return {"timeout", "timeout(" + number_text(seconds, 17) + ")", [seconds](const StopperContext&) {
            if (!(seconds > 0)) throw InvalidArgument("timeout: it must be more than 0 s, not " + number_text(seconds, 6) + ".");
            return std::make_unique<Timeout>(seconds);
          }};
}

StopperSpec stop_if(std::function<bool(TrialIndex, const ResultView&)> function, std::string description) {
  return {"stop_if", "stop_if(" + description + ")", [function = std::move(function)](const StopperContext&) {
            if (!function) throw InvalidArgument("stop_if: the function is empty.");
            return std::make_unique<StopIf>(function);
          }};
}

StopperSpec any_of(std::vector<StopperSpec> stoppers) { return combined("any_of", std::move(stoppers), false); }
StopperSpec all_of(std::vector<StopperSpec> stoppers) { return combined("all_of", std::move(stoppers), true); }

}  // namespace manta::tune
