#include "tune/searchers/variants.hpp"

#include <algorithm>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

constexpr std::uint32_t kMaxDraws = 10'000;          // a draw takes microseconds
constexpr std::uint64_t kMaxCheckedGrid = 1'000'000;  // larger grids are never walked to their end

/// What is known of a leaf when only the grid's point and the constants are.
enum class Known { kNo, kMaybe, kYes };

}  // namespace

VariantSearcher::VariantSearcher(const Space& space, std::uint64_t num_samples, std::uint64_t seed)
    : space_(space), num_samples_(num_samples), seed_(seed) {
  cross_axes();
  if (grid_size_ <= kMaxCheckedGrid && (space_.has_conditions() || space_.has_forbidden())) leave_points_out();
}

void VariantSearcher::cross_axes() {
  const auto& leaves = space_.leaves();
  for (std::size_t i = 0; i < leaves.size(); ++i)
    if (leaves[i].domain.kind() == Domain::Kind::kGrid) axes_.push_back({i, 1});
  std::sort(axes_.begin(), axes_.end(), [&](const Axis& a, const Axis& b) { return leaves[a.leaf].path < leaves[b.leaf].path; });
  for (Axis& axis : axes_) {
    axis.stride = grid_size_;
    grid_size_ *= leaves[axis.leaf].domain.values().size();
  }
}

const Value& VariantSearcher::value_of(const Axis& axis, std::uint64_t point) const {
  const auto& values = space_.leaves()[axis.leaf].domain.values();
  return values[point / axis.stride % values.size()];
}

void VariantSearcher::leave_points_out() {
  std::vector<std::uint64_t> kept;
  for (std::uint64_t point = 0; point < grid_size_; ++point)
    if (!is_left_out(point)) kept.push_back(point);
  if (kept.empty())
    throw InvalidArgument("search space: nothing is left to try: " + space_.forbidden().front().describe() +
                          " and its like exclude every configuration. Take one of them away.");
  if (kept.size() == grid_size_) return;
  grid_size_ = kept.size();
  points_ = std::move(kept);
}

bool VariantSearcher::is_left_out(std::uint64_t point) const {
  const auto& leaves = space_.leaves();
  FlatSpace::Values values(leaves.size());
  for (const Axis& axis : axes_) values[axis.leaf] = value_of(axis, point);
  for (std::size_t i = 0; i < leaves.size(); ++i)
    if (leaves[i].domain.kind() == Domain::Kind::kConstant) values[i] = leaves[i].domain.values().front();
  std::vector<Known> active(leaves.size(), Known::kYes);
  Config known;  // what every configuration of this point has
  for (const std::size_t i : space_.order()) {
    for (const auto& [parent, clause] : leaves[i].guards)
      active[i] = std::min({active[i], active[parent],
                            !values[parent] ? Known::kMaybe : clause.holds(*values[parent]) ? Known::kYes : Known::kNo});
    if (values[i] && active[i] == Known::kYes) known.set(leaves[i].path, *values[i]);
  }
  const bool repeated = std::any_of(axes_.begin(), axes_.end(), [&](const Axis& axis) {
    return active[axis.leaf] == Known::kNo && point / axis.stride % leaves[axis.leaf].domain.values().size() != 0;
  });
  return repeated || space_.forbidden_in(known);
}

SearcherSpec random_search() {
  return {"random", "random", [](const SearcherContext& context) {
            return std::make_unique<VariantSearcher>(context.space, context.num_samples, context.seed);
          }};
}

Suggestion VariantSearcher::suggest(TrialIndex index) {
  if (index >= num_samples_ * grid_size_) return {};
  const Forbidden* forbidden = nullptr;
  for (std::uint32_t attempt = 0; attempt < kMaxDraws; ++attempt) {
    Config config = draw(index, attempt);
    forbidden = space_.forbidden_in(config);
    if (forbidden) continue;
    std::string text = space_.tag(config);
    return {Suggestion::Kind::kConfig, std::move(config), std::move(text)};
  }
  throw InvalidArgument("search space: " + std::to_string(kMaxDraws) + " configurations were drawn for trial " +
                        std::to_string(index) + " and all were forbidden, the last one by " + forbidden->describe() +
                        ". Forbid less, or change the domains.");
}

Config VariantSearcher::draw(TrialIndex index, std::uint32_t attempt) const {
  const auto random_of = [&](const std::string& path) {
    return Random::stream(seed_, index, attempt == 0 ? path : path + "/again/" + std::to_string(attempt));
  };
  const std::uint64_t place = index % grid_size_;
  const std::uint64_t point = points_.empty() ? place : points_[place];
  const auto& leaves = space_.leaves();
  FlatSpace::Values values(leaves.size());
  for (const std::size_t i : space_.order()) {
    if (!space_.is_active(i, values)) continue;
    const Domain& domain = leaves[i].domain;
    if (domain.kind() == Domain::Kind::kSampleFrom) {
      values[i].emplace();
    } else if (domain.kind() == Domain::Kind::kGrid) {
      const auto axis = std::find_if(axes_.begin(), axes_.end(), [&](const Axis& a) { return a.leaf == i; });
      values[i].emplace(value_of(*axis, point));
    } else {
      Random random = random_of(leaves[i].path);
      values[i].emplace(domain.sample(random, {}));
    }
  }
  Config config = space_.assemble(values);
  space_.run_functions(config, random_of);
  return config;
}

}  // namespace manta::tune
