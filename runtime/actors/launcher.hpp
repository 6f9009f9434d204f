#pragma once
// ZygoteLauncher: makes the node's worker processes through a zygote, which is started at the first use; holds the links to
// them and brings their output to the terminal and to files. Thread-safe. Ends with stop(), which leaves no process behind.
//
// A zygote that is lost takes its workers with it; the next launch starts another one. One that is stopped, or hangs, and has not
// done what it was asked within 10 s (MANTA_ZYGOTE_TIMEOUT_MS in the environment) is killed, which the log says, and counts as lost.
// All of them have the working directory and environment that the program had when this was made.
// There is one at a time: the ends of the lost one's workers have been told before the next one makes any, so a pid is never
// signalled for an earlier process's sake.
// A worker and its link end together, within a second: the link of one that has ended is closed, whoever holds its other end, and one
// whose link is closed is killed. What came over a link and was no message is in the log and in how its worker ended.
#include <condition_variable>
#include <filesystem>
#include <memory>

#include "runtime/actors/node.hpp"
#include "runtime/process/link.hpp"
#include "runtime/process/log_pump.hpp"
#include "runtime/process/zygote.hpp"

namespace manta::detail {

/// In front of every message between processes: where it comes from and goes to.
struct Route {
  ProcessId from = 0;
  ProcessId to = 0;
};
inline constexpr std::uint16_t kMessageFrame = 1;
inline constexpr char kSpareTitle[] = "manta-spare";  ///< of a process that takes its name from the actor that comes into it
/// Both ends are the user's own program on an inherited socket, so the limit guards against damage, not against strangers. Values of
/// more than inline_bytes travel by the arena; what may be large in a frame is the list of refs in one value, 24 bytes and more for each.
inline constexpr std::uint32_t kMaxFrameBytes = 256u << 20;

Result<void> send_message(Link& link, Route route, std::span<const std::byte> message, std::span<const int> fds = {});
/// False when the frame is too short to have a route.
bool split_message(const Link::Frame& frame, Route& route, std::span<const std::byte>& message);

class ZygoteLauncher final : public ProcessLauncher {
 public:
  struct Handlers {
    std::function<void(ProcessId from, const Buffer& message)> on_message{};  ///< for this process; on the reactor's thread
    /// What is wrong with a message that one worker process sends another, as both are there; empty: nothing. On the reactor's thread.
    std::function<std::string(ProcessId from, const wire::Message& message)> check_passing{};
    std::function<void(ProcessId process, std::string how, bool own_doing, bool unused)> on_ended{};  ///< after its last message
  };
  /// `left_behind`: see ZygoteOptions.
  ZygoteLauncher(wire::Hello hello, std::filesystem::path log_dir, Handlers handlers, std::string left_behind = {});
  ~ZygoteLauncher() override;

  Result<Started> launch(ProcessId process, const wire::ProcessOptions& options,
                         const std::map<std::string, std::string>& environment, Amount cpus) override;
  Result<Started> prepare(ProcessId process, const std::map<std::string, std::string>& environment, Amount cpus) override;
  bool adopt(ProcessId process, const wire::ProcessOptions& options) override;
  void kill(ProcessId process) override;
  void terminate(ProcessId process) override;
  /// To a worker process; dropped when it is gone.
  void send(ProcessId to, const Buffer& message, std::span<const int> fds = {});
  /// Waits for the processes to leave, kills those that have not, ends the zygote.
  void stop(std::chrono::milliseconds grace);
  std::size_t processes() const;
  /// The loop that reads the links; null before the first launch and after stop().
  std::shared_ptr<Reactor> links_loop() const;

 private:
  struct Entry {
    std::shared_ptr<Link> link{};
    int pid = 0;
    LogPump::Id log = 0;
    OwnedFd out{}, err{};  ///< of a spare, until it is adopted
    bool link_closed = false;
    std::string link_fault{};  ///< why it was closed, other than by the worker's end
    bool ready = false;  ///< it has sent its first message
    bool unused = false;  ///< a spare that was adopted and has not said since that its actor begins
    std::optional<WorkerExit> exit{};
  };
  /// They stay alive while a launch uses them.
  struct Parts {
    std::shared_ptr<Reactor> links{};
    std::unique_ptr<Reactor> logs{};
    std::unique_ptr<LogPump> pump{};
    ~Parts();
  };
  struct Tools {
    std::shared_ptr<Parts> parts{};
    std::shared_ptr<Zygote> zygote{};
  };
  /// Made at the first call; with another zygote than `lost`. RuntimeStopped after stop().
  Result<Tools> tools(const std::shared_ptr<Zygote>& lost = nullptr);
  Result<std::shared_ptr<Parts>> make_parts();
  Result<std::shared_ptr<Zygote>> start_zygote();
  Result<Started> start(ProcessId process, const std::string& title, const wire::ProcessOptions* options,
                        const std::map<std::string, std::string>& environment, Amount cpus);
  Result<LogPump::Id> read_output(Parts& parts, const wire::ProcessOptions& options, int pid, OwnedFd out, OwnedFd err) const;
  Result<SpawnedWorker> spawn(Tools& with, const SpawnRequest& request);
  void signal(ProcessId process, int signal);
  void give_up_if_stopped(ProcessId process, const std::shared_ptr<Zygote>& zygote);
  void kill_unless_ready(ProcessId process, int looks_left);
  bool has(ProcessId process);
  void end_unless_sent(ProcessId to, const Result<void>& sent);
  void on_frame(ProcessId from, Link::Frame& frame);
  void on_exit(const WorkerExit& exit);
  void on_link_closed(ProcessId process, const ErrorInfo& why);
  void close_link_of_ended(ProcessId process);
  void end_without_link(ProcessId process);
  void finish_if_gone(ProcessId process, std::unique_lock<std::mutex>& lock);

  const wire::Hello hello_;
  const std::filesystem::path log_dir_;
  const std::string left_behind_;
  const Handlers handlers_;
  const std::chrono::milliseconds zygote_timeout_;
  const int forks_;  // count_forks() at its start: a fork of the driver signals nobody
  std::mutex start_mutex_;    // held while something is started; taken before mutex_; guards surroundings_
  Surroundings surroundings_;  // of the runtime's start: a zygote that takes another one's place gets the same
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::map<ProcessId, Entry> entries_;
  std::shared_ptr<Parts> parts_;
  std::shared_ptr<Zygote> zygote_;  // null also when a lost one could not be replaced
  std::shared_ptr<Reactor> links_;  // null unless it runs
  bool stopped_ = false;
};

}  // namespace manta::detail
