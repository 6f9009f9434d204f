#include "runtime/process/zygote.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <thread>

#include "runtime/base/log.hpp"
#include "runtime/process/process_info.hpp"

extern char** environ;

namespace manta {

namespace {

constexpr std::chrono::seconds kShutdownTime{5};
constexpr std::chrono::seconds kEndTime{1};  // for a process that has closed its socket
constexpr std::size_t kMaxEnvironmentBytes = std::size_t{128} << 10;
constexpr std::size_t kMaxSentBytes = kMaxControlBytes - 4096;  // with what is sent beside them

/// An environment with changes, as NAME=value.
std::vector<std::string> merged_environment(const std::vector<std::string>& from, const Environment& changes, const std::string& left_behind) {
  const auto changed = [&](const std::string_view entry) {
    const std::string_view name = entry.substr(0, entry.find('='));
    return name == kChildVariable ||
           std::any_of(changes.begin(), changes.end(), [&](const auto& c) { return c.first == name; });
  };
  std::vector<std::string> result;
  for (const auto& entry : from)
    if (!changed(entry)) result.push_back(entry);
  for (const auto& [name, value] : changes) result.push_back(name + "=" + value);
  result.push_back(std::string(kChildVariable) + "=zygote:" + std::to_string(kChildFd) + ":" + left_behind);
  return result;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

/// Executes the program with `control` as kChildFd, /dev/null as stdin, no other descriptor than stdout and stderr, in
/// a process group of its own, with default signals. Uses vfork inside, so it is cheap and safe beside other threads.
Result<pid_t> execute(const ZygoteOptions& options, int control) {
  std::vector<std::string> args = options.args.empty() ? program_arguments() : options.args;
  const Surroundings surroundings = options.surroundings ? *options.surroundings : Surroundings::now();
  std::vector<std::string> env = merged_environment(surroundings.environment, options.env, options.left_behind);
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawn_file_actions_init(&files);
  if (surroundings.working_directory) ::posix_spawn_file_actions_addfchdir_np(&files, surroundings.working_directory->get());
  ::posix_spawn_file_actions_adddup2(&files, control, kChildFd);
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addclosefrom_np(&files, kChildFd + 1);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  pid_t pid = -1;
  const int error =
      ::posix_spawn(&pid, options.program.c_str(), &files, &attributes, pointers(args).data(), pointers(env).data());
  ::posix_spawn_file_actions_destroy(&files);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) return system_error(("executing " + options.program).c_str(), error);
  return pid;
}

/// Waits for the end of a child without reaping it: until then its number is its own.
void wait_for_end(pid_t pid) {
  siginfo_t info;
  while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
}

/// Whether a child ends within the time; it is not reaped.
bool ends_within(pid_t pid, std::chrono::milliseconds time) {
  constexpr std::chrono::milliseconds kStep{5};
  for (; time.count() > 0; time -= kStep) {
    siginfo_t info{};
    const int looked = ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT | WNOHANG);
    if (looked < 0 ? errno != EINTR : info.si_pid == pid) return true;  // ECHILD: the program itself has reaped it
    std::this_thread::sleep_for(kStep);
  }
  return false;
}

/// Waits for a child; its status, or -1 when somebody else (the program itself) has reaped it.
int reap(pid_t pid) {
  int status = -1;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return status;
}

/// A limit for an answer of another process that runs only while this one does: it is waited for in slices, so that a pause of this
/// process (SIGSTOP, a frozen container) takes one of them, not all. After one that was too long comes at least one more: the
/// answer may be there and not read yet.
class RunningLimit {
 public:
  explicit RunningLimit(std::chrono::milliseconds limit) : left_(limit) {}
  bool over() const { return left_.count() <= 0; }
  std::chrono::milliseconds begin_slice() {
    began_ = std::chrono::steady_clock::now();
    return slice_ = std::min(left_, kSlice);
  }
  void end_slice() {
    const auto took = std::chrono::ceil<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began_);
    left_ = std::max(left_ - std::min(took, slice_), took > 4 * kSlice ? kSlice : std::chrono::milliseconds(0));
  }

 private:
  static constexpr std::chrono::milliseconds kSlice{100};
  std::chrono::milliseconds left_, slice_{};
  std::chrono::steady_clock::time_point began_{};
};

constexpr char kMustBeFirst[] =
    "manta::Runtime::start(argc, argv) or manta::Runtime::enter_worker_mode(argc, argv) must be the first statement of main";

