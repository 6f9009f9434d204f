#include "tune/searchers/tpe.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "runtime/errors.hpp"
#include "tune/searchers/parzen.hpp"

namespace manta::tune {

namespace {

using Group = std::vector<std::size_t>;  // dimensions that are modelled together

/// Complete ones by their loss, then pruned ones by how far they got and then by loss, then failed ones.
bool ranks_before(const Observation& a, const Observation& b) {
  if (a.state != b.state) return a.state < b.state;
  if (a.state == Observation::State::kPruned && a.step != b.step) return a.step > b.step;
  return a.loss() < b.loss();
}

class Tpe final : public ModelSearcher {
 public:
  Tpe(const SearcherContext& context, TpeOptions options)
      : ModelSearcher("tpe", context, options.common), tpe_(std::move(options)) {
    if (context.objectives.size() > 1)
      throw InvalidArgument("the searcher 'tpe' goes by one metric, and there are " + std::to_string(context.objectives.size()) +
                            ". Use nsga2 or random_search for several.");
    if (tpe_.candidates == 0) throw InvalidArgument("tpe: candidates is 0; it must be at least 1.");
    if (!(tpe_.bandwidth_exponent > 0) || !std::isfinite(tpe_.bandwidth_exponent))
      throw InvalidArgument("tpe: bandwidth_exponent is " + number_text(tpe_.bandwidth_exponent, 6) + "; it must be a finite number above 0.");
  }

 private:
  std::vector<double> propose(TrialIndex, Random& random) override {
    // Of the trials with a result: one that failed is never among the good ones, nor makes room for another there.
    const TpeSplit split = tpe_split(history(), tpe_num_below(tpe_.gamma, num_results()), tpe_.constant_liar);
    std::vector<double> point(encoding().size(), std::numeric_limits<double>::quiet_NaN());
    for (const Group& group : groups()) propose_group(group, split, random, point);
    return point;
  }

  void propose_group(const Group& group, const TpeSplit& split, Random& random, std::vector<double>& point) const {
    const ParzenEstimator below = density(group, split.below), above = density(group, split.above);
    const auto drawn = below.sample(random, tpe_.candidates);
    const auto good = below.log_density(drawn), bad = above.log_density(drawn);
    std::size_t best = 0;
    for (std::size_t i = 1; i < tpe_.candidates; ++i)
      if (good[i] - bad[i] > good[best] - bad[best]) best = i;
    for (std::size_t d = 0; d < group.size(); ++d) point[group[d]] = drawn[d][best];
  }

  /// Of the trials among these in which all parameters of the group are active.
  ParzenEstimator density(const Group& group, const std::vector<std::size_t>& trials) const {
    std::vector<const Dimension*> dimensions;
    for (const std::size_t d : group) dimensions.push_back(&encoding().dimensions()[d]);
    std::vector<std::vector<double>> columns(group.size());
    for (const std::size_t trial : trials) {
      const auto& point = history()[trial].point;
      if (std::any_of(group.begin(), group.end(), [&](std::size_t d) { return std::isnan(point[d]); })) continue;
      for (std::size_t i = 0; i < group.size(); ++i) columns[i].push_back(point[group[i]]);
    }
    return ParzenEstimator(dimensions, columns, tpe_weights(columns.front().size()), tpe_.bandwidth_exponent);
  }

  /// Multivariate: the parameters that were active in the same trials; without `group` only those active in all of them
  /// go together, the others by themselves. One that never was active is by itself too.
  std::vector<Group> groups() const {
    std::map<std::vector<bool>, Group> by_pattern;
    std::vector<Group> groups;
    for (std::size_t d = 0; d < encoding().size(); ++d) {
      std::vector<bool> pattern;
      for (const Observation& o : history())
        if (o.told()) pattern.push_back(!std::isnan(o.point[d]));
      const auto active = std::count(pattern.begin(), pattern.end(), true);
      const bool together = tpe_.multivariate && active > 0 && (tpe_.group || active == static_cast<long>(pattern.size()));
      if (together)
        by_pattern[pattern].push_back(d);
      else
        groups.push_back({d});
    }
    for (auto& [pattern, group] : by_pattern) groups.push_back(std::move(group));
    return groups;
  }

  TpeOptions tpe_;
};

std::string describe(const TpeOptions& options) {
  const auto text = [](bool flag) { return flag ? "true" : "false"; };
  return "tpe(candidates=" + std::to_string(options.candidates) + ", multivariate=" + text(options.multivariate) +
         ", group=" + text(options.group) + ", constant_liar=" + text(options.constant_liar) +
         ", bandwidth_exponent=" + number_text(options.bandwidth_exponent, 17) + ", gamma=" + (options.gamma == TpeGamma::kOptuna ? "optuna" : "hyperopt") + ", " + describe(options.common) + ")";
}

}  // namespace

SearcherSpec tpe(TpeOptions options) {
  return {"tpe", describe(options), [options](const SearcherContext& context) { return std::make_unique<Tpe>(context, options); }, true};
}

std::size_t tpe_num_below(TpeGamma gamma, std::size_t num_trials) {
  const auto n = static_cast<double>(num_trials);
  const double share = gamma == TpeGamma::kOptuna ? 0.1 * n : 0.25 * std::sqrt(n);
  return static_cast<std::size_t>(std::min(25.0, std::ceil(share)));
}

std::vector<double> tpe_weights(std::size_t n) {
  constexpr std::size_t kNewest = 25;
  std::vector<double> weights(n, 1);
  if (n <= kNewest) return weights;
  const std::size_t ramp = n - kNewest;
  const double start = 1 / static_cast<double>(n);
  for (std::size_t i = 0; i < ramp; ++i)
    weights[i] = ramp == 1 ? start : start + (1 - start) * static_cast<double>(i) / static_cast<double>(ramp - 1);
  return weights;
}

TpeSplit tpe_split(const std::vector<Observation>& history, std::size_t num_below, bool with_running) {
  std::vector<std::size_t> told;
  TpeSplit split;
  for (std::size_t i = 0; i < history.size(); ++i) {
    if (history[i].told())
      told.push_back(i);
    else if (with_running)
      split.above.push_back(i);
  }
  std::stable_sort(told.begin(), told.end(), [&](std::size_t a, std::size_t b) { return ranks_before(history[a], history[b]); });
  const std::size_t good = std::min(num_below, told.size());
  split.below.assign(told.begin(), told.begin() + static_cast<std::ptrdiff_t>(good));
  split.above.insert(split.above.end(), told.begin() + static_cast<std::ptrdiff_t>(good), told.end());
  std::sort(split.below.begin(), split.below.end());
  std::sort(split.above.begin(), split.above.end());
  return split;
}

}  // namespace manta::tune
