#include "tune/searchers/acquisition.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "tune/searchers/box_minimum.hpp"
#include "tune/searchers/qmc.hpp"

namespace manta::tune {

namespace {

constexpr std::size_t kExhaustive = 16;  // a grid of so many coordinates is looked at whole
constexpr double kGain = 1e-9;           // less is no gain: the search must end

struct Peak {
  Eigen::VectorXd x{};
  std::vector<bool> active{};
  double value{-std::numeric_limits<double>::infinity()};
};

class Climber {
 public:
  Climber(const ExpectedImprovement& improvement, const MixedDomain& domain)
      : improvement_(improvement), domain_(domain),
        lengths_(improvement.gp().parameters().inverse_squared_lengths.array().rsqrt()) {}

  Peak climb(Peak peak, int max_rounds) const {
    for (int round = 0; round < max_rounds; ++round) {
      bool gained = along_gradient(peak);
      for (std::size_t k = 0; k < domain_.grid.size(); ++k)
        if (!domain_.grid[k].empty() && peak.active[k]) gained |= along_grid(peak, k);
      if (!gained || free_count(peak) == peak.x.size()) break;  // with continuous coordinates alone one ascent is all
    }
    return peak;
  }

 private:
  bool is_free(const Peak& peak, Eigen::Index k) const {
    const auto i = static_cast<std::size_t>(k);
    return domain_.grid[i].empty() && peak.active[i];
  }
  Eigen::Index free_count(const Peak& peak) const {
    Eigen::Index count = 0;
    for (Eigen::Index k = 0; k < peak.x.size(); ++k) count += is_free(peak, k);
    return count;
  }

  bool take(Peak& peak, Eigen::VectorXd x) const {
    Peak other{std::move(x), {}, 0};
    if (!domain_.project(other.x, other.active)) return false;
    other.value = improvement_.value(other.x);
    if (!(other.value > peak.value + kGain)) return false;
    peak = std::move(other);
    return true;
  }

  bool along_gradient(Peak& peak) const {
    std::vector<Eigen::Index> free;
    for (Eigen::Index k = 0; k < peak.x.size(); ++k)
      if (is_free(peak, k)) free.push_back(k);
    if (free.empty()) return false;
    const auto count = static_cast<Eigen::Index>(free.size());
    Eigen::VectorXd start(count), high(count), x = peak.x, whole(peak.x.size());
    for (Eigen::Index j = 0; j < count; ++j) {
      start[j] = peak.x[free[static_cast<std::size_t>(j)]] / lengths_[free[static_cast<std::size_t>(j)]];
      high[j] = 1 / lengths_[free[static_cast<std::size_t>(j)]];
    }
    const auto spread = [&](const Eigen::VectorXd& scaled) {
      for (Eigen::Index j = 0; j < count; ++j) {
        const Eigen::Index k = free[static_cast<std::size_t>(j)];
        x[k] = std::clamp(scaled[j] * lengths_[k], 0.0, 1.0);
      }
    };
    const Differentiable descent = [&](const Eigen::VectorXd& scaled, Eigen::VectorXd& gradient) {
      spread(scaled);
      const double value = improvement_.value(x, whole);
      for (Eigen::Index j = 0; j < count; ++j)
        gradient[j] = -whole[free[static_cast<std::size_t>(j)]] * lengths_[free[static_cast<std::size_t>(j)]];
      return -value;
    };
    const BoxMinimum found = minimize_in_box(descent, start, Eigen::VectorXd::Zero(count), high,
                                             {.max_iterations = 200, .gradient_tolerance = 1e-2});
    if (!std::isfinite(found.value)) return false;
    spread(found.x);
    return take(peak, x);
  }

