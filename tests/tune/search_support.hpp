#pragma once
// What the tests of the searchers that learn share: a search loop without a runtime, and test functions.
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "tune/searchers/searcher.hpp"

namespace manta::tune::testing {

/// Gives configurations for ever, so far as the test lets it.
class Unending final : public Searcher {
 public:
  Suggestion suggest(TrialIndex index) override {
    constexpr TrialIndex kEnough = 50;
    if (index == kEnough) return {};
    return {Suggestion::Kind::kConfig, Config{{"x", index / 100.0}}, ""};
  }
  std::string save() const override { return {}; }
  void restore(std::string_view) override {}
};

inline SearcherContext context_of(Space space, std::uint64_t seed = 1, std::uint64_t num_samples = 1000) {
  space.check();
  return {.space = std::move(space), .objectives = {{"loss", Mode::kMin}}, .num_samples = num_samples, .seed = seed};
}

/// Ends a trial with that loss.
inline void finish(Searcher& searcher, TrialIndex trial, double loss, std::uint64_t iteration = 1, double rung = 0) {
  const Metrics metrics{{"loss", loss}};
  const ResultView result{.iteration = iteration, .time_total_s = 1, .metrics = metrics};
  searcher.on_complete(trial, &result, rung);
}

/// Runs trials from `first` on, one at a time; gives the smallest finite loss.
inline double search(Searcher& searcher, const std::function<double(const Config&)>& loss, TrialIndex trials, TrialIndex first = 0) {
  double best = std::numeric_limits<double>::infinity();
  for (TrialIndex i = first; i < first + trials; ++i) {
    const double value = loss(searcher.suggest(i).config);
    finish(searcher, i, value);
    if (std::isfinite(value)) best = std::min(best, value);
  }
  return best;
}

inline Space square() { return {{"x", uniform(-10, 10)}, {"y", uniform(-10, 10)}}; }
inline double bowl(const Config& config) {
  const double x = config.get<double>("x") - 3, y = config.get<double>("y") + 1;
  return x * x + y * y;
}

}  // namespace manta::tune::testing
