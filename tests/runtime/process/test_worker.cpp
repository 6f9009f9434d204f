#include "tests/runtime/process/test_worker.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>

#include "runtime/process/link.hpp"
#include "runtime/process/process_info.hpp"
#include "runtime/process/zygote_protocol.hpp"
#include "tests/runtime/process/test_support.hpp"

namespace manta_test {

std::string read_to_end(int fd) {
  std::string text;
  std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count == 0) return text;
    if (count > 0) text.append(buffer.data(), static_cast<std::size_t>(count));
    if (count < 0 && errno != EAGAIN && errno != EINTR) return text;
    pollfd poll{fd, POLLIN, 0};
    if (count < 0 && ::poll(&poll, 1, 20'000) == 0) return text + " [nothing more came]";
  }
}

std::string read_line(int fd) {
  std::string text;
  for (;;) {
    char c = 0;
    const ssize_t count = ::read(fd, &c, 1);
    if (count == 1 && c != '\n') text += c;
    if (count == 0 || (count == 1 && c == '\n')) return text;
    if (count < 0 && errno != EAGAIN && errno != EINTR) return text;
    pollfd poll{fd, POLLIN, 0};
    if (count < 0 && ::poll(&poll, 1, 20'000) == 0) return text + " [nothing more came]";
  }
}

namespace {

void write_text(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count > 0) text.remove_prefix(static_cast<std::size_t>(count));
    if (count < 0 && errno != EAGAIN && errno != EINTR) ::_exit(99);
  }
}

/// Sends every frame back with its descriptors until the driver closes the link.
int echo(manta::WorkerStart start) {
  auto reactor = std::move(manta::Reactor::start("echo").value());
  auto link = manta::Link::make(*reactor, std::move(start.link));
  Watched<bool> closed;
  link->start({.on_frame =
                   [&](manta::Link::Frame& frame) {
                     std::vector<int> fds;
                     for (const auto& fd : frame.fds) fds.push_back(fd.get());
                     (void)link->send(frame.kind, frame.payload, fds);
                   },
               .on_close = [&](const manta::ErrorInfo&) { closed.update([](bool& c) { c = true; }); }})
      .value();
  while (!closed.wait([](bool c) { return c; })) {
  }
  reactor->stop();
  return 0;
}

/// Says everything about itself that a worker must be.
int describe(const manta::WorkerStart& start) {
  char name[17] = {};
  ::prctl(PR_GET_NAME, name);
  struct sigaction interrupt {
  }, child{};
  ::sigaction(SIGINT, nullptr, &interrupt);
  ::sigaction(SIGCHLD, nullptr, &child);
  sigset_t mask;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  int death_signal = 0;
  ::prctl(PR_GET_PDEATHSIG, &death_signal);
  struct stat input {
  }, null{};
  ::fstat(STDIN_FILENO, &input);
  ::stat("/dev/null", &null);
  const char* fruit = std::getenv("FRUIT");
  const char* inherited = std::getenv("MANTA_TEST_INHERITED");
  std::string text;
  text += std::string("fruit=") + (fruit ? fruit : "none");
  text += std::string(" inherited=") + (inherited ? inherited : "none");
  text += std::string(" name=") + name + " title=" + start.title;
  text += " group=" + std::to_string(::getpgrp() == ::getpid());
  text += " sigint=" + std::to_string(interrupt.sa_handler == SIG_IGN);
  text += " sigchld=" + std::to_string(child.sa_handler == SIG_DFL && ::sigismember(&mask, SIGCHLD) == 0);
  text += " death=" + std::to_string(death_signal);
  text += " privileges=" + std::to_string(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  text += " null=" + std::to_string(input.st_rdev == null.st_rdev);
  text += " marked=" + std::to_string(std::getenv("MANTA_CHILD") != nullptr || manta::is_zygote_process());
  text += " fds=" + std::to_string(manta::open_descriptor_count());
  text += " forked=" + std::to_string(start.forked);
  write_text(start.link.get(), text);
  return 0;
}

/// Starts a child in its group that holds the worker's stdout; says the child's pid and waits for its own end.
int have_child(const manta::WorkerStart& start) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, 0);
    for (;;) ::pause();
  }
  write_text(start.link.get(), std::to_string(child) + "\n");
  const char* then_exit = std::getenv("MANTA_TEST_THEN_EXIT");
  if (then_exit) return std::atoi(then_exit);
  for (;;) ::pause();
}

