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

constexpr std::int64_t kMost = 200;  // rungs of a bracket, and brackets: each holds memory, and a result looks at all rungs of its own

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
  if (std::log(options.max_t / options.grace_period) / std::log(options.reduction_factor) > static_cast<double>(kMost))
    throw InvalidArgument("asha: a reduction_factor of " + number_text(options.reduction_factor, 10) + " makes more than " + std::to_string(kMost) +
                          " rungs from " + number_text(options.grace_period, 6) + " to " + number_text(options.max_t, 6) + "; give a larger one.");
  if (options.brackets < 1 || options.brackets > kMost)
    refuse("brackets", static_cast<double>(options.brackets), "from 1 to " + std::to_string(kMost));
  if (options.time_attr.empty()) throw InvalidArgument("asha: time_attr is empty; \"training_iteration\" is the usual one.");
  if (metric.empty()) throw InvalidArgument("asha: there is no metric to compare trials by. Set TuneOptions::metric.");
}

namespace {

std::string options_text(const AshaOptions& options) {
  return "time_attr=" + options.time_attr + ", max_t=" + number_text(options.max_t, 17) +
         ", grace_period=" + number_text(options.grace_period, 17) + ", reduction_factor=" + number_text(options.reduction_factor, 17) +
         ", brackets=" + std::to_string(options.brackets) + ", stop_last_trials=" + (options.stop_last_trials ? "true" : "false") + ")";
}

}  // namespace

SchedulerSpec asha(AshaOptions options) {
  const bool promotes = options.type == AshaType::kPromotion;
  return {promotes ? "ASHA" : "AsyncHyperBand", std::string("asha(type=") + (promotes ? "promotion" : "stopping") + ", " + options_text(options),
          [options](const SchedulerContext& context) -> std::unique_ptr<Scheduler> {
            if (options.type == AshaType::kPromotion) return std::make_unique<AshaPromotionScheduler>(options, context);
            return std::make_unique<AshaScheduler>(options, context);
          }};
}

SchedulerSpec mo_asha(AshaOptions options) {
  return {"MO-ASHA", "mo_asha(" + options_text(options), [options](const SchedulerContext& context) {
            if (options.type == AshaType::kPromotion)
              throw InvalidArgument("mo_asha: there is no promotion type for several objectives. Leave AshaOptions::type at kStopping.");
            if (context.further_objectives.empty())
              throw InvalidArgument("mo_asha: there is one objective alone. Set TuneOptions::further_objectives, or use tune::asha.");
            return std::make_unique<AshaScheduler>(options, context, true);
          }};
}

AshaScheduler::AshaScheduler(AshaOptions options, const SchedulerContext& context, bool all_objectives)
    : options_(std::move(options)), objectives_{{context.metric, context.mode}}, seed_(context.seed) {
  check_asha(options_, context.metric);
  if (all_objectives) objectives_.insert(objectives_.end(), context.further_objectives.begin(), context.further_objectives.end());
  for (std::int64_t s = 0; s < options_.brackets; ++s) {
    Bracket& bracket = brackets_.emplace_back();
    for (const double milestone : make_milestones(options_, s)) bracket.push_back({milestone, make_rung()});
  }
}

std::unique_ptr<AshaRung> AshaScheduler::make_rung() const {
  if (objectives_.size() > 1) return std::make_unique<ParetoRung>(options_.reduction_factor, objectives_.size());
  return std::make_unique<QuantileRung>(options_.reduction_factor, objectives_.front().mode == Mode::kMax ? 1 : -1);
}

std::vector<double> AshaScheduler::values_of(const ResultView& result) const {
  std::vector<double> values;
  for (const Objective& objective : objectives_) {
    const auto value = result.get(objective.metric);
    if (!value) return {};
    values.push_back(objective.mode == Mode::kMax ? *value : -*value);
  }
  return values;
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

Verdict AshaScheduler::judge(Place& place, double time, const std::vector<double>& values) {
  Bracket& bracket = brackets_[place.bracket];
  for (std::uint32_t i = 0; i < bracket.size(); ++i) {
    const Rung& rung = bracket[i];
    const bool recorded = std::find(place.recorded.begin(), place.recorded.end(), i) != place.recorded.end();
    if (recorded && !options_.stop_last_trials) break;
    if (time < rung.milestone || recorded) continue;
    place.recorded.push_back(i);
    return {rung.judge->judge(values) ? Decision::kStop : Decision::kContinue, rung.milestone};
  }
  return Decision::kContinue;
}

Verdict AshaScheduler::on_result(TrialIndex trial, const ResultView& result) {
  const auto found = places_.find(trial);
  const auto time = result.get(options_.time_attr);
  if (!time || std::isnan(*time) || found == places_.end()) return Decision::kContinue;
  const std::vector<double> values = values_of(result);
  if (values.empty()) return Decision::kContinue;  // as Ray's, also at max_t
  const bool at_the_end = *time >= options_.max_t && options_.stop_last_trials;
  const Verdict verdict = at_the_end ? Verdict(Decision::kStop, options_.max_t) : judge(found->second, *time, values);
  if (verdict.decision == Decision::kStop) {
    ++stopped_;
    places_.erase(found);
  }
  return verdict;
}

Verdict AshaScheduler::on_complete(TrialIndex trial, const ResultView* last) {
  const auto found = places_.find(trial);
  if (found == places_.end()) return {};
  Verdict verdict;
  const auto time = last ? last->get(options_.time_attr) : std::nullopt;
  if (const std::vector<double> values = last ? values_of(*last) : std::vector<double>(); time && !std::isnan(*time) && !values.empty())
    verdict.rung = judge(found->second, *time, values).rung;
  places_.erase(found);
  return verdict;
}

std::vector<double> AshaScheduler::milestones(std::size_t bracket) const {
  std::vector<double> milestones;
  for (const Rung& rung : brackets_.at(bracket)) milestones.push_back(rung.milestone);
  return milestones;
}

std::string AshaScheduler::debug_text() const {
  std::string text = std::string("Using ") + (objectives_.size() > 1 ? "MO-ASHA" : "AsyncHyperBand") + ": num_stopped=" + std::to_string(stopped_);
  for (const Bracket& bracket : brackets_) {
    std::string line;
    for (const Rung& rung : bracket) {
      char milestone[32];
      std::snprintf(milestone, sizeof milestone, "%.3f", rung.milestone);
      line += (line.empty() ? "Bracket: Iter " : " | Iter ") + std::string(milestone) + ": " + rung.judge->text();
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
    for (const Rung& rung : bracket) rung.judge->save(out);
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
  for (const Bracket& bracket : brackets_)
    for (const Rung& rung : bracket) rung.judge->restore(in);
  in.end();
}

}  // namespace manta::tune
