#include "tune/core/report_desk.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <thread>

#include "runtime/codec.hpp"

using namespace manta::tune;
using namespace std::chrono_literals;

namespace {

std::vector<ReportDesk::Told> next_word(ReportDesk& desk) {
  std::vector<ReportDesk::Told> told;
  for (int i = 0; told.empty() && i < 100; ++i) told = desk.wait(300ms);
  return told;
}

/// Waits until what has been written to the desk has had its effect.
template <class Condition>
bool soon(ReportDesk& desk, Condition condition) {
  for (int i = 0; i < 100 && !condition(); ++i) (void)desk.wait(100ms);
  return condition();
}

/// A connection on which a test says what it likes.
int raw_call(const ReportDesk& desk, const std::string& bytes) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, desk.address().data(), desk.address().size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(::connect(fd, reinterpret_cast<const sockaddr*>(&address),
                    static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + desk.address().size())) == 0);
  REQUIRE(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  return fd;
}

std::string bytes_of(auto number) { return {reinterpret_cast<const char*>(&number), sizeof(number)}; }

}  // namespace

TEST_SUITE("tune/report desk") {
  TEST_CASE("who tells a result at the desk gets the answer to it; the results that it held back come along") {
    auto desk = ReportDesk::open();
    REQUIRE(desk);
    desk->expect(7, 4711);
    std::vector<std::optional<Decision>> heard;
    std::thread trial([&] {
      const auto line = call_desk(desk->address(), 4711);
      TrialReply reply{.kind = TrialReply::kReported, .iteration = 2, .metrics = {{"loss", 0.5}}};
      reply.earlier.push_back({.kind = TrialReply::kReported, .iteration = 1, .metrics = {{"loss", 0.75}}});
      heard.push_back(line->ask(reply));
      heard.push_back(line->ask({.kind = TrialReply::kReported, .iteration = 3}));
    });
    const auto first = next_word(*desk);
    REQUIRE(first.size() == 1);
    CHECK(first[0].trial == 7);
    CHECK(first[0].ticket == 4711);
    CHECK(first[0].reply.metrics == Metrics{{"loss", 0.5}});
    REQUIRE(first[0].reply.earlier.size() == 1);
    CHECK(first[0].reply.earlier[0].metrics == Metrics{{"loss", 0.75}});
    desk->answer(4711, Decision::kContinue);
    CHECK(next_word(*desk).size() == 1);
    desk->answer(4711, Decision::kPause);
    trial.join();
    CHECK(heard == std::vector<std::optional<Decision>>{Decision::kContinue, Decision::kPause});
    CHECK(soon(*desk, [&] { return desk->connections() == 0; }));
  }

  TEST_CASE("a trial that is let go while it waits gets no answer, and its line stays closed") {
    auto desk = ReportDesk::open();
    desk->expect(0, 1);
    std::optional<Decision> heard = Decision::kContinue;
    std::shared_ptr<ReportLine> line;
    std::thread trial([&] {
      line = call_desk(desk->address(), 1);
      heard = line->ask({.kind = TrialReply::kReported});
    });
    CHECK(next_word(*desk).size() == 1);
    desk->forget(1);
    trial.join();
    CHECK_FALSE(heard);
    CHECK(line->closed());
    CHECK_FALSE(line->ask({.kind = TrialReply::kReported}));
    CHECK(desk->connections() == 0);
  }

  TEST_CASE("close lets go of who waits for an answer") {
    auto desk = ReportDesk::open();
    desk->expect(0, 1);
    const auto line = call_desk(desk->address(), 1);
    std::optional<Decision> heard = Decision::kContinue;
    std::thread trial([&] { heard = line->ask({.kind = TrialReply::kReported}); });
    CHECK(next_word(*desk).size() == 1);
    line->close();
    trial.join();
    CHECK_FALSE(heard);
  }

  TEST_CASE("a large word comes in pieces and whole") {
    auto desk = ReportDesk::open();
    desk->expect(0, 1);
    std::thread trial([&] {
      TrialReply reply{.kind = TrialReply::kReported};
      reply.error.assign(3 << 20, 'x');
      (void)call_desk(desk->address(), 1)->ask(reply);
    });
    const auto told = next_word(*desk);
    REQUIRE(told.size() == 1);
    CHECK(told[0].reply.error == std::string(3 << 20, 'x'));
    desk->answer(1, Decision::kContinue);
    trial.join();
  }

  TEST_CASE("the bell wakes who waits at the desk, also when it was rung before") {
    auto desk = ReportDesk::open();
    desk->bell()->ring();
    const auto begun = std::chrono::steady_clock::now();
    CHECK(desk->wait(60s).empty());
    std::thread other([bell = desk->bell()] { bell->ring(); });
    CHECK(desk->wait(60s).empty());
    other.join();
    CHECK(std::chrono::steady_clock::now() - begun < 60s);
  }

  TEST_CASE("an unknown ticket, a second caller with one, and nonsense end the connection and no other one") {
    auto desk = ReportDesk::open();
    desk->expect(3, 30);
    desk->expect(4, 40);
    const auto good = call_desk(desk->address(), 30);
    CHECK(soon(*desk, [&] { return desk->connections() == 1; }));
    const std::string nonsense = "no reply at all";
    for (const std::string& said :
         {bytes_of(std::uint64_t{31}), bytes_of(std::uint64_t{30}), bytes_of(std::uint64_t{0}), bytes_of(std::uint64_t{40}) + bytes_of(std::uint32_t{0xffffffff}),
          bytes_of(std::uint64_t{40}) + bytes_of(static_cast<std::uint32_t>(nonsense.size())) + nonsense}) {
      const int fd = raw_call(*desk, said);
      CHECK(soon(*desk, [&] { char byte = 0; return ::recv(fd, &byte, 1, MSG_DONTWAIT) == 0; }));
      ::close(fd);
      CHECK(desk->connections() == 1);
    }
    std::optional<Decision> heard;
    std::thread trial([&] { heard = good->ask({.kind = TrialReply::kReported}); });
    REQUIRE(next_word(*desk).size() == 1);
    desk->answer(30, Decision::kStop);
    trial.join();
    CHECK(heard == Decision::kStop);
  }

  TEST_CASE("what was told before the connection ended is heard, and an answer to it is no error") {
    auto desk = ReportDesk::open();
    desk->expect(5, 50);
    const auto reply = manta::encode(TrialReply{.kind = TrialReply::kReported, .iteration = 9});
    ::close(raw_call(*desk, bytes_of(std::uint64_t{50}) + bytes_of(static_cast<std::uint32_t>(reply.size())) +
                                std::string(reinterpret_cast<const char*>(reply.data()), reply.size())));
    const auto told = next_word(*desk);
    REQUIRE(told.size() == 1);
    CHECK(told[0].reply.iteration == 9);
    desk->forget(50);
    desk->answer(50, Decision::kContinue);
    desk->forget(50);
  }

  TEST_CASE("a desk that cannot be reached is none") {
    CHECK_FALSE(call_desk("manta-tune-nobody-is-here", 1));
    CHECK_FALSE(call_desk("", 1));
  }
}
