#include "runtime/process/link.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "runtime/base/standard_streams.hpp"
#include "runtime/process/forks.hpp"

namespace manta {

namespace {

constexpr int kReadsPerEvent = 8;               // then other links of the reactor get their turn
constexpr int kLastReads = 256;                 // more than a socket holds
constexpr std::size_t kMaxWaitingFds = 4096;    // descriptors received ahead of their frames
constexpr std::size_t kMaxFdsPerMessage = 253;  // SCM_MAX_FD
constexpr int kSocketBufferBytes = 1 << 20;     // the kernel gives less where its limit is lower
constexpr std::array<char, 8> kPadding{};

ErrorInfo link_error(ErrorCode code, std::string message) { return {.code = code, .message = std::move(message)}; }

iovec piece_of(const void* data, std::size_t bytes) { return {const_cast<void*>(data), bytes}; }

bool take_fds(msghdr& message, std::vector<OwnedFd>& fds) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      fds.emplace_back(above_standard_streams(fd));
    }
  }
  return (message.msg_flags & MSG_CTRUNC) == 0;
}

}  // namespace

std::shared_ptr<Link> Link::make(Reactor& reactor, OwnedFd socket, LinkOptions options) {
  return std::shared_ptr<Link>(new Link(reactor, std::move(socket), options));
}

Link::Link(Reactor& reactor, OwnedFd socket, LinkOptions options)
    : reactor_(reactor), options_(options), forks_(count_forks()), socket_(std::move(socket)), decoder_(options.limits) {
  set_nonblocking(socket_.get());
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &kSocketBufferBytes, sizeof(kSocketBufferBytes));
}

Link::~Link() = default;

Result<void> Link::start(Handlers handlers) {
  std::lock_guard lock(mutex_);
  MANTA_CHECK(token_ == 0);
  if (down_) return *down_;
  handlers_ = std::move(handlers);
  wants_write_ = !queue_.empty();
  auto token = reactor_.add(socket_.get(), EPOLLIN | (wants_write_ ? EPOLLOUT : 0u),
                            [self = shared_from_this()](std::uint32_t events) { self->on_events(events); });
  if (!token) return token.error();
  token_ = *token;
  return {};
}

Result<void> Link::send(std::uint16_t kind, Bytes payload, std::span<const int> fds) {
  return send(kind, std::span<const Bytes>(&payload, 1), fds);
}

Result<void> Link::send(std::uint16_t kind, std::span<const Bytes> payload, std::span<const int> fds) {
  std::size_t bytes = 0;
  for (const Bytes& piece : payload) bytes += piece.size();
  if (auto allowed = check_send(kind, bytes, fds); !allowed) return allowed;
  FrameHeader header{
      .kind = kind, .flags = static_cast<std::uint16_t>(fds.size()), .length = static_cast<std::uint32_t>(bytes)};
  std::array<iovec, 8> few;
  std::vector<iovec> many(payload.size() + 2 > few.size() ? payload.size() + 2 : 0);
  const std::span<iovec> all = many.empty() ? std::span<iovec>(few) : std::span<iovec>(many);
  std::size_t count = 0;
  all[count++] = piece_of(&header, sizeof(header));
  for (const Bytes& piece : payload)
    if (!piece.empty()) all[count++] = piece_of(piece.data(), piece.size());
  if (const std::size_t padding = padded_to_8(bytes) - bytes) all[count++] = piece_of(kPadding.data(), padding);
  std::lock_guard lock(mutex_);
  header.sequence = sequence_;
  return write_or_queue(all.first(count), sizeof(header) + padded_to_8(bytes), fds);
}

Result<void> Link::check_send(std::uint16_t kind, std::size_t bytes, std::span<const int> fds) const {
  if (forks_ != count_forks()) return link_error(ErrorCode::kRuntimeStopped, "the link is that of the process of which this one is a fork");
  if (bytes > options_.limits.max_payload_bytes)
    return link_error(ErrorCode::kInvalidArgument,
                      "a frame of " + std::to_string(bytes) + " bytes is over the limit of " +
                          std::to_string(options_.limits.max_payload_bytes) + "; send it in parts or by shared memory");
  if (kind >= options_.limits.kinds || fds.size() > kMaxFdsPerFrame)
    return link_error(ErrorCode::kInvalidArgument, "frame of kind " + std::to_string(kind) + " with " +
                                                       std::to_string(fds.size()) + " descriptors is over the limits");
  return {};
}

Result<void> Link::write_or_queue(std::span<const iovec> pieces, std::size_t bytes, std::span<const int> fds) {
  if (down_) return *down_;
  std::size_t sent = 0;
  if (queue_.empty()) {
    const ssize_t written = send_pieces(socket_.get(), pieces, fds);
    if (written >= 0) {
      sent = static_cast<std::size_t>(written);
    } else if (written == -EPIPE || written == -ECONNRESET) {
      broken(system_error("sending to a process that is gone", static_cast<int>(-written)));
      return *down_;
    } else if (written != -EAGAIN) {
      return system_error("sending to another process", static_cast<int>(-written));
    }
  }
  if (sent < bytes) {
    if (auto queued = queue_rest(pieces, sent, fds); !queued) return queued;
  }
  ++sequence_;
  return {};
}

