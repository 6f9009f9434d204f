#include "tune/reporter.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "support.hpp"
#include "tune/schedulers/asha.hpp"
#include "tune/searchers/variants.hpp"
#include "tune/status_text.hpp"

using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

ExperimentMachine make_machine(std::uint64_t samples, SchedulerSpec scheduler = asha({.max_t = 4, .reduction_factor = 2})) {
  return {{.metric = "loss", .trial_prefix = "abcde", .trainable = "fit", .max_failures = 1},
          std::make_unique<VariantSearcher>(Space{{"lr", grid_search({0.5})}, {"name", "adam"}}, samples, 1),
          scheduler.make({"loss", Mode::kMin, 1})};
}

Effects step(ExperimentMachine& machine, EventBody body) { return machine.step({0, std::move(body)}); }

/// Trial 0 ran and stopped, 1 runs, 2 failed, 3 waits.
ExperimentMachine four_trials() {
  ExperimentMachine machine = make_machine(4);
  while (auto created = machine.propose()) step(machine, *created);
  for (TrialIndex i : {0u, 1u, 2u}) step(machine, TrialStarted{i, 0});
  step(machine, TrialReported{0, 1, Metrics{{"loss", 0.123456789}, {"accuracy", 0.5}}, 1.25, "", 1});
  step(machine, TrialFinished{0});
  step(machine, TrialReported{1, 1, Metrics{{"loss", NAN}, {"accuracy", 0.5}}, 1, "", 1});
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (attempt) step(machine, TrialStarted{2, 0});
    step(machine, TrialFailed{2, "it broke\nbadly"});
  }
  return machine;
}

/// Says what the test tells it to say.
class ToldScheduler final : public Scheduler {
 public:
  explicit ToldScheduler(std::function<Verdict(TrialIndex, const ResultView&)> answer) : answer_(std::move(answer)) {}
  Verdict on_result(TrialIndex trial, const ResultView& result) override { return answer_(trial, result); }
  std::string save() const override { return {}; }
  void restore(std::string_view) override {}

 private:
  std::function<Verdict(TrialIndex, const ResultView&)> answer_;
};

/// Trial 1 becomes a copy of 0, 2 pauses at its first result and ends with the second one of 0.
ExperimentMachine copying_trials(std::uint64_t samples) {
  const auto answer = [](TrialIndex trial, const ResultView& result) {
    Verdict verdict = trial == 0 ? Decision::kContinue : Decision::kPause;
    if (trial == 1) verdict.exploit = Exploit{0, Config{{"lr", 0.25}, {"name", "adam"}}, "lr=0.25@perturbed"};
    if (trial == 0 && result.iteration == 2) verdict.stop = {2};
    return verdict;
  };
  return {{.metric = "loss", .trial_prefix = "abcde", .trainable = "fit"},
          std::make_unique<VariantSearcher>(Space{{"lr", grid_search({0.5})}, {"name", "adam"}}, samples, 1),
          std::make_unique<ToldScheduler>(answer)};
}

std::size_t widest(const std::string& text) {
  std::size_t width = 0, begin = 0;
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    width = std::max(width, display_width(text.substr(begin, end - begin)));
  return width;
}

}  // namespace

