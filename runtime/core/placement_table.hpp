#pragma once
// PlacementTable: the placement groups of one machine and what is used within each. A pure state machine, part of
// LeaseTable, which says when a group's turn has come. States: docs/states.md.
//
// A group takes all its bundles from the machine at once or none. From then on a bundle is a small machine of its own: what
// is placed in it takes from the bundle, not from the machine, and gets the GPU ids that the bundle got. A removed group
// gives back each bundle when the last lease in it has ended, so that the machine never counts as free what still works.
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/placement.hpp"
#include "runtime/core/ledger.hpp"

namespace manta::core {

enum class PlacementState : std::uint8_t { kWaiting, kPlaced, kRemoved };

struct PlacementSpec {
  GroupId id{};
  ProcessId owner = 0;
  std::string name{};
  PlacementStrategy strategy{PlacementStrategy::kPack};
  std::vector<ResourceRequest> bundles{};
};

class PlacementTable {
 public:
  /// Whether they must lie on several machines, of which there is one: then they are never placed, however much is free.
  static bool needs_more_machines(PlacementStrategy strategy, const std::vector<ResourceRequest>& bundles);
  /// Why this machine can never hold them all at once; empty when it can. `machine` with all its resources free.
  static std::string why_infeasible(ResourceLedger machine, PlacementStrategy strategy, const std::vector<ResourceRequest>& bundles);
  /// Whether a request can ever fit into a bundle of that size.
  static bool fits(const ResourceRequest& bundle, const ResourceRequest& request);

  /// False when there is a group of that id or, for a name that is not empty, of that name.
  bool add(const PlacementSpec& spec);
  /// Takes all bundles from the machine, or nothing.
  bool place(GroupId group, ResourceLedger& machine);
  /// Out of the bundle that the request names, or the first of any that has room and is `allowed`.
  std::optional<Grant> acquire(const ResourceRequest& request, const std::function<bool(std::int32_t bundle)>& allowed);
  void release(const Grant& grant, ResourceLedger& machine);
  void release_all_but_gpus(Grant& grant);
  void lend_cpus(Grant& grant);
  void reclaim_cpus(Grant& grant);
  void lose_gpu(int id);  ///< see ResourceLedger
  /// Gives back the bundles that nobody uses; the others follow.
  void remove(GroupId group, ResourceLedger& machine);

  /// Null when there is none, or it is removed.
  const PlacementSpec* find(GroupId group) const;
  const PlacementSpec* find(const std::string& name) const;
  bool placed(GroupId group) const;
  /// What is in a bundle of a placed group, and free in it.
  const ResourceLedger& bundle(GroupId group, std::int32_t bundle) const;
  std::vector<GroupId> all() const;
  std::size_t size() const { return groups_.size(); }  ///< those that still hold something included

 private:
  struct BundleState {
    Grant grant{};  ///< of the machine
    ResourceLedger ledger{};
    std::size_t leases = 0;
    bool held = false;
  };
  struct Group {
    PlacementSpec spec{};
    PlacementState state{PlacementState::kWaiting};
    std::vector<BundleState> bundles{};
  };
  const Group* living(GroupId group) const;
  BundleState* used(const Grant& grant);
  void give_back_if_unused(BundleState& bundle, ResourceLedger& machine);
  void forget_if_empty(GroupId group);

  std::map<GroupId, Group> groups_{};
};

}  // namespace manta::core
