#include "tune/searchers/sobol.hpp"

#include <algorithm>
#include <boost/random/sobol.hpp>
#include <cmath>

#include "tune/searchers/model_searcher.hpp"

namespace manta::tune {

namespace {

constexpr std::size_t kMaxDimensions = 1000;  // of Boost's table

class SobolSearcher final : public ModelSearcher {
 public:
  SobolSearcher(const SearcherContext& context, const SobolOptions& options)
      : ModelSearcher("sobol", context, options.common, false) {
    Random random = Random::stream(context.seed, 0, "sobol/shift");
    for (std::size_t d = 0; d < encoding().size(); ++d) shift_.push_back(random.uniform());
  }

 private:
  std::vector<double> propose(TrialIndex index, Random& random) override { return start_up(index, random); }

  std::vector<double> start_up(TrialIndex index, Random& random) override {
    std::vector<double> point = shift_;
    const std::size_t dimensions = std::min(point.size(), kMaxDimensions);
    if (index > 0 && dimensions > 0) {  // Boost leaves the sequence's first point, the origin, out
      boost::random::sobol sequence(dimensions);
      sequence.discard(static_cast<std::uint64_t>(index - 1) * dimensions);
      for (std::size_t d = 0; d < dimensions; ++d) point[d] += static_cast<double>(sequence()) * 0x1.0p-64;
    }
    for (std::size_t d = 0; d < point.size(); ++d) {
      if (d >= dimensions) point[d] = random.uniform();
      point[d] = std::min(point[d] - std::floor(point[d]), std::nextafter(1.0, 0.0));
    }
    return point;
  }

  std::vector<double> shift_;
};

}  // namespace

SearcherSpec sobol(SobolOptions options) {
  return {"sobol", "sobol(" + describe(options.common) + ")",
          [options](const SearcherContext& context) { return std::make_unique<SobolSearcher>(context, options); }};
}

}  // namespace manta::tune
