#include "tune/schedulers/asha_promotion.hpp"

#include <cmath>

#include "runtime/errors.hpp"
#include "tune/searchers/state_text.hpp"

namespace manta::tune {

namespace {

constexpr double kRounding = 1e-9;  // 0.1 · 3 · 3 is no more than 0.9 by as much

std::vector<PromotionRung> make_rungs(const AshaOptions& options, std::int64_t bracket) {
  std::vector<double> all{options.grace_period};
  while (all.back() * options.reduction_factor <= options.max_t * (1 + kRounding)) all.push_back(all.back() * options.reduction_factor);
  const auto first = std::min(static_cast<std::size_t>(bracket), all.size() - 1);
  std::vector<PromotionRung> rungs;
  for (std::size_t k = first; k < all.size(); ++k) rungs.emplace_back(all[k], options.reduction_factor);
  return rungs;
}

}  // namespace

AshaPromotionScheduler::AshaPromotionScheduler(AshaOptions options, const SchedulerContext& context)
    : options_(std::move(options)),
      metric_(context.metric),
      sign_(context.mode == Mode::kMax ? 1.0 : -1.0),
      seed_(context.seed) {
  check_asha(options_, metric_);
  if (!options_.stop_last_trials)
    throw InvalidArgument("asha: stop_last_trials is false, but the promotion type trains no trial beyond its last rung. Leave it at true, or take the stopping type.");
  for (std::int64_t s = 0; s < options_.brackets; ++s) brackets_.push_back(make_rungs(options_, s));
}

void AshaPromotionScheduler::on_trial_add(TrialIndex trial, const Config&) {
  std::vector<std::size_t> sizes;
  for (const Bracket& bracket : brackets_) sizes.push_back(bracket.size());
  places_[trial] = Place{.bracket = draw_bracket(seed_, trial, sizes)};
}

bool AshaPromotionScheduler::reached(const Place& place, const ResultView& result) const {
  const auto time = result.get(options_.time_attr);
  return time && result.get(metric_) && *time >= brackets_[place.bracket][place.rung].milestone() * (1 - kRounding);
}

Verdict AshaPromotionScheduler::on_result(TrialIndex trial, const ResultView& result) {
  const auto found = places_.find(trial);
  if (found == places_.end() || !reached(found->second, result)) return {};
  Place& place = found->second;
  Bracket& bracket = brackets_[place.bracket];
  PromotionRung& rung = bracket[place.rung];
  const bool last = place.rung + 1 == bracket.size();
  place.value = sign_ * *result.get(metric_);
  place.waits = true;
  rung.add(trial, place.value, !last);
  if (last) places_.erase(found);
  return {last ? Decision::kStop : Decision::kPause, rung.milestone()};
}

Verdict AshaPromotionScheduler::on_complete(TrialIndex trial, const ResultView* last) {
  Verdict verdict;
  const auto found = places_.find(trial);
  if (found == places_.end()) return verdict;
  const Place& place = found->second;
  if (last && !place.waits && reached(place, *last)) {
    PromotionRung& rung = brackets_[place.bracket][place.rung];
    rung.add(trial, sign_ * *last->get(metric_), false);
    verdict.rung = rung.milestone();
  }
  on_error(trial);
  return verdict;
}

Verdict AshaPromotionScheduler::on_error(TrialIndex trial) {
  const auto found = places_.find(trial);
  if (found == places_.end()) return {};
  const Place& place = found->second;
  if (place.waits) brackets_[place.bracket][place.rung].set_promoted(trial, place.value);
  places_.erase(found);
  return {};
}

void AshaPromotionScheduler::on_start(TrialIndex trial) {
  const auto found = places_.find(trial);
  if (found == places_.end() || !found->second.waits) return;  // it begins, or begins again after a failure
  Place& place = found->second;
  brackets_[place.bracket][place.rung].set_promoted(trial, place.value);
  place.waits = false;
  ++place.rung;
  ++promoted_;
}

Verdict AshaPromotionScheduler::on_idle() {
  Verdict verdict;
  for (const auto& [trial, place] : places_)
    if (place.waits) verdict.stop.push_back(trial);
  for (const TrialIndex trial : verdict.stop) on_error(trial);
  return verdict;
}

std::optional<TrialIndex> AshaPromotionScheduler::choose_trial_to_run(const Candidates& candidates) const {
  std::optional<TrialIndex> chosen;
  double highest = 0;
  for (const Bracket& bracket : brackets_)
    for (std::size_t k = bracket.size() - 1; k-- > 0;) {
      if (chosen && bracket[k].milestone() <= highest) break;
      const auto candidate = bracket[k].candidate(candidates.startable);
      if (!candidate) continue;
      chosen = candidate;
      highest = bracket[k].milestone();
      break;
    }
  return chosen ? chosen : Scheduler::choose_trial_to_run(candidates);
}

std::vector<double> AshaPromotionScheduler::milestones(std::size_t bracket) const {
  std::vector<double> milestones;
  for (const PromotionRung& rung : brackets_.at(bracket)) milestones.push_back(rung.milestone());
  return milestones;
}

std::string AshaPromotionScheduler::debug_text() const {
  std::string text = "Using ASHA (promotion): num_promoted=" + std::to_string(promoted_);
  for (const Bracket& bracket : brackets_) {
    text += "\nBracket:";
    for (std::size_t k = bracket.size(); k-- > 0;) {
      const auto cutoff = bracket[k].cutoff();
      text += (k + 1 == bracket.size() ? " Iter " : " | Iter ") + number_text(bracket[k].milestone(), 6) + ": " +
              std::to_string(bracket[k].size()) + " trials, cutoff " + (cutoff ? number_text(sign_ * *cutoff, 6) : "None");
    }
  }
  return text;
}

std::string AshaPromotionScheduler::save() const {
  StateWriter out;
  out.put(promoted_).put(places_.size());
  for (const auto& [trial, place] : places_)
    out.put(trial).put(place.bracket).put(place.rung).put(place.waits).put(place.value);
  for (const Bracket& bracket : brackets_)
    for (const PromotionRung& rung : bracket) {
      out.put(rung.size());
      rung.visit([&](TrialIndex trial, double value, bool promoted) { out.put(trial).put(value).put(promoted); });
    }
  return out.text();
}

void AshaPromotionScheduler::restore(std::string_view state) {
  StateReader in(state, "asha");
  places_.clear();
  promoted_ = in.integer();
  for (std::uint64_t left = in.count(); left > 0; --left) {
    const auto trial = in.index();
    Place place{.bracket = in.integer(), .rung = in.integer(), .waits = in.flag(), .value = in.number()};
    if (place.bracket >= brackets_.size() || place.rung >= brackets_[place.bracket].size()) in.fail();
    places_[trial] = place;
  }
  for (Bracket& bracket : brackets_)
    for (PromotionRung& rung : bracket) {
      rung = PromotionRung(rung.milestone(), options_.reduction_factor);
      for (std::uint64_t left = in.count(); left > 0; --left) {
        const auto trial = in.index();
        const double value = in.number();
        rung.add(trial, value, !in.flag());
      }
    }
  in.end();
}

}  // namespace manta::tune
