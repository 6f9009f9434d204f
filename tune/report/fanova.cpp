#include "tune/report/fanova.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "runtime/errors.hpp"
#include "tune/random.hpp"
#include "tune/report/regression_tree.hpp"

namespace manta::tune {

namespace {

using Range = std::pair<std::size_t, std::size_t>;  // of cells: [first, second)

/// One parameter's range cut where the tree splits it: on a cell the tree's marginal is constant.
class Cells {
 public:
  Cells(const FanovaColumn& column, std::size_t index, const std::vector<Leaf>& leaves)
      : index_(index), levels_(column.levels) {
    if (levels_) {
      sizes_.assign(levels_, 1.0 / static_cast<double>(levels_));
      return;
    }
    for (const Leaf& leaf : leaves) edges_.push_back(leaf.sides[index].low);
    edges_.push_back(1);
    std::sort(edges_.begin(), edges_.end());
    edges_.erase(std::unique(edges_.begin(), edges_.end()), edges_.end());
    for (std::size_t i = 0; i + 1 < edges_.size(); ++i) sizes_.push_back(edges_[i + 1] - edges_[i]);
  }

  const std::vector<double>& sizes() const noexcept { return sizes_; }
  std::size_t count() const noexcept { return sizes_.size(); }

  /// What share of the range the leaf covers.
  double covered(const Leaf& leaf) const {
    const LeafSide& side = leaf.sides[index_];
    return levels_ ? static_cast<double>(std::popcount(side.levels)) / static_cast<double>(levels_) : side.high - side.low;
  }

  void ranges(const Leaf& leaf, std::vector<Range>& out) const {
    out.clear();
    const LeafSide& side = leaf.sides[index_];
    if (levels_ == 0) return out.push_back({cell_at(side.low), cell_at(side.high)});
    for (std::size_t level = 0; level < levels_; ++level)
      if (side.levels >> level & 1) out.push_back({level, level + 1});
  }

 private:
  std::size_t cell_at(double edge) const {
    return static_cast<std::size_t>(std::lower_bound(edges_.begin(), edges_.end(), edge) - edges_.begin());
  }

  std::size_t index_;
  std::size_t levels_;
  std::vector<double> edges_{};
  std::vector<double> sizes_{};
};

/// The variance of one tree, split up.
class TreeVariance {
 public:
  TreeVariance(const std::vector<FanovaColumn>& columns, std::vector<Leaf> leaves) : leaves_(std::move(leaves)) {
    for (std::size_t i = 0; i < columns.size(); ++i) cells_.emplace_back(columns[i], i, leaves_);
    double square = 0;
    for (const Leaf& leaf : leaves_) {
      double volume = 1;
      for (const Cells& cells : cells_) volume *= cells.covered(leaf);
      volumes_.push_back(volume);
      mean_ += volume * leaf.value;
    }
    for (std::size_t i = 0; i < leaves_.size(); ++i) square += volumes_[i] * std::pow(leaves_[i].value - mean_, 2);
    variance_ = square;
    for (std::size_t i = 0; i < columns.size(); ++i) single_.push_back(of_one(i));
  }

  double total() const noexcept { return variance_; }
  double single(std::size_t column) const { return single_[column]; }

  /// What the two do together beyond what each does alone.
  double pair(std::size_t a, std::size_t b) const {
    const Cells &rows = cells_[a], &columns = cells_[b];
    const std::size_t stride = columns.count() + 1;
    std::vector<double> steps((rows.count() + 1) * stride, 0);  // second differences of the marginal
    std::vector<Range> in_rows, in_columns;
    for (std::size_t i = 0; i < leaves_.size(); ++i) {
      const double weight = (leaves_[i].value - mean_) * volumes_[i] / (rows.covered(leaves_[i]) * columns.covered(leaves_[i]));
      rows.ranges(leaves_[i], in_rows);
      columns.ranges(leaves_[i], in_columns);
      for (const Range& r : in_rows)
        for (const Range& c : in_columns) {
          steps[r.first * stride + c.first] += weight;
          steps[r.first * stride + c.second] -= weight;
          steps[r.second * stride + c.first] -= weight;
          steps[r.second * stride + c.second] += weight;
        }
    }
    double variance = 0;
    for (std::size_t r = 0; r < rows.count(); ++r) {
      double sum = 0;
      for (std::size_t c = 0; c < columns.count(); ++c) {
        sum += steps[r * stride + c];
        double& above = steps[r * stride + c];
        above = sum + (r ? steps[(r - 1) * stride + c] : 0);
        variance += rows.sizes()[r] * columns.sizes()[c] * above * above;
      }
    }
    return std::max(0.0, variance - single_[a] - single_[b]);
  }

