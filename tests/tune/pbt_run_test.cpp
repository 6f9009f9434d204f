// A population run by the driver, checkpoints on the disk. The names that begin with "test" are Ray's:
// test_trial_scheduler_pbt.py.
#include <doctest/doctest.h>

#include <iterator>

#include "scripted_host.hpp"
#include "tune/schedulers/pbt.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

std::unique_ptr<EventLog> over(MemoryEventLog& records) { return std::make_unique<KillingLog>(records, SIZE_MAX, false); }

/// So many trials, the larger x the better, copied each third iteration.
Life population(int trials, bool synch) {
  std::vector<Value> xs;
  for (int x = 1; x <= trials; ++x) xs.emplace_back(x);
  Life life;
  life.machine = {.metric = "loss", .mode = Mode::kMax, .max_iterations = 9};
  life.space = Space{{"x", grid_search(xs)}};
  life.samples = 1;
  life.concurrency = static_cast<std::size_t>(trials);
  life.script = {.iterations = 100, .checkpoint_every = 1};
  life.script.loss = [](const Config& config, std::uint64_t t) { return config.get<double>("x") + 0.01 * static_cast<double>(t); };
  life.scheduler = pbt({.time_attr = "training_iteration", .perturbation_interval = 3, .hyperparam_mutations = {{"x", choice(xs)}}, .synch = synch});
  return life;
}

void for_each_event(const MemoryEventLog& records, const std::function<void(const Event&)>& visit) {
  records.for_each_event([&](std::span<const std::byte> record) { visit(decode_event(record)); });
}

std::ptrdiff_t open_files() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return std::distance(begin(all), end(all));
}

}  // namespace

TEST_SUITE("tune/core") {
  TEST_CASE("testExploitWhileSavingTrial: with synch a donor that saves itself when it leaves is waited for") {
    Life life = population(4, true);
    life.script.checkpoint_every = 0;
    life.script.saves_when_paused = true;
    const TempDir dir;
    MemoryEventLog records;
    const auto outcome = life.run(over(records), dir.path());
    std::size_t exploits = 0;
    for (const Trial& trial : outcome.trials) {
      CHECK(trial.iteration == 9);
      exploits += trial.exploits;
    }
    CHECK(exploits == 2);  // one at iteration 3 and one at 6
    std::map<TrialIndex, std::vector<std::uint64_t>> from;
    for_each_event(records, [&](const Event& event) {
      if (const auto* started = std::get_if<TrialStarted>(&event.body)) from[started->trial].push_back(started->from_iteration);
    });
    for (const auto& [trial, iterations] : from) {
      CAPTURE(trial);
      std::string text;
      for (const std::uint64_t iteration : iterations) text += std::to_string(iteration) + " ";
      CHECK(text == "0 3 6 ");  // never an older state
    }
  }

  TEST_CASE("testFileFree: a population leaves no files open") {
    const TempDir dir;
    Life life = population(4, false);
    life.machine.max_iterations = 60;
    const std::ptrdiff_t before = open_files();
    std::ptrdiff_t most = 0;
    MemoryEventLog records;
    const auto outcome = life.run(over(records), dir.path(), [&] { return most = std::max(most, open_files()), false; });
    std::size_t exploits = 0;
    for (const Trial& trial : outcome.trials) exploits += trial.exploits;
    CHECK(exploits >= 2);
    CHECK(most - before < 20);
    CHECK(open_files() == before);
  }

  TEST_CASE("testPermutationContinuation: killed anywhere, with one checkpoint kept of each, none goes on from one that is gone") {
    Life life = population(4, false);
    life.concurrency = 2;  // so trials make way for each other too
    life.machine.keep_checkpoints = 1;
    life.machine.checkpoint_budget_bytes = 1;
    MemoryEventLog whole;
    {
      const TempDir dir;
      (void)life.run(over(whole), dir.path());
    }
    Random random(27);
    for (int round = 0; round < 12; ++round) {
      const TempDir dir;
      MemoryEventLog records;
      for (int life_number = 0; life_number < 3; ++life_number) {
        const auto kill_at = static_cast<std::size_t>(random.randint(1, static_cast<std::int64_t>(whole.records.size() / 2)));
        try {
          (void)life.run(std::make_unique<KillingLog>(records, kill_at, round % 2 == 0), dir.path());
        } catch (const Killed&) {
        }
      }
      const auto outcome = life.run(over(records), dir.path());  // the host throws for a checkpoint that is not there or not whole
      for (const Trial& trial : outcome.trials) CHECK(trial.state == TrialState::kTerminated);
      std::map<TrialIndex, std::uint64_t> reported;
      for_each_event(records, [&](const Event& event) {
        if (const auto* started = std::get_if<TrialStarted>(&event.body))
          CHECK((reported[started->trial] == 0 || started->from_iteration > 0));  // nobody begins again
        if (const auto* report = std::get_if<TrialReported>(&event.body)) reported[report->trial] = report->iteration;
      });
    }
  }
}
