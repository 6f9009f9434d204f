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

namespace manta::core {

/// The resource shape of a task or actor.
struct ResourceRequest {
  Amount cpus{};
  Amount gpus{};
  Resources custom{};
  auto operator<=>(const ResourceRequest&) const = default;
  bool operator==(const ResourceRequest&) const = default;
  std::string to_string() const;
};

/// What was taken from the ledger, to be given back once.
struct Grant {
  ResourceRequest amounts{};
  std::vector<int> gpu_ids{};
  bool cpus_lent = false;  ///< its holder is blocked and others use its CPUs
};

class ResourceLedger {
 public:
  ResourceLedger() = default;
  ResourceLedger(Amount cpus, std::vector<int> gpu_ids, Resources custom);

  /// Empty when the machine could ever satisfy it, else why not and what there is.
  std::string why_infeasible(const ResourceRequest& request) const;
  /// The resources that the request lacks now.
  std::set<std::string> lacking(const ResourceRequest& request) const;
  std::optional<Grant> acquire(const ResourceRequest& request);
  void release(const Grant& grant);
  /// The holder waits for something: its CPUs go to others. Twice is the same as once.
  void lend_cpus(Grant& grant);
  /// The holder goes on: it takes its CPUs back at once, even when that leaves less than none for a while.
  void reclaim_cpus(Grant& grant);

  Resources total() const;
  Resources available() const;  ///< may be negative for CPU after reclaim_cpus
  bool full() const { return available() == total(); }

 private:
  struct Gpu {
    int id;
    Amount free;
  };
  std::optional<std::vector<int>> pick_gpus(Amount amount);

  Amount cpus_total_{}, cpus_free_{};
  std::vector<Gpu> gpus_{};
  Resources custom_total_{}, custom_free_{};
};

}  // namespace manta::core
