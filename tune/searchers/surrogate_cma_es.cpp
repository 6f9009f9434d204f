#include "tune/searchers/surrogate_cma_es.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "tune/searchers/box_minimum.hpp"
#include "tune/searchers/output_warp.hpp"

namespace manta::tune {

namespace {

using Kind = QuadraticModel::Kind;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kAgreement = 0.85;         // of Kendall's τ
constexpr double kMostWeight = 20;          // of the first in the archive; the last has 1
constexpr double kArchive = 2;              // times the coefficients of the full model
constexpr double kUsed = 0.75;              // of the archive, but never fewer than two more than the coefficients
constexpr double kDataPerCoefficient = 1.1;  // before the model gets richer
constexpr std::size_t kLeastEvaluated = 2;  // of a generation
constexpr std::size_t kLeastArchive = 4;    // before the model may stand for a value
constexpr std::size_t kLeastFitted = 3;     // before there is a model
constexpr int kMostTries = 20;              // of draws that are not allowed
constexpr Eigen::Index kMostDimensions = 20;  // with a full model: it has 231 coefficients there

double kendall_tau(const std::vector<double>& a, const std::vector<double>& b) {
  const auto order = [](double x, double y) { return static_cast<int>(x > y) - static_cast<int>(x < y); };
  int sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) sum += order(a[i], a[j]) * order(b[i], b[j]);
  const std::size_t pairs = a.size() * (a.size() - 1) / 2;
  return pairs == 0 ? 0 : sum / static_cast<double>(pairs);
}

/// The number of the cell; the upper border belongs to the last.
double cell_of(double unit, double width) { return std::min(std::floor(unit / width), std::round(1 / width) - 1); }

/// The richest that so many points are enough for.
Kind kind_for(std::size_t points, Eigen::Index dimensions) {
  const auto enough = [&](Kind kind) {
    return kUsed * static_cast<double>(points) >= kDataPerCoefficient * static_cast<double>(QuadraticModel::size(kind, dimensions));
  };
  if (dimensions <= kMostDimensions && enough(Kind::kFull)) return Kind::kFull;
  return enough(Kind::kDiagonal) ? Kind::kDiagonal : Kind::kLinear;
}

}  // namespace

SurrogateCmaEs::SurrogateCmaEs(std::size_t dimensions, CmaEsOptions options, std::vector<double> cells, std::size_t variants)
    : strategy_(dimensions, options, cells), cells_(std::move(cells)), variants_(variants) {
  cells_.resize(dimensions, 0);
}

CmaEs::Draw SurrogateCmaEs::ask(Random& random, const Allowed& allowed) {
  if (candidates_.empty()) begin_generation(random, allowed);
  const QuadraticModel* const judge = model();
  Candidate* best = nullptr;
  double least = 0;
  for (Candidate& candidate : candidates_) {
    if (candidate.asked) continue;
    const double value = judge ? guess(*judge, candidate.draw.x) : 0;
    if (!best || value < least) best = &candidate, least = value;
  }
  if (!best) best = &candidates_.emplace_back(fresh(random, allowed));
  best->asked = true;
  return best->draw;
}

void SurrogateCmaEs::refuse(const CmaEs::Draw& draw, Random& random, const Allowed& allowed) {
  const auto own = std::find_if(candidates_.begin(), candidates_.end(), [&](const Candidate& c) { return c.asked && !c.told && c.draw.x == draw.x; });
  if (own == candidates_.end()) return;  // its generation is over
  if (candidates_.size() > strategy_.population_size())
    candidates_.erase(own);
  else
    *own = fresh(random, allowed);
}

SurrogateCmaEs::Candidate SurrogateCmaEs::fresh(Random& random, const Allowed& allowed) const {
  Candidate candidate;
  for (int i = 0; i < kMostTries; ++i) {
    candidate.draw = strategy_.ask(random);
    if (!allowed || allowed(candidate.draw.x)) return candidate;
  }
  candidate.asked = candidate.refused = true;
  return candidate;
}

void SurrogateCmaEs::begin_generation(Random& random, const Allowed& allowed) {
  for (std::size_t i = 0; i < strategy_.population_size(); ++i) candidates_.push_back(fresh(random, allowed));
  needed_ = std::max(kLeastEvaluated, kLeastArchive - std::min(kLeastArchive, archive_.size()));
  const QuadraticModel* const judge = model();
  if (!judge) return;
  Eigen::VectorXd x = lowest(*judge);
  if (!is_known(x) && (!allowed || allowed(x))) candidates_.front() = {{std::move(x), strategy_.generation()}};
}

