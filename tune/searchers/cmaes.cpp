#include "tune/searchers/cmaes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>
#include <variant>

#include "runtime/errors.hpp"
#include "tune/searchers/cma_es.hpp"
#include "tune/searchers/model_searcher.hpp"
#include "tune/searchers/surrogate_cma_es.hpp"

namespace manta::tune {

namespace {

/// Of a draw that CMA-ES did not make itself: never a generation's own, so its length is checked.
constexpr std::uint64_t kForeign = std::numeric_limits<std::uint64_t>::max();

std::vector<std::size_t> numeric_dimensions(const ParameterEncoding& encoding) {
  std::vector<std::size_t> numeric;
  for (std::size_t k = 0; k < encoding.size(); ++k)
    if (encoding.dimensions()[k].kind != Dimension::Kind::kCategorical) numeric.push_back(k);
  return numeric;
}

/// How many combinations of options there are.
std::size_t variants(const ParameterEncoding& encoding) {
  constexpr std::size_t kMany = 1'000'000;  // more than are ever archived
  std::size_t product = 1;
  for (const Dimension& dimension : encoding.dimensions())
    if (dimension.kind == Dimension::Kind::kCategorical) product = std::min(product * dimension.levels, kMany);
  return product;
}

class CmaesSearcher final : public ModelSearcher {
 public:
  CmaesSearcher(const SearcherContext& context, const CmaesOptions& options)
      : ModelSearcher("cmaes", context, options.common), numeric_(numeric_dimensions(encoding())) {
    if (context.objectives.size() > 1)
      throw InvalidArgument("cmaes: it searches by one metric and was given " + std::to_string(context.objectives.size()) +
                            ". Use nsga2 for several.");
    if (numeric_.empty())
      throw InvalidArgument("cmaes: the space has no continuous, integer or ordinal parameter. Use tpe or evolution.");
    if (!(options.strategy.sigma0 > 0) || options.strategy.population_size < 0)
      throw InvalidArgument("cmaes: sigma0 must be above 0 and population_size not below.");
    std::vector<double> cells;
    for (std::size_t k : numeric_) {
      const Dimension& dimension = encoding().dimensions()[k];
      cells.push_back(options.with_margin && dimension.is_discrete() ? 1.0 / static_cast<double>(dimension.levels) : 0);
    }
    if (options.surrogate)
      strategy_.emplace<SurrogateCmaEs>(numeric_.size(), options.strategy, std::move(cells), variants(encoding()));
    else
      strategy_.emplace<CmaEs>(numeric_.size(), options.strategy, std::move(cells));
    for (const Observation& known : history()) tell_foreign(known);
  }

 protected:
  std::vector<double> propose(TrialIndex index, Random& random) override {
    refuse(index, random);  // what it was given before, if it was: that was forbidden
    auto* const surrogate = std::get_if<SurrogateCmaEs>(&strategy_);
    CmaEs::Draw draw = surrogate ? surrogate->ask(random, allowed(random)) : std::get<CmaEs>(strategy_).ask(random);
    std::vector<double> point = point_of(draw.x);
    draws_[index] = std::move(draw);
    return point;
  }

  void learn(const Observation& observation) override {
    const auto index = static_cast<TrialIndex>(&observation - history().data()) - static_cast<TrialIndex>(options().evaluated.size());
    const auto drawn = draws_.find(index);
    if (drawn == draws_.end()) {
      if (index < options().points_to_evaluate.size())
        tell_foreign(observation);
      else if (auto* surrogate = std::get_if<SurrogateCmaEs>(&strategy_))
        surrogate->observe(numbers_of(observation), observation.loss());
      return;
    }
    Random random = Random::stream(context().seed, index, "cmaes restart");
    if (!is_at(observation, drawn->second)) {  // all that was drawn was forbidden: a random point was tried instead
      refuse(index, random);
      tell_foreign(observation);
      return;
    }
    std::visit([&](auto& strategy) { strategy.tell(drawn->second, observation.loss(), random); }, strategy_);
    draws_.erase(drawn);
  }

