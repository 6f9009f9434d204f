#pragma once
// ReportDesk: where trials in other processes of this machine tell their results, on a socket each, to the driver's own thread: one
// wake-up each way, where a call of the actor's method takes six. A trial that does not reach the desk, since it runs on another
// machine or in another network namespace, takes turns by that method. See docs/design, "A report on a thread takes two wake-ups".
//
// The socket has an abstract name of 128 random bits, and both ends look at the other's user. A connection says the ticket of its
// ReportSlot first.  To the desk: frames of a length (4 bytes of this machine's order) and a TrialReply in the runtime's codec. Back: one
// byte, the Decision, for each.
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tune/core/report_line.hpp"

namespace manta::tune {

/// A descriptor that closes itself.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) noexcept : fd_(fd) {}
  ~FileDescriptor();
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_;
};

/// Wakes the thread that waits at a desk. Thread-safe; may outlive the desk.
class DeskBell {
 public:
  DeskBell();
  void ring() const noexcept;
  void quieten() const noexcept;
  int fd() const noexcept { return event_.get(); }

 private:
  FileDescriptor event_;
};

/// The driver's end; for one thread.
class ReportDesk {
 public:
  struct Told {
    TrialIndex trial{0};
    std::uint64_t ticket{0};
    TrialReply reply{};
  };

  /// Null where the system has no such sockets, or no descriptors left: trials take turns then.
  static std::unique_ptr<ReportDesk> open();
  ~ReportDesk();
  ReportDesk(const ReportDesk&) = delete;
  ReportDesk& operator=(const ReportDesk&) = delete;

  /// What TrialSpec::desk holds.
  const std::string& address() const noexcept { return address_; }
  const std::shared_ptr<DeskBell>& bell() const noexcept { return bell_; }

  /// From now on who says this ticket is heard.
  void expect(TrialIndex trial, std::uint64_t ticket) { callers_[ticket] = {.trial = trial}; }
  /// What has been told, waiting up to `timeout` for a word or the bell.
  std::vector<Told> wait(std::chrono::milliseconds timeout);
  /// Answers the ticket's last word, if its connection still stands.
  void answer(std::uint64_t ticket, Decision decision);
  /// Its connection ends: a trial that asks there is let go.
  void forget(std::uint64_t ticket);

  std::size_t connections() const noexcept { return connections_.size(); }

 private:
  struct Connection {
    FileDescriptor fd{};
    std::uint64_t ticket{0};  // 0: not said yet
    std::string unread{};
  };

  struct Caller {
    TrialIndex trial{0};
    std::uint64_t connection{0};  // 0: it has not called yet, or its connection has ended
  };

  ReportDesk(std::string address, FileDescriptor listener, FileDescriptor poll, std::shared_ptr<DeskBell> bell);
  void accept_all();
  bool watch(int fd, std::uint64_t id) const noexcept;
  bool read(Connection& connection, std::uint64_t id, std::vector<Told>& told);
  bool take_words(Connection& connection, std::uint64_t id, std::vector<Told>& told);
  void drop(std::uint64_t id);

  const std::string address_;
  const FileDescriptor listener_, poll_;
  const std::shared_ptr<DeskBell> bell_;
  std::uint64_t next_id_;
  std::unordered_map<std::uint64_t, Connection> connections_{};
  std::unordered_map<std::uint64_t, Caller> callers_{};  // by ticket
};

/// The trial's end of a connection; null when the desk cannot be reached from here.
std::shared_ptr<ReportLine> call_desk(const std::string& address, std::uint64_t ticket);

}  // namespace manta::tune
