#include "runtime/process/send_queue.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "runtime/process/frame.hpp"

namespace manta {

namespace {

constexpr std::size_t kMaxPieces = 1024;                     // IOV_MAX
constexpr std::size_t kChunkBytes = std::size_t{256} << 10;  // small frames share a chunk up to this
constexpr std::size_t kChunksPerWrite = 16;

}  // namespace

ssize_t send_pieces(int socket, std::span<const iovec> pieces, std::span<const int> fds) noexcept {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFdsPerFrame * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = std::min(pieces.size(), kMaxPieces);
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  ssize_t sent;
  do {
    sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}

void SendQueue::append(std::span<const iovec> pieces, std::size_t skip, std::vector<OwnedFd> fds) {
  const bool shares = !chunks_.empty() && fds.empty() && chunks_.back().data.size() < kChunkBytes;
  if (!shares) chunks_.push_back({.data = {}, .sent = 0, .fds = std::move(fds)});
  std::vector<std::byte>& data = chunks_.back().data;
  for (const iovec& piece : pieces) {
    const std::size_t skipped = std::min(skip, piece.iov_len);
    skip -= skipped;
    const auto* first = static_cast<const std::byte*>(piece.iov_base);
    data.insert(data.end(), first + skipped, first + piece.iov_len);
    bytes_ += piece.iov_len - skipped;
  }
}

int SendQueue::write_to(int socket) {
  while (!chunks_.empty()) {
    std::array<iovec, kChunksPerWrite> pieces;
    std::array<int, kMaxFdsPerFrame> fds;
    std::size_t count = 0;
    for (Chunk& chunk : chunks_) {
      if (count == kChunksPerWrite || (count > 0 && !chunk.fds.empty())) break;
      pieces[count++] = {chunk.data.data() + chunk.sent, chunk.data.size() - chunk.sent};
    }
    const std::vector<OwnedFd>& owned = chunks_.front().fds;
    std::transform(owned.begin(), owned.end(), fds.begin(), [](const OwnedFd& fd) { return fd.get(); });
    const ssize_t sent = send_pieces(socket, {pieces.data(), count}, {fds.data(), owned.size()});
    if (sent < 0) return static_cast<int>(-sent);
    consume(static_cast<std::size_t>(sent));
  }
  return 0;
}

void SendQueue::consume(std::size_t bytes) {
  bytes_ -= bytes;
  if (bytes > 0) chunks_.front().fds.clear();  // they went with the first byte
  while (bytes > 0) {
    Chunk& chunk = chunks_.front();
    const std::size_t taken = std::min(bytes, chunk.data.size() - chunk.sent);
    chunk.sent += taken;
    bytes -= taken;
    if (chunk.sent == chunk.data.size()) chunks_.pop_front();
  }
}

void SendQueue::clear() noexcept {
  chunks_.clear();
  bytes_ = 0;
}

}  // namespace manta
