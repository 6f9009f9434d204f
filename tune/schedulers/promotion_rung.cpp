#include "tune/schedulers/promotion_rung.hpp"

#include <cmath>
#include <limits>

namespace manta::tune {

PromotionRung::Key PromotionRung::key(TrialIndex trial, double value) {
  return {std::isnan(value) ? -std::numeric_limits<double>::infinity() : value, trial};
}

void PromotionRung::add(TrialIndex trial, double value, bool promotable) {
  rest_.emplace(key(trial, value), !promotable);
  balance();
}

void PromotionRung::to_top(Entries::iterator entry) {
  if (!entry->second) waiting_.insert(entry->first);
  top_.insert(rest_.extract(entry));
}

void PromotionRung::to_rest(Entries::iterator entry) {
  waiting_.erase(entry->first);
  rest_.insert(top_.extract(entry));
}

/// The top holds the best ⌊size / factor⌋.
void PromotionRung::balance() {
  constexpr double kRounding = 1e-9;
  const auto wanted = static_cast<std::size_t>(static_cast<double>(size()) / factor_ + kRounding);
  while (top_.size() < wanted) to_top(rest_.begin());
  while (!top_.empty() && !rest_.empty() && rest_.begin()->first < std::prev(top_.end())->first) {
    to_rest(std::prev(top_.end()));
    to_top(rest_.begin());
  }
}

void PromotionRung::set_promoted(TrialIndex trial, double value) {
  const Key of = key(trial, value);
  waiting_.erase(of);
  for (Entries* entries : {&top_, &rest_})
    if (const auto found = entries->find(of); found != entries->end()) found->second = true;
}

std::optional<TrialIndex> PromotionRung::candidate(const std::function<bool(TrialIndex)>& startable) const {
  for (const Key& waiting : waiting_)
    if (!startable || startable(waiting.trial)) return waiting.trial;
  return std::nullopt;
}

std::optional<double> PromotionRung::cutoff() const {
  return top_.empty() ? std::nullopt : std::optional(std::prev(top_.end())->first.value);
}

void PromotionRung::visit(const std::function<void(TrialIndex, double, bool)>& each) const {
  for (const Entries* entries : {&top_, &rest_})
    for (const auto& [of, promoted] : *entries) each(of.trial, of.value, promoted);
}

}  // namespace manta::tune
