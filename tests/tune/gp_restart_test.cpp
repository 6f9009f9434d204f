#include <doctest/doctest.h>

#include <vector>

#include "search_support.hpp"
#include "tune/random.hpp"
#include "tune/searchers/gp.hpp"

using namespace manta::tune;
using namespace manta::tune::testing;

TEST_SUITE("tune/searchers") {
  TEST_CASE("gp starts anew once nothing is left to gain, and goes on from what was saved after that") {
    const auto far_off = [](bool restart) {
      auto searcher = gp({.preliminary_samples = 256, .local_searches = 3, .restart = restart}).make(context_of(square()));
      int count = 0;
      search(*searcher, [&, trial = 0](const Config& config) mutable {
        count += trial++ >= 30 && bowl(config) > 1;
        return bowl(config);
      }, 80);
      return count;
    };
    CHECK(far_off(true) >= 9);  // at least one start of ten
    CHECK(far_off(false) <= 3);

    const GpOptions options{.preliminary_samples = 64, .local_searches = 2};
    auto first = gp(options).make(context_of(square()));
    search(*first, bowl, 80);
    auto never = gp({.preliminary_samples = 64, .local_searches = 2, .restart = false}).make(context_of(square()));
    search(*never, bowl, 80);
    CHECK(first->save() != never->save());  // it has started anew by now
    auto second = gp(options).make(context_of(square()));
    second->restore(first->save());
    for (TrialIndex i = 80; i < 95; ++i) {
      const Config config = first->suggest(i).config;
      REQUIRE(second->suggest(i).config == config);
      finish(*first, i, bowl(config));
      finish(*second, i, bowl(config));
    }
    CHECK(gp().description != gp({.restart = false}).description);
  }

  TEST_CASE("gp does not start anew while what runs may find something") {
    const auto asked = [](bool restart, int results) {
      auto searcher = gp({.preliminary_samples = 64, .local_searches = 2, .restart = restart}).make(context_of(square()));
      search(*searcher, bowl, results);
      std::vector<Config> configs;
      for (int i = 0; i < 8; ++i) configs.push_back(searcher->suggest(static_cast<TrialIndex>(results + i)).config);
      return configs;
    };
    for (const int results : {16, 20, 28}) CHECK(asked(true, results) == asked(false, results));
  }

  TEST_CASE("gp: a search by results with noise does not start anew") {
    const auto suggested = [](bool restart) {
      auto searcher = gp({.preliminary_samples = 64, .local_searches = 2, .restart = restart}).make(context_of(square()));
      Random noise(3);
      std::vector<Config> configs;
      search(*searcher, [&](const Config& config) {
        configs.push_back(config);
        return bowl(config) + 5 * noise.uniform();
      }, 60);
      return configs;
    };
    CHECK(suggested(true) == suggested(false));
  }
}
