#include "tune/core/report_desk.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <thread>

#include "runtime/codec.hpp"

namespace manta::tune {

namespace {

constexpr std::uint64_t kListener = 1, kBell = 2, kFirstConnection = 3;
constexpr std::uint32_t kMaxWordBytes = 256u << 20;

std::string random_name() {
  std::random_device device;
  std::string name = "manta-tune-";
  for (int i = 0; i < 4; ++i) {
    std::array<char, 9> digits{};
    std::snprintf(digits.data(), digits.size(), "%08x", static_cast<unsigned>(device()));
    name += digits.data();
  }
  return name;
}

/// A name in the abstract space: no file is left behind. The length is part of it.
std::pair<sockaddr_un, socklen_t> abstract_address(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t length = std::min(name.size(), sizeof(address.sun_path) - 1);
  std::memcpy(address.sun_path + 1, name.data(), length);
  return {address, static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length)};
}

bool is_of_our_user(int fd) noexcept {
  ucred peer{};
  socklen_t length = sizeof(peer);
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == ::geteuid();
}

bool send_all(int fd, std::span<const std::byte> bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  return true;
}

class DeskLine final : public ReportLine {
 public:
  explicit DeskLine(FileDescriptor socket) noexcept : socket_(std::move(socket)) {}

  std::optional<Decision> ask(TrialReply reply) override {
    if (closed()) return std::nullopt;
    const Buffer word = encode(reply);
    if (word.size() > kMaxWordBytes)
      throw InvalidArgument("a report has " + std::to_string(word.size()) + " bytes of metrics: at most " + std::to_string(kMaxWordBytes) + " may be told at once");
    const auto length = static_cast<std::uint32_t>(word.size());
    std::string frame(reinterpret_cast<const char*>(&length), sizeof(length));
    frame.append(reinterpret_cast<const char*>(word.data()), word.size());
    if (send_all(socket_.get(), std::as_bytes(std::span(frame))))
      if (const auto decision = heard()) return decision;
    closed_ = true;
    return std::nullopt;
  }
  /// The descriptor stays open: another thread may be about to read.
  void close() override {
    closed_ = true;
    ::shutdown(socket_.get(), SHUT_RDWR);
  }
  bool closed() const noexcept override { return closed_.load(std::memory_order_relaxed); }

 private:
  std::optional<Decision> heard() const noexcept {
    std::uint8_t byte = 0;
    ssize_t got = 0;
    do got = ::recv(socket_.get(), &byte, 1, 0);
    while (got < 0 && errno == EINTR);
    if (got != 1 || byte > static_cast<std::uint8_t>(Decision::kPause)) return std::nullopt;
    return static_cast<Decision>(byte);
  }

  const FileDescriptor socket_;
  std::atomic<bool> closed_{false};
};

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

DeskBell::DeskBell() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void DeskBell::ring() const noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event_.get(), &one, sizeof(one));  // full: it rings already
}

void DeskBell::quieten() const noexcept {
  std::uint64_t rung = 0;
  [[maybe_unused]] const ssize_t got = ::read(event_.get(), &rung, sizeof(rung));
}

std::unique_ptr<ReportDesk> ReportDesk::open() {
  FileDescriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)), poll(::epoll_create1(EPOLL_CLOEXEC));
  auto bell = std::make_shared<DeskBell>();
  if (!listener || !poll || bell->fd() < 0) return nullptr;
  const std::string name = random_name();
  const auto [address, length] = abstract_address(name);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0 || ::listen(listener.get(), SOMAXCONN) != 0) return nullptr;
  std::unique_ptr<ReportDesk> desk(new ReportDesk(name, std::move(listener), std::move(poll), std::move(bell)));
  if (!desk->watch(desk->listener_.get(), kListener) || !desk->watch(desk->bell_->fd(), kBell)) return nullptr;
  return desk;
}

ReportDesk::ReportDesk(std::string address, FileDescriptor listener, FileDescriptor poll, std::shared_ptr<DeskBell> bell)
    : address_(std::move(address)), listener_(std::move(listener)), poll_(std::move(poll)), bell_(std::move(bell)), next_id_(kFirstConnection) {}

ReportDesk::~ReportDesk() = default;

