#pragma once
// Runtime: starts Manta in this process and ends it. One header for programs that use it.
//
//   int main(int argc, char** argv) {
//     manta::Runtime rt = manta::Runtime::start(argc, argv);   // first statement of main
//     return rt.get(rt.remote<square>(9)) == 81 ? 0 : 1;
//   }
//
// Worker processes run this same executable: their main ends inside `start`. So `start` (or, where a runtime is started
// later or several times, `enter_worker_mode`) is the first statement of main.
#include "runtime/context.hpp"
#include "runtime/errors.hpp"
#include "runtime/ref_stream.hpp"

namespace manta {

class Runtime : public Client {
 public:
  /// Takes the runtime's own flags (see RuntimeOptions) out of argc and argv, leaves the others. Throws InvalidArgument
  /// for a bad value of one of its flags. Never returns in a worker process. Before it, drop privileges, and block signals that a thread waits for.
  static Runtime start(int& argc, char** argv);
  /// Starts with given options. Throws InvalidArgument, or ResourceExhausted when a limit of the system is in the way.
  static Runtime start(const RuntimeOptions& options);
  /// The flags as options, taken out of argc and argv.
  static RuntimeOptions parse(int& argc, char** argv);
  /// In a worker process: does its work and never returns. Else returns at once.
  static void enter_worker_mode(int argc, char** argv);
  /// The runtime that is running in this process, not shut down; throws InvalidArgument when there is none, or more than one. For the
  /// driver's own code: in a worker process there is none. A task or method uses its Context, which is a Client too.
  static Runtime& current();
  /// The help text of the runtime's own flags.
  static std::string flags_help();

  /// Cancels what is queued, waits up to options.shutdown_timeout for what runs, ends all worker processes; on whichever thread, not
  /// only the one that started it. Callbacks of on_ready that are due get the rest of that time, a second at least. In a fork of the
  /// process that started it, it does nothing: a child that fork() has made may return from main (by _exit, where a store had been opened, without
  /// older exit handlers), but has no runtime: what needs it is RuntimeStopped; cancel, kill and on_ready do nothing.
  ///
  /// Of the refs that are left, those that are not ready fail with RuntimeStopped; so does what runs and lets the RuntimeStopped of a ref that
  /// it waited for pass. What is ready stays so: its value can be got, here
  /// and in another Runtime of this program, and be an argument there, as long as the ref lives and its bytes are in memory; a
  /// large value that lies on disk or belonged to a worker process is RuntimeStopped. Handles of actors belong to their
  /// Runtime: calls by one that is left throw RuntimeStopped, and as an argument of another Runtime's worker process it is refused.
  /// What a task of one Runtime submits by another one, which it can on a thread of this process, is nobody's child: a cancel of that
  /// task does not reach it.
  ~Runtime();
  Runtime(Runtime&& other) noexcept;
  Runtime& operator=(Runtime&&) = delete;

  /// Ends it now, as the destructor would; waits for another thread that is at it, unless in the runtime's own work. Ready refs stay usable; what would make
  /// or look up anything (remote, actor, put, durable objects, stats) throws RuntimeStopped. Later calls do nothing. InvalidArgument in a callback of on_ready.
  void shutdown();

 private:
  explicit Runtime(std::shared_ptr<detail::Engine> engine);
};

}  // namespace manta
