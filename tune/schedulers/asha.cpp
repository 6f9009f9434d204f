#include "tune/schedulers/asha.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "runtime/errors.hpp"
#include "tune/random.hpp"
#include "tune/schedulers/asha_promotion.hpp"
#include "tune/searchers/state_text.hpp"

namespace manta::tune {

namespace {

[[noreturn]] void refuse(const std::string& option, double value, const std::string& why) {
  throw InvalidArgument("asha: " + option + " is " + number_text(value, 6) + ", but it must be " + why + ".");
}

std::vector<double> make_milestones(const AshaOptions& options, std::int64_t bracket) {
  const double levels = std::log(options.max_t / options.grace_period) / std::log(options.reduction_factor);
  const auto count = static_cast<std::int64_t>(levels - static_cast<double>(bracket) + 1);
  std::vector<double> milestones;
  for (std::int64_t k = count - 1; k >= 0; --k)
    milestones.push_back(options.grace_period * std::pow(options.reduction_factor.value, static_cast<double>(k + bracket)));
  return milestones;
}

}  // namespace

void check_asha(const AshaOptions& options, const std::string& metric) {
  if (!(options.grace_period > 0)) refuse("grace_period", options.grace_period, "above 0");
  if (!(options.max_t >= options.grace_period) || !std::isfinite(options.max_t))
    refuse("max_t", options.max_t, "a finite number, at least grace_period");
  if (!(options.reduction_factor > 1)) refuse("reduction_factor", options.reduction_factor, "above 1");
  if (options.brackets < 1) refuse("brackets", static_cast<double>(options.brackets), "1 or more");
  if (options.time_attr.empty()) throw InvalidArgument("asha: time_attr is empty; \"training_iteration\" is the usual one.");
  if (metric.empty()) throw InvalidArgument("asha: there is no metric to compare trials by. Set TuneOptions::metric.");
}

SchedulerSpec asha(AshaOptions options) {
  const bool promotes = options.type == AshaType::kPromotion;
  std::string description = std::string("asha(type=") + (promotes ? "promotion" : "stopping") + ", time_attr=" + options.time_attr + ", max_t=" + number_text(options.max_t, 17) +
                            ", grace_period=" + number_text(options.grace_period, 17) +
                            ", reduction_factor=" + number_text(options.reduction_factor, 17) +
                            ", brackets=" + std::to_string(options.brackets) +
                            ", stop_last_trials=" + (options.stop_last_trials ? "true" : "false") + ")";
  return {promotes ? "ASHA" : "AsyncHyperBand", std::move(description),
          [options](const SchedulerContext& context) -> std::unique_ptr<Scheduler> {
            if (options.type == AshaType::kPromotion) return std::make_unique<AshaPromotionScheduler>(options, context);
            return std::make_unique<AshaScheduler>(options, context);
          }};
}

AshaScheduler::AshaScheduler(AshaOptions options, const SchedulerContext& context)
    : options_(std::move(options)),
      metric_(context.metric),
      sign_(context.mode == Mode::kMax ? 1.0 : -1.0),
      seed_(context.seed) {
  check_asha(options_, metric_);
  const double percent = (1 - 1 / options_.reduction_factor) * 100;
  for (std::int64_t s = 0; s < options_.brackets; ++s) {
    Bracket bracket;
    for (const double milestone : make_milestones(options_, s)) bracket.push_back({milestone, RunningQuantile(percent)});
    brackets_.push_back(std::move(bracket));
  }
}

std::size_t draw_bracket(std::uint64_t seed, TrialIndex trial, const std::vector<std::size_t>& rung_counts) {
  const auto weight = [&](std::size_t s) { return std::exp(static_cast<double>(rung_counts[s]) - static_cast<double>(rung_counts[0])); };
  double sum = 0;
  for (std::size_t s = 0; s < rung_counts.size(); ++s) sum += weight(s);
  double left = Random::stream(seed, trial, "asha bracket").uniform() * sum;
  for (std::size_t s = 0; s + 1 < rung_counts.size(); ++s) {
    left -= weight(s);
    if (left < 0) return s;
  }
  return rung_counts.size() - 1;
}

void AshaScheduler::on_trial_add(TrialIndex trial, const Config&) {
  std::vector<std::size_t> counts;
  for (const Bracket& bracket : brackets_) counts.push_back(bracket.size());
  places_[trial] = Place{draw_bracket(seed_, trial, counts), {}};
}

Verdict AshaScheduler::judge(Place& place, double time, double value) {
  Bracket& bracket = brackets_[place.bracket];
  for (std::uint32_t i = 0; i < bracket.size(); ++i) {
    Rung& rung = bracket[i];
    const bool recorded = std::find(place.recorded.begin(), place.recorded.end(), i) != place.recorded.end();
    if (recorded && !options_.stop_last_trials) break;
    if (time < rung.milestone || recorded) continue;
    const bool worse = value < rung.values.value();  // false when either is NaN
    rung.values.add(value);
    ++rung.count;
    place.recorded.push_back(i);
    return {worse ? Decision::kStop : Decision::kContinue, rung.milestone};
  }
  return Decision::kContinue;
}

Verdict AshaScheduler::on_result(TrialIndex trial, const ResultView& result) {
  const auto time = result.get(options_.time_attr);
  const auto value = result.get(metric_);
  const auto found = places_.find(trial);
  if (!time || !value || found == places_.end()) return Decision::kContinue;
  const bool at_the_end = *time >= options_.max_t && options_.stop_last_trials;
  const Verdict verdict = at_the_end ? Verdict(Decision::kStop, options_.max_t) : judge(found->second, *time, sign_ * *value);
  if (verdict.decision == Decision::kStop) {
    ++stopped_;
    places_.erase(found);
  }
  return verdict;
}

Verdict AshaScheduler::on_complete(TrialIndex trial, const ResultView* last) {
  const auto found = places_.find(trial);
  if (found == places_.end()) return {};
  const auto time = last ? last->get(options_.time_attr) : std::nullopt;
  const auto value = last ? last->get(metric_) : std::nullopt;
  Verdict verdict;
  if (time && value) verdict.rung = judge(found->second, *time, sign_ * *value).rung;
  places_.erase(found);
  return verdict;
}

std::vector<double> AshaScheduler::milestones(std::size_t bracket) const {
  std::vector<double> milestones;
  for (const Rung& rung : brackets_.at(bracket)) milestones.push_back(rung.milestone);
  return milestones;
}

std::string AshaScheduler::debug_text() const {
  std::string text = "Using AsyncHyperBand: num_stopped=" + std::to_string(stopped_);
  for (const Bracket& bracket : brackets_) {
    std::string line;
    for (const Rung& rung : bracket) {
      char milestone[32];
      std::snprintf(milestone, sizeof milestone, "%.3f", rung.milestone);
      const std::string shown = rung.count == 0 ? "None" : number_text(sign_ * rung.values.value(), 6);
      line += (line.empty() ? "Bracket: Iter " : " | Iter ") + std::string(milestone) + ": " + shown;
    }
    text += "\n" + (line.empty() ? std::string("Bracket: no rungs") : line);
  }
  return text;
}

std::string AshaScheduler::save() const {
  StateWriter out;
  out.put(stopped_).put(places_.size());
  for (const auto& [trial, place] : places_) {
    out.put(trial).put(place.bracket).put(place.recorded.size());
    for (const std::uint32_t rung : place.recorded) out.put(rung);
  }
  for (const Bracket& bracket : brackets_)
    for (const Rung& rung : bracket) {
      out.put(rung.count).put(rung.values.size());
      for (const double value : rung.values.numbers()) out.put(value);
    }
  return out.text();
}

void AshaScheduler::restore(std::string_view state) {
  StateReader in(state, "asha");
  places_.clear();
  stopped_ = in.integer();
  for (std::uint64_t left = in.count(); left > 0; --left) {
    Place& place = places_[in.index()];
    place.bracket = in.integer();
    if (place.bracket >= brackets_.size()) in.fail();
    for (std::uint64_t rungs = in.count(); rungs > 0; --rungs) place.recorded.push_back(in.index());
  }
  for (Bracket& bracket : brackets_)
    for (Rung& rung : bracket) {
      rung.values = RunningQuantile((1 - 1 / options_.reduction_factor) * 100);
      rung.count = in.integer();
      for (std::uint64_t left = in.count(); left > 0; --left) rung.values.add(in.number());
    }
  in.end();
}

}  // namespace manta::tune
