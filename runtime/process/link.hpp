#pragma once
// A link: frames and descriptors over a connected unix stream socket, without ever blocking the sender.
//
// A send writes at once if the socket takes it; else the rest is queued, up to a bound, and the reactor writes it when
// there is room. Frames arrive whole, in order, once. Descriptors belong to the frame that carries them. Shared between
// its user and the reactor (until closed); the reactor must outlive it. Sends are safe from any thread; the handlers
// run on the reactor's thread.
//
//   auto link = Link::make(*reactor, std::move(socket));
//   link->start({.on_frame = [](Link::Frame& f) { handle(f.kind, f.payload); },
//                .on_close = [](const ErrorInfo& why) { … }});
//   link->send(kTask, bytes);
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/process/frame.hpp"
#include "runtime/process/owned_fd.hpp"
#include "runtime/process/reactor.hpp"
#include "runtime/process/send_queue.hpp"

namespace manta {

struct LinkOptions {
  FrameLimits limits{};
  std::size_t max_queued_bytes = std::size_t{1} << 30;  ///< bytes that wait for the peer, beyond the socket's buffer
};

class Link : public std::enable_shared_from_this<Link> {
 public:
  /// A frame as the handler gets it. `payload` is 8-byte aligned and valid during the call only; `fds` may be moved
  /// out, what stays is closed.
  struct Frame {
    std::uint16_t kind = 0;
    std::span<const std::byte> payload{};
    std::vector<OwnedFd> fds{};
  };
  struct Handlers {
    std::function<void(Frame&)> on_frame{};
    /// Called once, after the last frame. RuntimeStopped: close() was called here. IoError: the peer is gone.
    /// ProtocolError: the peer sent bytes that are no frames. ResourceExhausted: descriptors that it sent were lost here.
    std::function<void(const ErrorInfo&)> on_close{};
  };
  using Bytes = std::span<const std::byte>;

  /// Takes a connected SOCK_STREAM unix socket. Nothing is read before start().
  static std::shared_ptr<Link> make(Reactor& reactor, OwnedFd socket, LinkOptions options = {});
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Begins to read. Once. RuntimeStopped when the reactor has stopped; IoError.
  Result<void> start(Handlers handlers);

  /// Sends one frame; returns at once. `fds` (64 at most) stay the caller's: the peer gets duplicates.
  /// InvalidArgument: payload, kind or fds beyond the limits. ResourceExhausted: the queue is full, nothing was sent.
  /// RuntimeStopped: the link is down, or this is a fork of the process that made it. IoError: it is down, or the system did not take this frame, of which then nothing was sent.
  /// Thread-safe.
  Result<void> send(std::uint16_t kind, Bytes payload, std::span<const int> fds = {});
  /// The same with a payload in pieces, which are gathered without a copy when the socket takes them at once.
  Result<void> send(std::uint16_t kind, std::span<const Bytes> pieces, std::span<const int> fds = {});

  /// Waits until everything sent has been handed to the socket. False: not in time, or the link went down.
  /// Not on the reactor's thread.
  bool flush(std::chrono::milliseconds timeout);

  /// Ends the link: what is queued is dropped, sends fail from now on, no frame is handed out any more (one that is
  /// being handed out on the reactor's thread excepted), on_close follows on the reactor's thread.
  void close();
  /// The peer has ended: hands out what it had sent, then ends the link as when its end is closed, though somebody whom it has forked
  /// may still hold that. on_close follows on the reactor's thread.
  void peer_ended();

  /// Bytes that wait for the peer. Thread-safe.
  std::size_t queued_bytes() const;

 private:
  Link(Reactor& reactor, OwnedFd socket, LinkOptions options);
  Result<void> check_send(std::uint16_t kind, std::size_t bytes, std::span<const int> fds) const;
  Result<void> write_or_queue(std::span<const iovec> pieces, std::size_t bytes, std::span<const int> fds);
  Result<void> queue_rest(std::span<const iovec> pieces, std::size_t sent, std::span<const int> fds);
  void broken(ErrorInfo why);
  void on_events(std::uint32_t events);
  void write_queued();
  void read_available();
  void read_last();
  Result<std::size_t> receive();
  Result<void> deliver();
  void finish(const ErrorInfo& why);

  Reactor& reactor_;
  const LinkOptions options_;
  const int forks_;  // count_forks() when it was made: what a fork sent would come between this process's frames

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable flushed_;
  OwnedFd socket_;
  SendQueue queue_;
  std::uint32_t sequence_ = 0;
  Reactor::Token token_ = 0;
  bool wants_write_ = false;
  std::optional<ErrorInfo> down_;  // why sends fail

  std::atomic<bool> closing_ = false;  // close() was called: no frame is handed out any more

  FrameDecoder decoder_;  // the reactor's thread only, like what follows
  std::vector<OwnedFd> received_fds_;
  Handlers handlers_;
  bool finished_ = false;
};

}  // namespace manta
