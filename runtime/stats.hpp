#pragma once
// RuntimeStats: what the runtime holds right now. All is zero (but worker processes, which wait for more work) when nothing
// runs and no ref or handle is left: what stays is what somebody still has. A plain value.
//
//   std::cout << rt.stats().to_string() << "\n";
#include <cstddef>
#include <cstdint>
#include <string>

namespace manta {

struct RuntimeStats {
  // Of the process that asks.
  std::size_t unfinished = 0;        ///< tasks and calls that it submitted and that are not at their end
  std::uint64_t queued_bytes = 0;    ///< of these tasks, not calls; about; as RuntimeOptions::max_queued_bytes says
  std::size_t actors = 0;            ///< that it spawned and that are not dead, or have handles
  std::size_t lent_objects = 0;      ///< its objects and actors that refs in other processes refer to
  std::size_t borrowed_objects = 0;  ///< others' objects and actors that its refs refer to
  std::uint64_t lineage_bytes = 0;   ///< kept to make lost objects again

  // Of the machine; asked in a worker process they are zero.
  std::size_t stored_objects = 0;    ///< in the object store, in memory or on disk
  std::uint64_t arena_bytes = 0;     ///< of its memory in use, with rounding
  std::uint64_t file_bytes = 0;      ///< of disk in use for objects that found no room in its memory, with rounding
  std::size_t pinned_objects = 0;    ///< that somebody reads in place
  std::size_t spilled_objects = 0;   ///< on disk only
  std::size_t leases = 0;            ///< resources that are handed out to owners
  std::size_t worker_processes = 0;  ///< with those that are kept ready for the next actor (RuntimeOptions::spare_processes)

  /// Nothing but worker processes.
  bool idle() const noexcept {
    return unfinished + actors + lent_objects + borrowed_objects + stored_objects + pinned_objects + spilled_objects + leases == 0 &&
           queued_bytes + lineage_bytes + arena_bytes + file_bytes == 0;
  }
  /// In one line, like "unfinished 0, actors 1, …".
  std::string to_string() const;
};

}  // namespace manta
