#pragma once
// PlacementClient: a process's way to the node's placement groups: makes them, waits for them, finds and removes them. One per
// process, thread-safe. Its answers come by deliver().
#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include "runtime/actors/router.hpp"
#include "runtime/core/placement_table.hpp"
#include "runtime/engine.hpp"

namespace manta::detail {

/// What a bundle takes from the machine.
core::ResourceRequest request_of(const Bundle& bundle);

class PlacementClient {
 public:
  PlacementClient(Router& router, IdSource& ids, const Resources& total);

  GroupHandle place(std::shared_ptr<const PlacementGroupOptions> options);
  /// Settled when the group is placed, or is not there any more.
  std::shared_ptr<Cell> watch(GroupId group);
  void remove(GroupId group);
  std::vector<GroupHandle> find(const std::string& name);
  /// All, or that of the name, as the node knows them now; waits for its answer.
  std::vector<wire::GroupInfo> ask(const std::string& name);

  void deliver(const wire::GroupPlaced& placed);
  void deliver(wire::Groups groups);
  /// The group that `place` or `watch` gave this cell for, while it is not settled.
  std::optional<GroupId> group_of(const Cell& cell);
  /// Fails what waits.
  void stop();

 private:
  struct Question {
    std::atomic<std::uint32_t> answered{0};
    wire::Groups answer{};
  };
  void check(const PlacementGroupOptions& options, const core::PlacementSpec& spec) const;
  std::shared_ptr<Cell> new_cell(GroupId group);

  Router& router_;
  IdSource& ids_;
  core::ResourceLedger machine_;  // with all its resources free
  std::mutex mutex_;              // guards what follows
  std::multimap<GroupId, std::shared_ptr<Cell>> waiting_;
  std::set<GroupId> removed_;  // by this process, while something here waits for them
  std::map<std::uint64_t, std::shared_ptr<Question>> questions_;
  std::uint64_t next_question_ = 1;
  bool stopped_ = false;
};

}  // namespace manta::detail
