#include "tune/searchers/bohb.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "runtime/errors.hpp"
#include "tune/searchers/state_text.hpp"

namespace manta::tune {

namespace {

constexpr double kNoBudget = 0;  // of results that fill no rung

}  // namespace

BohbSearcher::BohbSearcher(const SearcherContext& context, const BohbOptions& options)
    : ModelSearcher("bohb", context, options.common), options_(options) {
  if (context.objectives.size() > 1)
    throw InvalidArgument("bohb_search: it searches by one metric and was given " + std::to_string(context.objectives.size()) +
                          ". Use nsga2 for several.");
  if (!(options.random_fraction >= 0 && options.random_fraction <= 1) || options.top_n_percent < 1 || options.top_n_percent > 99)
    throw InvalidArgument("bohb_search: random_fraction must be from 0 to 1 and top_n_percent from 1 to 99.");
  if (options.num_samples < 1 || !(options.bandwidth_factor > 0) || !(options.min_bandwidth > 0))
    throw InvalidArgument("bohb_search: num_samples, bandwidth_factor and min_bandwidth must be above 0.");
  for (const Dimension& dimension : encoding().dimensions())
    dimensions_.push_back({dimension.kind == Dimension::Kind::kCategorical ? dimension.levels : 0});
  for (std::size_t place = 0; place < history().size(); ++place) budgets_[kNoBudget].push_back({place, history()[place].loss()});
}

std::size_t BohbSearcher::min_points() const {
  return std::max<std::size_t>(options_.min_points_in_model, dimensions_.size() + 1);
}

void BohbSearcher::on_result(TrialIndex trial, const ResultView& result, double rung) {
  reporting_ = options().evaluated.size() + trial;
  ModelSearcher::on_result(trial, result, rung);
}

void BohbSearcher::learn_rung(const Observation& observation, double rung) {
  const double loss = std::isfinite(observation.loss()) ? observation.loss() : std::numeric_limits<double>::infinity();
  budgets_[rung].push_back({reporting_, loss});
  in_rungs_.insert(reporting_);
}

void BohbSearcher::learn(const Observation& observation) {
  const auto place = static_cast<std::size_t>(&observation - history().data());
  if (in_rungs_.contains(place)) return;  // its results are known, each at its budget
  const bool failed = observation.state == Observation::State::kFailed || !std::isfinite(observation.loss());
  // A trial that failed before its first rung is a bad one of the lowest budget: that is where it stood.
  const double budget = failed && !budgets_.empty() ? budgets_.begin()->first : kNoBudget;
  budgets_[budget].push_back({place, failed ? std::numeric_limits<double>::infinity() : observation.loss()});
}

/// The model of the largest budget that has enough observations, fitted anew when there are more of them.
const BohbSearcher::Model* BohbSearcher::newest_model() {
  const std::size_t d = dimensions_.size();
  for (auto budget = budgets_.rbegin(); budget != budgets_.rend(); ++budget) {
    const auto& [resource, seen] = *budget;
    const std::size_t n = seen.size();
    const std::size_t good = std::max(min_points(), options_.top_n_percent * n / 100);
    const std::size_t bad = std::max(min_points(), (100 - options_.top_n_percent) * n / 100);
    const std::size_t end = std::min(good + bad, n);
    if (good <= d || end < good + d + 1) continue;
    if (model_ && model_->budget == resource && model_->size == n) return &*model_;
    std::vector<Seen> sorted = seen;
    std::stable_sort(sorted.begin(), sorted.end(), [](const Seen& a, const Seen& b) { return a.loss < b.loss; });
    Random random = Random::stream(context().seed, n, "bohb imputation " + std::to_string(resource));
    Kde best = density(sorted, 0, good, random), rest = density(sorted, good, end, random);
    model_ = Model{resource, n, std::move(best), std::move(rest)};
    return &*model_;
  }
  return nullptr;
}

Kde BohbSearcher::density(const std::vector<Seen>& sorted, std::size_t from, std::size_t to, Random& random) const {
  Rows rows;
  for (std::size_t i = from; i < to; ++i) {
    std::vector<double> row = history()[sorted[i].place].point;
    for (std::size_t k = 0; k < row.size(); ++k)
      if (dimensions_[k].levels > 0 && !std::isnan(row[k])) row[k] = static_cast<double>(encoding().dimensions()[k].level_of(row[k]));
    rows.push_back(std::move(row));
  }
  return {imputed(std::move(rows), dimensions_, random), dimensions_, options_.min_bandwidth};
}

std::vector<double> BohbSearcher::to_unit(const std::vector<double>& row) const {
  std::vector<double> point = row;
  for (std::size_t k = 0; k < point.size(); ++k)
    if (dimensions_[k].levels > 0) point[k] = encoding().dimensions()[k].unit_of_level(static_cast<std::size_t>(row[k]));
  return point;
}

std::vector<double> BohbSearcher::best_draw(const Model& model, Random& random) const {
  std::vector<double> best;
  double least = std::numeric_limits<double>::infinity();
  for (std::uint32_t i = 0; i < options_.num_samples; ++i) {
    const std::vector<double> row = model.good.draw_near_row(random, options_.bandwidth_factor, options_.min_bandwidth);
    const double ratio = std::max(1e-32, model.bad.density(row)) / std::max(model.good.density(row), 1e-32);
    if (!(ratio < least)) continue;
    std::vector<double> point = to_unit(row);
    if (encoding().is_forbidden(point)) continue;
    best = std::move(point);
    least = ratio;
  }
  return best;
}

std::vector<double> BohbSearcher::propose(TrialIndex, Random& random) {
  const Model* model = random.uniform() < options_.random_fraction ? nullptr : newest_model();
  std::vector<double> point = model ? best_draw(*model, random) : std::vector<double>();
  if (point.empty()) return encoding().sample(random);
  ++model_based_;
  return point;
}

std::string BohbSearcher::save_model() const {
  StateWriter out;
  out.put(model_based_).put(static_cast<std::uint64_t>(budgets_.size()));
  for (const auto& [budget, seen] : budgets_) {
    out.put(budget).put(static_cast<std::uint64_t>(seen.size()));
    for (const Seen& one : seen) out.put(static_cast<std::uint64_t>(one.place)).put(one.loss);
  }
  out.put(static_cast<std::uint64_t>(in_rungs_.size()));
  for (std::size_t place : in_rungs_) out.put(static_cast<std::uint64_t>(place));
  return out.text();
}

void BohbSearcher::restore_model(std::string_view text) {
  StateReader in(text, "bohb");
  const auto place = [&] {
    const std::uint64_t number = in.integer();
    if (number >= history().size()) throw StorageCorruption("bohb: a saved state that names a trial that is not there.");
    return static_cast<std::size_t>(number);
  };
  budgets_.clear();
  in_rungs_.clear();
  model_.reset();
  model_based_ = in.integer();
  for (std::size_t count = in.count(); count > 0; --count) {
    auto& seen = budgets_[in.comparable()];
    for (std::size_t size = in.count(); size > 0; --size) {
      const std::size_t one = place();
      seen.push_back({one, in.comparable()});
    }
  }
  for (std::size_t count = in.count(); count > 0; --count) in_rungs_.insert(place());
  in.end();
}

SearcherSpec bohb_search(BohbOptions options) {
  const std::string text = "bohb_search(" + describe(options.common) + ", min_points_in_model=" + std::to_string(options.min_points_in_model) +
                           ", top_n_percent=" + std::to_string(options.top_n_percent) + ", num_samples=" + std::to_string(options.num_samples) +
                           ", random_fraction=" + number_text(options.random_fraction, 17) +
                           ", bandwidth_factor=" + number_text(options.bandwidth_factor, 17) +
                           ", min_bandwidth=" + number_text(options.min_bandwidth, 17) + ")";
  return {"bohb_search", text, [options](const SearcherContext& context) { return std::make_unique<BohbSearcher>(context, options); }};
}

}  // namespace manta::tune
