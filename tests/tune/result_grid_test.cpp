#include "tune/result_grid.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/errors.hpp"
#include "support.hpp"
#include "tune/core/event_log.hpp"
#include "tune/core/journal_codec.hpp"
#include "tune/history.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

/// An experiment whose trials reported these losses, an iteration of each trial in so many seconds.
ResultGrid grid_of(const std::filesystem::path& dir, const std::vector<std::vector<double>>& losses, Mode mode = Mode::kMin,
                   const std::vector<double>& seconds = {}, const std::string& further_mode = "") {
  const auto log = open_event_log(dir / "journal");
  const auto append = [&](EventBody body) { log->append(encode_event({1000, std::move(body)})); };
  ExperimentCreated header{.name = "exp", .description = {{"trainable", "f"}, {"metric", "loss"}, {"mode", mode == Mode::kMin ? "min" : "max"}}};
  if (!further_mode.empty()) header.description.emplace_back("and metric cost", further_mode);
  append(header);
  append(SessionStarted{1});
  for (TrialIndex trial = 0; trial < losses.size(); ++trial) {
    Config config;
    config.set("lr", 0.1 * (trial + 1));
    append(TrialCreated{trial, "", config});
    append(TrialStarted{trial, 0});
    for (std::size_t i = 0; i < losses[trial].size(); ++i)
      append(TrialReported{trial, i + 1, Metrics{{"loss", losses[trial][i]}, {"cost", static_cast<double>(trial)}},
                           seconds.empty() ? 1 : seconds[trial], "", 1});
    append(TrialFinished{trial});
  }
  return load_experiment(dir);
}

std::vector<TrialIndex> order(const ResultGrid& grid) {
  std::vector<TrialIndex> trials;
  for (const TrialResult& trial : grid.trials()) trials.push_back(trial.index);
  return trials;
}

}  // namespace

