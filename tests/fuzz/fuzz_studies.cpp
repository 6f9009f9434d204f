// A saved study, with the state of its searcher in it. The first byte chooses the searcher. What is restored is saved and restores to the same;
// its trials can be told, and it goes on.
#include "runtime/errors.hpp"
#include "tune/searchers.hpp"
#include "tune/study.hpp"

namespace {

using namespace manta::tune;

const std::vector<SearcherSpec>& searchers() {
  static const std::vector<SearcherSpec> all{
      random_search(),
      sobol(),
      tpe({.common = {.startup_trials = 2}}),
      limit_concurrency(tpe({.common = {.startup_trials = 2}}), 3, {.batch = true}),
      repeat(tpe({.common = {.startup_trials = 2}}), 2),
      evolution({.population = 2, .sample = 2}),
      nsga2({.population = 2}),
      bohb_search({.common = {.startup_trials = 0}, .num_samples = 8}),
      dehb({.schedule = {.min_budget = 1, .max_budget = 9, .eta = 3}}),
      cmaes({.common = {.startup_trials = 1}, .surrogate = false}),
      cmaes({.common = {.startup_trials = 1}, .surrogate = true}),
      gp({.common = {.startup_trials = 2}, .preliminary_samples = 20, .local_searches = 2}),
  };
  return all;
}

Study study(std::size_t which) {
  const Space space{{"x", uniform(-1, 1)}, {"n", randint(1, 9)}, {"kind", choice({"a", "b"})}, {"lr", loguniform(1e-3, 1), when("kind", "a")}};
  const SearcherSpec& searcher = searchers().at(which);
  std::vector<Objective> objectives{{"loss", Mode::kMin}};
  if (searcher.name == "nsga2") objectives.push_back({"size", Mode::kMax});
  return Study({.space = space, .objectives = std::move(objectives), .searcher = searcher, .seed = 5});
}

/// Two of the trials that run end, and there is a new one. It may find that it cannot go on.
void go_on(Study& study) {
  int told = 0;
  const std::vector<StudyTrial> trials = study.trials();
  for (const StudyTrial& trial : trials)
    if (trial.state == StudyTrial::State::kRunning && told++ < 2) study.tell(trial, {{"loss", 0.5}, {"size", told}});
  (void)study.try_ask();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t which = data[0] % searchers().size();
  Study restored = study(which), again = study(which);
  try {
    restored.restore({reinterpret_cast<const char*>(data + 1), size - 1});
  } catch (const manta::InvalidArgument&) {
    return 0;
  }
  const std::string saved = restored.save();
  again.restore(saved);
  MANTA_CHECK(again.save() == saved);
  try {
    go_on(restored);
    again.restore(restored.save());
  } catch (const manta::InvalidArgument&) {
  }
  return 0;
}
