#include "tune/searchers/encoding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t kNoDimension = static_cast<std::size_t>(-1);
constexpr int kMaxDraws = 10'000;

Dimension::Kind kind_of(const Domain& domain) {
  switch (domain.kind()) {
    case Domain::Kind::kInteger: return Dimension::Kind::kInteger;
    case Domain::Kind::kOrdinal: return Dimension::Kind::kOrdinal;
    case Domain::Kind::kChoice: return Dimension::Kind::kCategorical;
    default: return Dimension::Kind::kContinuous;
  }
}

/// That the configuration has nothing but what the space has: a wrong name would pass unseen.
void check_names(const Config& config, const FlatSpace& space) {
  const auto known = [&](const std::string& path) {
    return std::any_of(space.leaves().begin(), space.leaves().end(), [&](const FlatSpace::Leaf& leaf) {
      // A table or a list that is one constant or option, or that holds leaves.
      return leaf.path == path || path.starts_with(leaf.path + "/") || leaf.path.starts_with(path + "/");
    });
  };
  for (const auto& [path, value] : config.flat())
    if (!known(path))
      throw InvalidArgument("a configuration has the parameter '" + path + "', which the search space does not have. " +
                            "Spell it as the space does, or take it out.");
}

}  // namespace

std::size_t Dimension::level_of(double unit) const {
  const double cells = static_cast<double>(domain.values().size());
  return static_cast<std::size_t>(std::clamp(std::floor(unit * cells), 0.0, cells - 1));
}

double Dimension::unit_of_level(std::size_t level) const {
  return (static_cast<double>(level) + 0.5) / static_cast<double>(domain.values().size());
}

double Dimension::snapped(double unit) const {
  const bool stepped = kind != Kind::kContinuous || domain.q() > 0;
  return stepped ? domain.unit_of(domain.at(unit)).value_or(unit) : unit;
}

ParameterEncoding::ParameterEncoding(const Space& space) : space_(space), dimension_of_(space_.leaves().size(), kNoDimension) {
  for (std::size_t i = 0; i < space_.leaves().size(); ++i) {
    const auto& [path, domain, guards] = space_.leaves()[i];
    if (domain.kind() == Domain::Kind::kGrid)
      throw InvalidArgument("search space: the parameter '" + path + "' is " + domain.describe() +
                            ", which goes with the random searcher only: one that learns from results chooses for itself. "
                            "Make it a choice or an ordinal, or leave TuneOptions::searcher as it is.");
    if (!domain.is_searchable() || domain.num_values() == 1) continue;
    dimension_of_[i] = dimensions_.size();
    dimensions_.push_back({path, kind_of(domain), domain, static_cast<std::size_t>(domain.num_values()), i});
  }
}

template <class Visit>
FlatSpace::Values ParameterEncoding::walk(Visit visit) const {
  FlatSpace::Values values(space_.leaves().size());
  for (const std::size_t i : space_.order()) {
    if (!space_.is_active(i, values)) continue;
    const Domain& domain = space_.leaves()[i].domain;
    if (dimension_of_[i] != kNoDimension) {
      const double unit = visit(dimension_of_[i]);
      if (!std::isnan(unit)) values[i].emplace(domain.at(unit));
    } else if (domain.kind() == Domain::Kind::kSampleFrom) {
      values[i].emplace();
    } else {
      values[i].emplace(domain.kind() == Domain::Kind::kConstant ? domain.values().front() : domain.at(0.5));  // the only one
    }
  }
  return values;
}

std::vector<double> ParameterEncoding::encode(const Config& config) const {
  check_names(config, space_);
  std::vector<double> point(size(), kNone);
  walk([&](std::size_t dimension) {
    const Dimension& d = dimensions_[dimension];
    const Value* value = config.find(d.path);
    if (!value || value->is_none()) return kNone;
    const auto unit = d.domain.unit_of(*value);
    if (!unit)
      throw InvalidArgument("the parameter '" + d.path + "' is " + value->to_text(17) + " (" + value->type_name() +
                            ") in a configuration, which is not of " + d.domain.describe() + ".");
    return point[dimension] = *unit;
  });
  return point;
}

Config ParameterEncoding::decode(std::span<const double> point) const {
  MANTA_CHECK(point.size() == size());
  return space_.assemble(walk([&](std::size_t dimension) {
    MANTA_CHECK(!std::isnan(point[dimension]));
    return point[dimension];
  }));
}

void ParameterEncoding::run_functions(Config& config, Random& random) const {
  const std::uint64_t seed = random();
  space_.run_functions(config, [&](const std::string& path) { return Random::stream(seed, 0, path); });
}

std::vector<bool> ParameterEncoding::active(std::span<const double> point) const {
  std::vector<bool> result(size(), false);
  walk([&](std::size_t dimension) {
    result[dimension] = true;
    return point[dimension];
  });
  return result;
}

void ParameterEncoding::complete(std::vector<double>& point, Random& random) const {
  std::vector<double> whole(size(), kNone);
  walk([&](std::size_t dimension) {
    return whole[dimension] = std::isnan(point[dimension]) ? random.uniform() : point[dimension];
  });
  point = std::move(whole);
}

std::vector<double> ParameterEncoding::sample(Random& random) const {
  for (int draw = 0; draw < kMaxDraws; ++draw) {
    std::vector<double> point(size(), kNone);
    complete(point, random);
    if (!is_forbidden(point)) return point;
  }
  throw InvalidArgument("search space: " + std::to_string(kMaxDraws) +
                        " configurations were drawn and all were forbidden, by " + space_.forbidden().front().describe() +
                        " or its like. Forbid less, or change the domains.");
}

}  // namespace manta::tune