 private:
  double of_one(std::size_t column) const {
    const Cells& cells = cells_[column];
    std::vector<double> steps(cells.count() + 1, 0);
    std::vector<Range> ranges;
    for (std::size_t i = 0; i < leaves_.size(); ++i) {
      const double weight = (leaves_[i].value - mean_) * volumes_[i] / cells.covered(leaves_[i]);
      cells.ranges(leaves_[i], ranges);
      for (const Range& range : ranges) steps[range.first] += weight, steps[range.second] -= weight;
    }
    double variance = 0, marginal = 0;
    for (std::size_t i = 0; i < cells.count(); ++i) {
      marginal += steps[i];
      variance += cells.sizes()[i] * marginal * marginal;
    }
    return variance;
  }

  std::vector<Leaf> leaves_;
  std::vector<Cells> cells_;
  std::vector<double> volumes_;
  double mean_{0};
  double variance_{0};
  std::vector<double> single_;
};

Importance over_trees(const std::vector<TreeVariance>& trees, auto&& part) {
  double sum = 0, square = 0, count = 0;
  for (const TreeVariance& tree : trees) {
    if (tree.total() <= 0) continue;
    const double share = part(tree) / tree.total();
    sum += share, square += share * share, count += 1;
  }
  if (count == 0) return {};
  const double mean = sum / count;
  return {.share = mean, .deviation = std::sqrt(std::max(0.0, square / count - mean * mean))};
}

void largest_first(std::vector<Importance>& list) {
  std::stable_sort(list.begin(), list.end(), [](const Importance& a, const Importance& b) { return a.share > b.share; });
}

}  // namespace

std::vector<Importance> fanova(const std::vector<FanovaColumn>& columns, const std::vector<double>& targets,
                               const FanovaOptions& options) {
  for (const FanovaColumn& column : columns) MANTA_CHECK(column.values.size() == targets.size() && column.levels <= 64);
  std::vector<Importance> singles, pairs;
  std::vector<TreeVariance> trees;
  for (std::size_t t = 0; t < options.trees && !targets.empty(); ++t) {
    Random random = Random::stream(options.seed, t, "fanova");
    std::vector<std::size_t> rows(targets.size());
    for (std::size_t& row : rows) row = static_cast<std::size_t>(random.randint(0, static_cast<std::int64_t>(targets.size())));
    trees.emplace_back(columns, grow_tree(columns, targets, std::move(rows), options.max_depth));
  }
  for (std::size_t i = 0; i < columns.size(); ++i) {
    singles.push_back(over_trees(trees, [&](const TreeVariance& tree) { return tree.single(i); }));
    singles.back().first = i;
  }
  largest_first(singles);
  const std::size_t among = std::min(options.pairs_among, singles.size());
  for (std::size_t i = 0; i < among; ++i)
    for (std::size_t j = i + 1; j < among; ++j) {
      const auto [a, b] = std::minmax(singles[i].first, singles[j].first);
      pairs.push_back(over_trees(trees, [a = a, b = b](const TreeVariance& tree) { return tree.pair(a, b); }));
      pairs.back().first = a, pairs.back().second = b;
    }
  largest_first(pairs);
  singles.insert(singles.end(), pairs.begin(), pairs.end());
  return singles;
}

}  // namespace manta::tune
