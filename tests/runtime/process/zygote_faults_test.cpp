#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "runtime/process/process_info.hpp"
#include "runtime/process/zygote.hpp"
#include "runtime/process/zygote_main.hpp"
#include "runtime/process/zygote_protocol.hpp"
#include "tests/runtime/process/test_support.hpp"

extern char** environ;

namespace {
std::atomic<pid_t> g_forked_while_spawning{-1};  // 0: to be forked
}

#ifndef MANTA_SANITIZED  // which has a posix_spawn of its own
/// Stands before the C library's, so that a test can have a thread that forks before the parent's copies of descriptors are closed.
extern "C" int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* files, const posix_spawnattr_t* attributes,
                           char* const argv[], char* const env[]) {
  static const auto spawn = reinterpret_cast<decltype(&::posix_spawn)>(::dlsym(RTLD_NEXT, "posix_spawn"));
  const int error = spawn(pid, path, files, attributes, argv, env);
  if (g_forked_while_spawning == 0) {
    const pid_t child = ::fork();
    if (child == 0)
      for (;;) ::pause();
    g_forked_while_spawning = child;
  }
  return error;
}
#endif

namespace {

using manta::Zygote;
using manta_test::eventually;
using manta_test::Exits;
using manta_test::Watched;

constexpr std::chrono::seconds kOneSecond{1};

/// Orphans come to this process (see main): waits until each has ended and has been reaped.
bool reap_orphans() {
  return eventually([] { return ::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD; });
}

/// This program as a driver of its own, its stdout in a pipe.
struct SubDriver {
  pid_t pid = -1;
  manta::OwnedFd in, out;
  std::vector<pid_t> pids{};

  explicit SubDriver(std::string flag = "--sub-driver") {
    auto pipe = manta::make_pipe().value(), input = manta::make_pipe().value();
    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_adddup2(&files, input.first.get(), 0);
    ::posix_spawn_file_actions_adddup2(&files, pipe.second.get(), 1);
    std::string program = manta::program_arguments()[0];
    char* argv[] = {program.data(), flag.data(), nullptr};
    REQUIRE(::posix_spawn(&pid, "/proc/self/exe", &files, nullptr, argv, environ) == 0);
    ::posix_spawn_file_actions_destroy(&files);
    out = std::move(pipe.first);
    in = std::move(input.second);
  }
  std::string line() { return manta_test::read_line(out.get()); }
  void say(const std::string& text) { REQUIRE(::write(in.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size())); }
  /// The pids of its zygote, its three workers and the child of the last.
  std::vector<pid_t> read_pids() {
    for (int i = 0; i < 5; ++i) pids.push_back(std::stoi(manta_test::read_line(out.get())));
    return pids;
  }
  ~SubDriver() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    CHECK(reap_orphans());
  }
};

/// How ps shows it: S sleeps, T is stopped.
char state_of(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(in, text);
  const auto name_end = text.rfind(')');
  return name_end == std::string::npos ? '?' : text.at(name_end + 2);
}
bool has_children(pid_t pid, std::size_t count) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children");
  return std::distance(std::istream_iterator<pid_t>(in), {}) == static_cast<std::ptrdiff_t>(count);
}

/// `lost` hears why it was lost.
std::unique_ptr<Zygote> start_watched(Exits& exits, Watched<std::string>& lost) {
  const auto on_lost = [&lost](const manta::ErrorInfo& why) { lost.update([&](std::string& text) { text = why.message; }); };
  return std::move(Zygote::start({.on_exit = exits.callback(), .on_lost = on_lost}).value());
}

}  // namespace

