// The names that begin with "test" are Ray's: test_trial_scheduler.py, PopulationBasedTestingSuite.
#include "tune/schedulers/pbt_replay.hpp"

#include <doctest/doctest.h>

#include "runtime/errors.hpp"
#include "support.hpp"
#include "tune/core/machine.hpp"
#include "tune/loggers/logger.hpp"
#include "tune/schedulers/pbt.hpp"
#include "tune/simulation.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

/// The state holds the rate of each step that led here; reports the last rates as metrics, so that the grid has them.
SimulatedTrainable remembering(std::uint64_t iterations) {
  return {.iterations = iterations, .step = [](SimulatedStep& step) {
            step.state.push_back(step.config.get<double>("lr"));
            SimulatedResult result{{{"score", step.config.get<double>("base") + step.state.back()}}};
            for (std::size_t i = 0; i < step.state.size(); ++i) result.metrics.set("lr" + std::to_string(i), step.state[i]);
            return result;
          }};
}

Simulation population(const std::filesystem::path& files, std::uint64_t seed, const LoggerOptions& loggers = {}) {
  TuneOptions options{.name = "pbt", .metric = "score", .mode = Mode::kMax, .num_samples = 4, .space = {{"lr", uniform(1, 2)}, {"base", uniform(0, 1)}}, .seed = seed};
  options.scheduler = pbt({.time_attr = "training_iteration", .perturbation_interval = 3, .hyperparam_mutations = {{"lr", uniform(1, 9)}}});
  options.loggers = loggers;
  return simulate(options, remembering(20), {.workers = 4, .files = files});
}

std::filesystem::path policy_of(const std::filesystem::path& files, const TrialResult& trial) {
  return files / "pbt" / ("pbt_policy_" + trial.id + ".txt");
}

}  // namespace

