#pragma once
// WorkerEngine: a worker process: host and owner, the link to its node, a window on the node's arena.
#include "runtime/actors/process_engine.hpp"
#include "runtime/actors/remote_durables.hpp"
#include "runtime/process/link.hpp"
#include "runtime/process/zygote_main.hpp"
#include "runtime/store/arena_view.hpp"

namespace manta::detail {

/// The node's object store as a worker process reaches it: by messages, and in place through shared mappings.
class RemoteStore final : public StoreAccess {
 public:
  using Send = std::function<void(const wire::StoreRequest& request)>;
  RemoteStore(ProcessId self, Send send) : self_(self), send_(std::move(send)) {}

  ProcessId self() const override { return self_; }
  Result<Buffer> open(ObjectId id) override;
  void free(ObjectId id) override;
  /// The node's answer, on the reactor's thread.
  void on_reply(wire::StoreReply reply, std::vector<OwnedFd>& fds);

 protected:
  Result<Room> create(std::uint64_t size, ProcessId owner) override;
  Result<void> seal(ObjectId id) override;
  void abort(ObjectId id) override;

 private:
  wire::StoreReply ask(wire::StoreRequest request);
  /// Maps an extent that could not be mapped when it came, if that is so: ResourceExhausted while it still cannot.
  Result<void> map(std::uint32_t extent, bool writable);
  void forget_unmapped(std::uint32_t extent);
  struct Pending {
    std::atomic<std::uint32_t> done{0};
    bool writable = false;
    wire::StoreReply reply{};
  };
  const ProcessId self_;
  const Send send_;
  ArenaView view_;
  std::mutex mutex_;  // guards what follows
  std::uint64_t next_request_ = 1;
  std::map<std::uint64_t, std::shared_ptr<Pending>> pending_;
  struct Unmapped {
    OwnedFd fd;
    std::uint64_t bytes = 0;
  };
  std::map<std::pair<std::uint32_t, bool>, Unmapped> unmapped_;  // by extent, and whether for writing
};

class WorkerEngine final : public ProcessEngine {
 public:
  /// Runs the worker until the node tells it to end or is gone; then ends the process.
  [[noreturn]] static void run(WorkerStart start);
  /// True in a worker process, once run has been called there.
  static bool runs_here() noexcept;

  void put(Cell& cell, const PutOptions& options, const std::string& standard_tag) override;
  std::shared_ptr<Cell> find_durable(const TypeOps& ops, const std::string& name, const std::string& tag) override;
  bool remove_durable(const std::string& name) override;
  std::vector<std::string> list_durable(const std::string& prefix) override;
  Resources total_resources() const override;
  Resources available_resources() const override;
  RuntimeStats stats() const override { return own_stats(); }

 private:
  WorkerEngine(std::shared_ptr<Reactor> reactor, std::shared_ptr<Link> link, const wire::Hello& hello);
  /// `unnamed`: the process is a spare that no actor has come into yet.
  static void on_frame(const std::shared_ptr<Reactor>& reactor, const std::shared_ptr<Link>& link, Link::Frame& frame,
                       std::shared_ptr<WorkerEngine>& engine, bool& unnamed);
  void deliver_here(ProcessId from, wire::Message message);
  void deliver_control(ProcessId from, wire::Message message) override;
  /// Told to retire, nobody refers to what this process owns, and the tasks and calls that it made are done: ends it.
  void leave_if_unused();
  void leave_when_let_go();
  void send_remote(ProcessId to, const wire::Message& message) override;
  std::shared_ptr<Reactor> links_loop() override { return nullptr; }  // its own threads read: a cancel must reach who waits
  wire::NameReply ask_directory(wire::NameRequest request) override;

  struct ReportWait {
    std::atomic<std::uint32_t> done{0};
    wire::ResourcesReport report{};
  };
  const std::shared_ptr<Reactor> reactor_;
  const std::shared_ptr<Link> link_;
  bool retiring_ = false;     // whoever runs the reactor only
  bool looks_again_ = false;  // likewise
  bool leaving_ = false;      // told to; of the reactor's thread
  std::shared_ptr<RemoteStore> remote_store_;
  std::unique_ptr<RemoteDurables> remote_durables_;
  mutable std::mutex reports_mutex_;  // guards what follows
  mutable std::uint64_t next_report_ = 1;
  mutable std::map<std::uint64_t, std::shared_ptr<ReportWait>> reports_;
  Resources total_now_;
  struct NameWait {
    Cell done{type_ops<Void>()};
    wire::NameReply reply{};
  };
  std::map<std::uint64_t, std::shared_ptr<NameWait>> names_;  // guarded by reports_mutex_
};

}  // namespace manta::detail
