#include "runtime/process/zygote_protocol.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>

#include "runtime/base/standard_streams.hpp"

namespace manta {

namespace {

constexpr std::size_t kMaxControlFds = 8;

struct WireHeader {
  std::uint32_t kind;
  std::uint32_t strings;
  std::uint64_t id;
  std::int32_t pid;
  std::int32_t value;
};

void put(std::vector<std::byte>& bytes, const void* data, std::size_t count) {
  const auto* first = static_cast<const std::byte*>(data);
  bytes.insert(bytes.end(), first, first + count);
}

bool take(std::span<const std::byte>& bytes, void* data, std::size_t count) {
  if (bytes.size() < count) return false;
  std::memcpy(data, bytes.data(), count);
  bytes = bytes.subspan(count);
  return true;
}

bool take_string(std::span<const std::byte>& bytes, std::string& text) {
  std::uint32_t length = 0;
  if (!take(bytes, &length, sizeof(length)) || length > bytes.size()) return false;
  text.resize(length);
  return take(bytes, text.data(), length);
}

/// What is left of a message that was cut: who asked for it can be told.
void without_strings(std::byte* bytes) {
  constexpr std::uint32_t kNone = 0;
  std::memcpy(bytes + offsetof(WireHeader, strings), &kNone, sizeof(kNone));
}

std::vector<OwnedFd> take_fds(msghdr& message) {
  std::vector<OwnedFd> fds;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    std::array<int, kMaxControlFds> numbers;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::memcpy(numbers.data(), CMSG_DATA(header), count * sizeof(int));
    for (std::size_t i = 0; i < count; ++i) fds.emplace_back(above_standard_streams(numbers[i]));
  }
  return fds;
}

}  // namespace

std::vector<std::byte> encode(const ControlMessage& message) {
  const WireHeader header{static_cast<std::uint32_t>(message.kind), static_cast<std::uint32_t>(message.strings.size()),
                          message.id, message.pid, message.value};
  std::vector<std::byte> bytes;
  put(bytes, &header, sizeof(header));
  for (const std::string& text : message.strings) {
    const auto length = static_cast<std::uint32_t>(text.size());
    put(bytes, &length, sizeof(length));
    put(bytes, text.data(), text.size());
  }
  return bytes;
}

Result<ControlMessage> decode_control(std::span<const std::byte> bytes) {
  const ErrorInfo invalid{.code = ErrorCode::kProtocolError, .message = "a damaged message between driver and zygote"};
  WireHeader header;
  if (!take(bytes, &header, sizeof(header))) return invalid;
  if (header.kind < static_cast<std::uint32_t>(ControlKind::kHello) ||
      header.kind > static_cast<std::uint32_t>(ControlKind::kExited))
    return invalid;
  if (header.strings > bytes.size() / sizeof(std::uint32_t)) return invalid;
  ControlMessage message{static_cast<ControlKind>(header.kind), header.id, header.pid, header.value, {}};
  message.strings.resize(header.strings);
  for (std::string& text : message.strings)
    if (!take_string(bytes, text)) return invalid;
  if (!bytes.empty()) return invalid;
  return message;
}

int send_control(int socket, std::span<const std::byte> datagram, std::span<const int> fds, int flags) noexcept {
  if (datagram.size() > kMaxControlBytes) return EMSGSIZE;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxControlFds * sizeof(int))> control{};
  iovec piece{const_cast<std::byte*>(datagram.data()), datagram.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  while (::sendmsg(socket, &message, MSG_NOSIGNAL | flags) < 0)
    if (errno != EINTR) return errno;
  return 0;
}

Result<std::optional<ReceivedControl>> receive_control(int socket) {
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kMaxControlBytes);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxControlFds * sizeof(int))> control{};
  iovec piece{buffer.get(), kMaxControlBytes};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t count;
  do {
    count = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  if (count == 0 || (count < 0 && errno == ECONNRESET)) return std::optional<ReceivedControl>{};
  if (count < 0) return system_error("receiving between driver and zygote", errno);
  std::vector<OwnedFd> fds = take_fds(message);
  const bool cut = (message.msg_flags & MSG_TRUNC) != 0;
  if (cut) without_strings(buffer.get());
  auto decoded = decode_control({buffer.get(), cut ? sizeof(WireHeader) : static_cast<std::size_t>(count)});
  if (!decoded) return decoded.error();
  return std::optional(ReceivedControl{std::move(*decoded), std::move(fds), (message.msg_flags & MSG_CTRUNC) != 0, cut});
}

}  // namespace manta
