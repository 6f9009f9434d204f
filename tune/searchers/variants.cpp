#include "tune/searchers/variants.hpp"

#include <algorithm>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

constexpr std::uint32_t kMaxDraws = 10'000;          // a draw takes microseconds
constexpr std::uint64_t kMaxCheckedGrid = 1'000'000;  // larger grids are looked through as trials are asked for
constexpr std::uint64_t kMaxLeftOut = 10'000'000;     // stretches of points in a row: some seconds

/// What is known of a leaf when only the grid's point and the constants are.
enum class Known { kNo, kMaybe, kYes };

/// The names on the way to a leaf. An item's number has all its digits, so that texts in order are numbers in order.
using Way = std::vector<std::string>;

void add_ways(const Domain& domain, const Way& way, std::vector<Way>& ways) {
  const auto below = [&](const std::string& name, const Domain& inner) {
    Way longer = way;
    longer.push_back(name);
    add_ways(inner, longer, ways);
  };
  if (domain.kind() == Domain::Kind::kNested && !domain.nested().parameters().empty()) {
    for (const Parameter& parameter : domain.nested().parameters()) below(parameter.name, parameter.domain);
  } else if (domain.kind() == Domain::Kind::kList && !domain.elements().empty()) {
    for (std::size_t i = 0; i < domain.elements().size(); ++i) {
      const std::string number = std::to_string(i);
      below(std::string(20 - number.size(), '0') + number, domain.elements()[i]);
    }
  } else {
    ways.push_back(way);
  }
}

/// Of each leaf, in the order of the space.
std::vector<Way> ways_to_leaves(const Space& space) {
  std::vector<Way> ways;
  for (const Parameter& parameter : space.parameters()) add_ways(parameter.domain, {parameter.name}, ways);
  return ways;
}

std::uint64_t product(std::uint64_t a, std::uint64_t b) { return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b; }

/// The next multiple.
std::uint64_t after(std::uint64_t point, std::uint64_t stride) { return product(point / stride + 1, stride); }

}  // namespace

VariantSearcher::VariantSearcher(const Space& space, std::uint64_t num_samples, std::uint64_t seed)
    : space_(space), leaves_out_(space_.has_conditions() || space_.has_forbidden()), num_samples_(num_samples), seed_(seed) {
  cross_axes();
  if (leaves_out_ && grid_size_ <= kMaxCheckedGrid) look_through(grid_size_);
}

std::optional<std::uint64_t> VariantSearcher::total() const {
  const bool all_known = leaves_out_ && next_ == grid_size_;
  return product(num_samples_, all_known ? points_.size() : grid_size_);
}

void VariantSearcher::cross_axes() {
  const auto& leaves = space_.leaves();
  for (std::size_t i = 0; i < leaves.size(); ++i)
    if (leaves[i].domain.kind() == Domain::Kind::kGrid) axes_.push_back({i, 1, UINT64_MAX});
  const std::vector<Way> ways = ways_to_leaves(space_.space());
  MANTA_CHECK(ways.size() == leaves.size());
  std::sort(axes_.begin(), axes_.end(), [&](const Axis& a, const Axis& b) { return ways[a.leaf] < ways[b.leaf]; });
  for (Axis& axis : axes_) {
    axis.stride = grid_size_;
    grid_size_ = product(grid_size_, leaves[axis.leaf].domain.values().size());
  }
  if (leaves_out_) find_strides();
}

void VariantSearcher::find_strides() {
  const auto& leaves = space_.leaves();
  std::vector<std::uint64_t> strides(leaves.size(), UINT64_MAX);  // of what a leaf's value and activity hang on
  for (const Axis& axis : axes_) strides[axis.leaf] = axis.stride;
  for (const std::size_t i : space_.order()) {
    std::uint64_t guards = UINT64_MAX;
    for (const auto& guard : leaves[i].guards) guards = std::min(guards, strides[guard.leaf]);
    for (Axis& axis : axes_)
      if (axis.leaf == i) axis.guards = guards;
    strides[i] = std::min(strides[i], guards);
  }
  for (const Forbidden& forbidden : space_.forbidden()) {
    std::uint64_t& stride = forbidden_strides_.emplace_back(UINT64_MAX);
    for (std::size_t i = 0; i < leaves.size(); ++i)
      for (const Clause& clause : forbidden.clauses)
        if (clause.name == leaves[i].path) stride = std::min(stride, strides[i]);
  }
}

