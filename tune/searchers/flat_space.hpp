#pragma once
// FlatSpace: a search space as a list of leaves, its names resolved: what random search and the encoding of the searchers
// that learn both stand on. A plain value.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tune/search_space.hpp"

namespace manta::tune {

class FlatSpace {
 public:
  /// A clause about the leaf number `leaf`.
  struct Guard {
    std::size_t leaf;
    Clause clause;
  };
  /// A domain that is no table or list; or an empty one of these, as a constant.
  struct Leaf {
    std::string path;
    Domain domain;
    std::vector<Guard> guards{};  ///< all must hold for the leaf to be active; those of the tables around it are here too
  };
  /// The value of each leaf; none for an inactive one.
  using Values = std::vector<std::optional<Value>>;

  /// InvalidArgument when a condition names what is not there, can never hold or depends on itself.
  explicit FlatSpace(const Space& space);

  const Space& space() const noexcept { return *space_; }
  /// In the order of the space.
  const std::vector<Leaf>& leaves() const noexcept { return leaves_; }
  /// The leaves' numbers, each after those that its condition reads.
  const std::vector<std::size_t>& order() const noexcept { return order_; }
  /// Requires that the leaves which the condition reads have been set.
  bool is_active(std::size_t leaf, const Values& values) const;
  /// The configuration of these values, in the order of the space. An active function leaf without a value yet is "none".
  Config assemble(const Values& values) const;
  /// Gives the functions among the leaves their values; `random_of` makes a leaf's generator from its path. InvalidArgument
  /// when they wait for each other or for a parameter that is not there.
  void run_functions(Config& config, const std::function<Random(const std::string&)>& random_of) const;

  /// The first forbidden combination that the configuration has, or null.
  const Forbidden* forbidden_in(const Config& config) const;
  bool has_forbidden() const noexcept { return !forbidden_.empty(); }
  /// With the paths resolved.
  const std::vector<Forbidden>& forbidden() const noexcept { return forbidden_; }
  bool has_conditions() const noexcept;
  /// What tells the trial from others: "lr=0.0100,l1=64". Without constants; floats with four decimals, as in Ray.
  std::string tag(const Config& config) const;

 private:
  struct Scope {
    std::string prefix;             ///< "model/"
    std::vector<Clause> clauses{};  ///< of the tables around, with paths from the root
  };
  void collect(const Space& space, const Scope& scope);
  void collect_domain(const Domain& domain, const std::string& path, const Scope& scope);
  void name_leaves(const Domain& domain, const std::string& path);
  void resolve_conditions();
  std::string resolve(const std::string& prefix, const std::string& name, const std::string& who) const;
  void sort();

  std::shared_ptr<const Space> space_;
  std::vector<Leaf> leaves_;
  std::vector<std::string> paths_;                    ///< of the leaves, in order
  std::vector<std::vector<Clause>> clauses_;          ///< of each leaf, until they are resolved
  std::vector<std::size_t> order_;
  std::vector<Forbidden> forbidden_;
};

}  // namespace manta::tune
