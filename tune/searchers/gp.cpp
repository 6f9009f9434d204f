#include "tune/searchers/gp.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "runtime/errors.hpp"
#include "tune/searchers/acquisition.hpp"
#include "tune/searchers/model_searcher.hpp"
#include "tune/searchers/output_warp.hpp"
#include "tune/searchers/state_text.hpp"

namespace manta::tune {

namespace {

constexpr double kInactive = 0.5;       // where a parameter that is switched off stands
constexpr std::size_t kLongestGrid = 1000;  // integers with more values are searched as continuous, then snapped

/// The coordinates of a dimension's values, where these are few.
std::vector<double> grid_of(const Dimension& dimension) {
  std::vector<double> grid;
  if (!dimension.is_discrete() || dimension.levels > kLongestGrid) return grid;
  for (double edge = 0; grid.size() < dimension.levels && edge < 1;) {
    const double inside = std::min(std::nextafter(edge, 2.0), 1.0);
    grid.push_back(dimension.snapped(inside));
    edge = std::max(dimension.cell_of(inside).second, inside);
  }
  return grid;
}

/// The logarithm of an expected improvement that is none: a tenth of the least deviation that the process takes for noise.
const double kNothingToGain = std::log(0.1 * std::sqrt(GaussianProcess::kLeastNoise));

/// Of the function's variance. From 0.1 to 1 the medians of 15 searches among failing trials are about alike; at 5 those in failing regions are a
/// hundred times larger (docs/design/0021).
constexpr double kNoiseOfFailed = 0.3;

constexpr double kNoNoise = 10 * GaussianProcess::kLeastNoise;

class GpSearcher final : public ModelSearcher {
 public:
  GpSearcher(const SearcherContext& context, const GpOptions& options)
      : ModelSearcher("gp", context, options.common), options_(options) {
    if (context.objectives.size() > 1)
      throw InvalidArgument("gp: it searches by one metric and was given " + std::to_string(context.objectives.size()) +
                            ". Use nsga2 for several.");
    if (options.local_searches < 2 || options.preliminary_samples == 0 || options.max_results < 10)
      throw InvalidArgument("gp: local_searches must be at least 2, preliminary_samples 1 and max_results 10.");
    for (const Dimension& dimension : encoding().dimensions()) {
      domain_.categorical.push_back(dimension.kind == Dimension::Kind::kCategorical);
      domain_.grid.push_back(grid_of(dimension));
    }
    domain_.project = [this](Eigen::VectorXd& x, std::vector<bool>& active) { return project(x, active); };
  }

 protected:
  std::vector<double> propose(TrialIndex, Random& random) override {
    const std::vector<std::size_t> known = chosen_results();
    if (known.size() < 2 || (is_restarted() && known.size() < options().startup_trials)) return encoding().sample(random);
    Eigen::VectorXd values = gains(known);
    Eigen::Index best = 0;
    const double threshold = values.maxCoeff(&best);
    const Eigen::MatrixXd points = matrix(known);
    const GaussianProcess fitted = GaussianProcess::fit(points, std::move(values), domain_.categorical, start_);
    start_ = fitted.parameters();
    const GaussianProcess process = with_failed(fitted);
    const Eigen::MatrixXd pending = matrix(running());
    const ExpectedImprovement improvement(process, threshold, pending, random);
    const auto found = maximise(improvement, domain_, points.row(best), random,
                                {.preliminary_samples = static_cast<int>(options_.preliminary_samples),
                                 .local_searches = static_cast<int>(options_.local_searches)});
    if (found && options_.restart && start_.noise < kNoNoise && improvement.value(*found) < kNothingToGain &&
        !may_gain(process, threshold, pending, random))
      return restart(random);
    return found ? std::vector<double>(found->begin(), found->end()) : encoding().sample(random);
  }

  std::string save_model() const override {
    StateWriter out;
    out.put(std::vector<double>(start_.inverse_squared_lengths.begin(), start_.inverse_squared_lengths.end()));
    return out.put(start_.scale).put(start_.noise).put(since_).text();
  }
  void restore_model(std::string_view text) override {
    StateReader in(text, "gp");
    const std::vector<double> lengths = in.numbers();
    start_.inverse_squared_lengths = Eigen::Map<const Eigen::VectorXd>(lengths.data(), static_cast<Eigen::Index>(lengths.size()));
    start_.scale = in.number();
    start_.noise = in.number();
    since_ = in.integer();
    const auto above = [](double number, double least) { return number > least && std::isfinite(number); };
    const bool possible = std::all_of(lengths.begin(), lengths.end(), [&](double length) { return above(length, 0); }) && above(start_.scale, 0) &&
                          above(start_.noise, GaussianProcess::kLeastNoise);
    if (!possible || since_ > history().size()) in.fail();
    in.end();
  }