ErrorInfo stopped_error() {
  return {.code = ErrorCode::kRuntimeStopped, .message = "the zygote has ended; no worker can be made or signalled"};
}

}  // namespace

Surroundings Surroundings::now() {
  Surroundings result;
  for (char** entry = environ; entry && *entry; ++entry) result.environment.emplace_back(*entry);
  OwnedFd directory(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (directory) result.working_directory = std::make_shared<const OwnedFd>(std::move(directory));
  return result;
}

Result<void> check_request(const SpawnRequest& request) {
  std::size_t bytes = request.title.size();
  for (const auto& [name, value] : request.env) {
    bytes += name.size() + value.size();
    if (name == kChildVariable)
      return ErrorInfo{.code = ErrorCode::kInvalidArgument, .message = name + " cannot be set in a worker's environment: it is the runtime's own; leave it out"};
    if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != std::string::npos ||
        value.find('\0') != std::string::npos)
      return ErrorInfo{.code = ErrorCode::kInvalidArgument,
                       .message = "'" + name + "' cannot be set in a worker's environment: a name is not empty and " +
                                  "has no '=', neither name nor value has a zero byte"};
  }
  const auto sent = bytes + request.env.size() * 2 * sizeof(std::uint32_t);  // each name and value with its length
  if (bytes > kMaxEnvironmentBytes || sent > kMaxSentBytes)
    return ErrorInfo{.code = ErrorCode::kInvalidArgument,
                     .message = "a worker's environment of " + std::to_string(request.env.size()) + " variables and " + std::to_string(bytes) +
                                " bytes is over the limit of " + std::to_string(kMaxEnvironmentBytes) + " bytes, or with 8 bytes more for each variable over " +
                                std::to_string(kMaxSentBytes) + "; set fewer variables, pass big values as arguments"};
  return {};
}

bool WorkerExit::own_doing() const noexcept {
  if (WIFEXITED(wait_status)) return true;
  constexpr int kFaults[]{SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGTRAP};
  return WIFSIGNALED(wait_status) && std::find(std::begin(kFaults), std::end(kFaults), WTERMSIG(wait_status)) != std::end(kFaults);
}

std::string WorkerExit::to_string() const {
  if (with_zygote) return "ended with the zygote, the process that makes the workers";
  if (WIFSIGNALED(wait_status)) {
    const int number = WTERMSIG(wait_status);
    const char* text = ::sigdescr_np(number);
    return "was killed by signal " + std::to_string(number) + " (" + (text ? text : "unknown") + ")";
  }
  return "exited with status " + std::to_string(WEXITSTATUS(wait_status));
}

Result<std::unique_ptr<Zygote>> Zygote::start(ZygoteOptions options) {
  if (std::getenv(kChildVariable))  // or each would start the next one, without end
    return ErrorInfo{.code = ErrorCode::kIoError,
                     .message = std::string("this process was started to be a worker of another one, but the socket to it is closed: ") + kMustBeFirst +
                                "; or unset " + kChildVariable + ", if that is not so"};
  auto pair = make_socket_pair(SOCK_SEQPACKET);
  if (!pair) return pair.error();
  auto pid = execute(options, pair->second.get());
  if (!pid) return pid.error();
  pair->second.reset();
  std::unique_ptr<Zygote> zygote(new Zygote(std::move(options), std::move(pair->first), *pid));
  if (auto greeted = zygote->handshake(); !greeted) return greeted.error();
  try {
    zygote->watcher_ = std::thread([self = zygote.get()] { self->watch(); });
  } catch (const std::system_error& e) {
    ::kill(zygote->pid_, SIGKILL);
    reap(zygote->pid_);
    zygote->ended_ = true;
    return system_error("starting a thread", e.code().value());
  }
  ::pthread_setname_np(zygote->watcher_.native_handle(), "manta-zygote");
  return zygote;
}

Zygote::Zygote(ZygoteOptions options, OwnedFd control, pid_t pid)
    : options_(std::move(options)), control_(std::move(control)), process_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))), pid_(pid) {
  const auto limit = options_.handshake_timeout.count();
  const timeval time{.tv_sec = limit / 1000, .tv_usec = limit % 1000 * 1000};
  ::setsockopt(control_.get(), SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));  // of a zygote that does not read
}

Zygote::~Zygote() { shutdown(); }

