// A searcher that learns inside an experiment: what a kill leaves behind brings it to the same state.
#include <doctest/doctest.h>

#include "scripted_host.hpp"
#include "tune/schedulers/asha.hpp"
#include "tune/searchers/tpe.hpp"
#include "tune/searchers/wrappers.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

Life life_with(const SearcherSpec& spec) {
  Life life;
  life.machine = {.metric = "loss"};
  life.space = Space{{"x", uniform(0, 1)},
                     {"kind", choice({"a", "b"})},
                     {"depth", randint(1, 5), when("kind", "a")},
                     {"twice", sample_from([](Random& r, const Config& c) { return 2 * c.get<double>("x") + r.uniform(); })},
                     forbid({{"kind", "a"}, {"depth", 4}})};
  life.samples = 8;
  life.scheduler = asha({.max_t = 4, .reduction_factor = 2});
  life.script = {.iterations = 5, .checkpoint_every = 1, .loss = [](const Config& config, std::uint64_t t) {
                   return config.get<double>("x") + config.get_or("depth", 0) + 1.0 / static_cast<double>(t);
                 }};
  life.searcher = [spec, space = life.space, samples = life.samples] {
    return spec.make({.space = space, .objectives = {{"loss", Mode::kMin}}, .num_samples = samples, .seed = 3, .concurrency = 1});
  };
  return life;
}

std::unique_ptr<EventLog> over(MemoryEventLog& records) { return std::make_unique<KillingLog>(records, SIZE_MAX, false); }

}  // namespace

TEST_SUITE("tune/core") {
  TEST_CASE("SaveRestore through a run: killed at any record, an experiment that learns goes on with the same suggestions, its journal compacted or not") {
    const SearchOptions common{.points_to_evaluate = {{{"x", 0.5}}}, .startup_trials = 2};
    for (const SearcherSpec& spec : {tpe({.common = common}), limit_concurrency(tpe({.common = common}), 2, {.batch = true}),
                                     repeat(tpe({.common = common}), 2)}) {
      CAPTURE(spec.description);
      const Life life = life_with(spec);
      const TempDir whole_dir;
      MemoryEventLog whole;
      const auto unbroken = life.run(over(whole), whole_dir.path());
      REQUIRE(unbroken.trials.size() == 8);
      CHECK(unbroken.trials[0].config.get<double>("x") == 0.5);
      for (const std::size_t compact_bytes : {std::size_t{1} << 30, std::size_t{600}}) {
        CAPTURE(compact_bytes);
        Life next = life;
        next.compact_bytes = compact_bytes;
        for (std::size_t kill_at = 1; kill_at < whole.records.size(); kill_at += 3) {
          CAPTURE(kill_at);
          const TempDir dir;
          MemoryEventLog records;
          REQUIRE_THROWS_AS(next.run(std::make_unique<KillingLog>(records, kill_at, true), dir.path()), Killed);
          const auto outcome = next.run(over(records), dir.path());
          REQUIRE(outcome.trials.size() == 8);
          for (const Trial& trial : outcome.trials) {
            CHECK(trial.config == unbroken.trials[trial.index].config);
            CHECK(trial.last == unbroken.trials[trial.index].last);
          }
        }
      }
    }
  }
}
