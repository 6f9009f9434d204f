// scripts/bench --only search: how close each searcher comes to the minimum of known functions, over many seeds.
// search.csv has one row per function, searcher, seed and number of trials: the regret of the best trial so far.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <regex>
#include <string>
#include <vector>

#include "bench/harness/measure.hpp"
#include "bench/tune/search_functions.hpp"
#include "tune/searchers.hpp"
#include "tune/study.hpp"

namespace {

using namespace manta::bench;
namespace tune = manta::tune;

struct Flags {
  bool quick = false;
  std::uint64_t seeds = 50;
  std::uint64_t first_seed = 0;
  bool more = false;
  std::string only = ".*";
  std::string functions = ".*";
  std::filesystem::path out = ".";
};

constexpr std::size_t kCheckpoints[] = {25, 50, 100, 200};

/// Those that compare with Optuna's have its names: bench/peers/search_compare.py.
std::vector<std::pair<std::string, tune::SearcherSpec>> searchers() {
  return {{"random", tune::random_search()},
          {"sobol", tune::sobol()},
          {"tpe", tune::tpe()},
          {"tpe_independent", tune::tpe({.multivariate = false})},
          {"tpe_optuna_density", tune::tpe({.bandwidth_exponent = 1})},
          {"cma_es", tune::cmaes()},
          {"gp", tune::gp()}};
}

tune::Space space_of(const TestFunction& function) {
  tune::Space space;
  for (std::size_t i = 0; i < function.low.size(); ++i)
    space.add("x" + std::to_string(i), tune::uniform(function.low[i], function.high[i]));
  return space;
}

/// The best regret after each number of trials.
std::vector<double> search(const TestFunction& function, const tune::SearcherSpec& searcher, std::uint64_t seed, std::size_t trials) {
  tune::Study study({.space = space_of(function), .metric = "regret", .searcher = searcher, .seed = seed});
  std::vector<double> best;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t t = 0; t < trials; ++t) {
    const tune::StudyTrial trial = study.ask();
    std::vector<double> x;
    for (std::size_t i = 0; i < function.low.size(); ++i) x.push_back(trial.config.get<double>("x" + std::to_string(i)));
    const double regret = function.regret(x, seed);
    study.tell(trial, {{"regret", regret}});
    best.push_back(least = std::min(least, regret));
  }
  return best;
}

void run(const Flags& flags, std::ostream& csv) {
  const std::size_t trials = flags.quick ? 50 : 200;
  const std::regex wanted(flags.only), of(flags.functions);
  csv << "function,searcher,seed,trials,regret\n";
  fmt::print("{:<12} {:<16} {:>10} {:>10} {:>10} {:>10}   medians over {} seeds\n", "function", "searcher", "@25", "@50", "@100",
             "@200", flags.seeds);
  for (const TestFunction& function : flags.more ? more_functions() : test_functions())
    for (const auto& [name, spec] : searchers()) {
      if (!std::regex_match(name, wanted) || !std::regex_match(function.name, of)) continue;
      std::map<std::size_t, std::vector<double>> regrets;
      for (std::uint64_t seed = flags.first_seed; seed < flags.first_seed + flags.seeds; ++seed) {
        const std::vector<double> best = search(function, spec, seed, trials);
        for (const std::size_t at : kCheckpoints)
          if (at <= trials) {
            regrets[at].push_back(best[at - 1]);
            csv << fmt::format("{},{},{},{},{:.10g}\n", function.name, name, seed, at, best[at - 1]);
          }
      }
      fmt::print("{:<12} {:<16}", function.name, name);
      for (const auto& [at, values] : regrets) fmt::print(" {:>10.3g}", median(values));
      fmt::print("\n");
      std::fflush(stdout);
    }
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Measures how close the searchers come to the minima of test functions.", "scripts/bench --only search");
  app.add_flag("--quick", flags.quick, "50 trials of 5 seeds: shows that it works");
  app.add_option("--seeds", flags.seeds, "how many searches of each kind");
  app.add_option("--first-seed", flags.first_seed, "where seeds begin: defaults are chosen on other seeds than those compared with peers");
  app.add_flag("--more", flags.more, "four other functions: Ackley, Griewank, Levy, Styblinski-Tang");
  app.add_option("--searchers", flags.only, "only those whose whole name matches this regular expression");
  app.add_option("--functions", flags.functions, "only those whose whole name matches this regular expression");
  app.add_option("--out", flags.out, "folder for search.csv");
  CLI11_PARSE(app, argc, argv);
  if (flags.quick) flags.seeds = std::min<std::uint64_t>(flags.seeds, 5);
  try {
    std::filesystem::create_directories(flags.out);
    const auto file = flags.out / "search.csv";
    std::ofstream csv(file.string() + ".new");
    run(flags, csv);
    if (!csv.flush()) throw std::runtime_error("cannot write " + file.string());
    std::filesystem::rename(file.string() + ".new", file);
    fmt::print("{}\n", file.string());
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "scripts/bench --only search: {}\n", error.what());
    return 1;
  }
}
