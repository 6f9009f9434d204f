#pragma once
// The messages between a driver and its zygote: one datagram each on a SOCK_SEQPACKET pair, with descriptors. Internal
// to runtime/process. They are made and read by one and the same program, so the numbers are in native byte order; the
// decoder still checks every length.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/process/owned_fd.hpp"

namespace manta {

inline constexpr char kChildVariable[] = "MANTA_CHILD";  ///< "zygote:FD" or "worker:FD:TITLE" in a process of ours
inline constexpr int kChildFd = 3;                       ///< where such a process finds its socket
inline constexpr std::size_t kMaxControlBytes = std::size_t{192} << 10;

enum class ControlKind : std::uint32_t {
  kHello = 1,  ///< zygote → driver; value: its number of threads
  kSpawn,      ///< driver → zygote; id, strings: title, then name and value of each variable; fds: link, out, err
  kSpawned,    ///< zygote → driver; id, pid; value: 0 or an errno value
  kKill,       ///< driver → zygote; id, pid, value: the signal
  kExited,     ///< zygote → driver; id, pid, value: the wait status
};

struct ControlMessage {
  ControlKind kind{};
  std::uint64_t id = 0;
  std::int32_t pid = 0;
  std::int32_t value = 0;
  std::vector<std::string> strings{};
};

std::vector<std::byte> encode(const ControlMessage& message);
/// ProtocolError when the bytes are not one whole message.
Result<ControlMessage> decode_control(std::span<const std::byte> bytes);

struct ReceivedControl {
  ControlMessage message;
  std::vector<OwnedFd> fds;
  bool fds_lost = false;  ///< this process had no room for the descriptors
  bool cut = false;       ///< it was larger than kMaxControlBytes: its strings are lost
};

/// Sends one datagram, waiting for room unless flags has MSG_DONTWAIT. 0 or an errno value: EMSGSIZE for more than kMaxControlBytes.
int send_control(int socket, std::span<const std::byte> datagram, std::span<const int> fds, int flags) noexcept;
/// Waits for one datagram; nothing at the end of the stream. IoError, ProtocolError.
Result<std::optional<ReceivedControl>> receive_control(int socket);

}  // namespace manta
