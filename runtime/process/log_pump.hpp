#pragma once
// Brings what workers print to the driver's terminal, line by line with a prefix, and to files.
//
// A line arrives as `(name pid=123) text`, written in one piece; a line over 64 KiB is cut in pieces, a last line
// without an end gets one. The file gets the bytes as they are, stdout and stderr in order of arrival. Writing to a
// terminal or a disk can block: give the pump a reactor of its own, which must outlive it. Safe from any thread.
//
//   LogPump pump(*log_reactor);
//   auto id = pump.add({.name = "trial 7", .pid = w.pid, .out = std::move(w.out), .err = std::move(w.err)});
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "runtime/process/owned_fd.hpp"
#include "runtime/process/reactor.hpp"

namespace manta {

struct LogSource {
  std::string name{};
  pid_t pid = 0;
  OwnedFd out{};                      ///< end to read of the worker's stdout
  OwnedFd err{};                      ///< end to read of its stderr
  std::string file{};                 ///< appended to, with its folder made, at the first byte; empty: no file
  bool echo = true;                   ///< false: to the file only
  std::function<void()> on_closed{};  ///< called once on the reactor's thread, after the last byte has been written
};

struct LogPumpOptions {
  int out_fd = 1;  ///< where the workers' stdout goes; not owned
  int err_fd = 2;  ///< where their stderr goes; not owned
};

class LogPump {
 public:
  using Id = std::uint64_t;

  explicit LogPump(Reactor& reactor, LogPumpOptions options = {});
  /// Stops reading; what has not been read is lost. No callback begins after it.
  ~LogPump();
  LogPump(const LogPump&) = delete;
  LogPump& operator=(const LogPump&) = delete;

  /// Reads both pipes until their ends. IoError, RuntimeStopped.
  Result<Id> add(LogSource source);

  /// Says that the worker has ended: what it wrote is read to the end, but a process that escaped from its group and
  /// still holds a pipe open delays on_closed by one second at most. An unknown id does nothing.
  void finish(Id id);

  /// Says that all workers have ended, ahead of the reactor's stop: what their pipes hold is written before that, and on_closed is called.
  void finish_all();

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace manta
