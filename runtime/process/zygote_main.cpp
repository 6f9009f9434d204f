#include "runtime/process/zygote_main.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <optional>
#include <unordered_map>

#include "runtime/base/log.hpp"
#include "runtime/base/standard_streams.hpp"
#include "runtime/process/process_info.hpp"
#include "runtime/process/zygote_protocol.hpp"

extern char** environ;

namespace manta {

namespace {

constexpr char kOomScore[] = "500";  // memory runs out: workers go before the driver

int child_signal_pipe = -1;  // a signal handler can only reach a global

void on_child_signal(int) {
  const int saved = errno;
  [[maybe_unused]] const auto written = ::write(child_signal_pipe, "", 1);
  errno = saved;
}

/// What MANTA_CHILD says: "zygote:FD:LEFT_BEHIND" or "worker:FD:TITLE".
struct ChildRole {
  bool zygote = false;
  int fd = -1;
  std::string title{};
};

std::optional<ChildRole> parse_role() {
  const char* text = std::getenv(kChildVariable);
  if (!text) return std::nullopt;
  const std::string role(text);
  const std::size_t first = role.find(':');
  if (first == std::string::npos) return std::nullopt;
  const std::string name = role.substr(0, first);
  if (name != "zygote" && name != "worker") return std::nullopt;
  char* end = nullptr;
  const long fd = std::strtol(role.c_str() + first + 1, &end, 10);
  if (fd != kChildFd) return std::nullopt;
  return ChildRole{name == "zygote", kChildFd, *end == ':' ? std::string(end + 1) : std::string()};
}

bool is_socket_of_same_user(int fd) {
  ucred peer{};
  socklen_t length = sizeof(peer);
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == ::geteuid();
}

[[noreturn]] void die(const char* what) noexcept {  // only async-signal-safe calls
  const char* reason = ::strerrordesc_np(errno);
  for (const char* text :
       {"manta: a worker process could not start: ", what, ": ", reason ? reason : "unknown", "\n"}) {
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text, std::strlen(text));
  }
  ::_exit(127);
}

/// In the child after fork: makes it a worker whose output goes to the two pipes. Only async-signal-safe calls, for the
/// zygote may have threads.
void leave_zygote(pid_t zygote, int out, int err) noexcept {
  if (::dup2(out, STDOUT_FILENO) < 0 || ::dup2(err, STDERR_FILENO) < 0) die("dup2");
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) die("prctl");
  if (::getppid() != zygote) ::_exit(127);
  if (::setpgid(0, 0) != 0) die("setpgid");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) die("prctl");
  const int oom = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (oom >= 0) {
    [[maybe_unused]] const auto written = ::write(oom, kOomScore, sizeof(kOomScore) - 1);
    ::close(oom);
  }
  ::signal(SIGCHLD, SIG_DFL);
  ::signal(SIGTERM, SIG_DFL);
  ::signal(SIGINT, SIG_IGN);
}

