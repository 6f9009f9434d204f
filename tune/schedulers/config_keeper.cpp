#include "tune/schedulers/config_keeper.hpp"

#include <algorithm>
#include <vector>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

bool is_inside(std::string_view path, std::string_view table) {
  return path.size() > table.size() && path.starts_with(table) && path[table.size()] == '/';
}

/// What a list has in the place of an item that is switched off.
bool is_placeholder(const Value& value) {
  const auto* table = value.as<Value::Dict>();
  return table && table->empty();
}

}  // namespace

bool has_values(const Domain& domain) noexcept {
  return domain.kind() == Domain::Kind::kChoice || domain.kind() == Domain::Kind::kOrdinal || domain.kind() == Domain::Kind::kGrid;
}

Value draw_from(const Domain& domain, const Config& so_far, Random& random) {
  if (!has_values(domain)) return domain.sample(random, so_far);
  return domain.values()[static_cast<std::size_t>(random.randint(0, static_cast<std::int64_t>(domain.values().size())))];
}

bool ConfigKeeper::is_conditional(std::string_view path) const {
  return std::any_of(space_.leaves().begin(), space_.leaves().end(),
                     [&](const FlatSpace::Leaf& leaf) { return leaf.path == path && !leaf.guards.empty(); });
}

const Value* ConfigKeeper::find(const Config& config, std::string_view path) const {
  const Value* value = config.find(path);
  return value && is_placeholder(*value) && is_conditional(path) ? nullptr : value;
}

Value ConfigKeeper::draw(std::size_t leaf, const FlatSpace::Values& values, const DomainOf& domain_of, Random& random) const {
  const FlatSpace::Leaf& drawn = space_.leaves()[leaf];
  const Domain* other = domain_of(drawn.path);
  return draw_from(other ? *other : drawn.domain, space_.assemble(values), random);
}

void ConfigKeeper::settle(Config& config, const DomainOf& domain_of, Random& random) const {
  if (!space_.has_conditions()) return;
  const auto& leaves = space_.leaves();
  FlatSpace::Values values(leaves.size());
  std::vector<std::size_t> late;  // functions of parameters that come after them
  for (const std::size_t i : space_.order()) {
    if (!space_.is_active(i, values)) continue;
    if (const Value* there = find(config, leaves[i].path)) {
      values[i] = *there;
      continue;
    }
    try {
      values[i] = draw(i, values, domain_of, random);
    } catch (const NotFound&) {
      values[i].emplace();
      late.push_back(i);
    }
  }
  for (const std::size_t i : late) values[i] = draw(i, values, domain_of, random);
  Config kept = space_.assemble(values);
  for (auto& [path, value] : config.flat()) {
    const bool of_the_space = std::any_of(leaves.begin(), leaves.end(), [&, &at = path](const FlatSpace::Leaf& leaf) {
      return leaf.path == at || is_inside(at, leaf.path) || is_inside(leaf.path, at);
    });
    if (!of_the_space) kept.set(path, std::move(value));
  }
  config = std::move(kept);
}

}  // namespace manta::tune
