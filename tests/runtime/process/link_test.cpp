#include "runtime/process/link.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <chrono>
#include <cstring>
#include <string>
#include <string_view>

#include "runtime/process/process_info.hpp"
#include "tests/runtime/clean.hpp"
#include "tests/runtime/process/test_support.hpp"

namespace {

using manta::ErrorCode;
using manta::ErrorInfo;
using manta::Link;
using manta::OwnedFd;
using manta::Reactor;
using manta_test::Watched;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

struct Arrived {
  std::vector<std::pair<int, std::string>> frames;
  std::vector<int> fd_counts;
  std::optional<ErrorInfo> closed;
  int closes = 0;
};

/// One end of a link that records what it gets.
struct End {
  std::shared_ptr<Link> link;
  std::shared_ptr<Watched<Arrived>> arrived = std::make_shared<Watched<Arrived>>();

  void start() {
    REQUIRE(link->start({.on_frame =
                             [to = arrived](Link::Frame& frame) {
                               CHECK(reinterpret_cast<std::uintptr_t>(frame.payload.data()) % 8 == 0);
                               to->update([&](Arrived& a) {
                                 a.frames.emplace_back(frame.kind,
                                                       std::string(reinterpret_cast<const char*>(frame.payload.data()),
                                                                   frame.payload.size()));
                                 a.fd_counts.push_back(static_cast<int>(frame.fds.size()));
                               });
                               for (const OwnedFd& fd : frame.fds) (void)!::write(fd.get(), "x", 1);
                             },
                         .on_close =
                             [to = arrived](const ErrorInfo& why) {
                               to->update([&](Arrived& a) {
                                 a.closed = why;
                                 ++a.closes;
                               });
                             }})
                .ok());
  }
  bool got(std::size_t count) {
    return arrived->wait([&](const Arrived& a) { return a.frames.size() >= count; });
  }
  bool closed() {
    return arrived->wait([](const Arrived& a) { return a.closed.has_value(); });
  }
};

struct Pair {
  std::unique_ptr<Reactor> reactor = std::move(Reactor::start("test").value());
  End a, b;

  explicit Pair(manta::LinkOptions options = {}) {
    auto sockets = manta::make_socket_pair(SOCK_STREAM).value();
    a.link = Link::make(*reactor, std::move(sockets.first), options);
    b.link = Link::make(*reactor, std::move(sockets.second), options);
  }
  ~Pair() { reactor->stop(); }
};

}  // namespace

