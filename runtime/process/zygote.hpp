#pragma once
// The driver's end of the zygote: a process of the driver's own program that has loaded everything and forks workers.
//
// Loading a program with LibTorch takes half a second, a fork milliseconds. The zygote is single-threaded, is the
// parent of all workers, and alone reaps them, so a signal sent through it can never hit a stranger who got the same
// pid. Every worker leads a process group, which is killed as a whole when the worker ends. When the driver dies, the
// zygote sees its socket close, kills all groups and ends; when the zygote dies, the kernel kills the workers.
//
// Owned by whoever started it; ends with shutdown() or its destructor, which leave no process behind. spawn, kill and
// pid are safe from any thread. Callbacks run on a thread of the zygote's own and must not call spawn or shutdown.
//
//   auto zygote = Zygote::start({.on_exit = [](const WorkerExit& e) { … }}).value();
//   SpawnedWorker worker = zygote->spawn({.title = "worker 1"}).value();
#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/process/owned_fd.hpp"
#include "runtime/process/zygote_protocol.hpp"

namespace manta {

using Environment = std::vector<std::pair<std::string, std::string>>;

/// What a child gets from this process: taken once, all children get the same, whatever the program changes meanwhile.
struct Surroundings {
  /// Reads `environ`: not while another thread may set a variable.
  static Surroundings now();
  std::vector<std::string> environment{};            ///< as NAME=value
  std::shared_ptr<const OwnedFd> working_directory{};  ///< null when it cannot be opened: then the one at the child's start
};

/// The end of one worker.
struct WorkerExit {
  pid_t pid = 0;
  std::uint64_t tag = 0;  ///< of its SpawnRequest
  int wait_status = 0;    ///< as waitpid gives it: WIFSIGNALED, WTERMSIG, WEXITSTATUS
  bool with_zygote = false;  ///< the zygote was lost, and it with it

  /// "was killed by signal 9 (Killed)", "exited with status 3".
  std::string to_string() const;
  /// True when it ended itself (a fault, abort, exit), false when somebody killed it from outside.
  bool own_doing() const noexcept;
};

struct ZygoteOptions {
  std::string program{"/proc/self/exe"};
  std::vector<std::string> args{};  ///< argv of the zygote and its workers; empty: this process's own
  Environment env{};                ///< set on top of this process's environment
  std::string left_behind{};        ///< what the zygote gives to run_zygote's `when_driver_died`; empty: nothing
  std::optional<Surroundings> surroundings{};  ///< default: as they are at the start
  std::chrono::milliseconds handshake_timeout{10'000};  ///< for the zygote's start, and for each request to
                                                        ///< it; while this process is stopped it does not run
  /// Called exactly once for each worker that spawn() returned; perhaps before spawn() returns.
  std::function<void(const WorkerExit&)> on_exit{};
  /// Called once if the zygote ends without shutdown(), before on_exit of its workers. It makes no worker after that.
  std::function<void(const ErrorInfo&)> on_lost{};
};

struct SpawnRequest {
  std::uint64_t tag = 0;  ///< the caller's name for the worker; comes back in WorkerExit
  Environment env{};      ///< set in the worker before it runs; libraries that read theirs at load do not see it
  std::string title{};    ///< thread name of the worker, as `ps` shows it (15 characters)
};

/// InvalidArgument for an environment that no worker can have: a bad name, a zero byte, more than fits.
Result<void> check_request(const SpawnRequest& request);

struct SpawnedWorker {
  pid_t pid = 0;
  OwnedFd link;  ///< stream socket to the worker, non-blocking
  OwnedFd out;   ///< end to read of its stdout
  OwnedFd err;   ///< end to read of its stderr
};

class Zygote {
 public:
  /// Executes the program and waits until it says that it is a zygote. IoError: it could not be executed, ended or did
  /// not answer in time; the message says what must stand in main. WorkerCrashed: somebody ended it; another one may come up.
  static Result<std::unique_ptr<Zygote>> start(ZygoteOptions options);
  ~Zygote();
  Zygote(const Zygote&) = delete;
  Zygote& operator=(const Zygote&) = delete;

  /// Makes a worker; returns when it has been forked. Working directory and argv are the zygote's. IoError: no process,
  /// descriptor or memory; InvalidArgument: a bad name in env, or more than 128 KiB of it, or 188 KiB with 8 bytes for each variable;
  /// Timeout; RuntimeStopped.
  Result<SpawnedWorker> spawn(SpawnRequest request);

  /// Sends a signal to the worker's process group. NotFound: it has ended; Timeout; RuntimeStopped.
  Result<void> kill(pid_t pid, int signal);

  /// Kills a zygote that does not do what it is asked, and its workers with it, as if somebody else had: on_lost and on_exit follow.
  /// Does not wait for them.
  void give_up(std::string why);

  /// Kills all workers, ends the zygote, waits for both: 5 s, then by SIGKILL. All on_exit calls are over at its
  /// return.
  void shutdown();

  pid_t pid() const noexcept { return pid_; }
  /// True when the program had threads at start, so that each worker is executed anew instead of forked.
  bool uses_exec() const noexcept { return uses_exec_; }

 private:
  struct Pending {
    bool done = false;
    int error = 0;
    pid_t pid = 0;
  };
  struct Live {
    std::uint64_t id = 0;
    std::uint64_t tag = 0;
  };
  Zygote(ZygoteOptions options, OwnedFd control, pid_t pid);
  Result<void> handshake();
  Result<pid_t> ask_to_fork(const SpawnRequest& request, const int (&fds)[3]);
  void watch();
  bool await_message();
  void on_message(const ControlMessage& message);
  void on_spawned(const ControlMessage& message);
  void on_exited(const ControlMessage& message);
  void on_end();
  void wait_for_end_told(std::unique_lock<std::mutex>& lock);
  Result<void> send(const ControlMessage& message, std::span<const int> fds = {});

  const ZygoteOptions options_;
  const OwnedFd control_;
  const OwnedFd process_;  // readable when the zygote has ended; none on a kernel without pidfds
  const pid_t pid_;
  bool uses_exec_ = false;

  std::mutex send_mutex_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::uint64_t next_id_ = 1;
  std::unordered_map<std::uint64_t, std::pair<Pending, std::uint64_t>> pending_;  // by id, with the tag
  std::unordered_map<pid_t, Live> live_;
  bool stopping_ = false;
  bool ended_ = false;
  std::string given_up_{};  // why
  std::thread watcher_;
};

}  // namespace manta