Result<void> Zygote::handshake() {
  pollfd poll{.fd = control_.get(), .events = POLLIN, .revents = 0};
  int ready = 0;
  for (RunningLimit limit(options_.handshake_timeout); ready <= 0 && !limit.over(); limit.end_slice()) {
    ready = ::poll(&poll, 1, static_cast<int>(limit.begin_slice().count()));
    if (ready < 0 && errno != EINTR) break;
  }
  std::string what = "did not answer within " + std::to_string(options_.handshake_timeout.count()) + " ms";
  if (ready > 0) {
    auto received = receive_control(control_.get());
    if (received && *received && (*received)->message.kind == ControlKind::kHello) {
      uses_exec_ = (*received)->message.value > 1;
      return {};
    }
    what = "closed its socket";
  }
  ended_ = true;
  const bool has_ended = ready > 0 && ends_within(pid_, kEndTime);
  if (!has_ended) ::kill(-pid_, SIGKILL);
  const WorkerExit exit{.pid = pid_, .wait_status = reap(pid_)};
  const bool known = has_ended && exit.wait_status != -1;
  if (known) what = exit.to_string();
  const std::string advice =
      known && !exit.own_doing() ? ": somebody ended it, or memory ran short" : std::string(": ") + kMustBeFirst;
  return ErrorInfo{.code = known && !exit.own_doing() ? ErrorCode::kWorkerCrashed : ErrorCode::kIoError,
                   .message = "the zygote (this program, started again to make worker processes) " + what + " before it was ready" + advice};
}

Result<SpawnedWorker> Zygote::spawn(SpawnRequest request) {
  MANTA_CHECK(std::this_thread::get_id() != watcher_.get_id());
  if (auto valid = check_request(request); !valid) return valid.error();
  auto link = make_socket_pair(SOCK_STREAM);
  if (!link) return link.error();
  auto out = make_pipe();
  if (!out) return out.error();
  auto err = make_pipe();
  if (!err) return err.error();
  set_nonblocking(link->first.get());
  set_nonblocking(link->second.get());
  const int fds[3] = {link->second.get(), out->second.get(), err->second.get()};
  auto pid = ask_to_fork(request, fds);
  if (!pid) return pid.error();
  return SpawnedWorker{*pid, std::move(link->first), std::move(out->first), std::move(err->first)};
}

Result<pid_t> Zygote::ask_to_fork(const SpawnRequest& request, const int (&fds)[3]) {
  ControlMessage message{.kind = ControlKind::kSpawn, .strings = {request.title}};
  for (const auto& [name, value] : request.env) message.strings.insert(message.strings.end(), {name, value});
  std::unique_lock lock(mutex_);
  if (stopping_ || ended_) return stopped_error();
  message.id = next_id_++;
  pending_.emplace(message.id, std::pair(Pending{}, request.tag));
  lock.unlock();
  auto sent = send(message, fds);
  lock.lock();
  Pending& pending = pending_.at(message.id).first;
  bool answered = false;
  for (RunningLimit limit(options_.handshake_timeout); sent.ok() && !answered && !limit.over(); limit.end_slice())
    answered = changed_.wait_for(lock, limit.begin_slice(), [&] { return pending.done || ended_; });
  const Pending result = pending;
  pending_.erase(message.id);
  if (!sent && sent.error().code == ErrorCode::kRuntimeStopped) wait_for_end_told(lock);  // so that it is lost, not shut down
  if (!sent) return sent.error();
  if (!answered) return ErrorInfo{.code = ErrorCode::kTimeout, .message = "the zygote did not make a worker in time"};
  if (!result.done) return stopped_error();
  if (result.error != 0) return system_error("making a worker process", result.error);
  return result.pid;
}

/// It has closed its socket; the rest comes at once.
void Zygote::wait_for_end_told(std::unique_lock<std::mutex>& lock) {
  changed_.wait_for(lock, kShutdownTime, [this] { return ended_; });
}

void Zygote::give_up(std::string why) {
  std::lock_guard lock(mutex_);
  if (ended_ || !given_up_.empty()) return;
  given_up_ = std::move(why);
  ::kill(pid_, SIGKILL);  // not reaped yet, so the number is its own
}

Result<void> Zygote::kill(pid_t pid, int signal) {
  ControlMessage message{.kind = ControlKind::kKill, .pid = pid, .value = signal};
  {
    std::lock_guard lock(mutex_);
    if (ended_) return stopped_error();
    const auto found = live_.find(pid);
    if (found == live_.end())
      return ErrorInfo{.code = ErrorCode::kNotFound, .message = "no worker has pid " + std::to_string(pid)};
    message.id = found->second.id;
  }
  return send(message);
}

