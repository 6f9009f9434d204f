#pragma once
// ResourceLedger: what one machine has and who holds how much of it. A pure value machine: no threads, no clock.
//
// Amounts are fixed point, so that after any sequence of acquire and release the ledger is exactly full again. A fraction
// of a GPU shares one id with other fractions (the fullest GPU that still has room, so that whole ones stay free); more
// than one GPU is always whole ones. Owned by the node actor.
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/base/amount.hpp"
#include "runtime/base/ids.hpp"

namespace manta::core {

/// The resource shape of a task or actor, and the placement group that it takes it from.
struct ResourceRequest {
  Amount cpus{};
  Amount gpus{};
  Resources custom{};
  GroupId group{};           ///< 0: the machine itself
  std::int32_t bundle = -1;  ///< of the group; -1: any
  auto operator<=>(const ResourceRequest&) const = default;
  bool operator==(const ResourceRequest&) const = default;
  Resources all() const;          ///< with CPU and GPU
  std::string to_string() const;  ///< those of more than 0: "{CPU: 1, licence: 0.5}"
};

/// What was taken from the ledger, to be given back once.
struct Grant {
  ResourceRequest amounts{};
  std::vector<int> gpu_ids{};
  std::int32_t bundle = -1;  ///< of the group that it was taken from
  bool cpus_lent = false;  ///< its holder is blocked and others use its CPUs
};

/// Which of the GPUs, of which so much is free each, each share goes to. `shares` from the largest to the smallest. nullopt when there is no way,
/// or none that is found in some thousand steps: the question is that of bin packing.
std::optional<std::vector<std::size_t>> pack_shares(std::vector<Amount> free, const std::vector<Amount>& shares);

class ResourceLedger {
 public:
  ResourceLedger() = default;
  ResourceLedger(Amount cpus, std::vector<int> gpu_ids, Resources custom);
  /// What a grant holds, to be given out again.
  static ResourceLedger within(const Grant& grant);

  /// Empty when the machine could ever satisfy it, else why not and what there is.
  std::string why_infeasible(const ResourceRequest& request) const;
  /// The resources that the request lacks now.
  std::set<std::string> lacking(const ResourceRequest& request) const;
  std::optional<Grant> acquire(const ResourceRequest& request);
  /// All of them, in their order, or nothing. The shares of GPUs as they fit, see pack_shares.
  std::optional<std::vector<Grant>> acquire_all(const std::vector<ResourceRequest>& requests);
  void release(const Grant& grant);
  /// Its GPUs stay taken, and in the grant.
  void release_all_but_gpus(Grant& grant);
  /// The holder waits for something: its CPUs go to others. Twice is the same as once.
  void lend_cpus(Grant& grant);
  /// The holder goes on: it takes its CPUs back at once, even when that leaves less than none for a while.
  void reclaim_cpus(Grant& grant);
  /// It is gone: nobody gets it any more, and who holds it gives nothing back of it.
  void lose_gpu(int id);

  Resources total() const;
  Resources available() const;  ///< may be negative for CPU after reclaim_cpus
  bool full() const { return available() == total(); }

 private:
  struct Gpu {
    int id;
    Amount all;  ///< less than 1 in a bundle that holds a share of it
    Amount free;
  };
  /// Apart from GPUs.
  bool has_room(const ResourceRequest& request) const;
  /// Of those that are free; nullopt when they are too few.
  std::optional<std::vector<int>> pick_gpus(Amount amount) const;
  /// For requests in the order in which they are placed, whole GPUs first.
  std::optional<std::vector<std::vector<int>>> pick_gpus(const std::vector<const ResourceRequest*>& requests) const;
  Grant take(const ResourceRequest& request, std::vector<int> gpu_ids);

  Amount cpus_total_{}, cpus_free_{};
  std::vector<Gpu> gpus_{};
  Resources custom_total_{}, custom_free_{};
};

}  // namespace manta::core