const Value& VariantSearcher::value_of(const Axis& axis, std::uint64_t point) const {
  const auto& values = space_.leaves()[axis.leaf].domain.values();
  return values[point / axis.stride % values.size()];
}

/// Until so many points are known that are not left out, or all are.
void VariantSearcher::look_through(std::uint64_t wanted) {
  std::uint64_t left_out = 0;
  while (next_ < grid_size_ && points_.size() < wanted) {
    const std::uint64_t kept = kept_from(next_);
    if (kept == next_) points_.push_back(next_);
    left_out = kept == next_ ? 0 : left_out + 1;
    next_ = std::min(std::max(kept, next_ + 1), grid_size_);
    if (left_out == kMaxLeftOut)
      throw InvalidArgument("search space: of the grid, more than " + std::to_string(kMaxLeftOut) + " points in a row are forbidden or repeat "
                            "others. Forbid less, or make the grid smaller.");
  }
  if (points_.empty())
    throw InvalidArgument("search space: nothing is left to try: " + space_.forbidden().front().describe() +
                          " and its like exclude every configuration. Take one of them away.");
}

/// The grid's point of that trial; none once the grid was gone through num_samples times.
std::optional<std::uint64_t> VariantSearcher::point_of(TrialIndex index) {
  if (leaves_out_) look_through(index + std::uint64_t{1});
  if (index >= *total()) return std::nullopt;
  return leaves_out_ ? points_[index % points_.size()] : index % grid_size_;
}

/// The point, or when it is left out the next one that may not be: all between are left out for the same reason.
std::uint64_t VariantSearcher::kept_from(std::uint64_t point) const {
  const auto& leaves = space_.leaves();
  FlatSpace::Values values(leaves.size());
  for (const Axis& axis : axes_) values[axis.leaf] = value_of(axis, point);
  for (std::size_t i = 0; i < leaves.size(); ++i)
    if (const Domain& domain = leaves[i].domain; domain.kind() == Domain::Kind::kConstant)
      values[i] = domain.values().front();
    else if (domain.is_searchable() && domain.num_values() == 1)
      values[i] = domain.at(0.5);
  std::vector<Known> active(leaves.size(), Known::kYes);
  Config known;  // what every configuration of this point has
  for (const std::size_t i : space_.order()) {
    for (const auto& [parent, clause] : leaves[i].guards)
      active[i] = std::min({active[i], active[parent],
                            !values[parent] ? Known::kMaybe : clause.holds(*values[parent]) ? Known::kYes : Known::kNo});
    if (values[i] && active[i] == Known::kYes) known.set(leaves[i].path, *values[i]);
  }
  std::uint64_t next = point;
  for (const Axis& axis : axes_) {
    const std::uint64_t size = leaves[axis.leaf].domain.values().size();
    if (active[axis.leaf] == Known::kNo && point / axis.stride % size != 0)  // with its first value the rest was there
      next = std::max(next, std::min(after(point, product(axis.stride, size)), after(point, axis.guards)));
  }
  if (const Forbidden* forbidden = space_.forbidden_in(known))
    next = std::max(next, after(point, forbidden_strides_[static_cast<std::size_t>(forbidden - space_.forbidden().data())]));
  return next;
}

SearcherSpec random_search() {
  return {"random", "random", [](const SearcherContext& context) {
            return std::make_unique<VariantSearcher>(context.space, context.num_samples, context.seed);
          }};
}

Suggestion VariantSearcher::suggest(TrialIndex index) {
  const auto point = point_of(index);
  if (!point) return {};
  const Forbidden* forbidden = nullptr;
  for (std::uint32_t attempt = 0; attempt < kMaxDraws; ++attempt) {
    Config config = draw(index, *point, attempt);
    forbidden = space_.forbidden_in(config);
    if (forbidden) continue;
    std::string text = space_.tag(config);
    return {Suggestion::Kind::kConfig, std::move(config), std::move(text)};
  }
  throw InvalidArgument("search space: " + std::to_string(kMaxDraws) + " configurations were drawn for trial " +
                        std::to_string(index) + " and all were forbidden, the last one by " + forbidden->describe() +
                        ". Forbid less, or change the domains.");
}

Config VariantSearcher::draw(TrialIndex index, std::uint64_t point, std::uint32_t attempt) const {
  const auto random_of = [&](const std::string& path) {
    return Random::stream(seed_, index, attempt == 0 ? path : path + "/again/" + std::to_string(attempt));
  };
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
