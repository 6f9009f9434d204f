#include "tune/searchers/random.hpp"

#include "tune/searchers/model_searcher.hpp"

namespace manta::tune {

namespace {

class RandomSearcher final : public ModelSearcher {
 public:
  RandomSearcher(const SearcherContext& context, const SearchOptions& options)
      : ModelSearcher("random", context, options, false) {}

 private:
  std::vector<double> propose(TrialIndex index, Random& random) override { return start_up(index, random); }
};

}  // namespace

SearcherSpec random_search(SearchOptions options) {
  return {"random", "random(" + describe(options) + ")",
          [options](const SearcherContext& context) { return std::make_unique<RandomSearcher>(context, options); }};
}

}  // namespace manta::tune
