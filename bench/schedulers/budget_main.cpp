// scripts/bench --only 'counting_ones|mfh': what random search, HyperBand and BOHB find on functions that cost less at a smaller
// budget, beside figures measured with HpBandSter's own code. The incumbent is BOHB's: only a result at a budget no smaller than
// its own replaces it, a larger budget always does; it is scored by its true value, without noise at the full budget. The
// rows called "observed" take the best value that was reported instead, as HpBandSter's figures of those functions do.
// budget.csv has one row for each point.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <exception>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "bench/schedulers/budget_functions.hpp"
#include "tune/simulation.hpp"
#include "tune/tune.hpp"

namespace {

using namespace manta::bench;
namespace tune = manta::tune;

struct Flags {
  bool quick = false;
  std::uint64_t seeds = 40;
  std::string only = ".*";
  std::filesystem::path out = ".";
};

/// A figure of HpBandSter's: mean and its standard error, which is NaN where it was not taken.
struct Known {
  double mean;
  double error;
};

struct Method {
  std::string name;
  tune::SchedulerSpec scheduler;
  tune::SearcherSpec searcher;
  std::vector<tune::BracketPlan> brackets{};  ///< in the order in which they come, again and again; none: full budgets only
};

struct Question {
  BudgetFunction function;
  bool by_cost;                ///< points are full budgets spent; else evaluations
  bool scored_true;            ///< else by the best value observed, as HpBandSter's figures of this function are
  std::vector<double> points;
  std::vector<std::vector<Known>> known;  ///< of random search, HyperBand, BOHB
  std::vector<double> known_seeds;        ///< over how many seeds each of these was taken
};

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

std::vector<Question> known_questions() {
  return {{counting_ones(4), true, true, {5, 10, 21, 50, 100, 200},
           {{{.330, .017}, {.284, kNone}, {.231, kNone}, {.189, kNone}, {.152, kNone}, {.130, .008}},
            {{.167, .009}, {.150, kNone}, {.145, kNone}, {.113, kNone}, {.101, kNone}, {.083, .004}},
            {{.078, .015}, {.040, kNone}, {.038, kNone}, {.032, kNone}, {.030, kNone}, {.030, .007}}},
           {40, 40, 12}},
          {counting_ones(8), true, true, {5, 10, 21, 50, 100, 200},
           {{{.402, .010}, {.360, kNone}, {.326, kNone}, {.286, kNone}, {.254, kNone}, {.232, .005}},
            {{.261, .008}, {.255, kNone}, {.252, kNone}, {.214, kNone}, {.197, kNone}, {.179, .005}},
            {{.203, .012}, {.165, kNone}, {.144, kNone}, {.091, kNone}, {.064, .008}, {kNone, kNone}}},
           {40, 40, 8}},
          {multi_fidelity_hartmann(3), false, false, {60, 120, 180, 240, 300},
           {{{-3.388, kNone}, {-3.553, kNone}, {-3.634, kNone}, {-3.688, kNone}, {-3.711, kNone}},
            {{-2.616, kNone}, {-3.274, kNone}, {-3.548, kNone}, {-3.594, kNone}, {-3.596, kNone}},
            {{-2.760, kNone}, {-3.346, kNone}, {-3.631, kNone}, {-3.653, kNone}, {-3.653, kNone}}},
           {30, 30, 30}},
          {multi_fidelity_hartmann(6), false, false, {60, 120, 180, 240, 300},
           {{{-1.851, kNone}, {-2.083, kNone}, {-2.197, kNone}, {-2.287, kNone}, {-2.328, kNone}},
            {{-1.429, kNone}, {-1.799, kNone}, {-2.078, kNone}, {-2.106, kNone}, {-2.140, kNone}},
            {{-1.955, kNone}, {-2.564, kNone}, {-2.962, kNone}, {-2.994, kNone}, {-2.994, kNone}}},
           {30, 30, 30}}};
}

/// Those scored by the best value observed are scored by the true one, too, for which HpBandSter's figures are not known.
std::vector<Question> questions() {
  std::vector<Question> all = known_questions();
  for (std::size_t i = all.size(); i-- > 0;) {
    if (all[i].scored_true) continue;
    Question also = all[i];
    also.scored_true = true;
    for (auto& points : also.known) std::fill(points.begin(), points.end(), Known{kNone, kNone});
    all[i].function.name += "_observed";
    all.insert(all.begin() + static_cast<std::ptrdiff_t>(i), std::move(also));
  }
  return all;
}

std::vector<Method> methods(const BudgetFunction& function) {
  const tune::HyperBandOptions options{.time_attr = "budget", .max_t = function.budgets.back() / function.budgets.front(),
                                       .variant = tune::HyperBandVariant::kHpBandSter};
  std::vector<tune::BracketPlan> brackets = tune::hyperband_plan(options);
  std::reverse(brackets.begin(), brackets.end());
  return {{"random", tune::fifo(), tune::random_search()},
          {"hyperband", tune::hyperband(options), tune::random_search(), brackets},
          {"bohb", tune::hyperband_for_bohb(options), tune::bohb_search(), brackets}};
}

/// The iteration at which a trial's bracket begins. HpBandSter evaluates at the bracket's budgets only; here a trial passes
/// the smaller ones on its way, and those results are neither paid for nor looked at.
std::uint64_t first_iteration(const Method& method, tune::TrialIndex trial) {
  const std::size_t levels = method.brackets.size();
  if (levels == 0) return 1;
  std::size_t round = 0;
  for (const auto& bracket : method.brackets) round += bracket.sizes.front();
  std::size_t place = trial % round, bracket = 0;
  for (; place >= method.brackets[bracket].sizes.front(); ++bracket) place -= method.brackets[bracket].sizes.front();
  return bracket + 1;
}

/// One evaluation: a trial at the budget of its iteration.
tune::SimulatedTrainable trainable(const BudgetFunction& function, bool full_only) {
  tune::SimulatedTrainable made{.name = function.name};
  if (full_only) made.iterations = 1;
  made.step = [&function, full_only](tune::SimulatedStep& step) -> std::optional<tune::SimulatedResult> {
    const std::size_t k = full_only ? function.budgets.size() - 1 : step.iteration - 1;
    if (k >= function.budgets.size()) return std::nullopt;
    const double budget = function.budgets[k];
    return tune::SimulatedResult{{{"value", function.observe(step.config, budget, step.random)}, {"budget", budget / function.budgets.front()}}, budget};
  };
  return made;
}

/// The incumbent's score at each point.
std::vector<double> scores(const Question& question, const Method& method, const tune::Simulation& done) {
  const bool full_only = method.brackets.empty();
  const auto& budgets = question.function.budgets;
  std::vector<double> at_points;
  double spent = 0, best_budget = 0, best_value = 0, score = kNone;
  std::size_t evaluations = 0;
  for (const tune::SimulatedReport& report : done.timeline) {
    if (report.iteration < first_iteration(method, report.trial)) continue;
    const double budget = full_only ? budgets.back() : budgets[report.iteration - 1];
    spent += budget / budgets.back();
    ++evaluations;
    while (at_points.size() < question.points.size() &&
           (question.by_cost ? spent : static_cast<double>(evaluations)) > question.points[at_points.size()] + 1e-9)
      at_points.push_back(score);
    if (!question.scored_true) {
      score = std::isnan(score) ? report.value : std::min(score, report.value);
    } else if (budget > best_budget || (budget == best_budget && report.value < best_value)) {
      best_budget = budget, best_value = report.value;
      score = question.function.minimum + question.function.regret(done.grid[report.trial].config);
    }
  }
  at_points.resize(question.points.size(), score);
  return at_points;
}

std::vector<double> run(const Question& question, const Method& method, std::uint64_t seed) {
  const bool full_only = method.brackets.empty();
  const double last = question.points.back();
  // Of HyperBand's 21 full budgets a round there are 128 trials and 206 evaluations.
  const double trials = full_only ? last + 1 : question.by_cost ? last / 21 * 128 + 128 : last;
  tune::TuneOptions options{.metric = "value", .num_samples = static_cast<std::int64_t>(std::ceil(trials)), .space = question.function.space};
  options.scheduler = method.scheduler;
  options.searcher = method.searcher;
  options.seed = seed;
  return scores(question, method, tune::simulate(options, trainable(question.function, full_only)));
}

struct Point {
  double mean, error;
};

Point summary(const std::vector<double>& values) {
  double sum = 0, squares = 0;
  for (const double value : values) sum += value;
  const double n = static_cast<double>(values.size()), mean = sum / n;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, n > 1 ? std::sqrt(squares / (n - 1) / n) : 0};
}

