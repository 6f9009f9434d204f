#pragma once
// Where a task or an actor goes: a bundle of a placement group. Plain values; the manual is runtime/placement_group.hpp.
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/amount.hpp"
#include "runtime/base/ids.hpp"

namespace manta {

/// How the bundles of a group lie on the machines. One machine: kPack, kStrictPack and kSpread are the same, kStrictSpread
/// is possible for one bundle only.
enum class PlacementStrategy : std::uint8_t {
  kPack,         ///< on as few machines as possible
  kSpread,       ///< on as many machines as possible
  kStrictPack,   ///< on one machine, or not at all
  kStrictSpread  ///< each on a machine of its own, or not at all
};

/// What is kept together for the tasks and actors that are placed in it.
struct Bundle {
  Amount num_cpus{0};
  Amount num_gpus{0};             ///< as for tasks: a fraction, or whole ones
  std::uint64_t memory_bytes{0};
  Resources resources{};          ///< custom resources by name
};

struct PlacementGroupOptions {
  std::vector<Bundle> bundles{};
  PlacementStrategy strategy{PlacementStrategy::kPack};
  std::string name{};              ///< to be found by; unique among the groups that are there
  bool wait_if_infeasible{false};  ///< more than the machine has is not refused at once: the group waits
};

/// For `.placement` of a task or an actor. Made by PlacementGroup::bundle and any.
struct Placement {
  static constexpr std::int32_t kAnyBundle = -1;
  // Not inline: g++ 12 takes a shared_ptr in a temporary options struct for uninitialised, and users compile with -Werror.
  Placement() noexcept;
  Placement(GroupId group, std::int32_t bundle, std::shared_ptr<const PlacementGroupOptions> options) noexcept;
  Placement(const Placement&) noexcept;
  Placement& operator=(const Placement&) noexcept;
  ~Placement();
  bool operator==(const Placement&) const = default;

  GroupId group{};
  std::int32_t bundle = kAnyBundle;
  std::shared_ptr<const PlacementGroupOptions> options{};
};

}  // namespace manta
