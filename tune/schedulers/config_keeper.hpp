#pragma once
// ConfigKeeper: keeps a configuration that a scheduler changes while trials run within the search space's conditions and
// forbidden combinations. For a space without any it does nothing and draws nothing. A plain value.
#include <functional>
#include <string>
#include <string_view>

#include "tune/searchers/flat_space.hpp"

namespace manta::tune {

class ConfigKeeper {
 public:
  /// The domain to draw a parameter from that has become active; null: the space's own.
  using DomainOf = std::function<const Domain*(std::string_view path)>;

  explicit ConfigKeeper(const Space& space) : space_(space) {}

  /// Other parameters switch it on and off.
  bool is_conditional(std::string_view path) const;
  /// Its value, or null where it is switched off or was never there.
  const Value* find(const Config& config, std::string_view path) const;
  /// Drops what the configuration's values switch off and draws what they switch on. Parameters that the space does not have stay.
  void settle(Config& config, const DomainOf& domain_of, Random& random) const;
  bool forbids(const Config& config) const { return space_.forbidden_in(config) != nullptr; }

 private:
  Value draw(std::size_t leaf, const FlatSpace::Values& values, const DomainOf& domain_of, Random& random) const;

  FlatSpace space_;
};

/// A choice, an ordinal or a grid: a domain with a list of values.
bool has_values(const Domain& domain) noexcept;
/// A value of the domain; one of its values where it has a list of them.
Value draw_from(const Domain& domain, const Config& so_far, Random& random);

}  // namespace manta::tune