/// Where HpBandSter's error was not taken, ours stands for it, as it would be over so many seeds.
std::string judged(const Point& ours, const Known& theirs, double seeds_ratio) {
  if (std::isnan(theirs.mean)) return "-";
  const double error = std::hypot(ours.error, std::isnan(theirs.error) ? ours.error * std::sqrt(seeds_ratio) : theirs.error);
  if (ours.mean <= theirs.mean) return "better";
  return ours.mean <= theirs.mean + 2 * error ? "within 2 s.e." : "WORSE";
}

void answer(const Question& question, const Flags& flags, std::ofstream& csv) {
  const std::vector<Method> all = methods(question.function);
  for (std::size_t m = 0; m < all.size(); ++m) {
    std::vector<std::vector<double>> by_point(question.points.size());
    for (std::uint64_t seed = 0; seed < flags.seeds; ++seed) {
      const auto one = run(question, all[m], seed + 1);
      for (std::size_t i = 0; i < one.size(); ++i) by_point[i].push_back(one[i]);
    }
    for (std::size_t i = 0; i < by_point.size(); ++i) {
      const Point ours = summary(by_point[i]);
      const Known& theirs = question.known[m][i];
      const std::string verdict = judged(ours, theirs, static_cast<double>(flags.seeds) / question.known_seeds[m]);
      fmt::print("{:<20} {:<10} @{:<4} {:8.4f} ± {:.4f}   HpBandSter {:7.3f}   {}\n", question.function.name, all[m].name, question.points[i],
                 ours.mean, ours.error, theirs.mean, verdict);
      csv << fmt::format("{},{},{},{},{},{},{},{}\n", question.function.name, all[m].name, question.points[i], ours.mean, ours.error,
                         theirs.mean, theirs.error, verdict);
    }
    std::fflush(stdout);
  }
}

