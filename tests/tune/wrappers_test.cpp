// The names that begin with "test" are those of Ray's own cases, python/ray/tune/tests/test_searcher_utils.py.
#include "tune/searchers/wrappers.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <set>
#include <utility>

#include "runtime/errors.hpp"
#include "search_support.hpp"
#include "support.hpp"
#include "tune/options.hpp"
#include "tune/searchers/random.hpp"
#include "tune/searchers/sobol.hpp"
#include "tune/searchers/tpe.hpp"
#include "tune/simulation.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

using Kind = Suggestion::Kind;

/// Writes down what it is told.
class Noting : public Searcher {
 public:
  Noting(std::uint64_t total, std::vector<std::string>& notes) : total_(total), notes_(notes) {}
  Suggestion suggest(TrialIndex index) override {
    if (index >= total_) return {};
    return {Kind::kConfig, {{"i", index}}, "i=" + std::to_string(index)};
  }
  void on_complete(TrialIndex trial, const ResultView* last, double) override {
    const auto loss = last ? last->get("loss") : std::nullopt;
    notes_.push_back(std::to_string(trial) + ":" + (last ? number_text(loss.value_or(-1), 5) : "failed"));
  }
  void on_pause(TrialIndex trial) override { notes_.push_back("pause " + std::to_string(trial)); }
  void on_resume(TrialIndex trial) override { notes_.push_back("resume " + std::to_string(trial)); }
  std::optional<std::uint64_t> total() const override { return total_; }
  std::string save() const override { return "inner"; }
  void restore(std::string_view state) override { notes_.emplace_back(state); }

 private:
  std::uint64_t total_;
  std::vector<std::string>& notes_;
};

SearcherSpec noting(std::vector<std::string>& notes) {
  return {"noting", "noting", [&notes](const SearcherContext& context) { return std::make_unique<Noting>(context.num_samples, notes); }};
}

using Notes = std::vector<std::string>;

}  // namespace

