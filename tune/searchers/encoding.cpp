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

[[noreturn]] void refuse_value(const std::string& path, const Value& value, const Domain& domain) {
  throw InvalidArgument("the parameter '" + path + "' is " + value.to_text(17) + " (" + value.type_name() +
                        ") in a configuration, which is not of " + domain.describe() + ".");
}

void check_value(const std::string& path, const Value& value, const Domain& domain);

std::string names_of(const Space& space) {
  std::string names;
  for (const Parameter& parameter : space.parameters()) names += (names.empty() ? "" : ", ") + parameter.name;
  return names.empty() ? "nothing" : names;
}

/// That the table has nothing but what the space has: a wrong name would pass unseen.
void check_table(const std::string& prefix, const Value::Dict& table, const Space& space) {
  for (const Entry& entry : table) {
    const auto& parameters = space.parameters();
    const auto found = std::find_if(parameters.begin(), parameters.end(), [&](const Parameter& p) { return p.name == entry.name; });
    if (found == parameters.end())
      throw InvalidArgument("a configuration has the parameter '" + prefix + entry.name + "', which the search space does not have. It has: " +
                            names_of(space) + (prefix.empty() ? "" : " in '" + prefix.substr(0, prefix.size() - 1) + "'") +
                            ". Spell it as the space does, or take it out.");
    check_value(prefix + entry.name, entry.value, found->domain);
  }
}

void check_item(const std::string& path, const std::string& number, const Value& item, const Domain& domain) {
  for (std::size_t i = 0; i < domain.elements().size(); ++i)
    if (number == std::to_string(i)) return check_value(path + "/" + number, item, domain.elements()[i]);
  throw InvalidArgument("a configuration has the parameter '" + path + "/" + number + "', but the search space has a list of " +
                        std::to_string(domain.elements().size()) + " at '" + path + "'. Take it out.");
}

/// A list, or a table of some of its items by their numbers: {"layers/1", 64} is one.
void check_list(const std::string& path, const Value& value, const Domain& domain) {
  if (const auto* table = value.as<Value::Dict>())
    for (const Entry& entry : *table) check_item(path, entry.name, entry.value, domain);
  else if (const auto* list = value.as<Value::List>())
    for (std::size_t i = 0; i < list->size(); ++i) check_item(path, std::to_string(i), (*list)[i], domain);
  else
    refuse_value(path, value, domain);
}

void check_value(const std::string& path, const Value& value, const Domain& domain) {
  if (value.is_none()) return;  // left out
  if (domain.kind() == Domain::Kind::kNested) {
    const auto* table = value.as<Value::Dict>();
    if (!table) refuse_value(path, value, domain);
    check_table(path + "/", *table, domain.nested());
  } else if (domain.kind() == Domain::Kind::kList) {
    check_list(path, value, domain);
  } else if (domain.kind() == Domain::Kind::kConstant) {
    if (!Clause("", OneOf(domain.values())).holds(value)) refuse_value(path, value, domain);
  }
}

std::int64_t integer_of(double number, const Domain& domain) {
  constexpr double kBeyond = 0x1.0p63;  // what a last integer beyond 2^53 may be as a double
  return number >= kBeyond ? domain.last_integer() : std::clamp<std::int64_t>(std::llround(number), domain.first_integer(), domain.last_integer());
}

/// A value that the domain holds, as the domain would give it: 2.0 of integers is 2, 1 of floats 1.0, an option the option itself.
Value typed(const Value& value, const Domain& domain) {
  const auto* number = value.as<double>();
  const auto* integer = value.as<std::int64_t>();
  switch (domain.kind()) {
    case Domain::Kind::kInteger: return number ? Value(integer_of(*number, domain)) : value;
    case Domain::Kind::kFloat:
    case Domain::Kind::kNormal: return integer ? Value(static_cast<double>(*integer)) : value;
    case Domain::Kind::kChoice:
    case Domain::Kind::kOrdinal: return domain.at(domain.unit_of(value).value());
    default: return value;
  }
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
                            ", which only random_search() without options goes through: a searcher that learns from results chooses for "
                            "itself, and so does one that is given points_to_evaluate, random_search too. Make it a choice or an ordinal, or leave "
                            "TuneOptions::searcher as it is.");
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
  check_table("", config.entries(), space_.space());
  std::vector<double> point(size(), kNone);
  const auto unit_of = [&](const std::string& path, const Domain& domain) {
    const Value* value = config.find(path);
    if (!value || value->is_none()) return kNone;
    const auto unit = domain.unit_of(*value);
    if (!unit) refuse_value(path, *value, domain);
    return *unit;
  };
  const FlatSpace::Values values = walk([&](std::size_t dimension) {
    return point[dimension] = unit_of(dimensions_[dimension].path, dimensions_[dimension].domain);
  });
  for (std::size_t i = 0; i < values.size(); ++i)  // of one value only
    if (const auto& leaf = space_.leaves()[i]; values[i] && dimension_of_[i] == kNoDimension && leaf.domain.is_searchable())
      (void)unit_of(leaf.path, leaf.domain);
  return point;
}

void ParameterEncoding::overlay(Config& config, std::span<const double> point, const Config& given) const {
  const FlatSpace::Values active = walk([&](std::size_t dimension) { return point[dimension]; });
  for (std::size_t i = 0; i < active.size(); ++i) {
    const auto& leaf = space_.leaves()[i];
    const Value* value = active[i] && leaf.domain.kind() != Domain::Kind::kConstant ? given.find(leaf.path) : nullptr;
    if (value && !value->is_none()) config.set(leaf.path, typed(*value, leaf.domain));
  }
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
