#include "tune/report/regression_tree.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <span>

namespace manta::tune {

namespace {

constexpr std::size_t kMaxLevels = 64;

struct Split {
  double gain{0};  ///< by how much the sum of squares falls
  std::size_t column{0};
  double threshold{0};
  std::uint64_t left_levels{0};
};

struct Sums {
  double total{0};
  double count{0};
  void add(double value, double times = 1) { total += value, count += times; }
  double score() const { return count > 0 ? total * total / count : 0; }
};

class Grower {
 public:
  Grower(const std::vector<FanovaColumn>& columns, const std::vector<double>& targets, std::size_t max_depth)
      : columns_(columns), targets_(targets), max_depth_(max_depth) {}

  std::vector<Leaf> grow(std::vector<std::size_t>& rows) {
    std::vector<LeafSide> whole(columns_.size());
    for (std::size_t i = 0; i < columns_.size(); ++i)
      if (const std::size_t levels = columns_[i].levels; levels > 0 && levels < kMaxLevels)
        whole[i].levels = (std::uint64_t{1} << levels) - 1;
    node(rows, whole, 0);
    return std::move(leaves_);
  }

 private:
  void node(std::span<std::size_t> rows, const std::vector<LeafSide>& box, std::size_t depth) {
    Sums all;
    for (std::size_t row : rows) all.add(targets_[row]);
    Split best;
    if (depth < max_depth_ && !pure(rows))
      for (std::size_t i = 0; i < columns_.size(); ++i)
        columns_[i].levels ? try_levels(i, rows, all, best) : try_thresholds(i, rows, all, best);
    if (best.gain <= 0) {
      leaves_.push_back({box, all.total / all.count});
      return;
    }
    const auto middle = std::partition(rows.begin(), rows.end(), [&](std::size_t row) { return goes_left(best, row); });
    std::vector<LeafSide> left = box, right = box;
    if (columns_[best.column].levels) {
      left[best.column].levels &= best.left_levels;
      right[best.column].levels &= ~best.left_levels;
    } else {
      left[best.column].high = right[best.column].low = best.threshold;
    }
    const auto size = static_cast<std::size_t>(middle - rows.begin());
    node(rows.first(size), left, depth + 1);
    node(rows.subspan(size), right, depth + 1);
  }

  bool pure(std::span<const std::size_t> rows) const {
    return std::all_of(rows.begin(), rows.end(), [&](std::size_t row) { return targets_[row] == targets_[rows.front()]; });
  }

  bool goes_left(const Split& split, std::size_t row) const {
    const double value = columns_[split.column].values[row];
    if (columns_[split.column].levels == 0) return value <= split.threshold;
    return split.left_levels >> static_cast<std::size_t>(value) & 1;
  }

  static bool improves(const Sums& left, const Sums& all, double& best_gain) {
    const Sums right{all.total - left.total, all.count - left.count};
    const double gain = left.score() + right.score() - all.score();
    const double noise = 1e-12 * (all.score() + left.score());
    if (gain <= best_gain || gain <= noise) return false;
    best_gain = gain;
    return true;
  }

  void try_thresholds(std::size_t column, std::span<const std::size_t> rows, const Sums& all, Split& best) {
    const auto& values = columns_[column].values;
    sorted_.assign(rows.begin(), rows.end());
    std::sort(sorted_.begin(), sorted_.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    Sums left;
    for (std::size_t i = 0; i + 1 < sorted_.size(); ++i) {
      left.add(targets_[sorted_[i]]);
      const double here = values[sorted_[i]], next = values[sorted_[i + 1]];
      const double threshold = here + (next - here) / 2;
      if (here < next && threshold < next && improves(left, all, best.gain))
        best.column = column, best.threshold = threshold;
    }
  }

  void try_levels(std::size_t column, std::span<const std::size_t> rows, const Sums& all, Split& best) {
    std::array<Sums, kMaxLevels> sums{};
    for (std::size_t row : rows) sums[static_cast<std::size_t>(columns_[column].values[row])].add(targets_[row]);
    std::vector<std::size_t> order;
    for (std::size_t level = 0; level < columns_[column].levels; ++level)
      if (sums[level].count > 0) order.push_back(level);
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return sums[a].total * sums[b].count < sums[b].total * sums[a].count;
    });
    Sums left;
    std::uint64_t levels = 0;
    for (std::size_t i = 0; i + 1 < order.size(); ++i) {
      left.add(sums[order[i]].total, sums[order[i]].count);
      levels |= std::uint64_t{1} << order[i];
      if (improves(left, all, best.gain)) best.column = column, best.left_levels = levels;
    }
  }

  const std::vector<FanovaColumn>& columns_;
  const std::vector<double>& targets_;
  std::size_t max_depth_;
  std::vector<std::size_t> sorted_;
  std::vector<Leaf> leaves_;
};

}  // namespace

std::vector<Leaf> grow_tree(const std::vector<FanovaColumn>& columns, const std::vector<double>& targets,
                            std::vector<std::size_t> rows, std::size_t max_depth) {
  return Grower(columns, targets, max_depth).grow(rows);
}

}  // namespace manta::tune