void SurrogateCmaEs::tell(const CmaEs::Draw& draw, double value, Random& random) {
  if (std::isnan(value)) value = kInfinity;
  if (!strategy_.counts(draw)) return;  // from before a restart: the archive tells of another place
  observe(draw.x, value);
  const auto own = std::find_if(candidates_.begin(), candidates_.end(), [&](const Candidate& c) { return !c.told && c.draw.x == draw.x; });
  if (own != candidates_.end()) own->told = true;
  told_.push_back({draw, value});
  if (told_.size() >= strategy_.population_size()) return end_generation(std::exchange(told_, {}), random);
  if (told_.size() < needed_ || candidates_.empty()) return;
  const QuadraticModel* const judge = model();
  if (judge && ranks_as_found(*judge)) return end_generation(ranked_by(*judge), random);
  needed_ += (needed_ + 1) / 2;
}

void SurrogateCmaEs::observe(Eigen::VectorXd x, double value) {
  const std::uint64_t generation = strategy_.generation();
  const auto place = std::find_if(archive_.begin(), archive_.end(), [&](const Known& k) { return k.generation != generation || k.value >= value; });
  archive_.insert(place, {std::move(x), value, generation});
  if (archive_.size() > archive_limit()) archive_.resize(archive_limit());
  is_stale_ = true;
}

/// As many points as the generation has: those that were evaluated, and of the others the first drawn.
std::vector<SurrogateCmaEs::Told> SurrogateCmaEs::ranked_by(const QuadraticModel& model) const {
  std::vector<Told> points = told_;
  for (Told& point : points)
    if (point.value < kInfinity) point.value = guess(model, point.draw.x);  // what failed ranks last
  for (const Candidate& candidate : candidates_)
    if (points.size() < strategy_.population_size() && !candidate.told)
      points.push_back({candidate.draw, candidate.refused ? kInfinity : guess(model, candidate.draw.x)});
  return points;
}

void SurrogateCmaEs::end_generation(std::vector<Told> points, Random& random) {
  candidates_.clear();
  told_.clear();
  const std::uint64_t restarts = strategy_.restarts();
  for (const Told& point : points) strategy_.tell(point.draw, point.value, random);
  if (strategy_.restarts() != restarts) archive_.clear();  // it tells of another place
  is_stale_ = true;
}

const QuadraticModel* SurrogateCmaEs::model() {
  if (is_stale_) model_ = fitted();
  is_stale_ = false;
  return model_ ? &*model_ : nullptr;
}

std::optional<QuadraticModel> SurrogateCmaEs::fitted() const {
  const auto is_number = [](const Known& known) { return std::isfinite(known.value); };
  if (static_cast<std::size_t>(std::count_if(archive_.begin(), archive_.end(), is_number)) < kLeastFitted) return std::nullopt;
  const Eigen::Index d = strategy_.mean().size();
  const Kind kind = kind_for(archive_.size(), d);
  const double share = std::max(static_cast<double>(QuadraticModel::size(kind, d) + 2), kUsed * static_cast<double>(archive_.size() + 1));
  const std::size_t n = std::min(archive_.size(), static_cast<std::size_t>(share));
  double least = kInfinity, most = -kInfinity;
  for (const Known& known : archive_)
    if (is_number(known)) least = std::min(least, known.value), most = std::max(most, known.value);
  Eigen::MatrixXd points(d, static_cast<Eigen::Index>(n));
  std::vector<double> losses;
  for (std::size_t i = 0; i < n; ++i) {
    points.col(static_cast<Eigen::Index>(i)) = strategy_.whitened(archive_[i].x);
    losses.push_back(std::clamp(archive_[i].value, least, most));
  }
  losses = standardised(std::move(losses));  // so that no sum of squares overflows
  const auto count = static_cast<Eigen::Index>(n);
  const Eigen::VectorXd weights = Eigen::VectorXd::LinSpaced(count, kMostWeight, 1);
  return QuadraticModel::fit(kind, points, Eigen::Map<const Eigen::VectorXd>(losses.data(), count), weights);
}

bool SurrogateCmaEs::ranks_as_found(const QuadraticModel& model) const {
  const double wanted = std::max(15.0, std::min(1.2 * static_cast<double>(told_.size()), 0.75 * static_cast<double>(strategy_.population_size())));
  const std::size_t n = std::min(archive_.size(), static_cast<std::size_t>(wanted));
  std::vector<double> found, guessed;
  for (std::size_t i = 0; i < n; ++i) {
    found.push_back(archive_[i].value);
    guessed.push_back(guess(model, archive_[i].x));
  }
  return kendall_tau(found, guessed) >= kAgreement;
}

