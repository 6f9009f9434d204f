#pragma once
// The child's end of the zygote: what a process of our own program does when a driver has started it as zygote or
// worker.
//
// Called once by each process, first thing in main, while it has one thread. In the zygote run_zygote() forks workers
// until the driver closes its socket and then ends the process; in each worker it returns. A worker leads its own
// process group, dies with the zygote, ignores SIGINT (Ctrl-C is the driver's business), reads from /dev/null and
// writes to pipes that the driver reads, line by line.
//
//   if (manta::is_zygote_process()) run_worker(manta::run_zygote());
#include <functional>
#include <string>

#include "runtime/process/owned_fd.hpp"

namespace manta {

struct WorkerStart {
  OwnedFd link;         ///< stream socket to the driver, non-blocking
  std::string title{};  ///< of the SpawnRequest
  bool forked = true;   ///< false: executed anew, because the zygote had threads
};

/// True in a process that a driver started through Zygote: the environment says so, and the socket it names is one of a
/// process of the same user.
bool is_zygote_process();

/// Requires is_zygote_process(). Returns in workers only; what made this process a zygote is then gone from its
/// environment, so that programs it starts are ordinary ones.
/// `when_driver_died` gets ZygoteOptions::left_behind, unless that is empty, in the zygote once the driver has ended without shutdown()
/// and all workers have gone: to remove what nobody else can. It must not throw.
WorkerStart run_zygote(const std::function<void(const std::string& left_behind)>& when_driver_died = {});

}  // namespace manta
