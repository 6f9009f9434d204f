#include "tune/searchers/nsga2.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "runtime/errors.hpp"
#include "tune/searchers/model_searcher.hpp"
#include "tune/searchers/pareto.hpp"
#include "tune/searchers/state_text.hpp"

namespace manta::tune {

namespace {

bool is_probability(double number) { return number >= 0 && number <= 1; }

class Nsga2Searcher final : public ModelSearcher {
 public:
  Nsga2Searcher(const SearcherContext& context, const Nsga2Options& options)
      : ModelSearcher("nsga2", context, options.common), options_(options) {
    if (options.population < 2) throw InvalidArgument("nsga2: population must be at least 2.");
    if (!is_probability(options.mutation_probability) || !is_probability(options.crossover_probability) ||
        !is_probability(options.swapping_probability))
      throw InvalidArgument("nsga2: mutation_probability, crossover_probability and swapping_probability must be from 0 to 1.");
    for (std::size_t place = 0; place < history().size(); ++place) admit(place);
  }

 protected:
  std::vector<double> propose(TrialIndex, Random& random) override {
    if (parents_.empty()) return encoding().sample(random);
    std::vector<double> child = random.uniform() < options_.crossover_probability ? crossed(random) : history()[any_parent(random)].point;
    const double each = options_.mutation_probability > 0 ? options_.mutation_probability : 1 / static_cast<double>(child.size());
    for (double& coordinate : child)
      if (random.uniform() < each) coordinate = std::numeric_limits<double>::quiet_NaN();  // drawn anew
    return child;
  }

  void learn(const Observation& observation) override { admit(static_cast<std::size_t>(&observation - history().data())); }

  std::string save_model() const override {
    StateWriter out;
    for (const auto* places : {&parents_, &children_}) {
      out.put(static_cast<std::uint64_t>(places->size()));
      for (std::size_t place : *places) out.put(static_cast<std::uint64_t>(place));
    }
    return out.text();
  }
  void restore_model(std::string_view text) override {
    StateReader in(text, "nsga2");
    for (auto* places : {&parents_, &children_}) {
      places->resize(in.count());
      for (std::size_t& place : *places) {
        place = in.integer();
        if (place >= history().size() || !is_usable(place)) throw StorageCorruption("nsga2: a saved state that names a trial without a result.");
      }
    }
    in.end();
  }

 private:
  bool is_usable(std::size_t place) const {
    return history()[place].ended() && history()[place].state != Observation::State::kFailed;
  }
  void admit(std::size_t place) {
    if (!is_usable(place)) return;
    children_.push_back(place);
    if (children_.size() < options_.population) return;
    parents_.insert(parents_.end(), children_.begin(), children_.end());
    children_.clear();
    parents_ = best_of(parents_);
  }

  /// `population` of the trials: whole fronts, and of the first that does not fit the loneliest.
  std::vector<std::size_t> best_of(const std::vector<std::size_t>& places) const {
    std::vector<Losses> losses;
    for (std::size_t place : places) losses.push_back(history()[place].losses);
    const std::vector<std::size_t> ranks = nondominated_ranks(losses);
    std::vector<std::size_t> chosen;
    for (std::size_t rank = 0; chosen.size() < options_.population && chosen.size() < places.size(); ++rank) {
      std::vector<std::size_t> front;
      std::vector<Losses> front_losses;
      for (std::size_t i = 0; i < places.size(); ++i)
        if (ranks[i] == rank) front.push_back(places[i]), front_losses.push_back(losses[i]);
      const std::vector<double> lonely = crowding_distances(front_losses);
      std::vector<std::size_t> order(front.size());
      std::iota(order.begin(), order.end(), std::size_t{0});
      std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return lonely[a] > lonely[b]; });
      for (std::size_t i : order)
        if (chosen.size() < options_.population) chosen.push_back(front[i]);
    }
    return chosen;
  }

  std::size_t any_parent(Random& random) const {
    return parents_[static_cast<std::size_t>(random.randint(0, static_cast<std::int64_t>(parents_.size())))];
  }

  /// The better of two; the first where neither is.
  std::size_t winner(Random& random) const {
    const std::size_t first = any_parent(random), second = any_parent(random);
    return dominates(history()[second].losses, history()[first].losses) ? second : first;
  }

  std::vector<double> crossed(Random& random) const {
    std::size_t mother = winner(random), father = winner(random);
    for (int tries = 0; father == mother && tries < 10; ++tries) father = winner(random);
    std::vector<double> child = history()[mother].point;
    for (std::size_t k = 0; k < child.size(); ++k)
      if (random.uniform() < options_.swapping_probability) child[k] = history()[father].point[k];
    return child;
  }

  Nsga2Options options_;
  std::vector<std::size_t> parents_;   // places in the history
  std::vector<std::size_t> children_;  // that ended since the parents were chosen
};

}  // namespace

SearcherSpec nsga2(Nsga2Options options) {
  const std::string text = "nsga2(" + describe(options.common) + ", population=" + std::to_string(options.population) +
                           ", mutation_probability=" + number_text(options.mutation_probability, 17) +
                           ", crossover_probability=" + number_text(options.crossover_probability, 17) +
                           ", swapping_probability=" + number_text(options.swapping_probability, 17) + ")";
  return {"nsga2", text, [options](const SearcherContext& context) { return std::make_unique<Nsga2Searcher>(context, options); }};
}

}  // namespace manta::tune
