#include "tune/schedulers/asha_rung.hpp"

#include <algorithm>

#include "tune/random.hpp"
#include "tune/value.hpp"

namespace manta::tune {

QuantileRung::QuantileRung(double reduction_factor, double sign)
    : percent_((1 - 1 / reduction_factor) * 100), sign_(sign), values_(percent_) {}

bool QuantileRung::judge(const std::vector<double>& values) {
  const bool worse = values.front() < values_.value();  // false when either is NaN
  values_.add(values.front());
  ++count_;
  return worse;
}

std::string QuantileRung::text() const { return count_ == 0 ? "None" : number_text(sign_ * values_.value(), 6); }

void QuantileRung::save(StateWriter& out) const {
  out.put(count_).put(values_.size());
  for (const double value : values_.numbers()) out.put(value);
}

void QuantileRung::restore(StateReader& in) {
  values_ = RunningQuantile(percent_);
  count_ = in.integer();
  for (std::uint64_t left = in.count(); left > 0; --left) values_.add(in.number());
}

bool ParetoRung::judge(const std::vector<double>& values) {
  Losses& losses = points_.emplace_back();
  for (const double value : values) losses.push_back(-value);
  if (points_.size() > kMost) points_.pop_front();
  return static_cast<double>(better_than_newest()) * factor_ > static_cast<double>(points_.size());
}

std::size_t ParetoRung::better_than_newest() const {
  const std::vector<Losses> points(points_.begin(), points_.end());
  const std::vector<std::size_t> ranks = nondominated_ranks(points);
  std::size_t better = 0;
  std::vector<Losses> front;
  for (std::size_t i = 0; i < points.size(); ++i) {
    better += ranks[i] < ranks.back();
    if (ranks[i] == ranks.back()) front.push_back(points[i]);
  }
  const std::vector<double> lonely = crowding_distances(front);
  return better + static_cast<std::size_t>(std::count_if(lonely.begin(), lonely.end(), [&](double each) { return each > lonely.back(); }));
}

std::string ParetoRung::text() const {
  const std::vector<Losses> points(points_.begin(), points_.end());
  return std::to_string(pareto_front(points).size()) + " on the front of " + std::to_string(points.size());
}

void ParetoRung::save(StateWriter& out) const {
  out.put(points_.size());
  for (const Losses& losses : points_) out.put(losses);
}

void ParetoRung::restore(StateReader& in) {
  points_.clear();
  for (std::uint64_t left = in.count(); left > 0; --left) points_.push_back(in.numbers(objectives_));
}

}  // namespace manta::tune
