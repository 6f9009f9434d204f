#pragma once
// Bytes and descriptors that wait until a socket has room. Part of Link, which guards it by its lock.
#include <sys/uio.h>

#include <cstddef>
#include <deque>
#include <span>
#include <vector>

#include "runtime/process/owned_fd.hpp"

namespace manta {

/// Writes pieces to a socket without blocking and without SIGPIPE; descriptors go with the first byte. Returns the
/// bytes written, or a negative errno value. At most 1024 pieces are taken.
ssize_t send_pieces(int socket, std::span<const iovec> pieces, std::span<const int> fds) noexcept;

class SendQueue {
 public:
  bool empty() const noexcept { return chunks_.empty(); }
  std::size_t bytes() const noexcept { return bytes_; }

  /// Copies what follows the first `skip` bytes of the pieces to the end of the queue; the descriptors go with the
  /// first byte copied.
  void append(std::span<const iovec> pieces, std::size_t skip, std::vector<OwnedFd> fds);

  /// Writes until the queue is empty (0), the socket is full (EAGAIN), or an error (its errno value).
  int write_to(int socket);

  void clear() noexcept;

 private:
  struct Chunk {
    std::vector<std::byte> data;
    std::size_t sent = 0;
    std::vector<OwnedFd> fds;
  };
  void consume(std::size_t bytes);

  std::deque<Chunk> chunks_;
  std::size_t bytes_ = 0;
};

}  // namespace manta