void settle(const std::string& title) {
  ::unsetenv(kChildVariable);
  ::setvbuf(stdout, nullptr, _IOLBF, 0);  // a line is to be seen when it is printed, and must not die with the process
  if (!title.empty()) ::prctl(PR_SET_NAME, title.c_str());
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

class ZygoteLoop {
 public:
  explicit ZygoteLoop(std::function<void()> when_driver_died);
  WorkerStart run();

 private:
  std::optional<WorkerStart> on_message(ReceivedControl received);
  std::optional<WorkerStart> spawn(ReceivedControl received);
  std::optional<WorkerStart> fork_worker(ReceivedControl received);
  void execute_worker(const ReceivedControl& received);
  void forked(std::uint64_t id, pid_t pid, int error);
  void kill(const ControlMessage& message);
  bool reap(pid_t pid, int wait_flags);
  void reap_ended();
  void report(const ControlMessage& message);
  void write_reports();
  bool driver_died() const;
  [[noreturn]] void end();

  const pid_t pid_ = ::getpid();
  const std::size_t threads_ = thread_count();
  const std::function<void()> when_driver_died_;
  OwnedFd control_{kChildFd};
  OwnedFd driver_;  // readable when the driver has ended, even if a fork of it keeps its end of the socket open
  FdPair ended_;    // readable when a child has ended
  std::unordered_map<pid_t, std::uint64_t> workers_;
  std::deque<std::vector<std::byte>> reports_;  // the loop never blocks on a driver that does not read
};

ZygoteLoop::ZygoteLoop(std::function<void()> when_driver_died) : when_driver_died_(std::move(when_driver_died)) {
  ::fcntl(control_.get(), F_SETFD, FD_CLOEXEC);
  take_standard_streams();
  driver_.reset(static_cast<int>(::syscall(SYS_pidfd_open, ::getppid(), 0)));
  auto pipe = make_pipe();
  if (!pipe) die("pipe");
  ended_ = std::move(*pipe);
  set_nonblocking(ended_.first.get());
  set_nonblocking(ended_.second.get());
  child_signal_pipe = ended_.second.get();
  struct sigaction action {};
  action.sa_handler = &on_child_signal;
  action.sa_flags = SA_RESTART | SA_NOCLDSTOP;
  ::sigaction(SIGCHLD, &action, nullptr);
  ::signal(SIGINT, SIG_IGN);
  ::signal(SIGTERM, SIG_IGN);  // that to all processes of a job is the driver's to heed: it ends this one, and the workers with it
  ::prctl(PR_SET_NAME, "manta-zygote");
  std::fflush(nullptr);  // or every worker would print it once more
}

WorkerStart ZygoteLoop::run() {
  if (threads_ > 1)
    log(LogLevel::kWarning, "the program has " + std::to_string(threads_) +
                                " threads before main's first statement (a static object starts them), so each worker "
                                "process is executed anew, which is slower; start threads after Runtime::start");
  report({.kind = ControlKind::kHello, .pid = pid_, .value = static_cast<std::int32_t>(threads_)});
  for (;;) {
    const short control_events = static_cast<short>(reports_.empty() ? POLLIN : POLLIN | POLLOUT);
    pollfd polls[] = {{control_.get(), control_events, 0}, {ended_.first.get(), POLLIN, 0}, {driver_.get(), POLLIN, 0}};
    if (::poll(polls, 3, -1) < 0 && errno != EINTR) end();
    if (polls[2].revents) end();
    if (polls[1].revents) reap_ended();
    if (polls[0].revents & POLLOUT) write_reports();
    if ((polls[0].revents & ~POLLOUT) == 0) continue;
    auto received = receive_control(control_.get());
    if (!received || !*received) end();
    if (auto worker = on_message(std::move(**received))) return *std::move(worker);
  }
}

std::optional<WorkerStart> ZygoteLoop::on_message(ReceivedControl received) {
  if (received.message.kind == ControlKind::kKill) kill(received.message);
  if (received.message.kind == ControlKind::kSpawn) return spawn(std::move(received));
  return std::nullopt;
}

std::optional<WorkerStart> ZygoteLoop::spawn(ReceivedControl received) {
  const std::uint64_t id = received.message.id;
  if (received.fds.size() != 3 || received.message.strings.size() % 2 != 1) {
    forked(id, -1, received.cut ? EMSGSIZE : received.fds_lost ? EMFILE : EINVAL);
  } else if (threads_ > 1) {
    execute_worker(received);
  } else {
    return fork_worker(std::move(received));
  }
  return std::nullopt;
}

std::optional<WorkerStart> ZygoteLoop::fork_worker(ReceivedControl received) {
  const std::vector<std::string>& strings = received.message.strings;
  const pid_t pid = ::fork();
  if (pid != 0) {
    forked(received.message.id, pid, pid < 0 ? errno : 0);
    return std::nullopt;
  }
  leave_zygote(pid_, received.fds[1].get(), received.fds[2].get());
  for (std::size_t i = 1; i + 1 < strings.size(); i += 2) ::setenv(strings[i].c_str(), strings[i + 1].c_str(), 1);
  settle(strings[0]);
  return WorkerStart{std::move(received.fds[0]), strings[0], true};
}

void ZygoteLoop::execute_worker(const ReceivedControl& received) {
  const std::vector<std::string>& strings = received.message.strings;
  std::unordered_map<std::string, std::string> variables;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos) variables[std::string(text.substr(0, equals))] = text.substr(equals + 1);
  }
  for (std::size_t i = 1; i + 1 < strings.size(); i += 2) variables[strings[i]] = strings[i + 1];
  variables[kChildVariable] = "worker:" + std::to_string(kChildFd) + ":" + strings[0];
  std::vector<std::string> env;
  for (const auto& [name, value] : variables) env.push_back(name + "=" + value);
  std::vector<std::string> args = program_arguments();
  const std::vector<char*> argv = pointers(args), envp = pointers(env);
  const pid_t pid = ::fork();
  if (pid == 0) {  // only async-signal-safe calls from here to execve
    leave_zygote(pid_, received.fds[1].get(), received.fds[2].get());
    if (::dup2(received.fds[0].get(), kChildFd) < 0) die("dup2");
    ::syscall(SYS_close_range, kChildFd + 1, ~0u, 0);
    ::execve("/proc/self/exe", argv.data(), envp.data());
    die("execve");
  }
  forked(received.message.id, pid, pid < 0 ? errno : 0);
}

