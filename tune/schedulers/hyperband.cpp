#include "tune/schedulers/hyperband.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "runtime/errors.hpp"
#include "tune/searchers/state_text.hpp"

namespace manta::tune {

namespace {

constexpr double kRounding = 1e-9;

std::size_t whole(double value) { return static_cast<std::size_t>(value); }

void check(const HyperBandOptions& options, const std::string& metric) {
  const auto refuse = [](const std::string& what) { throw InvalidArgument("hyperband: " + what); };
  if (!(options.max_t > 0) || !std::isfinite(options.max_t)) refuse("max_t is " + number_text(options.max_t, 6) + ", but it must be a finite number above 0.");
  if (!(options.reduction_factor > 1) || !std::isfinite(options.reduction_factor))
    refuse("reduction_factor is " + number_text(options.reduction_factor, 6) + ", but it must be a finite number above 1.");
  if (std::log(options.max_t) / std::log(options.reduction_factor) > 60)
    refuse("a reduction_factor of " + number_text(options.reduction_factor, 6) + " makes more than 60 brackets of max_t; give a larger one.");
  if (options.time_attr.empty()) refuse("time_attr is empty; \"training_iteration\" is the usual one.");
  if (metric.empty()) refuse("there is no metric to compare trials by. Set TuneOptions::metric.");
}

BracketPlan ray_plan(const HyperBandOptions& options, double brackets, std::size_t s) {
  const double eta = options.reduction_factor;
  const double power = std::pow(eta, static_cast<double>(s));
  double r = s == 0 ? options.max_t.value : std::floor(options.max_t / power + kRounding);
  double n = std::ceil(brackets / static_cast<double>(s + 1) * power - kRounding);
  BracketPlan plan;
  if (r <= 0) return plan;
  for (std::size_t left = s;; --left) {
    if (left == 0) r = options.max_t;
    plan.sizes.push_back(whole(n));
    plan.milestones.push_back(r);
    if (r >= options.max_t) return plan;
    n = std::ceil(n / eta - kRounding);
    r = std::min(std::max(std::floor(r * eta + kRounding), r + 1), options.max_t.value);
  }
}

BracketPlan paper_plan(const HyperBandOptions& options, double brackets, std::size_t s) {
  const double eta = options.reduction_factor;
  const double power = std::pow(eta, static_cast<double>(s));
  const double share = brackets / static_cast<double>(s + 1);
  const double n = options.variant == HyperBandVariant::kPaper ? std::ceil(share * power - kRounding)
                                                               : std::floor(std::floor(share) * power + kRounding);
  BracketPlan plan;
  for (std::size_t i = 0; i <= s; ++i) {
    plan.sizes.push_back(std::max<std::size_t>(1, whole(n * std::pow(eta, -static_cast<double>(i)) + kRounding)));
    plan.milestones.push_back(i == s ? options.max_t.value : options.max_t * std::pow(eta, static_cast<double>(i) - static_cast<double>(s)));
  }
  return plan;
}

std::string variant_name(HyperBandVariant variant) {
  switch (variant) {
    case HyperBandVariant::kRay: return "ray";
    case HyperBandVariant::kPaper: return "paper";
    case HyperBandVariant::kHpBandSter: return "hpbandster";
  }
  return {};
}

SchedulerSpec make_spec(const std::string& name, const std::string& function, HyperBandOptions options, bool bohb) {
  std::string description = function + "(time_attr=" + options.time_attr + ", max_t=" + number_text(options.max_t, 17) +
                            ", reduction_factor=" + number_text(options.reduction_factor, 17) +
                            ", stop_last_trials=" + (options.stop_last_trials ? "true" : "false") +
                            ", variant=" + variant_name(options.variant) + ")";
  return {name, std::move(description), [options, bohb](const SchedulerContext& context) {
            return std::make_unique<HyperBandScheduler>(options, context, bohb);
          }};
}

}  // namespace

SchedulerSpec hyperband(HyperBandOptions options) { return make_spec("HyperBand", "hyperband", std::move(options), false); }

SchedulerSpec hyperband_for_bohb(HyperBandOptions options) {
  return make_spec("HyperBandForBOHB", "hyperband_for_bohb", std::move(options), true);
}

std::vector<BracketPlan> hyperband_plan(const HyperBandOptions& options) {
  const bool ray = options.variant == HyperBandVariant::kRay;
  const double levels = std::max(0.0, std::log(options.max_t) / std::log(options.reduction_factor));
  const double brackets = (ray ? std::nearbyint(levels) : std::floor(levels + kRounding)) + 1;
  std::vector<BracketPlan> plans;
  for (std::size_t s = 0; s < whole(brackets); ++s)
    plans.push_back(ray ? ray_plan(options, brackets, s) : paper_plan(options, brackets, s));
  return plans;
}

HyperBandScheduler::HyperBandScheduler(HyperBandOptions options, const SchedulerContext& context, bool bohb)
    : options_(std::move(options)),
      metric_(context.metric),
      sign_(context.mode == Mode::kMax ? 1.0 : -1.0),
      largest_first_(bohb || options_.variant != HyperBandVariant::kRay),
      waits_(largest_first_) {
  check(options_, metric_);
  plans_ = hyperband_plan(options_);
}

/// Only a bracket that waits is filled at its first milestone alone; in Ray's a later trial may catch up.
bool HyperBandScheduler::has_room(const Bracket& bracket) const {
  if (waits_ || bracket.finished) return !bracket.closed;
  return bracket.live.size() < plan_of(bracket).sizes[bracket.rung];
}

bool HyperBandScheduler::reached(const Bracket& bracket, const Live& live) const {
  return live.time >= milestone(bracket) * (1 - kRounding);
}

std::size_t HyperBandScheduler::new_bracket() {
  for (;; ++opened_) {
    const std::size_t in_band = opened_ % plans_.size();
    const std::size_t s = largest_first_ ? plans_.size() - 1 - in_band : in_band;
    if (plans_[s].sizes.empty()) continue;
    brackets_.push_back({.plan = s, .band = opened_ / plans_.size()});
    ++opened_;
    return brackets_.size() - 1;
  }
}

void HyperBandScheduler::on_trial_add(TrialIndex trial, const Config&) {
  const std::size_t index = !brackets_.empty() && has_room(brackets_.back()) ? brackets_.size() - 1 : new_bracket();
  Bracket& bracket = brackets_[index];
  bracket.live[trial] = {};
  ++bracket.behind;
  if (bracket.live.size() >= plan_of(bracket).sizes[bracket.rung]) bracket.closed = true;
  bracket_of_[trial] = index;
}

Verdict HyperBandScheduler::on_result(TrialIndex trial, const ResultView& result) {
  const auto time = result.get(options_.time_attr);
  const auto value = result.get(metric_);
  const auto found = bracket_of_.find(trial);
  if (!time || !value || found == bracket_of_.end() || std::isnan(*time)) return {};
  Bracket& bracket = brackets_[found->second];
  Live& live = bracket.live.at(trial);
  const bool was_there = reached(bracket, live);
  bracket.progress += *time - live.time;
  live = {*time, std::isnan(*value) ? -std::numeric_limits<double>::infinity() : sign_ * *value};
  const bool is_there = reached(bracket, live);
  if (was_there != is_there) bracket.behind += was_there ? 1 : -1;
  if (!is_there) return {};
  const double filled = was_there ? 0 : milestone(bracket);
  Verdict verdict(Decision::kPause);
  if (on_last_rung(bracket) && !options_.stop_last_trials)
    verdict.decision = Decision::kContinue;
  else if (ready(bracket))
    verdict = process(bracket, trial);
  verdict.rung = filled;
  return verdict;
}

void HyperBandScheduler::count_behind(Bracket& bracket) const {
  bracket.behind = static_cast<std::size_t>(
      std::count_if(bracket.live.begin(), bracket.live.end(), [&](const auto& item) { return !reached(bracket, item.second); }));
}

/// The trial leaves its bracket, whose `live` is not touched.
void HyperBandScheduler::drop(TrialIndex trial, std::optional<TrialIndex> reporter, Verdict& verdict) {
  bracket_of_.erase(trial);
  ++stopped_;
  if (trial == reporter)
    verdict.decision = Decision::kStop;
  else
    verdict.stop.push_back(trial);
}

/// The best go on to the next milestone; of equals those that came later, as in Ray.
void HyperBandScheduler::halve(Bracket& bracket, std::optional<TrialIndex> reporter, Verdict& verdict) {
  ++bracket.rung;
  std::vector<std::pair<double, TrialIndex>> order;
  for (const auto& [trial, live] : bracket.live) order.emplace_back(live.value, trial);
  std::sort(order.begin(), order.end());
  const std::size_t kept = std::min(order.size(), plan_of(bracket).sizes[bracket.rung]);
  for (std::size_t i = 0; i + kept < order.size(); ++i) {
    drop(order[i].second, reporter, verdict);
    bracket.live.erase(order[i].second);
  }
  count_behind(bracket);
}

/// All that live have come to the milestone: halves until somebody has a way to go, or ends the bracket.
Verdict HyperBandScheduler::process(Bracket& bracket, std::optional<TrialIndex> reporter) {
  Verdict verdict(Decision::kPause);
  bracket.closed = true;
  while (!on_last_rung(bracket) && bracket.behind == 0 && !bracket.live.empty()) halve(bracket, reporter, verdict);
  const bool goes_on = on_last_rung(bracket) && !options_.stop_last_trials;
  if (bracket.behind == 0 && !goes_on) {
    for (const auto& [trial, live] : bracket.live) drop(trial, reporter, verdict);
    bracket.live.clear();
    bracket.finished = true;
    return verdict;
  }
  for (const auto& [trial, live] : bracket.live) {
    if (reached(bracket, live) && !goes_on) continue;  // too far ahead: it waits for the others
    if (trial == reporter)
      verdict.decision = Decision::kContinue;
    else
      verdict.resume.push_back(trial);
  }
  return verdict;
}

Verdict HyperBandScheduler::remove(TrialIndex trial) {
  const auto found = bracket_of_.find(trial);
  if (found == bracket_of_.end()) return {};
  Bracket& bracket = brackets_[found->second];
  if (!reached(bracket, bracket.live.at(trial))) --bracket.behind;
  bracket.live.erase(trial);
  bracket_of_.erase(found);
  if (bracket.live.empty() || !ready(bracket)) return {};
  Verdict verdict = process(bracket, std::nullopt);
  verdict.decision = Decision::kContinue;
  return verdict;
}

Verdict HyperBandScheduler::on_complete(TrialIndex trial, const ResultView* last) {
  double filled = 0;
  const auto found = bracket_of_.find(trial);
  if (last && found != bracket_of_.end()) {
    const Bracket& bracket = brackets_[found->second];
    const auto time = last->get(options_.time_attr);
    const bool before = reached(bracket, bracket.live.at(trial));
    if (time && !before && reached(bracket, {*time, 0})) filled = milestone(bracket);
  }
  Verdict verdict = remove(trial);
  verdict.rung = filled;
  return verdict;
}

Verdict HyperBandScheduler::on_idle() {
  for (Bracket& bracket : brackets_) {
    if (bracket.live.empty() || bracket.behind != 0) continue;
    Verdict verdict = process(bracket, std::nullopt);
    if (!verdict.stop.empty() || !verdict.resume.empty()) return verdict;
  }
  Verdict verdict;  // what is left waits for nobody
  for (Bracket& bracket : brackets_) {
    for (const auto& [trial, live] : bracket.live) drop(trial, std::nullopt, verdict);
    bracket.live.clear();
    bracket.behind = 0;
  }
  return verdict;
}

double HyperBandScheduler::completion(const Bracket& bracket) const {
  const BracketPlan& plan = plan_of(bracket);
  double work = 0;
  for (std::size_t i = 0; i < plan.sizes.size(); ++i) work += static_cast<double>(plan.sizes[i]) * plan.milestones[i];
  return std::min(1.0, bracket.progress / work);
}

/// Band by band; in Ray's variant within a band the bracket that is least complete.
std::optional<TrialIndex> HyperBandScheduler::choose_trial_to_run(const Candidates& candidates) const {
  using Rank = std::tuple<std::size_t, double, std::size_t, TrialIndex>;
  std::optional<Rank> best;
  for (const TrialIndex trial : candidates.ready) {
    const auto found = bracket_of_.find(trial);
    if (found == bracket_of_.end()) continue;
    const Bracket& bracket = brackets_[found->second];
    const Rank rank{bracket.band, waits_ ? 0.0 : completion(bracket), found->second, trial};
    if (!best || rank < *best) best = rank;
  }
  return best ? std::optional(std::get<TrialIndex>(*best)) : Scheduler::choose_trial_to_run(candidates);
}

std::size_t HyperBandScheduler::live_beside(TrialIndex trial) const {
  const auto found = bracket_of_.find(trial);
  return found == bracket_of_.end() ? 0 : brackets_[found->second].live.size();
}

std::string HyperBandScheduler::debug_text() const {
  std::string text = "Using HyperBand: num_stopped=" + std::to_string(stopped_) + " total_brackets=" + std::to_string(brackets_.size());
  constexpr std::size_t kShown = 10;  // of those that are at work
  std::size_t shown = 0;
  for (const Bracket& bracket : brackets_) {
    if (bracket.live.empty() || shown++ >= kShown) continue;
    char percent[16];
    std::snprintf(percent, sizeof percent, "%.1f%%", completion(bracket) * 100);
    text += "\nRound #" + std::to_string(bracket.band) + ": Bracket(Max Size (n)=" + std::to_string(plan_of(bracket).sizes[bracket.rung]) +
            ", Milestone (r)=" + number_text(milestone(bracket), 6) + ", completed=" + percent +
            "): " + std::to_string(bracket.live.size()) + " trials, " + std::to_string(bracket.behind) + " on their way";
  }
  return text;
}

std::string HyperBandScheduler::save() const {
  StateWriter out;
  out.put(stopped_).put(opened_).put(brackets_.size());
  for (const Bracket& bracket : brackets_) {
    out.put(bracket.plan).put(bracket.band).put(bracket.rung).put(bracket.closed).put(bracket.finished).put(bracket.progress);
    out.put(bracket.live.size());
    for (const auto& [trial, live] : bracket.live) out.put(trial).put(live.time).put(live.value);
  }
  return out.text();
}

void HyperBandScheduler::restore(std::string_view state) {
  StateReader in(state, "hyperband");
  bracket_of_.clear();
  stopped_ = in.integer();
  opened_ = in.integer();
  brackets_.clear();
  for (std::uint64_t left = in.count(); left > 0; --left) {
    Bracket bracket{.plan = in.integer(), .band = in.integer(), .rung = in.integer(), .closed = in.flag(), .finished = in.flag()};
    if (bracket.plan >= plans_.size() || bracket.rung >= plan_of(bracket).sizes.size()) in.fail();
    bracket.progress = in.number();
    for (std::uint64_t trials = in.count(); trials > 0; --trials) {
      const auto trial = in.index();
      const double time = in.comparable();
      bracket.live[trial] = {time, in.comparable()};
      if (!bracket_of_.emplace(trial, brackets_.size()).second) in.fail();
    }
    count_behind(bracket);
    brackets_.push_back(std::move(bracket));
  }
  in.end();
}

}  // namespace manta::tune
