#pragma once
// LeaseTable: the node's decisions on who may run something now. A pure state machine: each event goes in by a method,
// what is to be done comes out in Effects; no threads, no clock. Owned by the node actor.
//
// A lease is the right to use an amount of resources until it is given back. Requests are served in order of arrival, but
// nested ones before others and the newest of them first, which keeps the number of waiting parents small. One for several
// leases queues again for the rest as often as it gets some. A request is
// passed over by others, but only kMaxPassedOver times: then it is first in the queue, and nobody else gets what it lacks, so that much is
// not starved by little. That holds only as long as the tasks that run now will free enough: nobody waits for what actors hold for life, or
// for a task that itself waits. And of those that are first only for the first kMostKeptFor, of which those that need the same count once:
// each costs time whenever somebody comes. A placement group waits in the same line as everybody
// else; what is placed in a group waits for that group's bundles only. Every event may come twice: the second has no effect.
//
// What a pass over all that wait costs is kept off the usual ways: when none of them can have anything, only what comes is looked at until
// something is given back; and a pass ends when each of those that wait needs more than is free of something (demands.hpp).
#include <cstdint>
#include <list>
#include <map>
#include <unordered_map>

#include "runtime/base/ids.hpp"
#include "runtime/core/demands.hpp"
#include "runtime/core/placement_table.hpp"

namespace manta::core {

/// What an owner wants leases for; comes back with each grant. Unique within the owner.
using Purpose = std::uint64_t;

struct LeaseRequest {
  ProcessId owner = 0;
  Purpose purpose = 0;
  ResourceRequest shape{};
  std::uint32_t count = 1;
  bool own_process = false;
  bool nested = false;    ///< of a worker process: running work may be waiting for it
  bool for_life = false;  ///< an actor's: not given back soon
  bool retriable = false; ///< what runs under it may run again
};

struct Lease {
  LeaseId id{};
  ProcessId owner = 0;
  Purpose purpose = 0;
  Grant grant{};
  bool own_process = false;
  bool for_life = false;
  bool retriable = false;
  bool blocked = false;   ///< the work under it waits for something
};

struct LeaseEffects {
  struct Refused {
    ProcessId owner;
    Purpose purpose;
    GroupId group;  ///< that is not there, or is removed
    std::string why{};  ///< not empty: it cannot be had any more
  };
  std::vector<Lease> granted{};
  std::vector<Refused> refused{};
  std::vector<GroupId> placed{};
  struct Unplaceable {
    GroupId group;
    std::string why;
  };
  std::vector<Unplaceable> unplaceable{};  ///< waits for what is gone: remove it
};

class LeaseTable {
 public:
  static constexpr int kMaxPassedOver = 64;
  static constexpr std::size_t kMostKeptFor = 64;  ///< different requests that were passed over so often

  LeaseTable(ResourceLedger ledger, IdSource& ids) : ledger_(std::move(ledger)), at_start_(ledger_), whole_(ledger_), ids_(&ids) {}

  /// Sets how many leases the owner wants for a purpose, beyond those it has: 0 withdraws the request.
  void want(const LeaseRequest& request, LeaseEffects& effects);
  void release(LeaseId lease, LeaseEffects& effects);
  /// Its work is over, but not the process that has its GPUs' memory: the rest goes to others now.
  void release_all_but_gpus(LeaseId lease, LeaseEffects& effects);
  /// The work under the lease waits, or goes on.
  void set_blocked(LeaseId lease, bool blocked, LeaseEffects& effects);
  /// The owner's process is gone: its requests are dropped; returns the leases it held, which stay until released.
  std::vector<LeaseId> drop_owner(ProcessId owner, LeaseEffects& effects);

  /// A GPU is gone for good. Returns the leases that hold it. What the machine, or a bundle, could give with it and cannot
  /// without is refused, now and later.
  std::vector<LeaseId> lose_gpu(int id, LeaseEffects& effects);

  /// Why a group that the machine could have placed cannot be placed any more; empty when it can.
  std::string why_lost(const PlacementSpec& spec) const;
  /// A placement group gets in line. False when there is one of that id or name.
  bool add_group(const PlacementSpec& spec, LeaseEffects& effects);
  /// Requests for it are refused; returns the leases in it, which hold their bundles until they are released.
  std::vector<LeaseId> remove_group(GroupId group, LeaseEffects& effects);
  std::vector<GroupId> groups_of(ProcessId owner) const;
  const PlacementTable& groups() const { return groups_; }

  const Lease* find(LeaseId lease) const;
  const ResourceLedger& ledger() const { return ledger_; }
  std::size_t held() const { return leases_.size(); }
  std::size_t waiting() const { return waiting_.size(); }
  /// Whether the owner wants more leases for the purpose than it has.
  bool wants(ProcessId owner, Purpose purpose) const;

 private:
  struct Waiting {
    LeaseRequest request;
    std::uint64_t arrival = 0;
    int passed_over = 0;
    GroupId places{};  ///< not a lease is wanted, but this group placed
    const PlacementSpec* spec = nullptr;  ///< that group's
  };
  using Line = std::list<Waiting>;
  struct Kept;
  void enter(Waiting entry, LeaseEffects& effects);
  Line::iterator insert(Line::iterator before, Waiting entry);
  Line::iterator leave(Line::iterator place);
  template <class Predicate>
  void leave_if(Predicate&& predicate);
  Resources needs_of(const Waiting& entry) const;
  bool starved(const Waiting& entry) const { return entry.passed_over >= kMaxPassedOver; }
  void starved_first();
  bool group_is_starved();
  void grant_what_fits(LeaseEffects& effects);
  void pass(LeaseEffects& effects);
  bool grant_some(Waiting& entry, const Kept& kept, LeaseEffects& effects);
  bool place_group(Waiting& entry, const Kept& kept, LeaseEffects& effects);
  void passes_over(const Waiting& granted, Line::const_iterator end);
  Line::iterator requeue(Line::iterator place);
  bool keeps_all(const Kept& kept) const;
  void unsettle(Kept& kept);
  static bool alike(const Waiting& one, const Waiting& other);
  void keep_for(const Waiting& entry, Kept& kept) const;
  ResourceLedger later(GroupId group, std::int32_t bundle) const;
  std::optional<Grant> acquire(const ResourceRequest& shape, const Kept& kept);
  std::string why_lost(const ResourceRequest& shape) const;

  ResourceLedger ledger_;
  ResourceLedger at_start_;
  ResourceLedger whole_;  ///< what there is now, all of it free
  bool lost_something_ = false;
  PlacementTable groups_{};
  IdSource* ids_;
  Line waiting_{};  ///< the starved ones; nested ones, the newest first; the others as they came
  std::map<std::pair<ProcessId, Purpose>, Line::iterator> wanted_{};
  Demands demands_{};
  bool settled_ = true;       ///< none of those that wait can have anything as things are
  bool unsorted_ = false;     ///< some starved one stands behind one that is not
  std::uint64_t arrivals_ = 0;
  std::unordered_map<LeaseId, Lease> leases_{};
};

}  // namespace manta::core
