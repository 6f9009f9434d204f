#include "tune/core/resource_plan.hpp"

#include <algorithm>

#include "runtime/errors.hpp"

namespace manta::tune {

bool ResourceLedger::fits(const Resources& wanted) const {
  for (const auto& [name, amount] : wanted)
    if (held_[name] + amount > total_[name]) return false;
  return true;
}

void ResourceLedger::take(const Resources& wanted) {
  for (const auto& [name, amount] : wanted) held_.set(name, held_[name] + amount);
}

void ResourceLedger::give_back(const Resources& held) {
  for (const auto& [name, amount] : held) held_.set(name, held_[name] - amount);
}

std::size_t plan_concurrency(const TrialResources& trial, const Resources& total, std::int64_t max_concurrent) {
  constexpr std::int64_t kMostOnNothing = 64;  // trials that ask for nothing at all
  std::int64_t fitting = kMostOnNothing;
  for (const auto& [name, amount] : trial.all()) {
    if (amount.raw() < 0) throw InvalidArgument("tune: the trials' resources hold a negative amount of " + name + ".");
    if (amount > total[name])
      throw InfeasibleResources("tune: each trial needs " + amount_text(name, amount) + ", but there is " +
                                total[name].to_string() + " (in all: " + total.to_string() +
                                "). Ask for less in TuneOptions::resources, or give the runtime more.");
    if (amount.raw() > 0) fitting = std::min(fitting, total[name].raw() / amount.raw());
  }
  if (max_concurrent > 0) fitting = std::min(fitting, max_concurrent);
  return static_cast<std::size_t>(std::max<std::int64_t>(fitting, 1));
}

std::string usage_text(const Resources& total, const Resources& available) {
  std::string text;
  for (const auto& [name, amount] : total) {
    if (amount.raw() <= 0 || (name == "memory" && available[name] == amount)) continue;  // nobody asked for memory
    auto shown = [&name = name](Amount each) { return (name == "memory" ? Amount(each.value() / (1 << 30)) : each).to_string(); };
    text += (text.empty() ? "" : ", ") + shown(amount - available[name]) + "/" + shown(amount) + (name == "memory" ? " GiB " : " ") + name;
  }
  return text;
}

}  // namespace manta::tune