TEST_SUITE("tune/searchers/wrappers") {
  TEST_CASE("test_set_get_limiter: a limiter suggests nothing at its limit, and paused trials do not count") {
    Notes notes;
    const auto limiter = limit_concurrency(noting(notes), 2).make(context_of({}, 1, 5));
    CHECK(limiter->suggest(0).kind == Kind::kConfig);
    CHECK(limiter->suggest(1).kind == Kind::kConfig);
    CHECK(limiter->suggest(2).kind == Kind::kWait);
    finish(*limiter, 0, 3);
    CHECK(notes == Notes{"0:3"});
    CHECK(limiter->suggest(2).kind == Kind::kConfig);
    CHECK(limiter->suggest(3).kind == Kind::kWait);
    limiter->on_pause(1);
    CHECK(limiter->suggest(3).kind == Kind::kConfig);
    limiter->on_resume(1);
    CHECK(limiter->suggest(4).kind == Kind::kWait);
    limiter->on_complete(1, nullptr, 0), finish(*limiter, 2, 1);
    CHECK(limiter->suggest(4).kind == Kind::kConfig);
    CHECK(limiter->suggest(5).kind == Kind::kDone);
    CHECK(*limiter->total() == 5);
  }

  TEST_CASE("test_batch_limiter: a batch limiter waits for all of a batch") {
    Notes notes;
    const auto limiter = limit_concurrency(noting(notes), 3, {.batch = true}).make(context_of({}, 1, 5));
    for (TrialIndex i = 0; i < 3; ++i) CHECK(limiter->suggest(i).kind == Kind::kConfig);
    finish(*limiter, 2, 2), limiter->on_complete(0, nullptr, 0);
    CHECK(limiter->suggest(3).kind == Kind::kWait);
    CHECK(notes.empty());
    finish(*limiter, 1, 1);
    CHECK(notes == Notes{"0:failed", "1:1", "2:2"});
    CHECK(limiter->suggest(3).kind == Kind::kConfig);
    CHECK(limiter->suggest(4).kind == Kind::kConfig);
    finish(*limiter, 3, 3), finish(*limiter, 4, 4);  // the last batch is not full, and is told of all the same
    CHECK(notes.size() == 5);
  }

  TEST_CASE("a batch limiter hands on what a searcher waits for though the batch is not full") {
    const auto limiter = limit_concurrency(tpe({.common = {.startup_trials = 10, .wait_for_startup = true}}), 4, {.batch = true}).make(context_of(square(), 1, 20));
    std::set<TrialIndex> running;
    TrialIndex made = 0;
    for (int turn = 0; turn < 100 && made < 20; ++turn) {
      while (limiter->suggest(made).kind == Kind::kConfig) running.insert(made++);
      REQUIRE_FALSE(running.empty());  // else nobody would ever go on
      for (const TrialIndex trial : std::exchange(running, {})) finish(*limiter, trial, trial);
    }
    CHECK(made == 20);
  }

  TEST_CASE("test_set_get_limiter: a limiter's state survives save and restore") {
    for (const bool batch : {false, true}) {
      const auto spec = limit_concurrency(tpe({.common = {.startup_trials = 2}}), 3, {.batch = batch});
      const auto first = spec.make(context_of(square())), second = spec.make(context_of(square()));
      for (TrialIndex i = 0; i < 3; ++i) (void)first->suggest(i);
      finish(*first, 1, NAN, 2);
      second->restore(first->save());
      CHECK(second->save() == first->save());
      CHECK(second->suggest(3).kind == (batch ? Kind::kWait : Kind::kConfig));
      CHECK(first->suggest(3).kind == (batch ? Kind::kWait : Kind::kConfig));
      for (const TrialIndex i : {0u, 2u}) finish(*first, i, 1), finish(*second, i, 1);
      const TrialIndex next = batch ? 3 : 4;
      CHECK(second->suggest(next).config == first->suggest(next).config);
    }
    CHECK_THROWS_AS(limit_concurrency(tpe(), 1).make(context_of(square()))->restore("{}"), InvalidArgument);
    CHECK_THROWS_AS(limit_concurrency(tpe(), 0), InvalidArgument);
  }

  TEST_CASE("test_repeat_1, test_repeat_4, test_odd_repeat: a repeater repeats 1, 4 and an odd number of times, and tells the mean without the NaN") {
    Notes notes;
    const auto four = repeat(noting(notes), 4).make(context_of({}, 1, 10));
    CHECK(*four->total() == 10);
    std::set<std::pair<int, int>> seen;
    for (TrialIndex i = 0; i < 10; ++i) {
      const Suggestion made = four->suggest(i);
      REQUIRE(made.kind == Kind::kConfig);
      CHECK(made.config.get<int>("i") == static_cast<int>(i / 4));
      CHECK(made.config.get<int>(kRepetition) == static_cast<int>(i % 4));
      seen.emplace(made.config.get<int>("i"), made.config.get<int>(kRepetition));
    }
    CHECK(seen.size() == 10);
    CHECK(four->suggest(10).kind == Kind::kDone);
    finish(*four, 1, 2), finish(*four, 3, NAN), finish(*four, 0, 4);
    CHECK(notes.empty());
    four->on_complete(2, nullptr, 0);
    CHECK(notes == Notes{"0:3"});
    for (TrialIndex i = 4; i < 8; ++i) finish(*four, i, NAN);
    CHECK(notes.back() == "1:failed");
    finish(*four, 8, 1), finish(*four, 9, 1);
    CHECK(notes.size() == 2);  // the last group never was complete

    notes.clear();
    const auto once = repeat(noting(notes), 1, {.set_index = false}).make(context_of({}, 1, 2));
    CHECK_FALSE(once->suggest(0).config.contains(kRepetition));
    finish(*once, 0, 7);
    CHECK(notes == Notes{"0:7"});
    const auto three = repeat(random_search(), 3).make(context_of({{"g", grid_search({1, 2})}}, 1, 3));
    CHECK(*three->total() == 6);  // one sample of the grid of two, three times each
    CHECK(three->suggest(5).config.get<int>("g") == 2);
    CHECK(three->suggest(6).kind == Kind::kDone);
  }

  TEST_CASE("a repeated configuration is paused while none of its trials runs") {
    Notes notes;
    const auto two = repeat(noting(notes), 2).make(context_of({}, 1, 5));
    CHECK(two->suggest(0).kind == Kind::kConfig);
    two->on_pause(0);
    CHECK(notes.empty());  // its second trial has not been made
    CHECK(two->suggest(1).kind == Kind::kConfig);
    two->on_pause(1);
    CHECK(notes == Notes{"pause 0"});
    two->on_resume(0);
    CHECK(notes == Notes{"pause 0", "resume 0"});
    two->on_resume(1), two->on_pause(1);
    CHECK(notes.size() == 2);
    finish(*two, 0, 1);  // what is left is paused
    CHECK(notes.back() == "pause 0");
    two->on_complete(1, nullptr, 0);  // stopped where it was paused
    CHECK(notes.back() == "0:1");
    CHECK(notes.size() == 4);

    for (TrialIndex i = 2; i < 5; ++i) CHECK(two->suggest(i).kind == Kind::kConfig);
    two->on_pause(4);
    CHECK(notes.back() == "pause 2");  // the last group has one trial
  }

  TEST_CASE("configurations of a repeater whose trials are paused make room in a limiter inside it, also after a restore") {
    const auto spec = repeat(limit_concurrency(random_search(), 1), 2);
    const auto before = spec.make(context_of({{"x", uniform(0, 1)}}, 1, 4)), after = spec.make(context_of({{"x", uniform(0, 1)}}, 1, 4));
    for (TrialIndex i = 0; i < 2; ++i) CHECK(before->suggest(i).kind == Kind::kConfig);
    before->on_pause(0);
    CHECK(before->suggest(2).kind == Kind::kWait);
    after->restore(before->save());
    CHECK(after->save() == before->save());
    for (Searcher* searcher : {before.get(), after.get()}) {
      searcher->on_pause(1);
      CHECK(searcher->suggest(2).kind == Kind::kConfig);
    }
    CHECK(after->save() == before->save());
  }

  TEST_CASE("a repeater's state survives save and restore, in the middle of a group") {
    const auto spec = repeat(tpe({.common = {.startup_trials = 1}}), 2);
    const auto first = spec.make(context_of(square())), second = spec.make(context_of(square()));
    for (TrialIndex i = 0; i < 3; ++i) (void)first->suggest(i);
    finish(*first, 1, 4.5);
    second->restore(first->save());
    CHECK(second->save() == first->save());
    CHECK(second->suggest(3).config == first->suggest(3).config);
    finish(*first, 0, 1.5), finish(*second, 0, 1.5);
    CHECK(second->suggest(4).config == first->suggest(4).config);
    CHECK(second->save() == first->save());
    CHECK_THROWS_AS(repeat(tpe(), 0), InvalidArgument);
  }

  TEST_CASE("states with bytes that are no UTF-8 survive save and restore in a repeater and in a limiter") {
    // Behaviour: save threw, so that a long experiment ended when its journal was compacted, and could not be resumed.
    Notes notes;
    SearcherSpec binary = noting(notes);
    binary.make = [&notes](const SearcherContext&) {
      class Binary final : public Noting {
       public:
        using Noting::Noting;
        Suggestion suggest(TrialIndex) override { return {Kind::kConfig, {{"name", "caf\xe9"}}, "tag \xff"}; }
        std::string save() const override { return std::string("\0\xfe", 2); }
      };
      return std::make_unique<Binary>(4, notes);
    };
    for (const SearcherSpec& spec : {repeat(binary, 2), limit_concurrency(binary, 2)}) {
      const auto first = spec.make(context_of(square())), second = spec.make(context_of(square()));
      (void)first->suggest(0);
      second->restore(first->save());
      CHECK(notes.back() == std::string("\0\xfe", 2));
      CHECK(second->save() == first->save());
      const Suggestion next = second->suggest(1);
      CHECK(next.config.get<std::string>("name") == "caf\xe9");
      CHECK(next.tag.starts_with("tag \xff"));
    }
  }

  TEST_CASE("Sobol's points fill every box of the grid, one each, and each seed gives others") {
    const Space space{{"x", uniform(0, 1)}, {"y", uniform(0, 1)}};
    const auto searcher = sobol().make(context_of(space, 5, 64));
    std::set<std::pair<int, int>> boxes;
    std::vector<Config> configs;
    // A shift modulo 1 keeps the distances: with the first point's moved to a corner, each box of 8 by 8 holds one of 64.
    const Config origin = searcher->suggest(0).config;
    const auto box = [&](const Config& config, const char* name) {
      const double moved = config.get<double>(name) - origin.get<double>(name) + 1 + 1e-9;
      return static_cast<int>((moved - std::floor(moved)) * 8);
    };
    boxes.emplace(box(origin, "x"), box(origin, "y"));
    for (TrialIndex i = 1; i < 64; ++i) {
      configs.push_back(searcher->suggest(i).config);
      boxes.emplace(box(configs.back(), "x"), box(configs.back(), "y"));
    }
    CHECK(boxes.size() == 64);
    CHECK(searcher->suggest(64).kind == Kind::kDone);
    CHECK_FALSE(sobol().make(context_of(space, 6, 64))->suggest(0).config == origin);
    SearcherContext without = context_of(space, 5, 64);
    without.objectives.clear();
    CHECK(sobol().make(without)->suggest(0).config == origin);  // needs no metric
    const auto resumed = sobol().make(context_of(space, 5, 64));
    resumed->restore(searcher->save());
    CHECK(resumed->save() == searcher->save());
  }

  TEST_CASE("in a batch limiter, too, paused trials do not count, and a batch ends when none of it runs any more") {
    Notes notes;
    const auto spec = limit_concurrency(noting(notes), 2, {.batch = true});
    const auto limiter = spec.make(context_of({}, 1, 5));
    CHECK(limiter->suggest(0).kind == Kind::kConfig);
    CHECK(limiter->suggest(1).kind == Kind::kConfig);
    CHECK(limiter->suggest(2).kind == Kind::kWait);
    limiter->on_pause(0);
    CHECK(limiter->suggest(2).kind == Kind::kConfig);
    finish(*limiter, 1, 1);
    limiter->on_pause(2);
    CHECK(notes == Notes{"pause 0", "pause 2"});  // of the batch of two one is still to come
    CHECK(limiter->suggest(3).kind == Kind::kConfig);
    CHECK(limiter->suggest(4).kind == Kind::kWait);
    const auto restored = spec.make(context_of({}, 1, 5));
    restored->restore(limiter->save());
    CHECK(restored->save() == limiter->save());
    finish(*limiter, 0, 5);  // stopped where it was paused
    CHECK(limiter->suggest(4).kind == Kind::kWait);
    notes.clear();
    finish(*limiter, 3, 3);
    CHECK(notes == Notes{"0:5", "1:1", "3:3"});
    CHECK(limiter->suggest(4).kind == Kind::kConfig);
    notes.clear();
    finish(*limiter, 4, 4);  // the last there is, and nobody runs: trial 2 is paused
    CHECK(notes == Notes{"4:4"});
    limiter->on_resume(2), finish(*limiter, 2, 2);
    CHECK(notes.back() == "2:2");
  }

  TEST_CASE("HyperBand stops as many behind a batch limiter as without it") {
    // A story: paused trials counted, so a bracket never got its other trials and its first ones were all let go on.
    const auto iterations = [](bool batch) {
      TuneOptions options{.metric = "loss", .num_samples = 9, .space = square(),
                          .searcher = limit_concurrency(random_search(SearchOptions{}), 3, {.batch = batch}),
                          .scheduler = hyperband_for_bohb({.max_t = 9}), .seed = 1};
      const auto done = simulate(options, {.step = [](SimulatedStep& step) { return SimulatedResult{{{"loss", bowl(step.config)}}, 1}; }}, {.workers = 9});
      std::vector<std::uint64_t> all;
      for (const TrialResult& trial : done.grid.trials()) all.push_back(trial.iterations);
      return all;
    };
    CHECK(iterations(true) == iterations(false));
  }

  TEST_CASE("more repetitions than there can be trials are refused") {
    CHECK(has(error_of([] { repeat(tpe(), std::uint64_t{1} << 32); }), "no more than 4294967295"));
  }
}