  bool along_grid(Peak& peak, std::size_t k) const {
    const auto& grid = domain_.grid[k];
    const auto at = [&](std::size_t i) {
      Eigen::VectorXd x = peak.x;
      x[static_cast<Eigen::Index>(k)] = grid[i];
      return x;
    };
    bool gained = false;
    if (domain_.categorical[k] || grid.size() <= kExhaustive) {
      for (std::size_t i = 0; i < grid.size(); ++i)
        if (peak.active[k] && grid[i] != peak.x[static_cast<Eigen::Index>(k)]) gained |= take(peak, at(i));
      return gained;
    }
    // A long grid: steps of halving length both ways, from the nearest coordinate.
    const auto nearest = [&](double coordinate) {
      const auto above = static_cast<std::size_t>(std::lower_bound(grid.begin(), grid.end(), coordinate) - grid.begin());
      if (above == grid.size()) return grid.size() - 1;
      return above > 0 && coordinate - grid[above - 1] < grid[above] - coordinate ? above - 1 : above;
    };
    for (std::size_t step = std::bit_floor(grid.size() / 2); step > 0 && peak.active[k]; step /= 2) {
      const std::size_t here = nearest(peak.x[static_cast<Eigen::Index>(k)]);
      if (here + step < grid.size()) gained |= take(peak, at(here + step));
      if (here >= step) gained |= take(peak, at(here - step));
    }
    return gained;
  }

  const ExpectedImprovement& improvement_;
  const MixedDomain& domain_;
  Eigen::ArrayXd lengths_;
};

std::vector<Peak> look_around(const ExpectedImprovement& improvement, const MixedDomain& domain, int count, Random& random) {
  const auto dimensions = static_cast<Eigen::Index>(domain.grid.size());
  const auto points = sobol_points(static_cast<std::size_t>(count), domain.grid.size(), random);
  std::vector<Peak> peaks;
  for (Eigen::Index i = 0; i < count; ++i) {
    Peak peak{Eigen::Map<const Eigen::VectorXd>(points.data() + i * dimensions, dimensions), {}, 0};
    if (domain.project(peak.x, peak.active)) peaks.push_back(std::move(peak));
  }
  Eigen::MatrixXd xs(static_cast<Eigen::Index>(peaks.size()), dimensions);
  for (std::size_t i = 0; i < peaks.size(); ++i) xs.row(static_cast<Eigen::Index>(i)) = peaks[i].x.transpose();
  const Eigen::VectorXd values = improvement.values(xs);
  for (std::size_t i = 0; i < peaks.size(); ++i) peaks[i].value = values[static_cast<Eigen::Index>(i)];
  return peaks;
}

/// The best, and others drawn without replacement with chances as their expected improvement. The Gumbel-max trick does it
/// in one pass (Kool, van Hoof and Welling, 2019).
std::vector<Peak> choose(std::vector<Peak> peaks, std::size_t count, Random& random) {
  std::swap(peaks.front(), *std::max_element(peaks.begin(), peaks.end(), [](auto& a, auto& b) { return a.value < b.value; }));
  std::vector<std::pair<double, std::size_t>> keys;
  for (std::size_t i = 1; i < peaks.size(); ++i) {
    const double key = peaks[i].value - std::log(-std::log(random.uniform() + 0x1.0p-54));
    if (peaks[i].value > peaks.front().value - 700) keys.emplace_back(key, i);
  }
  std::sort(keys.begin(), keys.end(), std::greater<>());
  std::vector<Peak> chosen{peaks.front()};
  for (std::size_t i = 0; i < keys.size() && chosen.size() < count; ++i) chosen.push_back(peaks[keys[i].second]);
  return chosen;
}

}  // namespace

std::optional<Eigen::VectorXd> maximise(const ExpectedImprovement& improvement, const MixedDomain& domain,
                                        const Eigen::MatrixXd& also_from, Random& random, const AcquisitionOptions& options) {
  std::vector<Peak> starts = look_around(improvement, domain, options.preliminary_samples, random);
  if (starts.empty()) return std::nullopt;
  const auto given = static_cast<std::size_t>(also_from.rows()), wanted = static_cast<std::size_t>(options.local_searches);
  starts = choose(std::move(starts), given + 1 < wanted ? wanted - given : 1, random);
  for (Eigen::Index i = 0; i < also_from.rows(); ++i) {
    Peak peak{also_from.row(i).transpose(), {}, 0};
    if (!domain.project(peak.x, peak.active)) continue;
    peak.value = improvement.value(peak.x);
    starts.push_back(std::move(peak));
  }
  const Climber climber(improvement, domain);
  Peak best;
  for (Peak& start : starts) {
    Peak peak = climber.climb(std::move(start), options.max_rounds);
    if (best.x.size() == 0 || peak.value > best.value) best = std::move(peak);
  }
  return best.x;
}

}  // namespace manta::tune
