#include "tune/schedulers/asha.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <sstream>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

[[noreturn]] void refuse(const std::string& option, double value, const std::string& why) {
  throw InvalidArgument("asha: " + option + " is " + number_text(value, 6) + ", but it must be " + why + ".");
}

void check(const AshaOptions& options) {
  if (!(options.grace_period > 0)) refuse("grace_period", options.grace_period, "above 0");
  if (!(options.max_t >= options.grace_period) || !std::isfinite(options.max_t))
    refuse("max_t", options.max_t, "a finite number, at least grace_period");
  if (!(options.reduction_factor > 1)) refuse("reduction_factor", options.reduction_factor, "above 1");
  if (options.brackets < 1) refuse("brackets", static_cast<double>(options.brackets), "1 or more");
  if (options.time_attr.empty()) throw InvalidArgument("asha: time_attr is empty; \"training_iteration\" is the usual one.");
}

std::vector<double> make_milestones(const AshaOptions& options, std::int64_t bracket) {
  const double levels = std::log(options.max_t / options.grace_period) / std::log(options.reduction_factor);
  const auto count = static_cast<std::int64_t>(levels - static_cast<double>(bracket) + 1);
  std::vector<double> milestones;
  for (std::int64_t k = count - 1; k >= 0; --k)
    milestones.push_back(options.grace_period * std::pow(options.reduction_factor.value, static_cast<double>(k + bracket)));
  return milestones;
}

std::string exact(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%a", value);
  return text;
}

double parse_exact(std::istringstream& in) {
  std::string text;
  in >> text;
  return std::strtod(text.c_str(), nullptr);
}

}  // namespace