/// Lines of both streams, written in small bits.
int print_lines() {
  for (int i = 0; i < 200; ++i) {
    std::printf("line %d of ", i);
    std::fflush(stdout);
    std::cout << "stdout" << std::endl;
    std::cerr << "line " << i << " of stderr\n";
  }
  std::printf("no end");
  return 0;
}

int print_much_and_abort() {
  for (int i = 0; i < 1024; ++i) write_text(STDOUT_FILENO, std::string(1023, static_cast<char>('a' + i % 26)) + "\n");
  std::printf("the last line before the crash\n");  // line by line: nothing stays in a buffer
  std::abort();
}

}  // namespace

int run_worker(manta::WorkerStart start) {
  const char* text = std::getenv("MANTA_TEST_JOB");
  const std::string job = text ? text : "echo";
  if (job == "describe") return describe(start);
  if (job == "have_child") return have_child(start);
  if (job == "print_lines") return print_lines();
  if (job == "print_much_and_abort") return print_much_and_abort();
  if (job == "exit") return 7;
  if (job == "surroundings") {
    const char* inherited = std::getenv("MANTA_TEST_INHERITED");
    write_text(start.link.get(), std::string(inherited ? inherited : "none") + " " + std::filesystem::current_path().string() + "\n");
    return 0;
  }
  return echo(std::move(start));
}

int run_sub_driver() {
  auto zygote = std::move(manta::Zygote::start({}).value());
  std::printf("%d\n", zygote->pid());
  std::vector<manta::SpawnedWorker> workers;
  for (const char* job : {"echo", "echo", "have_child"}) {
    workers.push_back(std::move(zygote->spawn({.env = {{"MANTA_TEST_JOB", job}}}).value()));
    std::printf("%d\n", workers.back().pid);
  }
  std::printf("%s\n", read_line(workers.back().link.get()).c_str());
  std::fflush(stdout);
  for (;;) ::pause();
}

int run_asking_driver() {
  const auto start = [] { return manta::Zygote::start({.handshake_timeout = std::chrono::seconds(1)}); };
  auto zygote = start();
  while (!zygote) zygote = start();  // a busy machine
  std::printf("%d\n", (*zygote)->pid());
  std::fflush(stdout);
  std::vector<manta::SpawnedWorker> workers;
  for (std::string line; std::getline(std::cin, line);) {
    std::printf("asks\n");
    std::fflush(stdout);
    auto worker = (*zygote)->spawn({});
    std::printf("%s\n", worker ? "made" : worker.error().message.c_str());
    std::fflush(stdout);
    if (worker) workers.push_back(std::move(*worker));
  }
  return 0;
}

int run_lying_zygote() {
  constexpr pid_t kNobody = -4'194'400;  // beyond the last pid there is: whoever believes it signals nobody
  const auto say = [](const manta::ControlMessage& message) { return manta::send_control(manta::kChildFd, manta::encode(message), {}, 0); };
  say({.kind = manta::ControlKind::kHello, .value = 1});
  for (;;) {
    const auto received = manta::receive_control(manta::kChildFd);
    if (!received || !*received) return 0;
    const auto& asked = (*received)->message;
    if (asked.kind == manta::ControlKind::kSpawn) say({.kind = manta::ControlKind::kSpawned, .id = asked.id, .pid = kNobody});
  }
}

}  // namespace manta_test