Result<void> Zygote::send(const ControlMessage& message, std::span<const int> fds) {
  std::lock_guard lock(send_mutex_);
  const int error = send_control(control_.get(), encode(message), fds, 0);
  if (error == EPIPE || error == ECONNRESET) return stopped_error();
  if (error == EAGAIN)
    return ErrorInfo{.code = ErrorCode::kTimeout, .message = "the zygote does not take requests; is it stopped?"};
  if (error != 0) return system_error("asking the zygote", error);
  return {};
}

void Zygote::shutdown() {
  {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    ::shutdown(control_.get(), SHUT_WR);
    if (!changed_.wait_for(lock, kShutdownTime, [&] { return ended_; })) {
      log(LogLevel::kWarning, "the zygote did not end in time and is killed");
      ::kill(pid_, SIGKILL);
    }
  }
  if (watcher_.joinable()) watcher_.join();
}

void Zygote::watch() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  while (await_message()) {
    auto received = receive_control(control_.get());
    if (!received) ::kill(pid_, SIGKILL);
    if (!received || !*received) break;
    on_message((*received)->message);
  }
  on_end();
}

/// False when the zygote has ended and nothing of it is left to read. The end of the socket does not say so alone: a fork of this process
/// that came between its making and the zygote's start holds the zygote's end.
bool Zygote::await_message() {
  pollfd polls[]{{.fd = control_.get(), .events = POLLIN, .revents = 0}, {.fd = process_.get(), .events = POLLIN, .revents = 0}};
  while (::poll(polls, 2, -1) < 0)
    if (errno != EINTR) return true;
  return polls[0].revents != 0 || polls[1].revents == 0;
}

void Zygote::on_message(const ControlMessage& message) {
  if (message.kind == ControlKind::kSpawned) on_spawned(message);
  if (message.kind == ControlKind::kExited) on_exited(message);
}

void Zygote::on_spawned(const ControlMessage& message) {
  std::unique_lock lock(mutex_);
  const auto found = pending_.find(message.id);
  if (found == pending_.end()) {  // its caller has given up
    lock.unlock();
    if (message.value == 0)
      (void)send({.kind = ControlKind::kKill, .id = message.id, .pid = message.pid, .value = SIGKILL});
    return;
  }
  const bool made = message.value == 0 && message.pid > 1;  // a signal to other numbers' groups would reach everybody
  found->second.first = {.done = true, .error = made || message.value != 0 ? message.value : EPROTO, .pid = message.pid};
  if (made) live_[message.pid] = {message.id, found->second.second};
  changed_.notify_all();
}

void Zygote::on_exited(const ControlMessage& message) {
  WorkerExit exit{.pid = message.pid, .tag = 0, .wait_status = message.value};
  {
    std::lock_guard lock(mutex_);
    const auto found = live_.find(message.pid);
    if (found == live_.end() || found->second.id != message.id) return;
    exit.tag = found->second.tag;
    live_.erase(found);
  }
  if (options_.on_exit) options_.on_exit(exit);
}

/// The zygote has gone. What its workers have started may still run: the kernel only kills the workers themselves. A
/// group keeps its number while it has a member, so the signal reaches nobody else.
void Zygote::on_end() {
  wait_for_end(pid_);
  decltype(live_) live;
  bool expected = false;
  int status = -1;
  {
    std::lock_guard lock(mutex_);
    status = reap(pid_);
    live.swap(live_);
    expected = stopping_ && given_up_.empty();
    ended_ = true;
  }
  changed_.notify_all();
  for (const auto& [pid, worker] : live) ::kill(-pid, SIGKILL);
  const std::string how = !given_up_.empty() ? given_up_ + " and was killed" : status == -1 ? "is gone" : WorkerExit{.pid = pid_, .wait_status = status}.to_string();
  if (!expected && options_.on_lost)
    options_.on_lost({.code = ErrorCode::kWorkerCrashed,
                      .message = "the zygote, which makes the worker processes, " + how +
                                 "; its workers ended with it"});
  for (const auto& [pid, worker] : live)
    if (options_.on_exit) options_.on_exit({.pid = pid, .tag = worker.tag, .wait_status = SIGKILL, .with_zygote = true});
}

}  // namespace manta