bool ReportDesk::watch(int fd, std::uint64_t id) const noexcept {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = id;
  return ::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

std::vector<ReportDesk::Told> ReportDesk::wait(std::chrono::milliseconds timeout) {
  std::vector<Told> told;
  std::array<epoll_event, 64> events{};
  const auto bounded = static_cast<int>(std::clamp<std::chrono::milliseconds::rep>(timeout.count(), 0, std::numeric_limits<int>::max()));
  const int count = ::epoll_wait(poll_.get(), events.data(), static_cast<int>(events.size()), bounded);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t id = events[static_cast<std::size_t>(i)].data.u64;
    if (id == kListener) {
      accept_all();
    } else if (id == kBell) {
      bell_->quieten();
    } else if (const auto found = connections_.find(id); found != connections_.end() && !read(found->second, id, told)) {
      drop(id);
    }
  }
  return told;
}

void ReportDesk::accept_all() {
  for (;;) {
    FileDescriptor fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) {  // none is left, or no descriptors are: who calls waits until there are, and this thread must not spin meanwhile
      if (errno != EAGAIN && errno != EWOULDBLOCK) std::this_thread::sleep_for(std::chrono::milliseconds(10));
      return;
    }
    if (!is_of_our_user(fd.get()) || !watch(fd.get(), next_id_)) continue;
    connections_[next_id_++] = {.fd = std::move(fd)};
  }
}

/// False when the connection has ended or says nonsense.
bool ReportDesk::read(Connection& connection, std::uint64_t id, std::vector<Told>& told) {
  std::array<char, 16384> bytes;
  for (;;) {
    const ssize_t got = ::recv(connection.fd.get(), bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
    if (got <= 0) return false;
    connection.unread.append(bytes.data(), static_cast<std::size_t>(got));
    if (!take_words(connection, id, told)) return false;
    if (static_cast<std::size_t>(got) < bytes.size()) return true;
  }
}

bool ReportDesk::take_words(Connection& connection, std::uint64_t id, std::vector<Told>& told) {
  std::string_view unread = connection.unread;
  if (connection.ticket == 0) {
    if (unread.size() < sizeof(std::uint64_t)) return true;
    std::memcpy(&connection.ticket, unread.data(), sizeof(connection.ticket));
    unread.remove_prefix(sizeof(connection.ticket));
    const auto caller = callers_.find(connection.ticket);
    if (caller == callers_.end() || caller->second.connection != 0) return connection.ticket = 0, false;  // let go, or not of here
    caller->second.connection = id;
  }
  for (std::uint32_t length = 0; unread.size() >= sizeof(length);) {
    std::memcpy(&length, unread.data(), sizeof(length));
    if (length > kMaxWordBytes) return false;
    if (unread.size() - sizeof(length) < length) break;
    try {
      told.push_back({callers_.at(connection.ticket).trial, connection.ticket, decode<TrialReply>(Buffer::copy(std::as_bytes(std::span(unread.substr(sizeof(length), length)))))});
    } catch (const Error&) {
      return false;
    }
    unread.remove_prefix(sizeof(length) + length);
  }
  connection.unread.erase(0, connection.unread.size() - unread.size());
  return true;
}

void ReportDesk::answer(std::uint64_t ticket, Decision decision) {
  const auto caller = callers_.find(ticket);
  if (caller == callers_.end() || caller->second.connection == 0) return;
  const auto byte = static_cast<std::uint8_t>(decision);
  // One byte for each word that was told: there is always room.
  [[maybe_unused]] const ssize_t sent = ::send(connections_.at(caller->second.connection).fd.get(), &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void ReportDesk::drop(std::uint64_t id) {
  const auto found = connections_.find(id);
  if (const auto caller = callers_.find(found->second.ticket); caller != callers_.end()) caller->second.connection = 0;
  connections_.erase(found);  // closing takes it out of the epoll set: nobody else holds the descriptor
}

void ReportDesk::forget(std::uint64_t ticket) {
  const auto caller = callers_.find(ticket);
  if (caller == callers_.end()) return;
  connections_.erase(caller->second.connection);
  callers_.erase(caller);
}

std::shared_ptr<ReportLine> call_desk(const std::string& address, std::uint64_t ticket) {
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return nullptr;
  const auto [name, length] = abstract_address(address);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), length) != 0 || !is_of_our_user(socket.get())) return nullptr;
  if (!send_all(socket.get(), std::as_bytes(std::span(&ticket, 1)))) return nullptr;
  return std::make_shared<DeskLine>(std::move(socket));
}

}  // namespace manta::tune