TEST_SUITE("runtime/process") {
  TEST_CASE("a driver killed with kill -9 leaves no process within a second") {
    SubDriver driver;
    const std::vector<pid_t> pids = driver.read_pids();
    for (const pid_t pid : pids) REQUIRE(manta::is_running(pid));
    REQUIRE(::kill(driver.pid, SIGKILL) == 0);
    CHECK(eventually([&] { return std::none_of(pids.begin(), pids.end(), manta::is_running); }, kOneSecond));
  }

  TEST_CASE("a stopped driver keeps its workers") {
    SubDriver driver;
    const std::vector<pid_t> pids = driver.read_pids();
    REQUIRE(::kill(driver.pid, SIGSTOP) == 0);
    REQUIRE(::kill(pids[1], SIGKILL) == 0);  // the zygote reports it to nobody, and goes on
    CHECK(eventually([&] { return !manta::is_running(pids[1]); }));
    CHECK(manta::is_running(pids[0]));
    CHECK(manta::is_running(pids[2]));
  }

  TEST_CASE("a killed zygote is reported, its workers and what they started go with it, each end is reported") {
    Exits exits;
    Watched<std::string> lost;
    const auto zygote = start_watched(exits, lost);
    auto worker = zygote->spawn({.tag = 1}).value();
    auto parent = zygote->spawn({.tag = 2, .env = {{"MANTA_TEST_JOB", "have_child"}}}).value();
    const pid_t child = std::stoi(manta_test::read_line(parent.link.get()));
    REQUIRE(::kill(zygote->pid(), SIGKILL) == 0);
    REQUIRE(lost.wait([](const std::string& text) { return !text.empty(); }));
    CHECK(lost.get().find("signal 9") != std::string::npos);
    for (const pid_t pid : {worker.pid, parent.pid}) CHECK(exits.wait(pid)->wait_status == SIGKILL);
    CHECK(eventually(
        [&] { return !manta::is_running(worker.pid) && !manta::is_running(parent.pid) && !manta::is_running(child); },
        kOneSecond));
    CHECK(zygote->spawn({}).error().code == manta::ErrorCode::kRuntimeStopped);
    zygote->shutdown();
    CHECK(exits.count() == 2);
  }

  TEST_CASE("a stopped zygote makes spawn time out, and shutdown kills it in bounded time") {
    Exits exits;
    auto zygote = std::move(
        Zygote::start({.handshake_timeout = std::chrono::milliseconds(1500), .on_exit = exits.callback()}).value());
    auto worker = zygote->spawn({}).value();
    REQUIRE(::kill(zygote->pid(), SIGSTOP) == 0);
    CHECK(zygote->spawn({}).error().code == manta::ErrorCode::kTimeout);
    REQUIRE(::kill(zygote->pid(), SIGCONT) == 0);
    auto later = zygote->spawn({}).value();  // the one that came too late has been killed and is not reported
    REQUIRE(::kill(zygote->pid(), SIGSTOP) == 0);
    const auto begin = std::chrono::steady_clock::now();
    zygote->shutdown();
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(10));
    CHECK(exits.count() == 2);
    CHECK(eventually([&] { return !manta::is_running(worker.pid) && !manta::is_running(later.pid); }));
  }

  // The story: a laptop slept, a container was paused; when the driver went on, its clock said that the zygote had not answered in time,
  // and a healthy one was killed, and all workers with it.
  TEST_CASE("a driver that was paused while it waited for its zygote does not take that for the zygote's silence") {
    SubDriver driver("--asking-driver");
    const pid_t zygote = std::stoi(driver.line());
    for (std::size_t round = 1; round <= 3; ++round) {
      REQUIRE(::kill(zygote, SIGSTOP) == 0);
      REQUIRE(eventually([&] { return manta::is_stopped(zygote); }));
      driver.say("go\n");
      REQUIRE(driver.line() == "asks");
      REQUIRE(eventually([&] { return state_of(driver.pid) == 'S'; }));  // waits for the answer
      REQUIRE(::kill(driver.pid, SIGSTOP) == 0);
      REQUIRE(eventually([&] { return manta::is_stopped(driver.pid); }));
      REQUIRE(::kill(zygote, SIGCONT) == 0);
      const auto begin = std::chrono::steady_clock::now();
      CHECK(eventually([&] { return has_children(zygote, round) && std::chrono::steady_clock::now() - begin > std::chrono::milliseconds(1200); }));
      REQUIRE(::kill(driver.pid, SIGCONT) == 0);
      CHECK(driver.line() == "made");
    }
  }

  TEST_CASE("a stopped zygote that is given up is lost like one that was killed, also when it is shut down at once") {
    Exits exits;
    Watched<std::string> lost;
    const auto zygote = start_watched(exits, lost);
    auto worker = zygote->spawn({}).value();
    REQUIRE(::kill(zygote->pid(), SIGSTOP) == 0);
    CHECK(eventually([&] { return manta::is_stopped(zygote->pid()); }));
    zygote->give_up("sat there");
    zygote->shutdown();
    CHECK(lost.get().find("sat there and was killed") != std::string::npos);
    CHECK(exits.wait(worker.pid)->with_zygote);
    CHECK(zygote->spawn({}).error().code == manta::ErrorCode::kRuntimeStopped);
  }

  TEST_CASE("requests to a stopped zygote end in a timeout even when its socket is full") {
    auto zygote = std::move(Zygote::start({.handshake_timeout = std::chrono::milliseconds(1500)}).value());
    auto worker = zygote->spawn({}).value();
    REQUIRE(::kill(zygote->pid(), SIGSTOP) == 0);
    manta::Result<void> sent;
    for (int i = 0; sent.ok() && i < 100'000; ++i) sent = zygote->kill(worker.pid, SIGCONT);
    CHECK(sent.error().code == manta::ErrorCode::kTimeout);
    CHECK(zygote->spawn({}).error().code == manta::ErrorCode::kTimeout);
    REQUIRE(::kill(zygote->pid(), SIGCONT) == 0);
    CHECK(eventually([&] { return zygote->kill(worker.pid, SIGKILL).ok(); }));
    CHECK(eventually([&] { return !manta::is_running(worker.pid); }));
  }

  TEST_CASE("a program that never becomes a zygote gives an error that says what must stand in main") {
    REQUIRE(reap_orphans());
    const std::size_t before = manta::open_descriptor_count();
    for (const auto& [stranger, text] : {std::pair{"exits", "exited with status 3"}, {"waits", "within 300 ms"}, {"closes", "closed its socket"}, {"starts", "exited with status 5"}}) {
      auto zygote = Zygote::start(
          {.env = {{"MANTA_TEST_STRANGER", stranger}}, .handshake_timeout = std::chrono::milliseconds(stranger == std::string("waits") ? 300 : 30'000)});
      REQUIRE_FALSE(zygote.ok());
      CHECK(zygote.error().code == manta::ErrorCode::kIoError);
      CHECK(zygote.error().message.find(text) != std::string::npos);
      CHECK(zygote.error().message.find("must be the first statement of main") != std::string::npos);
    }
    CHECK(Zygote::start({.program = "/nonexistent/program"}).error().code == manta::ErrorCode::kIoError);
    CHECK(manta::open_descriptor_count() == before);
    CHECK(::waitpid(-1, nullptr, WNOHANG) < 0);  // no process either, not even a zombie
  }

#ifndef MANTA_SANITIZED
  // The fork held the zygote's end of the socket, and its end was only known by that: the driver waited for ever.
  TEST_CASE("a zygote is known to have ended though a fork of the driver holds its end of the socket") {
    for (const bool killed : {true, false}) {
      g_forked_while_spawning = 0;
      Exits exits;
      Watched<int> lost;
      auto zygote = Zygote::start({.on_exit = exits.callback(), .on_lost = [&](const manta::ErrorInfo&) { lost.update([](int& n) { ++n; }); }}).value();
      const pid_t fork = g_forked_while_spawning;
      REQUIRE(fork > 0);
      const auto worker = zygote->spawn({}).value();
      if (killed) {
        ::kill(zygote->pid(), SIGKILL);
        CHECK(exits.wait(worker.pid));
        CHECK(lost.wait([](int n) { return n == 1; }));
      }
      zygote->shutdown();
      CHECK(exits.count() == 1);
      ::kill(fork, SIGKILL);
      REQUIRE(::waitpid(fork, nullptr, 0) == fork);
      g_forked_while_spawning = -1;
    }
  }
#endif

  TEST_CASE("an environment that says zygote without a socket of ours does not make one") {
    auto pipe = manta::make_pipe().value();
    for (const char* role : {"zygote:3", "worker:3:title", "zygote:", "zygote:99", "queen:3"}) {
      const pid_t child = ::fork();
      if (child == 0) {
        ::dup2(pipe.first.get(), manta::kChildFd);
        ::setenv(manta::kChildVariable, role, 1);
        ::_exit(manta::is_zygote_process() ? 1 : 0);
      }
      int status = -1;
      REQUIRE(::waitpid(child, &status, 0) == child);
      CHECK(status == 0);
    }
  }

  // The story: a number of 1 or 0 was believed, and at the end everybody was killed whom this user may kill.
  TEST_CASE("a zygote that says that it has made a worker whose number nobody can have is not believed") {
    Exits exits;
    auto zygote = std::move(Zygote::start({.env = {{"MANTA_TEST_STRANGER", "lies"}}, .on_exit = exits.callback()}).value());
    const auto worker = zygote->spawn({});
    REQUIRE_FALSE(worker.ok());
    CHECK(worker.error().code == manta::ErrorCode::kIoError);
    zygote->shutdown();
    CHECK(exits.count() == 0);
  }

  TEST_CASE("a control message over the limit is not sent; one that comes all the same is cut, and the next is whole") {
    auto pair = manta::make_socket_pair(SOCK_SEQPACKET).value();
    const manta::ControlMessage large{.kind = manta::ControlKind::kSpawn, .id = 5, .strings = {std::string(manta::kMaxControlBytes, 'x')}};
    const auto bytes = manta::encode(large);
    REQUIRE(manta::send_control(pair.first.get(), bytes, {}, 0) == EMSGSIZE);
    REQUIRE(::send(pair.first.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
    auto received = manta::receive_control(pair.second.get());
    REQUIRE(received.ok());
    REQUIRE(received->has_value());
    CHECK((*received)->cut);
    CHECK((*received)->message.kind == manta::ControlKind::kSpawn);
    CHECK((*received)->message.id == 5);
    CHECK((*received)->message.strings.empty());
    const auto small = manta::encode({.kind = manta::ControlKind::kSpawn, .id = 6, .strings = {"title", "A", "b"}});
    REQUIRE(manta::send_control(pair.first.get(), small, {}, 0) == 0);
    received = manta::receive_control(pair.second.get());
    REQUIRE(received.ok());
    REQUIRE(received->has_value());
    CHECK_FALSE((*received)->cut);
    CHECK((*received)->message.strings.size() == 3);
  }

  TEST_CASE("damaged control messages are refused") {
    const auto good = manta::encode({.kind = manta::ControlKind::kSpawn, .id = 5, .strings = {"title", "A", "b"}});
    REQUIRE(manta::decode_control(good).ok());
    CHECK(manta::decode_control(good)->strings.size() == 3);
    for (std::size_t size = 0; size < good.size(); ++size)
      CHECK(manta::decode_control(std::span(good).first(size)).error().code == manta::ErrorCode::kProtocolError);
    for (std::size_t byte = 0; byte < 8; ++byte) {
      auto bad = good;
      bad[byte] ^= std::byte(0x55);
      CHECK_FALSE(manta::decode_control(bad).ok());
    }
  }
}
