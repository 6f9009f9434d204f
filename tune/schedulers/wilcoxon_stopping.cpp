#include "tune/schedulers/wilcoxon_stopping.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/errors.hpp"
#include "tune/searchers/state_text.hpp"

namespace manta::tune {

namespace {

constexpr std::size_t kExactUpTo = 50;

/// Twice the ranks of the absolute values, so that the mean rank of ties is whole too.
std::vector<std::uint64_t> doubled_ranks(const std::vector<double>& differences) {
  std::vector<double> sorted;
  for (const double x : differences) sorted.push_back(std::fabs(x));
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::uint64_t> ranks;
  for (const double x : differences) {
    const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), std::fabs(x));
    ranks.push_back(static_cast<std::uint64_t>((first - sorted.begin()) + (last - sorted.begin()) + 1));
  }
  return ranks;
}

/// Over all choices of signs, each as likely: how often the positive ranks add up to `sum` or more.
double exact_tail(const std::vector<std::uint64_t>& ranks, std::uint64_t sum) {
  std::uint64_t total = 0;
  for (const std::uint64_t rank : ranks) total += rank;
  std::vector<double> share(total + 1, 0);
  share[0] = 1;
  for (const std::uint64_t rank : ranks)
    for (std::uint64_t s = total + 1; s-- > 0;) share[s] = (share[s] + (s >= rank ? share[s - rank] : 0)) / 2;
  double tail = 0;
  for (std::uint64_t s = sum; s <= total; ++s) tail += share[s];
  return tail;
}

double normal_tail(const std::vector<double>& differences, double positive_sum) {
  const double n = static_cast<double>(differences.size());
  double variance = n * (n + 1) * (2 * n + 1);
  std::map<double, double> ties;
  for (const double x : differences) ++ties[std::fabs(x)];
  for (const auto& [value, count] : ties) variance -= 0.5 * count * (count * count - 1);
  const double z = (positive_sum - n * (n + 1) / 4) / std::sqrt(variance / 24);
  return 0.5 * std::erfc(z / std::sqrt(2.0));
}

double mean(const std::map<double, double>& values) {
  double sum = 0;
  for (const auto& [step, value] : values) sum += value;
  return sum / static_cast<double>(values.size());
}

}  // namespace

double wilcoxon_p_greater(const std::vector<double>& differences) {
  if (differences.empty()) return std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::uint64_t> ranks = doubled_ranks(differences);
  std::uint64_t positive = 0, zero = 0;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    if (differences[i] > 0) positive += ranks[i];
    if (differences[i] == 0) zero += ranks[i];
  }
  if (zero == 0 && ranks.size() <= kExactUpTo) return exact_tail(ranks, positive);
  return normal_tail(differences, static_cast<double>(positive) / 2 + static_cast<double>(zero) / 4);
}

SchedulerSpec wilcoxon_stopping(WilcoxonStoppingOptions options) {
  std::string description = "wilcoxon_stopping(step_attr=" + options.step_attr + ", p_threshold=" + number_text(options.p_threshold, 17) +
                            ", n_startup_steps=" + std::to_string(options.n_startup_steps) + ")";
  return {"WilcoxonStopping", std::move(description),
          [options](const SchedulerContext& context) { return std::make_unique<WilcoxonStoppingScheduler>(options, context); }};
}

WilcoxonStoppingScheduler::WilcoxonStoppingScheduler(WilcoxonStoppingOptions options, const SchedulerContext& context)
    : options_(std::move(options)), metric_(context.metric), sign_(context.mode == Mode::kMin ? 1.0 : -1.0) {
  if (metric_.empty()) throw InvalidArgument("wilcoxon_stopping: there is no metric to compare trials by. Set TuneOptions::metric.");
  if (!(options_.p_threshold >= 0 && options_.p_threshold <= 1))
    throw InvalidArgument("wilcoxon_stopping: p_threshold is " + number_text(options_.p_threshold, 6) + ", but it must be from 0 to 1.");
}

bool WilcoxonStoppingScheduler::worse(const Values& own) const {
  std::vector<double> differences;
  for (const auto& [step, value] : own) {
    const auto found = best_.find(step);
    if (found == best_.end()) continue;
    const double difference = value - found->second;
    if (std::isnan(difference)) return false;
    differences.push_back(difference);
  }
  if (differences.size() < std::max<std::size_t>(options_.n_startup_steps, 1)) return false;
  if (!(wilcoxon_p_greater(differences) < options_.p_threshold)) return false;
  return mean(best_) < mean(own);  // else it only had the harder instances so far
}

Verdict WilcoxonStoppingScheduler::on_result(TrialIndex trial, const ResultView& result) {
  const auto step = result.get(options_.step_attr);
  const auto value = result.get(metric_);
  if (!step || !value || std::isnan(*step)) return {};
  Values& own = running_[trial];
  own[*step] = sign_ * *value;
  if (!worse(own)) return {};
  ++stopped_;
  running_.erase(trial);
  return Decision::kStop;
}

Verdict WilcoxonStoppingScheduler::on_complete(TrialIndex trial, const ResultView* last) {
  Values own = std::move(running_[trial]);
  running_.erase(trial);
  const auto step = last ? last->get(options_.step_attr) : std::nullopt;
  const auto value = last ? last->get(metric_) : std::nullopt;
  if (step && value && !std::isnan(*step)) own[*step] = sign_ * *value;
  if (own.empty() || std::isnan(mean(own))) return {};
  if (best_.empty() || mean(own) < mean(best_)) best_ = std::move(own);
  return {};
}

std::string WilcoxonStoppingScheduler::debug_text() const {
  return "Using WilcoxonStopping: num_stopped=" + std::to_string(stopped_) + ".";
}

std::string WilcoxonStoppingScheduler::save() const {
  StateWriter out;
  const auto put = [&](const Values& values) {
    out.put(values.size());
    for (const auto& [step, value] : values) out.put(step).put(value);
  };
  out.put(stopped_);
  put(best_);
  out.put(running_.size());
  for (const auto& [trial, values] : running_) out.put(trial), put(values);
  return out.text();
}

void WilcoxonStoppingScheduler::restore(std::string_view state) {
  StateReader in(state, "wilcoxon_stopping");
  const auto read = [&] {
    Values values;
    for (std::size_t left = in.count(); left > 0; --left) {
      const double step = in.comparable();
      values[step] = in.number();
    }
    return values;
  };
  stopped_ = in.integer();
  best_ = read();
  running_.clear();
  for (std::size_t left = in.count(); left > 0; --left) {
    const TrialIndex trial = in.index();
    running_[trial] = read();
  }
  in.end();
}

}  // namespace manta::tune
