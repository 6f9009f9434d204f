#include "tune/searchers/evolution.hpp"

#include <algorithm>
#include <deque>
#include <limits>
#include <utility>

#include "runtime/errors.hpp"
#include "tune/searchers/model_searcher.hpp"
#include "tune/searchers/state_text.hpp"

namespace manta::tune {

namespace {

class EvolutionSearcher final : public ModelSearcher {
 public:
  EvolutionSearcher(const SearcherContext& context, const EvolutionOptions& options)
      : ModelSearcher("evolution", context, options.common), options_(options) {
    if (context.objectives.size() > 1)
      throw InvalidArgument("evolution: it searches by one metric and was given " + std::to_string(context.objectives.size()) +
                            ". Use nsga2 for several.");
    if (options.sample < 1 || options.sample > options.population)
      throw InvalidArgument("evolution: sample is " + std::to_string(options.sample) + " and must be from 1 to the population's " +
                            std::to_string(options.population) + ".");
    for (std::size_t place = 0; place < history().size(); ++place) admit(place);
  }

 protected:
  std::vector<double> propose(TrialIndex, Random& random) override {
    if (population_.size() < options_.population) return encoding().sample(random);
    return mutated(history()[parent(random)].point, random);
  }

  void learn(const Observation& observation) override { admit(static_cast<std::size_t>(&observation - history().data())); }

  std::string save_model() const override {
    StateWriter out;
    out.put(static_cast<std::uint64_t>(population_.size()));
    for (std::size_t place : population_) out.put(static_cast<std::uint64_t>(place));
    return out.text();
  }
  void restore_model(std::string_view text) override {
    StateReader in(text, "evolution");
    population_.resize(in.count());
    for (std::size_t& place : population_) {
      place = in.integer();
      if (place >= history().size() || !is_usable(place)) throw StorageCorruption("evolution: a saved state that names a trial without a result.");
    }
    in.end();
  }

 private:
  bool is_usable(std::size_t place) const {
    return history()[place].ended() && history()[place].state != Observation::State::kFailed;
  }
  void admit(std::size_t place) {
    if (!is_usable(place)) return;
    population_.push_back(place);
    if (population_.size() > options_.population) population_.pop_front();
  }

  std::size_t parent(Random& random) const {
    std::vector<std::size_t> pool(population_.begin(), population_.end());
    std::size_t best = pool.front();
    for (std::size_t i = 0; i < options_.sample; ++i) {
      const auto last = static_cast<std::int64_t>(pool.size());
      std::swap(pool[i], pool[static_cast<std::size_t>(random.randint(static_cast<std::int64_t>(i), last))]);
      if (i == 0 || history()[pool[i]].loss() < history()[best].loss()) best = pool[i];
    }
    return best;
  }

  std::vector<double> mutated(std::vector<double> point, Random& random) const {
    const std::vector<bool> active = encoding().active(point);
    std::vector<std::size_t> free;
    for (std::size_t k = 0; k < point.size(); ++k)
      if (active[k]) free.push_back(k);
    if (free.empty()) return encoding().sample(random);
    const std::size_t k = free[static_cast<std::size_t>(random.randint(0, static_cast<std::int64_t>(free.size())))];
    const Dimension& dimension = encoding().dimensions()[k];
    const double before = point[k] = dimension.snapped(point[k]);
    constexpr int kMostDraws = 100;  // a quantised normal may have but one value that is ever drawn
    for (int draw = 0; draw < kMostDraws && point[k] == before; ++draw) point[k] = dimension.snapped(random.uniform());
    return point;
  }

  EvolutionOptions options_;
  std::deque<std::size_t> population_;  // places in the history, the oldest first
};

}  // namespace

SearcherSpec evolution(EvolutionOptions options) {
  const std::string text = "evolution(" + describe(options.common) + ", population=" + std::to_string(options.population) +
                           ", sample=" + std::to_string(options.sample) + ")";
  return {"evolution", text, [options](const SearcherContext& context) { return std::make_unique<EvolutionSearcher>(context, options); }};
}

}  // namespace manta::tune
