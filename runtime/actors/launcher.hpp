#pragma once
// ZygoteLauncher: makes the node's worker processes through a zygote, which is started at the first use; holds the links to
// them and brings their output to the terminal and to files. Thread-safe. Ends with stop(), which leaves no process behind.
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
    std::function<void(ProcessId process, std::string how, bool own_doing)> on_ended{};  ///< after its last message
  };
  ZygoteLauncher(wire::Hello hello, std::filesystem::path log_dir, Handlers handlers);
  ~ZygoteLauncher() override;

  Result<Started> launch(ProcessId process, const wire::ProcessOptions& options,
                         const std::map<std::string, std::string>& environment, Amount cpus) override;
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
    bool link_closed = false;
    bool ready = false;  ///< it has sent its first message
    std::optional<WorkerExit> exit{};
  };
  /// The parts, made at the first call; they stay alive while a launch uses them. RuntimeStopped after stop().
  struct Parts {
    std::shared_ptr<Reactor> links{};
    std::unique_ptr<Reactor> logs{};
    std::unique_ptr<LogPump> pump{};
    std::unique_ptr<Zygote> zygote{};
    ~Parts();
  };
  Result<std::shared_ptr<Parts>> parts();
  void signal(ProcessId process, int signal);
  void kill_unless_ready(ProcessId process);
  void end_unless_sent(ProcessId to, const Result<void>& sent);
  void on_frame(ProcessId from, Link::Frame& frame);
  void on_exit(const WorkerExit& exit);
  void on_link_closed(ProcessId process);
  void finish_if_gone(ProcessId process, std::unique_lock<std::mutex>& lock);

  const wire::Hello hello_;
  const std::filesystem::path log_dir_;
  const Handlers handlers_;
  std::mutex start_mutex_;
  std::shared_ptr<Parts> parts_;  // guarded by start_mutex_, like stopped_
  bool stopped_ = false;
  mutable std::mutex mutex_;  // guards entries_
  std::condition_variable changed_;
  std::map<ProcessId, Entry> entries_;
  std::shared_ptr<Reactor> links_;  // likewise; null unless it runs
};

}  // namespace manta::detail