void ZygoteLoop::forked(std::uint64_t id, pid_t pid, int error) {
  if (error == 0) {
    ::setpgid(pid, pid);  // the child does it too: whoever comes first
    workers_[pid] = id;
  }
  report({.kind = ControlKind::kSpawned, .id = id, .pid = pid, .value = error});
}

/// A worker that has not been reaped yet owns its number, and its group's, which it may have left.
void send_signal(pid_t worker, int signal) {
  ::kill(-worker, signal);
  if (::getpgid(worker) != worker) ::kill(worker, signal);
}

void ZygoteLoop::kill(const ControlMessage& message) {
  const auto found = workers_.find(message.pid);
  if (found != workers_.end() && found->second == message.id) send_signal(message.pid, message.value);
}

/// Ends and reports one worker if it has ended: first the rest of its group, while the zombie keeps the group's number.
bool ZygoteLoop::reap(pid_t pid, int wait_flags) {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT | wait_flags) == 0 && info.si_pid == 0)
    return false;
  ::kill(-pid, SIGKILL);
  int status = 0;
  ::waitpid(pid, &status, 0);
  report({.kind = ControlKind::kExited, .id = workers_.at(pid), .pid = pid, .value = status});
  return true;
}

void ZygoteLoop::reap_ended() {
  char ignored[64];
  while (::read(ended_.first.get(), ignored, sizeof(ignored)) > 0) {
  }
  std::erase_if(workers_, [this](const auto& worker) { return reap(worker.first, WNOHANG); });
}

void ZygoteLoop::report(const ControlMessage& message) {
  reports_.push_back(encode(message));
  write_reports();
}

void ZygoteLoop::write_reports() {
  while (!reports_.empty()) {
    if (send_control(control_.get(), reports_.front(), {}, MSG_DONTWAIT) == EAGAIN) return;
    reports_.pop_front();  // any other error means that the driver is gone, which poll says too
  }
}

/// One that ends in good order only shuts its side of the socket down, and waits for us.
bool ZygoteLoop::driver_died() const {
  pollfd polls[] = {{control_.get(), 0, 0}, {driver_.get(), POLLIN, 0}};
  ::poll(polls, 2, 0);
  if (!(polls[0].revents & POLLHUP) && !polls[1].revents) return false;
  ::poll(&polls[1], 1, 5000);  // its other files, and the locks on them, go with the last of its threads
  return true;
}

void ZygoteLoop::end() {
  for (const auto& [pid, id] : workers_) send_signal(pid, SIGKILL);
  for (const auto& [pid, id] : workers_) reap(pid, 0);
  if (when_driver_died_ && driver_died()) when_driver_died_();
  ::_exit(0);
}

}  // namespace

bool is_zygote_process() {
  const auto role = parse_role();
  return role && is_socket_of_same_user(role->fd);
}

WorkerStart run_zygote(const std::function<void(const std::string&)>& when_driver_died) {
  const ChildRole role = parse_role().value();
  const bool leaves = role.zygote && when_driver_died && !role.title.empty();
  if (role.zygote) return ZygoteLoop(leaves ? [&] { when_driver_died(role.title); } : std::function<void()>()).run();
  ::fcntl(role.fd, F_SETFD, FD_CLOEXEC);
  settle(role.title);
  return WorkerStart{OwnedFd(role.fd), role.title, false};
}

}  // namespace manta