 private:
  bool is_restarted() const { return since_ > 0; }
  /// Whether what runs may find something yet. Beside it there is nothing left to gain, as it counts as done there.
  static bool may_gain(const GaussianProcess& process, double threshold, const Eigen::MatrixXd& pending, Random& random) {
    if (pending.rows() == 0) return false;
    const ExpectedImprovement alone(process, threshold, pending.topRows(0), random);
    for (Eigen::Index i = 0; i < pending.rows(); ++i)
      if (alone.value(pending.row(i)) >= kNothingToGain) return true;
    return false;
  }
  std::vector<double> restart(Random& random) {
    since_ = history().size();
    start_ = {};
    return encoding().sample(random);
  }

  bool project(Eigen::VectorXd& x, std::vector<bool>& active) const {
    std::vector<double> point(x.begin(), x.end());
    for (std::size_t k = 0; k < point.size(); ++k) point[k] = encoding().dimensions()[k].snapped(point[k]);
    active = encoding().active(point);
    for (std::size_t k = 0; k < point.size(); ++k) {
      if (!active[k]) point[k] = std::numeric_limits<double>::quiet_NaN();
      x[static_cast<Eigen::Index>(k)] = active[k] ? point[k] : kInactive;
    }
    return !encoding().is_forbidden(point);
  }

  std::vector<std::size_t> running() const {
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < history().size(); ++i)
      if (!history()[i].told()) places.push_back(i);
    return places;
  }

  /// The newest, and half as many as there may be results.
  std::vector<std::size_t> failed() const {
    std::vector<std::size_t> places;
    for (std::size_t i = history().size(); i-- > since_ && places.size() < options_.max_results / 2;)
      if (history()[i].state == Observation::State::kFailed) places.push_back(i);
    return places;
  }

  /// Where a trial failed, the process sees the worst result, but with noise of its own: one that failed by chance among good ones
  /// counts for little there, and where all fail they outweigh it together. Without the noise one beside the optimum would be a hole in
  /// the function; fitted to as well, it is taken for noise everywhere and short lengths.
  GaussianProcess with_failed(const GaussianProcess& fitted) const {
    const Eigen::MatrixXd points = matrix(failed());
    if (points.rows() == 0) return fitted;
    const Eigen::Index known = fitted.points().rows();
    Eigen::MatrixXd all(known + points.rows(), points.cols());
    all << fitted.points(), points;
    Eigen::VectorXd values(all.rows()), noise(all.rows());
    values << fitted.values(), Eigen::VectorXd::Constant(points.rows(), fitted.values().minCoeff());
    noise << Eigen::VectorXd::Zero(known), Eigen::VectorXd::Constant(points.rows(), kNoiseOfFailed * fitted.parameters().scale);
    return {std::move(all), std::move(values), fitted.categorical(), fitted.parameters(), noise};
  }

  std::vector<std::size_t> chosen_results() const {
    std::vector<std::size_t> places;
    for (std::size_t i = since_; i < history().size(); ++i)
      if (history()[i].has_result()) places.push_back(i);
    if (places.size() <= options_.max_results) return places;
    const auto half = static_cast<std::ptrdiff_t>(options_.max_results / 2);
    std::stable_sort(places.begin(), places.end(), [&](std::size_t a, std::size_t b) { return history()[a].loss() < history()[b].loss(); });
    std::sort(places.begin() + half, places.end(), std::greater<>());
    places.resize(options_.max_results);
    std::sort(places.begin(), places.end());
    return places;
  }

  /// What the process is fitted to: larger is better, mean 0, deviation 1 where the values differ.
  Eigen::VectorXd gains(const std::vector<std::size_t>& places) const {
    std::vector<double> losses;
    for (std::size_t i : places) losses.push_back(history()[i].loss());
    losses = options_.warp_losses ? warped(std::move(losses)) : standardised(std::move(losses));
    return -Eigen::Map<const Eigen::VectorXd>(losses.data(), static_cast<Eigen::Index>(losses.size()));
  }

  Eigen::MatrixXd matrix(const std::vector<std::size_t>& places) const {
    Eigen::MatrixXd points(static_cast<Eigen::Index>(places.size()), static_cast<Eigen::Index>(encoding().size()));
    for (std::size_t i = 0; i < places.size(); ++i)
      for (std::size_t k = 0; k < encoding().size(); ++k) {
        const double unit = history()[places[i]].point[k];
        points(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(k)) = std::isnan(unit) ? kInactive : unit;
      }
    return points;
  }

  GpOptions options_;
  MixedDomain domain_;
  GpParameters start_;    // the last fit: the next one starts there
  std::size_t since_{0};  // the place in the history from which on the process learns: where it last started anew
};

}  // namespace

SearcherSpec gp(GpOptions options) {
  const std::string text = "gp(" + describe(options.common) + ", preliminary_samples=" + std::to_string(options.preliminary_samples) +
                           ", local_searches=" + std::to_string(options.local_searches) +
                           ", max_results=" + std::to_string(options.max_results) +
                           ", warp_losses=" + (options.warp_losses ? "true" : "false") +
                           ", restart=" + (options.restart ? "true" : "false") + ")";
  return {"gp", text, [options](const SearcherContext& context) { return std::make_unique<GpSearcher>(context, options); }, true};
}

}  // namespace manta::tune
