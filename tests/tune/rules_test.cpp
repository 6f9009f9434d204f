// What the rules of kRules decide, written down: a journal is resumed by deciding anew, so other decisions need another number.
#include <doctest/doctest.h>

#include "tune/core/events.hpp"
#include "tune/random.hpp"
#include "tune/searchers.hpp"
#include "tune/simulation.hpp"
#include "tune/value.hpp"

using namespace manta;
using namespace manta::tune;

namespace {

TuneOptions options_of(SearcherSpec searcher, SchedulerSpec scheduler) {
  return {.metric = "loss",
          .further_objectives = {{"size", Mode::kMin}},
          .num_samples = 40,
          .space = {{"x", uniform(0, 1)}, {"y", randint(0, 20)}, {"z", choice({1, 2, 3})}},
          .searcher = std::move(searcher),
          .scheduler = std::move(scheduler),
          .seed = 11};
}

/// Arithmetic alone, so that every C library gives the same.
const SimulatedTrainable kTrainable{.iterations = 27, .step = [](SimulatedStep& step) {
  const double x = step.config.get<double>("x"), y = step.config.get<double>("y"), t = static_cast<double>(step.iteration);
  return SimulatedResult{{{"loss", (x - 0.3) * (x - 0.3) + y / 40 + step.config.get<double>("z") / t}, {"size", y}}, 1 + y / 10};
}};

/// How each trial ended, how far it came, and with what: copies and their configurations show in that.
std::string decisions(SchedulerSpec scheduler, SearcherSpec searcher = random_search()) {
  std::string text;
  const Simulation done = simulate(options_of(std::move(searcher), std::move(scheduler)), kTrainable, {.workers = 3});
  for (const TrialResult& trial : done.grid.trials())
    text += std::string(to_string(trial.state).substr(0, 1)) + std::to_string(trial.iterations) + ":" + number_text(trial.metrics.get("loss").value(), 4) + " ";
  return text;
}

/// What was proposed, to four digits.
std::string proposals(SearcherSpec searcher) {
  TuneOptions options = options_of(std::move(searcher), fifo());
  if (options.searcher.name != "nsga2") options.further_objectives.clear();
  std::string text;
  const Simulation done = simulate(options, kTrainable, {.workers = 3});
  for (const TrialResult& trial : done.grid.trials())
    text += number_text(trial.config.get<double>("x"), 4) + "," + number_text(trial.config.get<double>("y"), 4) + "," +
            number_text(trial.config.get<double>("z"), 4) + " ";
  return text;
}

struct Known {
  std::string name;
  std::string text;
  std::uint64_t hash;
};

}  // namespace

TEST_SUITE("tune/core") {
  TEST_CASE("the same results lead to the decisions and proposals that kRules stands for: else raise it") {
    static_assert(kRules == 1, "take the figures below anew: each failure prints its own");
    const Known known[] = {
        {"asha", decisions(asha({.max_t = 27, .reduction_factor = 3})), 8423439652554572530uLL},
        {"asha, promotion", decisions(asha({.type = AshaType::kPromotion, .max_t = 27, .reduction_factor = 3})), 16748774071576000197uLL},
        {"mo_asha", decisions(mo_asha({.max_t = 27, .reduction_factor = 3})), 9104624310802885571uLL},
        {"hyperband", decisions(hyperband({.max_t = 27})), 5254417666951715310uLL},
        {"median_stopping", decisions(median_stopping({.time_attr = "training_iteration", .grace_period = 3})), 4324816250705832353uLL},
        {"pbt", decisions(pbt({.time_attr = "training_iteration", .perturbation_interval = 3, .hyperparam_mutations = {{"x", uniform(0, 1)}}})), 5708571833040822875uLL},
        {"random", proposals(random_search()), 8704885656995283394uLL},
        {"sobol", proposals(sobol()), 17727951968281250609uLL},
        {"evolution", proposals(evolution()), 13926832695989405327uLL},
        {"nsga2", proposals(nsga2()), 10291216803783993921uLL},
    };
    for (const Known& each : known) {
      CAPTURE(each.name);
      CAPTURE(each.text);
      CHECK(stable_hash(each.text) == each.hash);
    }
  }
}
