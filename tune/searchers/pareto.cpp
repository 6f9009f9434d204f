#include "tune/searchers/pareto.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

bool has_nan(const Losses& losses) noexcept {
  return std::any_of(losses.begin(), losses.end(), [](double loss) { return std::isnan(loss); });
}

void check_length(const Losses& point, std::size_t wanted) {
  if (point.size() != wanted)
    throw InvalidArgument("pareto: a point of " + std::to_string(point.size()) + " losses beside one of " + std::to_string(wanted) +
                          "; all points, and the reference, must have a loss for each objective.");
}

void check_lengths(const std::vector<Losses>& points) {
  for (const Losses& point : points) check_length(point, points.front().size());
}

double box(const Losses& point, const Losses& reference) {
  double volume = 1;
  for (std::size_t k = 0; k < point.size(); ++k) volume *= reference[k] - point[k];
  return volume;
}

/// The area below `reference` of points that are all below it.
double area(std::vector<Losses> points, const Losses& reference) {
  std::sort(points.begin(), points.end());
  double total = 0, lowest = reference[1];
  for (const Losses& point : points) {
    if (point[1] >= lowest) continue;
    total += (reference[0] - point[0]) * (lowest - point[1]);
    lowest = point[1];
  }
  return total;
}

std::vector<Losses> front_of(const std::vector<Losses>& points) {
  std::vector<Losses> front;
  for (std::size_t i : pareto_front(points)) front.push_back(points[i]);
  std::sort(front.begin(), front.end());
  front.erase(std::unique(front.begin(), front.end()), front.end());
  return front;
}

/// The volume of a front: each point adds its box less what of it the later ones dominate.
double volume(const std::vector<Losses>& front, const Losses& reference) {
  if (reference.size() == 2) return area(front, reference);
  double total = 0;
  for (std::size_t i = 0; i < front.size(); ++i) {
    std::vector<Losses> within;
    for (std::size_t j = i + 1; j < front.size(); ++j) {
      Losses corner(reference.size());
      for (std::size_t k = 0; k < corner.size(); ++k) corner[k] = std::max(front[i][k], front[j][k]);
      within.push_back(std::move(corner));
    }
    total += box(front[i], reference) - volume(front_of(within), reference);
  }
  return total;
}

}  // namespace

bool dominates(const Losses& a, const Losses& b) {
  check_length(b, a.size());
  if (has_nan(a)) return false;
  if (has_nan(b)) return true;
  bool smaller = false;
  for (std::size_t k = 0; k < a.size(); ++k) {
    if (a[k] > b[k]) return false;
    smaller |= a[k] < b[k];
  }
  return smaller;
}

namespace {

/// Lexicographically, those with a NaN last: a point can only be dominated by one before it.
std::vector<std::size_t> lexicographic_order(const std::vector<Losses>& points) {
  std::vector<std::size_t> order(points.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const bool nan_a = has_nan(points[a]), nan_b = has_nan(points[b]);
    return nan_a || nan_b ? nan_a < nan_b : points[a] < points[b];
  });
  return order;
}

/// Whether one of a front, whose members came in lexicographic order, dominates a point that comes after them.
bool any_dominates(const std::vector<Losses>& points, const std::vector<std::size_t>& front, const Losses& point) {
  // Of two objectives the newest of the front has the smallest second: who is not dominated by it is by none.
  const auto first = point.size() == 2 && !front.empty() ? front.end() - 1 : front.begin();
  return std::any_of(first, front.end(), [&](std::size_t j) { return dominates(points[j], point); });
}

}  // namespace

std::vector<std::size_t> pareto_front(const std::vector<Losses>& points) {
  check_lengths(points);
  std::vector<std::size_t> front;
  for (std::size_t i : lexicographic_order(points))
    if (!any_dominates(points, front, points[i])) front.push_back(i);
  std::sort(front.begin(), front.end());
  return front;
}

std::vector<std::size_t> nondominated_ranks(const std::vector<Losses>& points) {
  check_lengths(points);
  std::vector<std::size_t> ranks(points.size(), 0);
  std::vector<std::vector<std::size_t>> fronts;
  for (std::size_t i : lexicographic_order(points)) {
    // Who is dominated by a front is so by every front before it.
    const auto place = std::partition_point(fronts.begin(), fronts.end(), [&](const auto& front) { return any_dominates(points, front, points[i]); });
    ranks[i] = static_cast<std::size_t>(place - fronts.begin());
    if (place == fronts.end()) fronts.emplace_back();
    fronts[ranks[i]].push_back(i);
  }
  return ranks;
}

std::vector<double> crowding_distances(const std::vector<Losses>& front) {
  check_lengths(front);
  const std::size_t n = front.size();
  std::vector<double> distances(n, 0);
  if (n == 0) return distances;
  const double inf = std::numeric_limits<double>::infinity();
  std::vector<std::size_t> order(n);
  for (std::size_t k = 0; k < front.front().size(); ++k) {
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto loss = [&](std::size_t i) { return std::isnan(front[i][k]) ? inf : front[i][k]; };
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return loss(a) < loss(b); });
    const auto gap = [&](std::size_t a, std::size_t b) { return loss(a) == loss(b) ? 0 : loss(b) - loss(a); };
    const double range = gap(order.front(), order.back());
    if (range == 0) continue;  // all alike: this objective tells nothing
    distances[order.front()] = distances[order.back()] = inf;
    for (std::size_t i = 1; i + 1 < n; ++i) {
      const double between = gap(order[i - 1], order[i + 1]);
      distances[order[i]] += std::isinf(range) ? (std::isinf(between) ? 1 : 0) : between / range;
    }
  }
  return distances;
}

double hypervolume(std::vector<Losses> points, const Losses& reference) {
  for (const Losses& point : points) check_length(point, reference.size());
  std::erase_if(points, [&](const Losses& point) {
    for (std::size_t k = 0; k < point.size(); ++k)
      if (!(point[k] < reference[k])) return true;
    return false;
  });
  if (points.empty()) return 0;
  for (const Losses& point : points)
    if (std::any_of(point.begin(), point.end(), [](double loss) { return std::isinf(loss); }))
      return std::numeric_limits<double>::infinity();
  if (reference.size() == 1) return reference[0] - (*std::min_element(points.begin(), points.end()))[0];
  return volume(front_of(points), reference);
}

}  // namespace manta::tune