TEST_SUITE("runtime/process") {
  TEST_CASE("frames of all sizes, whole or in pieces, arrive in order in both directions") {
    Pair pair;
    pair.a.start();
    pair.b.start();
    std::vector<std::pair<int, std::string>> sent;
    for (std::size_t size : {0, 1, 7, 8, 9, 1000, 300'000, 5'000'000, 3}) {
      const std::string text(size, static_cast<char>('a' + sent.size()));
      const std::string_view view(text);
      const std::vector<Link::Bytes> pieces = {bytes_of(view.substr(0, size / 3)), {}, bytes_of(view.substr(size / 3))};
      REQUIRE(pair.a.link->send(static_cast<std::uint16_t>(sent.size()), pieces).ok());
      REQUIRE(pair.b.link->send(static_cast<std::uint16_t>(sent.size()), bytes_of(text)).ok());
      sent.emplace_back(sent.size(), text);
    }
    CHECK(pair.a.link->flush(manta_test::kPatience));
    for (End* end : {&pair.a, &pair.b}) {
      REQUIRE(end->got(sent.size()));
      CHECK((end->arrived->get().frames == sent));
    }
  }

  TEST_CASE("a payload of more pieces than the kernel takes at once arrives whole") {
    Pair pair;
    pair.b.start();
    pair.a.start();
    const std::string text(5000, 'p');
    std::vector<Link::Bytes> pieces;
    for (std::size_t i = 0; i < text.size(); ++i) pieces.push_back(bytes_of(std::string_view(text).substr(i, 1)));
    REQUIRE(pair.a.link->send(1, pieces).ok());
    REQUIRE(pair.b.got(1));
    CHECK(pair.b.arrived->get().frames[0].second == text);
  }

  TEST_CASE("descriptors arrive with the frame that carries them, sent at once or queued") {
    const std::size_t open_before = manta::open_descriptor_count();
    {
      Pair pair;
      pair.a.start();
      auto pipe = manta::make_pipe().value();
      const int two[] = {pipe.second.get(), pipe.second.get()};
      const std::string big(400'000, 'b');
      for (int round = 0; round < 10; ++round) {  // the peer does not read yet: all but the first few are queued
        REQUIRE(pair.a.link->send(1, bytes_of(big)).ok());
        REQUIRE(pair.a.link->send(2, bytes_of("two"), two).ok());
        REQUIRE(pair.a.link->send(3, bytes_of("one"), std::span(two).first(1)).ok());
        REQUIRE(pair.a.link->send(4, bytes_of("none")).ok());
      }
      CHECK(pair.a.link->queued_bytes() > 1'000'000);
      pair.b.start();
      REQUIRE(pair.b.got(40));
      const Arrived arrived = pair.b.arrived->get();
      for (std::size_t i = 0; i < 40; ++i) CHECK(arrived.fd_counts[i] == std::array{0, 2, 1, 0}[i % 4]);
      pipe.second.reset();
      char text[64];
      std::size_t written = 0;
      manta::set_nonblocking(pipe.first.get());
      manta_test::eventually([&] {
        const ssize_t count = ::read(pipe.first.get(), text, sizeof(text));
        if (count > 0) written += static_cast<std::size_t>(count);
        return count == 0;  // the end: every duplicate has been closed
      });
      CHECK(written == 30);
    }
    CHECK(manta::open_descriptor_count() == open_before);
  }

  TEST_CASE("a queue beyond its bound refuses frames and loses none that it took") {
    Pair pair({.limits = {}, .max_queued_bytes = 1 << 20});
    pair.a.start();
    const std::string text(100'000, 'q');
    std::size_t taken = 0;
    manta::Result<void> sent;
    while ((sent = pair.a.link->send(1, bytes_of(text))).ok()) REQUIRE(++taken < 1000);
    CHECK(sent.error().code == ErrorCode::kResourceExhausted);
    CHECK_FALSE(pair.a.link->flush(std::chrono::milliseconds(1)));
    pair.b.start();
    REQUIRE(pair.b.got(taken));
    CHECK(pair.a.link->flush(manta_test::kPatience));
    CHECK(pair.a.link->queued_bytes() == 0);
    REQUIRE(pair.a.link->send(1, bytes_of("again")).ok());
    REQUIRE(pair.b.got(taken + 1));
    CHECK(pair.b.arrived->get().frames.back().second == "again");
  }

  TEST_CASE("frames sent before the peer closed arrive before its close, and sends then fail") {
    Pair pair;
    for (int i = 0; i < 100; ++i) REQUIRE(pair.a.link->send(1, bytes_of("last words")).ok());
    pair.a.link->close();
    CHECK(pair.a.link->send(1, bytes_of("x")).error().code == ErrorCode::kRuntimeStopped);
    pair.b.start();
    REQUIRE(pair.b.closed());
    const Arrived arrived = pair.b.arrived->get();
    CHECK(arrived.frames.size() == 100);
    CHECK(arrived.closed->code == ErrorCode::kIoError);
    CHECK(arrived.closes == 1);
    CHECK(pair.b.link->send(1, bytes_of("x")).error().code == ErrorCode::kIoError);
  }

  TEST_CASE("a link whose peer has ended hands out what came and ends, though somebody else holds the peer's end") {
    auto reactor = std::move(Reactor::start("test").value());
    auto sockets = manta::make_socket_pair(SOCK_STREAM).value();
    const OwnedFd held = std::move(manta::duplicate(sockets.second.get()).value());
    End peer{Link::make(*reactor, std::move(sockets.second))};
    for (int i = 0; i < 100; ++i) REQUIRE(peer.link->send(3, bytes_of("last words")).ok());
    peer.link->close();
    End end{Link::make(*reactor, std::move(sockets.first))};
    end.start();
    end.link->peer_ended();
    REQUIRE(end.closed());
    const Arrived a = end.arrived->get();
    CHECK(a.frames.size() == 100);
    CHECK(a.closed->code == ErrorCode::kIoError);
    CHECK(a.closes == 1);
  }

  TEST_CASE("close of one's own side calls on_close once with runtime_stopped") {
    Pair pair;
    pair.a.start();
    pair.a.link->close();
    pair.a.link->close();
    REQUIRE(pair.a.closed());
    Watched<bool> barrier;
    pair.reactor->post([&] { barrier.update([](bool& done) { done = true; }); });
    REQUIRE(barrier.wait([](bool done) { return done; }));
    CHECK(pair.a.arrived->get().closed->code == ErrorCode::kRuntimeStopped);
    CHECK(pair.a.arrived->get().closes == 1);
  }

  TEST_CASE("fault 25: bytes that are no frames close the link with a protocol error") {
    const manta_test::Clean clean;
    auto reactor = std::move(Reactor::start("test").value());
    auto sockets = manta::make_socket_pair(SOCK_STREAM).value();
    End end{Link::make(*reactor, std::move(sockets.first))};
    end.start();
    REQUIRE(::write(sockets.second.get(), "GET / HTTP/1.1\r\n\r\n", 18) == 18);
    REQUIRE(end.closed());
    CHECK(end.arrived->get().closed->code == ErrorCode::kProtocolError);
    char byte;
    CHECK(::read(sockets.second.get(), &byte, 1) <= 0);  // closed here too
  }

  TEST_CASE("a frame that claims descriptors which did not come closes the link") {
    auto reactor = std::move(Reactor::start("test").value());
    auto sockets = manta::make_socket_pair(SOCK_STREAM).value();
    End end{Link::make(*reactor, std::move(sockets.first))};
    end.start();
    const manta::FrameHeader header{.kind = 1, .flags = 2};
    REQUIRE(::write(sockets.second.get(), &header, sizeof(header)) == sizeof(header));
    REQUIRE(end.closed());
    CHECK(end.arrived->get().closed->code == ErrorCode::kProtocolError);
  }

  TEST_CASE("fault 25: a peer that ends in the middle of a frame is told apart from one that ends between frames") {
    const manta_test::Clean clean;
    auto reactor = std::move(Reactor::start("test").value());
    auto sockets = manta::make_socket_pair(SOCK_STREAM).value();
    End end{Link::make(*reactor, std::move(sockets.first))};
    end.start();
    const manta::FrameHeader header{.kind = 1, .length = 100};
    REQUIRE(::write(sockets.second.get(), &header, sizeof(header)) == sizeof(header));
    sockets.second.reset();
    REQUIRE(end.closed());
    CHECK(end.arrived->get().closed->message.find("in the middle of a message") != std::string::npos);
  }

  TEST_CASE("what is over the limits is refused at the sender") {
    Pair pair({.limits = {.max_payload_bytes = 100, .kinds = 4}});
    const std::string text(101, 'x');
    const std::vector<int> many(manta::kMaxFdsPerFrame + 1, 0);
    CHECK(pair.a.link->send(1, bytes_of(text)).error().code == ErrorCode::kInvalidArgument);
    CHECK(pair.a.link->send(4, bytes_of("")).error().code == ErrorCode::kInvalidArgument);
    CHECK(pair.a.link->send(1, bytes_of(""), many).error().code == ErrorCode::kInvalidArgument);
    const int closed_fd[] = {1'000'000};
    CHECK(pair.a.link->send(1, bytes_of(""), closed_fd).error().code == ErrorCode::kIoError);
    pair.b.start();
    REQUIRE(pair.a.link->send(1, bytes_of("good")).ok());  // a refused frame leaves no trace in the stream
    REQUIRE(pair.b.got(1));
  }

  TEST_CASE("frames of many threads all arrive, each thread's in order") {
    Pair pair;
    pair.b.start();
    pair.a.start();
    constexpr int kThreads = 4, kEach = 5000;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t)
      threads.emplace_back([&pair, t] {
        for (int i = 0; i < kEach; ++i)
          (void)pair.a.link->send(static_cast<std::uint16_t>(t), bytes_of(std::to_string(i)));
      });
    for (std::thread& thread : threads) thread.join();
    REQUIRE(pair.b.got(kThreads * kEach));
    int next[kThreads] = {};
    bool in_order = true;
    for (const auto& [kind, text] : pair.b.arrived->get().frames) in_order &= text == std::to_string(next[kind]++);
    CHECK(in_order);
  }

  TEST_CASE("small frames flow fast") {
    Pair pair;
    std::atomic<int> received = 0;
    REQUIRE(pair.b.link->start({.on_frame = [&](Link::Frame&) { ++received; }, .on_close = {}}).ok());
    pair.a.start();
    constexpr int kCount = 200'000;
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kCount; ++i)
      REQUIRE(pair.a.link->send(1, bytes_of("a message of some 40 bytes, like a task")).ok());
    REQUIRE(manta_test::eventually([&] { return received == kCount; }));
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    MESSAGE(static_cast<int>(kCount / time.count()), " frames/s, sent one by one");
  }
}
