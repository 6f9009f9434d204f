#include "tune/schedulers/budget.hpp"

#include "tune/searchers/state_text.hpp"

namespace manta::tune {

void BudgetScheduler::on_trial_add(TrialIndex trial, const Config& config) {
  const Value* value = config.find(options_.parameter);
  if (!value) return;
  if (const auto* number = value->as<double>()) budgets_[trial] = *number;
  if (const auto* number = value->as<std::int64_t>()) budgets_[trial] = static_cast<double>(*number);
}

Verdict BudgetScheduler::on_result(TrialIndex trial, const ResultView& result) {
  const auto budget = budgets_.find(trial);
  const auto time = result.get(options_.time_attr);
  if (budget == budgets_.end() || !time || !(*time >= budget->second)) return {};
  const Verdict verdict{Decision::kStop, budget->second};
  budgets_.erase(budget);
  return verdict;
}

Verdict BudgetScheduler::on_complete(TrialIndex trial, const ResultView* last) {
  Verdict verdict = last ? on_result(trial, *last) : Verdict();
  budgets_.erase(trial);
  return verdict;
}

Verdict BudgetScheduler::on_error(TrialIndex trial) {
  budgets_.erase(trial);
  return {};
}

std::string BudgetScheduler::debug_text() const { return "Using the budget of each trial: parameter '" + options_.parameter + "'"; }

std::string BudgetScheduler::save() const {
  StateWriter out;
  out.put(static_cast<std::uint64_t>(budgets_.size()));
  for (const auto& [trial, budget] : budgets_) out.put(static_cast<std::uint64_t>(trial)).put(budget);
  return out.text();
}

void BudgetScheduler::restore(std::string_view state) {
  StateReader in(state, "stop_at_budget");
  budgets_.clear();
  for (std::size_t count = in.count(); count > 0; --count) {
    const TrialIndex trial = in.index();
    budgets_[trial] = in.number();
  }
  in.end();
}

SchedulerSpec stop_at_budget(BudgetOptions options) {
  return {"stop_at_budget", "stop_at_budget(parameter=" + options.parameter + ", time_attr=" + options.time_attr + ")",
          [options](const SchedulerContext&) { return std::make_unique<BudgetScheduler>(options); }};
}

}  // namespace manta::tune