  std::string save_model() const override {
    StateWriter out;
    std::visit([&](const auto& strategy) { strategy.save(out); }, strategy_);
    out.put(static_cast<std::uint64_t>(draws_.size()));
    for (const auto& [index, draw] : draws_)
      out.put(static_cast<std::uint64_t>(index)).put(draw.generation).put(std::vector<double>(draw.x.begin(), draw.x.end()));
    return out.text();
  }
  void restore_model(std::string_view text) override {
    StateReader in(text, "cmaes");
    std::visit([&](auto& strategy) { strategy.restore(in); }, strategy_);
    draws_.clear();
    for (std::size_t count = in.count(); count > 0; --count) {
      const TrialIndex index = in.index();
      const std::uint64_t generation = in.integer();
      const std::vector<double> x = in.numbers(numeric_.size());
      draws_[index] = {Eigen::Map<const Eigen::VectorXd>(x.data(), static_cast<Eigen::Index>(x.size())), generation};
    }
    in.end();
  }

 private:
  std::vector<double> point_of(const Eigen::VectorXd& x) const {
    std::vector<double> point(encoding().size(), std::numeric_limits<double>::quiet_NaN());
    for (std::size_t j = 0; j < numeric_.size(); ++j) point[numeric_[j]] = x[static_cast<Eigen::Index>(j)];
    return point;
  }

  /// Whether a point is allowed with options drawn for it; empty where nothing is forbidden.
  SurrogateCmaEs::Allowed allowed(const Random& random) const {
    if (!encoding().space().has_forbidden()) return {};
    return [this, &random](const Eigen::VectorXd& x) {
      Random options = random;
      std::vector<double> point = point_of(x);
      encoding().complete(point, options);
      return !encoding().is_forbidden(point);
    };
  }

  void refuse(TrialIndex index, Random& random) {
    const auto drawn = draws_.find(index);
    if (drawn == draws_.end()) return;
    if (auto* surrogate = std::get_if<SurrogateCmaEs>(&strategy_)) surrogate->refuse(drawn->second, random, allowed(random));
    draws_.erase(drawn);
  }

  bool is_at(const Observation& observation, const CmaEs::Draw& draw) const {
    for (std::size_t j = 0; j < numeric_.size(); ++j) {
      const double unit = observation.point[numeric_[j]], drawn = draw.x[static_cast<Eigen::Index>(j)];
      if (!std::isnan(unit) && unit != encoding().dimensions()[numeric_[j]].snapped(drawn)) return false;
    }
    return true;
  }

  /// The coordinates that CMA-ES moves; the mean's where one is inactive.
  Eigen::VectorXd numbers_of(const Observation& observation) const {
    Eigen::VectorXd x = std::visit([](const auto& strategy) { return strategy.mean(); }, strategy_);
    for (std::size_t j = 0; j < numeric_.size(); ++j) {
      const double unit = observation.point[numeric_[j]];
      if (!std::isnan(unit)) x[static_cast<Eigen::Index>(j)] = unit;
    }
    return x;
  }

  void tell_foreign(const Observation& observation) {
    Random random(context().seed);
    const CmaEs::Draw draw{numbers_of(observation), kForeign};
    std::visit([&](auto& strategy) { strategy.tell(draw, observation.loss(), random); }, strategy_);
  }

  std::vector<std::size_t> numeric_;  // the dimensions that CMA-ES moves
  std::variant<CmaEs, SurrogateCmaEs> strategy_{CmaEs(1)};
  std::map<TrialIndex, CmaEs::Draw> draws_;  // of trials that have not ended
};

}  // namespace

SearcherSpec cmaes(CmaesOptions options) {
  char sigma[32];
  std::snprintf(sigma, sizeof sigma, "%.17g", options.strategy.sigma0);
  const std::string text = "cmaes(" + describe(options.common) + ", sigma0=" + sigma +
                           ", population_size=" + std::to_string(options.strategy.population_size) +
                           ", restart=" + (options.strategy.restart ? "true" : "false") +
                           ", with_margin=" + (options.with_margin ? "true" : "false") +
                           ", surrogate=" + (options.surrogate ? "true" : "false") + ")";
  return {"cmaes", text, [options](const SearcherContext& context) { return std::make_unique<CmaesSearcher>(context, options); }};
}

}  // namespace manta::tune