int bench(const Flags& flags) {
  std::filesystem::create_directories(flags.out);
  std::ofstream csv(flags.out / "budget.csv");
  csv << "function,method,point,mean,standard_error,hpbandster_mean,hpbandster_error,verdict\n";
  const std::regex wanted(flags.only);
  bool any = false;
  for (const Question& question : questions()) {
    if (!std::regex_search(question.function.name, wanted)) continue;
    any = true;
    answer(question, flags, csv);
  }
  if (!any) throw CLI::ValidationError("--only", "'" + flags.only + "' matches none of: counting_ones_4+4 counting_ones_8+8 mfh3 mfh6 mfh3_observed mfh6_observed");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("HyperBand and BOHB on functions with budgets, beside HpBandSter's figures", "budget_bench");
  Flags flags;
  app.add_flag("--quick", flags.quick, "3 seeds: shows that it works");
  app.add_option("--seeds", flags.seeds, "how many runs of each")->check(CLI::PositiveNumber);
  app.add_option("--only", flags.only, "functions whose name has a match: counting_ones_4+4 counting_ones_8+8 mfh3 mfh6 mfh3_observed mfh6_observed");
  app.add_option("--out", flags.out, "where budget.csv goes");
  CLI11_PARSE(app, argc, argv);
  try {
    if (flags.quick) flags.seeds = 3;
    return bench(flags);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  } catch (const std::exception& error) {
    fmt::print(stderr, "budget_bench: {}\n", error.what());
    return 1;
  }
}