TEST_SUITE("tune/reporter") {
  TEST_CASE("the status shows counts, rungs, the table, the best trial and the failures") {
    const ExperimentMachine machine = four_trials();
    StatusView view = status_view(machine);
    view.time_text = "2026-11-24 02:50:01", view.elapsed_s = 3723, view.resources_text = "1/2 CPU";
    view.dir = "results/exp", view.width = 150;
    const std::string text = status_text(view);
    CHECK(has(text, "Current time: 2026-11-24 02:50:01 (running for 01:02:03)\n"));
    CHECK(has(text, "Bracket: Iter 4.000: None | Iter 2.000: None | Iter 1.000: 0.123457\n"));
    CHECK(has(text, "Logical resource usage: 1/2 CPU\n"));
    CHECK(has(text, "Result logdir: results/exp\n"));
    CHECK(has(text, "Number of trials: 4/4 (1 RUNNING, 1 PENDING, 1 TERMINATED, 1 ERROR)\n"));
    CHECK(has(text, "| Trial name      | status     | loc   |  lr | name |     loss | accuracy | iter | total time (s) |\n"));
    CHECK(has(text, "| fit_abcde_00000 | TERMINATED | pid 1 | 0.5 | adam | 0.123457 |      0.5 |    1 |           1.25 |\n"));
    CHECK(has(text, "| fit_abcde_00001 | RUNNING    | pid 1 | 0.5 | adam |      nan |      0.5 |    1 |              1 |\n"));
    CHECK(has(text, "| fit_abcde_00003 | PENDING    |       | 0.5 | adam |          |          |      |                |\n"));
    CHECK(has(text, "Current best trial: fit_abcde_00000 with loss=0.123457 and parameters={lr=0.5,name=adam}\n"));
    CHECK(has(text, "Number of trials with failures: 1\n"));
    CHECK(has(text, "| fit_abcde_00002 |          2 | ERROR | it broke"));
  }

  TEST_CASE("no line is wider than the terminal, and what is cut ends in an ellipsis") {
    const ExperimentMachine machine = four_trials();
    for (std::size_t width : {40u, 80u, 100u}) {
      StatusView view = status_view(machine);
      view.dir = std::string(200, 'd'), view.width = width;
      const std::string text = status_text(view);
      CHECK(widest(text) <= width);
      CHECK(has(text, "…"));
    }
  }

  TEST_CASE("where it is narrow titles give way first, then names, whose ends stay") {
    Table table({{.title = "Trial name", .keep_end = true}, {"status"}, {"training_iteration", true}});
    table.add({"train_cifar_abcde_00003", "TERMINATED", "8"});
    CHECK(has(table.render(50), "| train_cifar_abcde_00003 | TERMINATED |       8 |"));
    CHECK(has(table.render(40), "| …e_00003 | TERMINATED |") == false);
    CHECK(has(table.render(40), "_abcde_00003 | TERMINATED |    8 |"));
  }

  TEST_CASE("testFairFilterTrials: rows are shared fairly between states") {
    std::vector<Trial> trials;
    const std::size_t counts[] = {2, 2, 5, 10, 15};  // RUNNING, PAUSED, PENDING, TERMINATED, ERROR
    const TrialState states[] = {TrialState::kRunning, TrialState::kPaused, TrialState::kPending, TrialState::kTerminated,
                                 TrialState::kError};
    for (int s = 0; s < 5; ++s)
      for (std::size_t i = 0; i < counts[s]; ++i) trials.push_back({.index = static_cast<TrialIndex>(trials.size()), .state = states[s]});
    std::vector<std::ptrdiff_t> shown;
    const auto rows = fair_rows({.trials = trials, .max_rows = 13});
    for (TrialState state : states)
      shown.push_back(std::count_if(rows.begin(), rows.end(), [&](const Trial* trial) { return trial->state == state; }));
    CHECK(shown == std::vector<std::ptrdiff_t>{2, 2, 3, 3, 3});
    CHECK(fair_rows({.trials = trials, .max_rows = 1000}).size() == trials.size());
  }

  TEST_CASE("testSortByMetric: the best trials of each state come first, and those without a number last") {
    std::vector<Trial> trials;
    for (double loss : {0.4, double{NAN}, 0.1, 0.3, 0.2}) {
      trials.push_back({.index = static_cast<TrialIndex>(trials.size()), .state = TrialState::kTerminated});
      trials.back().last = {{"loss", loss}};
    }
    const auto order = [&](Mode mode, std::size_t rows) {
      std::vector<TrialIndex> shown;
      for (const Trial* trial : fair_rows({.trials = trials, .metric = "loss", .mode = mode, .sort_by_metric = true, .max_rows = rows}))
        shown.push_back(trial->index);
      return shown;
    };
    CHECK(order(Mode::kMin, 10) == std::vector<TrialIndex>{2, 4, 3, 0, 1});
    CHECK(order(Mode::kMax, 10) == std::vector<TrialIndex>{0, 3, 4, 2, 1});
    CHECK(order(Mode::kMin, 2) == std::vector<TrialIndex>{2, 4});
  }

  TEST_CASE("testBestTrialZero: a metric of 0 is a value like others") {
    std::vector<Trial> trials{{.index = 0, .name = "zero"}, {.index = 1, .name = "one"}};
    trials[0].last = {{"m", 0}}, trials[1].last = {{"m", -1}};
    CHECK(has(best_text({.trials = trials, .metric = "m", .mode = Mode::kMax}), "Current best trial: zero with m=0 "));
    trials[1].last = {{"m", 1}};
    CHECK(has(best_text({.trials = trials, .metric = "m", .mode = Mode::kMin}), "Current best trial: zero with m=0 "));
  }

  TEST_CASE("testTimeElapsed: the header says for how long the experiment runs") {
    const std::vector<Trial> none;
    CHECK(has(status_text({.trials = none, .elapsed_s = 100 * 3600 + 62.9}), "(running for 100:01:02)"));
  }

  TEST_CASE("well-known metrics have short titles; of others three are inferred") {
    std::vector<Trial> trials{{.index = 0, .iteration = 1}};
    for (const char* name : {"a", "mean_accuracy", "b", "c", "d", "timesteps_total"}) {
      trials[0].last.set(name, 1);
      trials[0].ranges.push_back({.name = name, .last = 1, .min = 1, .max = 1});
    }
    const StatusView view{.trials = trials, .metric = "b"};
    CHECK(inferred_metrics(view) == std::vector<std::string>{"b", "mean_accuracy", "timesteps_total", "a", "c", "d"});
    const std::string table = trial_table(view, fair_rows(view)).render(200);
    CHECK(has(table, "| acc | "));
    CHECK(has(table, "| ts |"));
    CHECK(inferred_metrics({.trials = trials}) ==
          std::vector<std::string>{"mean_accuracy", "timesteps_total", "a", "b", "c"});
  }

  TEST_CASE("columns are those that were asked for") {
    const ExperimentMachine machine = four_trials();
    StatusView view = status_view(machine);
    view.metric_columns = {"accuracy"}, view.parameter_columns = {"name"};
    CHECK(has(status_text(view), "| loc   | name | accuracy | iter |"));
  }

  TEST_CASE("rows that are left out are counted by state") {
    ExperimentMachine machine = make_machine(10);
    while (auto created = machine.propose()) step(machine, *created);
    StatusView view = status_view(machine);
    view.max_rows = 4;
    const std::string text = status_text(view);
    CHECK(has(text, "... 6 more trials not shown (6 PENDING)\n"));
    CHECK(has(text, "none yet has a finite 'loss'"));
  }

  TEST_CASE("where there is no terminal each event is a line and the table comes at the end") {
    ExperimentMachine machine = make_machine(1, fifo());
    std::string out;
    TableReporter reporter({}, {.write = [&](const std::string& text) { out += text; }, .resume_hint = "HINT"});
    const auto apply = [&](EventBody body) {
      const Effects effects = step(machine, body);
      reporter.on_event(machine, body, effects);
      reporter.tick(machine);
    };
    apply(*machine.propose());
    apply(TrialStarted{0, 0});
    apply(TrialReported{0, 1, Metrics{{"loss", 2}}, 1, "", 1});
    apply(TrialFailed{0, "pop"});
    apply(TrialStarted{0, 1});
    apply(TrialFinished{0});
    CHECK(std::count(out.begin(), out.end(), '\n') == 5);
    CHECK(has(out, "trial fit_abcde_00000 started: {lr=0.5,name=adam}\n"));
    CHECK(has(out, "iteration 1: loss=2\n"));
    CHECK(has(out, "failed and will run again: pop\n"));
    CHECK(has(out, "started from checkpoint 1 (attempt 2)"));
    CHECK_FALSE(has(out, "\x1b"));
    reporter.finish(machine, true);
    CHECK(has(out, "| fit_abcde_00000 | TERMINATED |"));
    CHECK(has(out, "Interrupted. Everything reported so far is kept. HINT\n"));
  }

  TEST_CASE("what is done to a trial is a line too: it pauses, becomes a copy, is killed at its time limit or ended early") {
    // A story: a trial that its time limit killed was never heard of again, and stood in the table like one that had finished.
    ExperimentMachine machine = copying_trials(40);
    std::string out;
    TableReporter reporter({}, {.write = [&](const std::string& text) { out += text; }});
    const auto apply = [&](EventBody body) {
      const Effects effects = step(machine, body);
      reporter.on_event(machine, body, effects);
    };
    while (auto created = machine.propose(40)) apply(*created);
    for (TrialIndex i : {0u, 1u, 2u, 3u}) apply(TrialStarted{i, 0});
    for (TrialIndex i : {0u, 1u, 2u}) apply(TrialReported{i, 1, Metrics{{"loss", 3 - 1.0 * i}}, 1, "checkpoint_000001", 1});
    CHECK(has(out, "trial fit_abcde_00001 iteration 1: loss=2 -> goes on as a copy of trial fit_abcde_00000\n"));
    CHECK(has(out, "trial fit_abcde_00002 iteration 1: loss=1 -> paused\n"));
    apply(TrialReported{0, 2, Metrics{{"loss", 3}}, 1, "", 1});
    CHECK(has(out, "iteration 2: loss=3\n"));
    CHECK(has(out, "] trial fit_abcde_00002 was ended after iteration 1\n"));
    apply(TrialTimedOut{0, "killed at its time limit of 5 s"});
    CHECK(has(out, "] trial fit_abcde_00000 was killed at its time limit of 5 s\n"));
    apply(TrialTimedOut{3, "killed at its time limit of 5 s"});
    CHECK(has(out, "] trial fit_abcde_00003 was killed at its time limit of 5 s, without one result\n"));
    apply(ExperimentStopped{"the time budget of 9 s is over"});
    CHECK(has(out, "] the experiment ends early: the time budget of 9 s is over\n"));
    CHECK(has(out, "] trial fit_abcde_00004 was ended before its first result\n"));
    CHECK(has(out, "] and 17 trials more were ended\n"));  // 20 of 37 by name
    StatusView view = status_view(machine);
    view.width = 200;
    const std::string text = status_text(view);
    CHECK(has(text, "Number of trials with failures or ended at their time limit: 2\n"));
    CHECK(has(text, "| fit_abcde_00000 |          0 | TERMINATED | killed at its time limit of 5 s"));
  }

  TEST_CASE("the table and the best trial have the parameters of the last result, not those that the copy will go on with") {
    ExperimentMachine machine = copying_trials(2);
    while (auto created = machine.propose(2)) step(machine, *created);
    for (TrialIndex i : {0u, 1u}) step(machine, TrialStarted{i, 0});
    for (TrialIndex i : {0u, 1u}) step(machine, TrialReported{i, 1, Metrics{{"loss", 2 - 1.0 * i}}, 1, "checkpoint_000001", 1});
    REQUIRE(machine.trial(1).config.get<double>("lr") == 0.25);
    const std::string text = status_text(status_view(machine));
    CHECK(has(text, "| fit_abcde_00001 | PENDING | pid 1 | 0.5 | adam |    1 |"));
    CHECK(has(text, "Current best trial: fit_abcde_00001 with loss=1 and parameters={lr=0.5,name=adam}\n"));
  }

  TEST_CASE("on a terminal the table is redrawn in place, not more often than asked for") {
    ExperimentMachine machine = four_trials();
    std::string out;
    TableReporter reporter({.interval_s = 3600}, {.write = [&](const std::string& text) { out += text; },
                                                  .terminal = true,
                                                  .size = [] { return std::pair<std::size_t, std::size_t>(100, 18); }});
    reporter.tick(machine);
    const auto lines = std::count(out.begin(), out.end(), '\n');
    CHECK(lines > 5);
    CHECK(lines < 18);
    const std::string first = out;
    reporter.on_event(machine, SessionStarted{}, {});
    reporter.tick(machine);
    CHECK(out == first);
    reporter.finish(machine, false);
    CHECK(has(out.substr(first.size()), "\x1b[" + std::to_string(lines) + "F\x1b[J"));
  }

  TEST_CASE("the last drawing on a narrow terminal has the best trial's parameters whole") {
    const ExperimentMachine machine = four_trials();
    std::string out;
    TableReporter reporter({}, {.write = [&](const std::string& text) { out += text; },
                                .terminal = true,
                                .size = [] { return std::pair<std::size_t, std::size_t>(40, 50); }});
    reporter.tick(machine);
    CHECK_FALSE(has(out, "parameters={lr=0.5,name=adam}"));
    CHECK(widest(out) <= 40);
    const auto lines = std::count(out.begin(), out.end(), '\n');
    out.clear();
    reporter.finish(machine, false);
    CHECK(out.starts_with("\x1b[" + std::to_string(lines) + "F\x1b[J"));
    CHECK(has(out, "parameters={lr=0.5,name=adam}\n"));
    const std::size_t end = out.size();
    reporter.warning("late");
    CHECK(out.substr(end) == "warning: late\n");  // nothing of it is erased
  }

  TEST_CASE("the tuner's own numbers have one column, also where a trial reports others of their names") {
    std::vector<Trial> trials{{.index = 0, .iteration = 3}};
    for (const char* name : {"training_iteration", "time_total_s", "loss"}) {
      trials[0].last.set(name, 7);
      trials[0].ranges.push_back({.name = name, .last = 7, .min = 7, .max = 7});
    }
    for (const char* metric : {"", "loss", "training_iteration"})
      CHECK(inferred_metrics({.trials = trials, .metric = metric}) == std::vector<std::string>{"loss"});
  }

  TEST_CASE("names with line breaks stay on their line") {
    ExperimentMachine machine = make_machine(1);
    std::string out;
    TableReporter reporter({}, {.write = [&](const std::string& text) { out += text; }});
    while (auto created = machine.propose()) step(machine, *created);
    step(machine, TrialStarted{0, 0});
    const TrialReported event{0, 1, Metrics{{"loss", 1}, {"a\nb", 2}}, 1, "", 1};
    reporter.on_event(machine, event, step(machine, event));
    CHECK(has(out, "iteration 1: loss=1, a b=2\n"));
    reporter.finish(machine, false);
    CHECK(has(out, " a b |"));
  }

  TEST_CASE("text is cut by characters, not by bytes") {
    CHECK(cut_text("äöüß", 4) == "äöüß");
    CHECK(cut_text("äöüßx", 4) == "äöü…");
    CHECK(cut_text("abc", 0).empty());
    CHECK(cut_front("äöüßx", 4) == "…üßx");
    CHECK(cut_front("abc", 3) == "abc");
    Table table({{"t"}});
    table.add({"a\nb\x1b[31m"});
    CHECK(has(table.render(80), "| a b [31m |"));
  }
}