TEST_SUITE("tune/result_grid") {
  TEST_CASE("the best trial depends on the scope: last, average, last 5, last 10, all") {
    const TempDir dir;
    const ResultGrid grid = grid_of(dir.path(), {{9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 1},    // last
                                                 {0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9},    // all
                                                 {9, 9, 9, 9, 9, 9, 9, 4, 4, 4, 4, 4},    // last 5
                                                 {9, 9, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6},    // last 10
                                                 {2, 2, 6.5, 6.5, 6.5, 6.5, 6.5, 6.5, 6.5, 6.5, 6.5, 6.5},  // average
                                                 {NAN, NAN}});
    CHECK(grid.best(Scope::kLast).index == 0);
    CHECK(grid.best(Scope::kAll).index == 1);
    CHECK(grid.best(Scope::kLast5Avg).index == 2);
    CHECK(grid.best(Scope::kLast10Avg).index == 3);
    CHECK(grid.best(Scope::kAvg).index == 4);
    CHECK(grid.best("loss", Mode::kMax, Scope::kAvg).index == 0);
    CHECK(grid.best("loss", Mode::kMax, Scope::kLast).index == 1);
    CHECK(order(grid.sorted()) == std::vector<TrialIndex>{0, 2, 3, 4, 1, 5});
    CHECK(order(grid.sorted("loss", Mode::kMax, Scope::kLast5Avg)) == std::vector<TrialIndex>{1, 0, 4, 3, 2, 5});
  }

  TEST_CASE("a result that was once infinite on the good side does not hide the best finite one") {
    const TempDir dir;
    const ResultGrid grid = grid_of(dir.path(), {{3, -INFINITY, 1}, {INFINITY, 2, 4}, {INFINITY, INFINITY}});
    CHECK(grid.best(Scope::kAll).index == 0);
    CHECK(grid.best("loss", Mode::kMax, Scope::kAll).index == 1);
    CHECK(order(grid.sorted("loss", Mode::kMax, Scope::kAll)) == std::vector<TrialIndex>{1, 0, 2});
  }

  TEST_CASE("a grid goes by the tuner's own numbers too") {
    const TempDir dir;
    const ResultGrid grid = grid_of(dir.path(), {{3, 2}, {5, 4, 1}, {7}});
    CHECK(grid.best("training_iteration", Mode::kMax).index == 1);
    CHECK(grid.best("time_total_s", Mode::kMin).index == 2);
    CHECK(grid.best("training_iteration", Mode::kMax, Scope::kAvg).index == 1);
    CHECK_THROWS_AS(grid.best("time_total", Mode::kMin), NotFound);
  }

  TEST_CASE("the least time that a trial ever had is that of its first result") {
    const TempDir dir;
    const ResultGrid grid = grid_of(dir.path(), {{3, 2, 1}, {5}}, Mode::kMin, {1, 2});
    CHECK(grid.best("time_total_s", Mode::kMin, Scope::kLast).index == 1);
    CHECK(grid.best("time_total_s", Mode::kMin, Scope::kAll).index == 0);
    CHECK(grid.best("time_total_s", Mode::kMax, Scope::kAll).index == 0);
    CHECK(order(grid.sorted("training_iteration", Mode::kMin, Scope::kAll)) == std::vector<TrialIndex>{0, 1});
  }

  TEST_CASE("a filtered grid is a grid, and keeps its trials' curves") {
    const TempDir dir;
    const ResultGrid grid = grid_of(dir.path(), {{3, 2}, {5, 4, 1}, {7}});
    const ResultGrid long_ones = grid.filter([](const TrialResult& trial) { return trial.iterations > 1; });
    CHECK(order(long_ones) == std::vector<TrialIndex>{0, 1});
    CHECK(order(long_ones.sorted()) == std::vector<TrialIndex>{1, 0});
    const auto curve = long_ones.curve(long_ones[1]);
    REQUIRE(curve.size() == 3);
    CHECK(curve[2].metrics.get("loss") == 1);
    CHECK(curve[2].time_total_s == 3);
    CHECK(curve[2].time_ms == 1000);
    CHECK_THROWS_AS(grid.filter([](auto&) { return false; }).best(), NotFound);
  }

  TEST_CASE("the Pareto front of two metrics, each with its mode") {
    const TempDir dir;
    // (loss, cost): the cost is the trial's number.
    const ResultGrid grid = grid_of(dir.path(), {{5}, {6}, {3}, {3}, {NAN}, {1}});
    const auto front = [&](Mode cost) {
      std::vector<TrialIndex> trials;
      for (const TrialResult* trial : grid.pareto_front({{"loss", Mode::kMin}, {"cost", cost}})) trials.push_back(trial->index);
      return trials;
    };
    CHECK(front(Mode::kMin) == std::vector<TrialIndex>{5, 2, 0});
    CHECK(front(Mode::kMax) == std::vector<TrialIndex>{5});
    CHECK(grid.pareto_front({{"absent", Mode::kMin}}).empty());
  }

  TEST_CASE("an experiment of several objectives knows them: its front and its hypervolume need no telling") {
    const std::vector<std::vector<double>> losses{{5}, {6}, {3}, {3}, {NAN}, {1}};
    const auto front = [](const ResultGrid& grid) {
      std::vector<TrialIndex> trials;
      for (const TrialResult* trial : grid.pareto_front()) trials.push_back(trial->index);
      return trials;
    };
    const TempDir less, more, one;
    const ResultGrid grid = grid_of(less.path(), losses, Mode::kMin, {}, "min");
    CHECK(front(grid) == std::vector<TrialIndex>{5, 2, 0});
    CHECK(front(grid.filter([](const TrialResult& trial) { return trial.index < 5; })) == std::vector<TrialIndex>{2, 0});
    CHECK(grid.hypervolume({6, 6}) == doctest::Approx(5 + 9 + 2));
    const ResultGrid dear = grid_of(more.path(), losses, Mode::kMin, {}, "max");
    CHECK(front(dear) == std::vector<TrialIndex>{5});
    CHECK(dear.hypervolume({6, -1}) == doctest::Approx(5 * 6));
    CHECK(dear.hypervolume({6, 6}, {{"loss", Mode::kMin}, {"cost", Mode::kMin}}) == doctest::Approx(16));
    CHECK(dear.hypervolume({0, 0}) == 0);  // nobody is below a loss of 0
    CHECK(has(error_of([&] { (void)dear.hypervolume({6}); }), "the reference has 1 values; there are 2 objectives"));
    CHECK(front(grid_of(one.path(), losses)) == std::vector<TrialIndex>{5});
    CHECK(has(error_of([] { (void)ResultGrid({}, {}).pareto_front(); }), "has no metric"));
  }

  TEST_CASE("a grid is exported as CSV and JSON, numbers exact") {
    const TempDir dir;
    const ResultGrid grid = grid_of(dir.path(), {{0.1 + 0.2}, {INFINITY}});
    CHECK(has(grid.to_csv(), "0.30000000000000004"));
    const auto json = nlohmann::json::parse(grid.to_json());
    REQUIRE(json.size() == 2);
    CHECK(json[0]["metrics"]["loss"] == 0.1 + 0.2);
    CHECK(json[0]["config"]["lr"] == 0.1);
    CHECK(json[0]["state"] == "TERMINATED");
    CHECK(json[1]["metrics"]["loss"] == "Infinity");
    CHECK(nlohmann::json::parse(grid.filter([](auto&) { return false; }).to_json()).empty());
  }

  TEST_CASE("lists in the CSV show where one item ends and the next begins") {
    TrialResult trial{.name = "f_abcde_00000"};
    trial.config.set("mixed", Value::List{0.8, "a,b", Value::List{1, true}});
    CHECK(ResultGrid({}, {trial}).table()[1][2] == R"([0.8,"a,b",[1,true]])");
    CHECK(has(ResultGrid({}, {trial}).to_csv(), R"("[0.8,""a,b"",[1,true]]")"));
  }

  TEST_CASE("a grid can be walked through, and says how many trials it has where there is none of that number") {
    const ResultGrid grid({.experiment = "exp"}, {{.index = 0}, {.index = 1}});
    std::vector<TrialIndex> seen;
    for (const TrialResult& trial : grid) seen.push_back(trial.index);
    CHECK(seen == std::vector<TrialIndex>{0, 1});
    CHECK(&grid[1] == &grid.trials()[1]);
    CHECK_THROWS_AS((void)grid[2], NotFound);
    CHECK(has(error_of([&] { (void)grid[100]; }), "it has 2 trials"));
  }

  TEST_CASE("a hypervolume beyond a reference that is no number is refused") {
    const ResultGrid grid({.metric = "loss"}, {{.metrics = {{"loss", 1}}, .iterations = 1}});
    CHECK(grid.hypervolume({3}) == 2);
    CHECK(has(error_of([&] { (void)grid.hypervolume({NAN}); }), "the reference's value of 'loss' is NaN"));
  }

  TEST_CASE("no two columns of the table have one name, whatever a trial reports") {
    TrialResult trial{.name = "f_abcde_00000"};
    for (const char* name : {"error", "time_total_s", "state", "pid"}) {
      trial.metrics.set(name, 7);
      trial.ranges.push_back({name, 7, 7, 7});
    }
    const auto table = ResultGrid({}, {trial}).table();
    CHECK(table[0] == std::vector<std::string>{"trial_name", "state", "metrics/error", "metrics/time_total_s", "metrics/state", "pid",
                                               "training_iteration", "time_total_s", "failures", "error"});
    CHECK(table[1][2] == "7");
  }
}