Eigen::VectorXd SurrogateCmaEs::lowest(const QuadraticModel& model) const {
  const Eigen::VectorXd& mean = strategy_.mean();
  const auto d = static_cast<double>(mean.size());
  const double radius = 0.5 * (std::sqrt(d) + 2 * d / (d + 2));
  const Eigen::VectorXd reach = radius * strategy_.sigma() * strategy_.covariance().diagonal().cwiseSqrt();
  const Eigen::MatrixXd whitening = strategy_.whitening();
  // In units of the reach, so that a step of one means the same in every coordinate and generation.
  const Differentiable value = [&](const Eigen::VectorXd& step, Eigen::VectorXd& gradient) {
    const Eigen::VectorXd z = whitening * reach.cwiseProduct(step);
    gradient = reach.cwiseProduct(whitening.transpose() * model.gradient(z));
    return model.value(z);
  };
  const Eigen::VectorXd low = (-mean).cwiseQuotient(reach).cwiseMax(-1), high = (1 - mean.array()).matrix().cwiseQuotient(reach).cwiseMin(1);
  const BoxMinimum found = minimize_in_box(value, Eigen::VectorXd::Zero(mean.size()), low, high, {.max_iterations = 100, .gradient_tolerance = 1e-8});
  const Eigen::VectorXd step = reach.cwiseProduct(found.x);
  const double length = (whitening * step).norm();
  return (mean + step * std::min(1.0, radius / std::max(length, 1e-300))).cwiseMax(0).cwiseMin(1);
}

/// That a trial there would repeat one: as many as a point has variants had the same coordinates, or those of the same cells.
bool SurrogateCmaEs::is_known(const Eigen::VectorXd& x) const {
  const auto same = [&](const Known& known) {
    for (std::size_t k = 0; k < cells_.size(); ++k) {
      const double a = x[static_cast<Eigen::Index>(k)], b = known.x[static_cast<Eigen::Index>(k)];
      if (cells_[k] > 0 ? cell_of(a, cells_[k]) != cell_of(b, cells_[k]) : a != b) return false;
    }
    return true;
  };
  return static_cast<std::size_t>(std::count_if(archive_.begin(), archive_.end(), same)) >= variants_;
}

std::size_t SurrogateCmaEs::archive_limit() const {
  const Eigen::Index d = strategy_.mean().size();
  const Kind richest = d <= kMostDimensions ? Kind::kFull : Kind::kDiagonal;
  return std::max(static_cast<std::size_t>(kArchive * static_cast<double>(QuadraticModel::size(richest, d))), strategy_.population_size());
}

void SurrogateCmaEs::save(StateWriter& out) const {
  const auto put = [&out](const Eigen::VectorXd& x) { out.put(std::span<const double>(x.data(), static_cast<std::size_t>(x.size()))); };
  strategy_.save(out);
  out.put(needed_).put(archive_.size());
  for (const Known& known : archive_) put(known.x), out.put(known.value).put(known.generation);
  out.put(candidates_.size());
  for (const Candidate& one : candidates_) put(one.draw.x), out.put(one.draw.generation).put(one.asked + 2U * one.refused).put(one.told);
  out.put(told_.size());
  for (const Told& one : told_) put(one.draw.x), out.put(one.draw.generation).put(one.value);
}

void SurrogateCmaEs::restore(StateReader& in) {
  const auto vector = [&in, this] {
    const std::vector<double> numbers = in.numbers(cells_.size());
    return Eigen::VectorXd(Eigen::Map<const Eigen::VectorXd>(numbers.data(), static_cast<Eigen::Index>(numbers.size())));
  };
  strategy_.restore(in);
  needed_ = in.integer();
  archive_.resize(in.count());
  for (Known& known : archive_) known.x = vector(), known.value = in.comparable(), known.generation = in.integer();
  candidates_.resize(in.count());
  for (Candidate& one : candidates_) {
    one.draw.x = vector();
    one.draw.generation = in.integer();
    const std::uint64_t state = in.integer();
    one.asked = (state & 1) != 0;
    one.refused = (state & 2) != 0;
    one.told = in.flag();
  }
  told_.resize(in.count());
  for (Told& one : told_) one.draw.x = vector(), one.draw.generation = in.integer(), one.value = in.comparable();
  is_stale_ = true;
}

}  // namespace manta::tune
