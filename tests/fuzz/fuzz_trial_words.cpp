// What a trial's process says at the driver's desk, by a real socket. The first byte says into how large pieces the rest is cut: whole or in
// pieces the desk hears the same, and lets go of who talks nonsense. The second one: whether what the trial is told to run is read instead.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "runtime/codec.hpp"
#include "tune/core/report_desk.hpp"

namespace {

using namespace manta::tune;
using Bytes = std::span<const std::byte>;

constexpr std::uint64_t kTicket = 4711;

int call(const ReportDesk& desk) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, desk.address().data(), desk.address().size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + desk.address().size());
  MANTA_CHECK(::connect(fd, reinterpret_cast<const sockaddr*>(&address), length) == 0);
  return fd;
}

struct Heard {
  std::vector<std::string> words{};  // each as bytes again
  bool let_go = false;             // for what it said
  bool operator==(const Heard&) const = default;
};

template <class T>
std::string text_of(const T& value) {
  const manta::Buffer bytes = manta::encode(value);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Heard hear(ReportDesk& desk, Bytes bytes, std::size_t piece) {
  using namespace std::chrono_literals;
  desk.expect(7, kTicket);
  const int fd = call(desk);
  (void)desk.wait(0ms);  // it is let in
  MANTA_CHECK(desk.connections() == 1);
  Heard heard;
  while (!bytes.empty() && !heard.let_go) {
    const Bytes now = bytes.first(std::min(piece, bytes.size()));
    bytes = bytes.subspan(now.size());
    MANTA_CHECK(::send(fd, now.data(), now.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(now.size()));
    for (const ReportDesk::Told& told : desk.wait(0ms)) {
      MANTA_CHECK(told.trial == 7 && told.ticket == kTicket && told.reply.kind <= TrialReply::kFailed);
      heard.words.push_back(text_of(told.reply));
    }
    heard.let_go = desk.connections() == 0;
  }
  ::close(fd);
  (void)desk.wait(0ms);
  desk.forget(kTicket);
  MANTA_CHECK(desk.connections() == 0);
  return heard;
}

void check_spec(Bytes bytes) {
  try {
    const std::string first = text_of(manta::decode<TrialSpec>(manta::Buffer::copy(bytes)));
    MANTA_CHECK(text_of(manta::decode<TrialSpec>(manta::Buffer::copy(std::as_bytes(std::span(first))))) == first);
  } catch (const manta::ProtocolError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto bytes = std::as_bytes(std::span(data + 2, size - 2));
  if (data[1] & 1) return check_spec(bytes), 0;
  static const auto desk = ReportDesk::open();
  MANTA_CHECK(desk != nullptr);
  MANTA_CHECK(hear(*desk, bytes, bytes.size() + 1) == hear(*desk, bytes, 1 + data[0] + size / 64));
  return 0;
}