TEST_SUITE("tune/schedulers") {
  TEST_CASE("testReplay: a replayed policy gives the identical configuration at every step") {
    const TempDir dir;
    const Simulation found = population(dir.path(), 3);
    std::size_t replayed = 0;
    for (const TrialResult& trial : found.grid.trials()) {
      if (!std::filesystem::exists(policy_of(dir.path(), trial))) continue;
      TuneOptions options{.metric = "score", .mode = Mode::kMax, .space = {{"lr", 5.0}}, .seed = 77};
      options.scheduler = pbt_replay(policy_of(dir.path(), trial));
      const Simulation again = simulate(options, remembering(trial.iterations));
      CHECK(again.grid[0].metrics == trial.metrics);
      CHECK(again.grid[0].config == trial.config);
      ++replayed;
    }
    CHECK(replayed >= 2);
    CHECK(lines_of(dir.path() / "pbt" / "pbt_global.txt").size() >= replayed);
  }

  TEST_CASE("policies are files of their own: they are written without result.jsonl, and not where they are not wanted") {
    // Behaviour: without the JSON files a population could not be replayed.
    const TempDir with, without;
    const auto trial = population(with.path(), 3, {.json = false, .csv = false, .tensorboard = false}).grid[0];
    CHECK(std::filesystem::exists(with.path() / "pbt" / "pbt_global.txt"));
    CHECK_FALSE(std::filesystem::exists(with.path() / "pbt" / trial.dir.filename() / "result.jsonl"));
    population(without.path(), 3, {.policies = false});
    CHECK_FALSE(std::filesystem::exists(without.path() / "pbt" / "pbt_global.txt"));
    CHECK(std::filesystem::exists(without.path() / "pbt" / trial.dir.filename() / "result.jsonl"));
  }

  TEST_CASE("testReplay, continued: a trial that was never changed has no policy") {
    const TempDir dir;
    CHECK(has(error_of([&] { pbt_replay(dir.path() / "none.txt").make({}); }), "cannot be read"));
    write_text(dir.path() / "empty.txt", "");
    CHECK(has(error_of([&] { pbt_replay(dir.path() / "empty.txt").make({}); }), "never changed"));
    write_text(dir.path() / "bad.txt", "[1, 2]\n");
    CHECK(has(error_of([&] { pbt_replay(dir.path() / "bad.txt").make({}); }), "line 1"));
  }

  TEST_CASE("what a later exploit overwrote is passed over") {
    const TempDir dir;
    write_text(dir.path() / "policy.txt",
               "[\"c\", \"d\", 1, 1, {\"lr\": 9}, {\"lr\": 10}]\n"
               "[\"b\", \"a\", 3, 4, {\"lr\": 1}, {\"lr\": 2}]\n"
               "[\"c\", \"b\", 7, 8, {\"lr\": 2}, {\"lr\": 3}]\n");
    const PbtPolicy policy = read_pbt_policy(dir.path() / "policy.txt");
    CHECK(policy.initial.get<int>("lr") == 1);
    REQUIRE(policy.changes.size() == 2);
    CHECK(policy.changes[0].first == 4);
    CHECK(policy.changes[1].first == 8);
    CHECK(policy.changes[1].second.get<int>("lr") == 3);
    TuneOptions two{.metric = "score", .num_samples = 2, .seed = 1};
    two.scheduler = pbt_replay(dir.path() / "policy.txt");
    CHECK(has(error_of([&] { simulate(two, {.iterations = 3, .step = [](SimulatedStep&) { return SimulatedResult{{{"score", 1}}}; }}); }), "second trial"));
  }

  TEST_CASE("policy files of a resumed experiment are those of the unbroken one") {
    const TempDir dir;
    const auto config = [](double lr) { Config one; one.set("lr", lr); return one; };
    const auto copy = [&](Logger& logger, TrialIndex trial, TrialIndex donor, std::uint32_t nth, double lr) {
      Trial target{.index = trial, .id = "t" + std::to_string(trial), .config = config(lr), .iteration = 5, .exploits = nth};
      const Trial source{.index = donor, .id = "t" + std::to_string(donor), .config = config(0.5)};
      logger.on_exploit(target, dir.path() / "t", source, 6);
    };
    const auto first = make_policy_logger();
    copy(*first, 0, 1, 1, 0.25);
    copy(*first, 2, 0, 1, 0.125);
    const std::string global = text_of(dir.path() / "pbt_global.txt"), policy = text_of(dir.path() / "pbt_policy_t2.txt");
    CHECK(lines_of(dir.path() / "pbt_policy_t2.txt").size() == 2);
    const auto resumed = make_policy_logger();  // the journal tells both again
    copy(*resumed, 0, 1, 1, 0.25);
    copy(*resumed, 2, 0, 1, 0.125);
    CHECK(text_of(dir.path() / "pbt_global.txt") == global);
    CHECK(text_of(dir.path() / "pbt_policy_t2.txt") == policy);
    const auto other = make_policy_logger();  // the journal had only the first: what follows is another
    copy(*other, 0, 1, 1, 0.25);
    copy(*other, 2, 1, 1, 0.75);
    CHECK(lines_of(dir.path() / "pbt_global.txt").size() == 2);
    CHECK(has(text_of(dir.path() / "pbt_global.txt"), "0.75"));
    CHECK_FALSE(has(text_of(dir.path() / "pbt_global.txt"), "0.125"));
    CHECK(lines_of(dir.path() / "pbt_policy_t2.txt").size() == 1);
  }

  TEST_CASE("a saved replay goes on with the next change") {
    const TempDir dir;
    write_text(dir.path() / "policy.txt", "[\"b\", \"a\", 3, 4, {\"lr\": 1}, {\"lr\": 2}]\n[\"b\", \"b\", 7, 8, {\"lr\": 2}, {\"lr\": 3}]\n");
    const auto spec = pbt_replay(dir.path() / "policy.txt");
    const auto kept = spec.make({}), restored = spec.make({});
    const Metrics metrics{{"score", 1}};
    CHECK(kept->on_result(0, {3, 3, metrics}).decision == Decision::kContinue);
    CHECK(kept->on_result(0, {4, 4, metrics}).exploit->config.get<int>("lr") == 2);
    restored->restore(kept->save());
    CHECK(restored->on_result(0, {7, 7, metrics}).decision == Decision::kContinue);
    CHECK(restored->on_result(0, {8, 8, metrics}).exploit->config.get<int>("lr") == 3);
    CHECK(restored->on_result(0, {9, 9, metrics}).decision == Decision::kContinue);
    CHECK_THROWS_AS(restored->restore("7"), StorageCorruption);
  }

  TEST_CASE("of two changes at one step the second counts, for the very next iteration") {
    // Behaviour: a trial that was copied and changed again before it ran: the replay made one change a result and ran a step with the first.
    const TempDir dir;
    write_text(dir.path() / "policy.txt",
               "[\"b\", \"a\", 2, 2, {\"lr\": 1.0, \"base\": 0.5}, {\"lr\": 2.0, \"base\": 0.5}]\n"
               "[\"c\", \"b\", 2, 2, {\"lr\": 2.0, \"base\": 0.5}, {\"lr\": 3.0, \"base\": 0.5}]\n");
    const PbtPolicy policy = read_pbt_policy(dir.path() / "policy.txt");
    CHECK(policy.initial.get<double>("lr") == 1);
    REQUIRE(policy.changes.size() == 1);
    CHECK(policy.changes[0].second.get<double>("lr") == 3);
    TuneOptions options{.metric = "score", .space = {{"lr", 5.0}}, .seed = 1};
    options.scheduler = pbt_replay(dir.path() / "policy.txt");
    const Simulation again = simulate(options, remembering(4));
    CHECK(*again.grid[0].value("lr1") == 1);
    CHECK(*again.grid[0].value("lr2") == 3);
  }
}