double nan_percentile(std::vector<double> numbers, double percent) {
  std::erase_if(numbers, [](double x) { return std::isnan(x); });
  if (numbers.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(numbers.begin(), numbers.end());
  const double position = percent / 100.0 * static_cast<double>(numbers.size() - 1);
  const auto below = std::min(static_cast<std::size_t>(position), numbers.size() - 1);
  const double t = position - static_cast<double>(below);
  const double a = numbers[below];
  const double b = numbers[std::min(below + 1, numbers.size() - 1)];
  if (t == 0 || a == b) return a;
  return t >= 0.5 ? b - (b - a) * (1 - t) : a + (b - a) * t;  // numpy's _lerp, so that ties fall alike
}

SchedulerSpec asha(AshaOptions options) {
  std::string description = "asha(time_attr=" + options.time_attr + ", max_t=" + number_text(options.max_t, 17) +
                            ", grace_period=" + number_text(options.grace_period, 17) +
                            ", reduction_factor=" + number_text(options.reduction_factor, 17) +
                            ", brackets=" + std::to_string(options.brackets) +
                            ", stop_last_trials=" + (options.stop_last_trials ? "true" : "false") + ")";
  return {"AsyncHyperBand", std::move(description), [options](const SchedulerContext& context) {
            return std::make_unique<AshaScheduler>(options, context);
          }};
}

AshaScheduler::AshaScheduler(AshaOptions options, const SchedulerContext& context)
    : options_(std::move(options)),
      metric_(context.metric),
      sign_(context.mode == Mode::kMax ? 1.0 : -1.0),
      seed_(context.seed) {
  check(options_);
  if (metric_.empty()) throw InvalidArgument("asha: there is no metric to compare trials by. Set TuneOptions::metric.");
  for (std::int64_t s = 0; s < options_.brackets; ++s) {
    Bracket bracket;
    for (double milestone : make_milestones(options_, s)) bracket.push_back({milestone});
    brackets_.push_back(std::move(bracket));
  }
}

std::size_t AshaScheduler::draw_bracket(TrialIndex trial) const {
  const double largest = static_cast<double>(brackets_.front().size());
  double sum = 0;
  for (const Bracket& bracket : brackets_) sum += std::exp(static_cast<double>(bracket.size()) - largest);
  double left = Random::stream(seed_, trial, "asha bracket").uniform() * sum;
  for (std::size_t s = 0; s + 1 < brackets_.size(); ++s) {
    left -= std::exp(static_cast<double>(brackets_[s].size()) - largest);
    if (left < 0) return s;
  }
  return brackets_.size() - 1;
}

void AshaScheduler::on_trial_add(TrialIndex trial, const Config&) { bracket_of_[trial] = draw_bracket(trial); }

double AshaScheduler::cutoff(const Rung& rung) const {
  std::vector<double> values;
  for (const auto& [trial, value] : rung.recorded) values.push_back(value);
  return nan_percentile(std::move(values), (1 - 1 / options_.reduction_factor) * 100);
}

Verdict AshaScheduler::judge(Bracket& bracket, TrialIndex trial, double time, double value) const {
  for (Rung& rung : bracket) {
    const bool recorded = rung.recorded.contains(trial);
    if (recorded && !options_.stop_last_trials) break;
    if (time < rung.milestone || recorded) continue;
    const bool worse = value < cutoff(rung);  // false when either is NaN
    rung.recorded[trial] = value;
    return {worse ? Decision::kStop : Decision::kContinue, rung.milestone};
  }
  return Decision::kContinue;
}

Verdict AshaScheduler::on_result(TrialIndex trial, const ResultView& result) {
  const auto time = result.get(options_.time_attr);
  const auto value = result.get(metric_);
  const auto found = bracket_of_.find(trial);
  if (!time || !value || found == bracket_of_.end()) return Decision::kContinue;
  const bool at_the_end = *time >= options_.max_t && options_.stop_last_trials;
  const Verdict verdict = at_the_end ? Verdict(Decision::kStop, options_.max_t)
                                     : judge(brackets_[found->second], trial, *time, sign_ * *value);
  if (verdict.decision == Decision::kStop) {
    ++stopped_;
    bracket_of_.erase(found);
  }
  return verdict;
}

Verdict AshaScheduler::on_complete(TrialIndex trial, const ResultView* last) {
  const auto found = bracket_of_.find(trial);
  if (found == bracket_of_.end()) return {};
  const auto time = last ? last->get(options_.time_attr) : std::nullopt;
  const auto value = last ? last->get(metric_) : std::nullopt;
  Verdict verdict;
  if (time && value) verdict.rung = judge(brackets_[found->second], trial, *time, sign_ * *value).rung;
  bracket_of_.erase(found);
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
      const std::string shown = rung.recorded.empty() ? "None" : number_text(sign_ * cutoff(rung), 6);
      line += (line.empty() ? "Bracket: Iter " : " | Iter ") + std::string(milestone) + ": " + shown;
    }
    text += "\n" + (line.empty() ? std::string("Bracket: no rungs") : line);
  }
  return text;
}

std::string AshaScheduler::save() const {
  std::ostringstream out;
  out << stopped_ << ' ' << bracket_of_.size();
  for (const auto& [trial, bracket] : bracket_of_) out << ' ' << trial << ' ' << bracket;
  for (const Bracket& bracket : brackets_)
    for (const Rung& rung : bracket) {
      out << ' ' << rung.recorded.size();
      for (const auto& [trial, value] : rung.recorded) out << ' ' << trial << ' ' << exact(value);
    }
  return out.str();
}

void AshaScheduler::restore(std::string_view state) {
  std::istringstream in{std::string(state)};
  std::size_t count = 0;
  TrialIndex trial = 0;
  bracket_of_.clear();
  in >> stopped_ >> count;
  for (std::size_t bracket = 0; count > 0 && in >> trial >> bracket; --count) bracket_of_[trial] = bracket;
  for (Bracket& bracket : brackets_)
    for (Rung& rung : bracket) {
      rung.recorded.clear();
      in >> count;
      for (; count > 0 && in >> trial; --count) rung.recorded[trial] = parse_exact(in);
    }
  const bool known = std::all_of(bracket_of_.begin(), bracket_of_.end(), [&](auto& item) { return item.second < brackets_.size(); });
  if (in.fail() || !known) throw StorageCorruption("asha: a saved state that cannot be read.");
}

}  // namespace manta::tune