Result<void> Link::queue_rest(std::span<const iovec> pieces, std::size_t sent, std::span<const int> fds) {
  std::vector<OwnedFd> copies;
  if (sent == 0) {  // a frame that is partly out must be completed
    if (queue_.bytes() >= options_.max_queued_bytes)
      return link_error(
          ErrorCode::kResourceExhausted,
          std::to_string(queue_.bytes()) + " bytes wait for a process that does not read; try again later");
    for (const int fd : fds) {
      auto copy = duplicate(fd);
      if (!copy) return copy.error();
      copies.push_back(std::move(*copy));
    }
  }
  queue_.append(pieces, sent, std::move(copies));
  if (token_ != 0 && !wants_write_) {
    wants_write_ = true;
    reactor_.modify(token_, EPOLLIN | EPOLLOUT);
  }
  return {};
}

void Link::broken(ErrorInfo why) {
  if (!down_) down_ = std::move(why);
  queue_.clear();
  if (wants_write_) {
    wants_write_ = false;
    reactor_.modify(token_, EPOLLIN);
  }
  flushed_.notify_all();
}

bool Link::flush(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  flushed_.wait_for(lock, timeout, [&] { return queue_.empty() || down_; });
  return queue_.empty() && !down_;
}

void Link::close() {
  const ErrorInfo why = link_error(ErrorCode::kRuntimeStopped, "the link has been closed by this process");
  closing_ = true;
  {
    std::lock_guard lock(mutex_);
    broken(why);
  }
  if (!reactor_.post([self = shared_from_this(), why] { self->finish(why); })) {
    std::lock_guard lock(mutex_);
    socket_.reset();
  }
}

void Link::peer_ended() {
  reactor_.post([self = shared_from_this()] { self->read_last(); });
}

void Link::read_last() {
  for (int i = 0; i < kLastReads && !finished_ && !closing_; ++i) {
    auto received = receive();
    if (!received) return finish(received.error());
    if (*received == 0) break;
    if (auto delivered = deliver(); !delivered) return finish(delivered.error());
  }
  finish(link_error(ErrorCode::kIoError, "the process at the other end has ended"));
}

std::size_t Link::queued_bytes() const {
  std::lock_guard lock(mutex_);
  return queue_.bytes();
}

void Link::on_events(std::uint32_t events) {
  if (events & EPOLLOUT) write_queued();
  if (!finished_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) read_available();
}

void Link::write_queued() {
  std::unique_lock lock(mutex_);
  const int error = queue_.write_to(socket_.get());
  if (error == EAGAIN) return;
  if (error == EPIPE || error == ECONNRESET) return broken(system_error("sending to a process that is gone", error));  // what it sent last is read
  if (error != 0) {  // a message is lost, and somebody would wait for it
    lock.unlock();
    return finish(system_error("sending to another process", error));
  }
  if (wants_write_) {
    wants_write_ = false;
    reactor_.modify(token_, EPOLLIN);
  }
  flushed_.notify_all();
}

void Link::read_available() {
  for (int i = 0; i < kReadsPerEvent && !closing_; ++i) {
    const std::size_t room = decoder_.writable().size();
    auto received = receive();
    if (!received) return finish(received.error());
    if (*received == 0) return;
    if (auto delivered = deliver(); !delivered) return finish(delivered.error());
    if (*received < room) return;  // the socket is empty: no need to ask it
  }
}

/// Bytes received; 0: nothing there now. An error ends the link.
Result<std::size_t> Link::receive() {
  const std::span<std::byte> space = decoder_.writable();
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFdsPerMessage * sizeof(int))> control;
  iovec piece{space.data(), space.size()};
  msghdr message{.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.data(), .msg_controllen = control.size()};
  ssize_t count;
  do {
    count = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  if (count < 0 && errno == EAGAIN) return std::size_t{0};
  if (count < 0 && errno != ECONNRESET) return system_error("receiving from another process", errno);
  if (count <= 0)
    return link_error(ErrorCode::kIoError, decoder_.pending_bytes() == 0
                                               ? "the process at the other end has closed the link"
                                               : "the process at the other end has ended in the middle of a message");
  if (!take_fds(message, received_fds_))
    return link_error(ErrorCode::kResourceExhausted, "descriptors were lost; raise the limit of open files (ulimit -n)");
  if (received_fds_.size() > kMaxWaitingFds)
    return link_error(ErrorCode::kProtocolError, "descriptors that belong to no frame; the link is closed");
  decoder_.commit(static_cast<std::size_t>(count));
  return static_cast<std::size_t>(count);
}

Result<void> Link::deliver() {
  while (!closing_) {
    auto next = decoder_.next();
    if (!next) return next.error();
    if (!*next) return {};
    const FrameView& view = **next;
    if (view.fds > received_fds_.size())
      return link_error(ErrorCode::kProtocolError, "a frame without its descriptors; the link is closed");
    Frame frame{.kind = view.kind, .payload = view.payload};
    const auto end_of_fds = received_fds_.begin() + view.fds;
    frame.fds.assign(std::make_move_iterator(received_fds_.begin()), std::make_move_iterator(end_of_fds));
    received_fds_.erase(received_fds_.begin(), end_of_fds);
    handlers_.on_frame(frame);
  }
  return {};
}

void Link::finish(const ErrorInfo& why) {
  if (std::exchange(finished_, true)) return;
  Handlers handlers;
  {
    std::lock_guard lock(mutex_);
    broken(why);
    if (token_ != 0) reactor_.remove(token_);
    socket_.reset();
    std::swap(handlers, handlers_);
  }
  received_fds_.clear();
  if (handlers.on_close) handlers.on_close(why);
}

}  // namespace manta
