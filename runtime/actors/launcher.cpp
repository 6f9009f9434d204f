#include "runtime/actors/launcher.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "runtime/actors/process_engine.hpp"
#include "runtime/base/log.hpp"
#include "runtime/process/forks.hpp"
#include "runtime/process/process_info.hpp"

namespace manta::detail {

namespace {

constexpr std::chrono::seconds kTerminateTimeout{5};  // from SIGTERM to SIGKILL
constexpr std::chrono::seconds kReadyLook{10};  // and looked at once more, so that a pause of this process does not count
constexpr int kReadyLooks = 3;                  // from the fork to the first message
constexpr std::chrono::milliseconds kZygoteTimeout{10'000};  // of its start, and of each request
constexpr std::chrono::seconds kEndGrace{1};  // from a worker's end to its link's, or from its link's to its own
constexpr int kMaxLost = 3;  // zygotes that may be lost while one worker is made

std::chrono::milliseconds zygote_timeout() {
  const char* text = std::getenv("MANTA_ZYGOTE_TIMEOUT_MS");
  const auto limit = text ? std::strtoll(text, nullptr, 10) : 0;
  return limit > 0 ? std::chrono::milliseconds(std::min(limit, 1'000'000'000LL)) : kZygoteTimeout;
}

/// Of a process's output, in the folder for logs: the user's name for it may look like a path, and is none.
std::string log_file_name(std::string name, int pid) {
  constexpr std::size_t kMaxName = 200;  // of the 255 bytes that a file's name may have
  if (name.size() > kMaxName) name.resize(kMaxName);
  for (char& each : name)
    if (each == '/' || each == '\0') each = '_';
  return name + "-" + std::to_string(pid) + ".log";
}

}  // namespace

Result<void> send_message(Link& link, Route route, std::span<const std::byte> message, std::span<const int> fds) {
  const Link::Bytes pieces[]{std::as_bytes(std::span(&route, 1)), message};
  return link.send(kMessageFrame, pieces, fds);
}

bool split_message(const Link::Frame& frame, Route& route, std::span<const std::byte>& message) {
  if (frame.kind != kMessageFrame || frame.payload.size() < sizeof route) return false;
  std::memcpy(&route, frame.payload.data(), sizeof route);
  message = frame.payload.subspan(sizeof route);
  return true;
}

/// A spare says so when it has been made, and again when its actor begins.
static bool says_ready(const Route& route, std::span<const std::byte> message) {
  if (route.to != kNodeProcess) return false;
  const auto decoded = wire::decode(Buffer::copy(message));
  return decoded && std::holds_alternative<wire::Ready>(*decoded);
}

ZygoteLauncher::ZygoteLauncher(wire::Hello hello, std::filesystem::path log_dir, Handlers handlers, std::string left_behind)
    : hello_(std::move(hello)), log_dir_(std::move(log_dir)), left_behind_(std::move(left_behind)), handlers_(std::move(handlers)),
      zygote_timeout_(zygote_timeout()), forks_(count_forks()), surroundings_(Surroundings::now()) {}

ZygoteLauncher::~ZygoteLauncher() { stop(std::chrono::milliseconds(0)); }

ZygoteLauncher::Parts::~Parts() {
  if (links) links->stop();
  if (logs) logs->stop();
  pump.reset();
}

Result<std::shared_ptr<ZygoteLauncher::Parts>> ZygoteLauncher::make_parts() {
  auto made = std::make_shared<Parts>();
  auto links = Reactor::start("manta-links", Reactor::Threads::kLent);
  if (!links) return links.error();
  made->links = std::move(*links);
  auto logs = Reactor::start("manta-logs");
  if (!logs) return logs.error();
  made->logs = std::move(*logs);
  made->pump = std::make_unique<LogPump>(*made->logs);
  return made;
}

Result<std::shared_ptr<Zygote>> ZygoteLauncher::start_zygote() {
  ZygoteOptions options;
  options.surroundings = surroundings_;
  options.handshake_timeout = zygote_timeout_;
  options.left_behind = left_behind_;
  options.on_exit = [this](const WorkerExit& exit) { on_exit(exit); };
  options.on_lost = [](const ErrorInfo& error) { log(LogLevel::kError, error.message + "; another one is started for the next worker"); };
  auto zygote = Zygote::start(std::move(options));
  if (!zygote) return zygote.error();
  return std::shared_ptr<Zygote>(std::move(*zygote));
}

Result<ZygoteLauncher::Tools> ZygoteLauncher::tools(const std::shared_ptr<Zygote>& lost) {
  std::lock_guard start_lock(start_mutex_);
  std::unique_lock lock(mutex_);
  if (stopped_) return ErrorInfo{.code = ErrorCode::kRuntimeStopped, .message = "the runtime has been shut down"};
  if (zygote_ && zygote_ != lost) return Tools{parts_, zygote_};
  auto parts = parts_;
  const auto old = std::exchange(zygote_, nullptr);
  lock.unlock();
  if (!parts) {
    auto made = make_parts();
    if (!made) return made.error();
    parts = std::move(*made);
  }
  if (old) old->shutdown();  // returns when the end of each of its workers has been told
  auto zygote = start_zygote();
  if (!zygote) return zygote.error();
  lock.lock();
  parts_ = parts;
  links_ = parts->links;
  zygote_ = std::move(*zygote);
  return Tools{parts_, zygote_};
}

/// Through as many zygotes as it takes: one may end, or be killed because it does not answer, at any moment from its start on.
Result<SpawnedWorker> ZygoteLauncher::spawn(Tools& with, const SpawnRequest& request) {
  std::string last;
  for (int lost = 0; lost < kMaxLost; ++lost) {
    auto next = tools(with.zygote);
    if (!next && next.error().code != ErrorCode::kWorkerCrashed) return next.error();
    with = next ? std::move(*next) : Tools{};
    if (!next) last = next.error().message;
    if (!next) continue;
    auto worker = with.zygote->spawn(request);
    if (worker) return worker;
    last = worker.error().message;
    if (worker.error().code == ErrorCode::kTimeout)
      with.zygote->give_up("did not make a worker within " + std::to_string(zygote_timeout_.count()) + " ms");
    else if (worker.error().code != ErrorCode::kRuntimeStopped)
      return worker;
  }
  return ErrorInfo{.code = ErrorCode::kIoError,
                   .message = "the zygote, which makes the worker processes, ended " + std::to_string(kMaxLost) +
                              " times in a row while a worker was asked of it (" + last +
                              "): see the log for how; something kills or stops it, or memory runs short"};
}

Result<ProcessLauncher::Started> ZygoteLauncher::launch(ProcessId process, const wire::ProcessOptions& options,
                                                        const std::map<std::string, std::string>& environment, Amount cpus) {
  return start(process, options.name, &options, environment, cpus);
}

Result<ProcessLauncher::Started> ZygoteLauncher::prepare(ProcessId process, const std::map<std::string, std::string>& environment,
                                                         Amount cpus) {
  return start(process, kSpareTitle, nullptr, environment, cpus);
}

Result<LogPump::Id> ZygoteLauncher::read_output(Parts& parts, const wire::ProcessOptions& options, int pid, OwnedFd out, OwnedFd err) const {
  std::string file = options.log_file;
  if (file.empty() && !log_dir_.empty()) file = log_dir_ / log_file_name(options.name, pid);
  return parts.pump->add({.name = options.name, .pid = pid, .out = std::move(out), .err = std::move(err), .file = file, .echo = options.echo});
}

bool ZygoteLauncher::adopt(ProcessId process, const wire::ProcessOptions& options) {
  std::unique_lock lock(mutex_);
  const auto found = entries_.find(process);
  if (found == entries_.end() || found->second.exit || found->second.link_closed || !parts_) return false;
  const auto parts = parts_;
  found->second.unused = true;
  const int pid = found->second.pid;
  OwnedFd out = std::move(found->second.out), err = std::move(found->second.err);
  lock.unlock();
  const auto log = read_output(*parts, options, pid, std::move(out), std::move(err));
  if (!log) return true;  // as for one that is launched: it runs, and is not read
  lock.lock();
  const auto still = entries_.find(process);
  const bool ended = still == entries_.end() || still->second.exit;
  if (still != entries_.end()) still->second.log = *log;
  lock.unlock();
  if (ended) parts->pump->finish(*log);
  return true;
}

/// With `options` its output is read at once, else when it is adopted.
Result<ProcessLauncher::Started> ZygoteLauncher::start(ProcessId process, const std::string& title, const wire::ProcessOptions* options,
                                                       const std::map<std::string, std::string>& environment, Amount cpus) {
  {
    std::lock_guard lock(mutex_);
    entries_.try_emplace(process);
  }
  const SpawnRequest request{.tag = process, .env = {environment.begin(), environment.end()}, .title = title.substr(0, 15)};
  Tools used;
  auto worker = spawn(used, request);
  const auto parts = used.parts;
  if (!worker) {
    std::lock_guard lock(mutex_);
    entries_.erase(process);
    return worker.error();
  }
  LogPump::Id log = 0;
  if (options) {
    auto read = read_output(*parts, *options, worker->pid, std::move(worker->out), std::move(worker->err));
    if (read) log = *read;
  }
  LinkOptions link_options;
  link_options.limits.max_payload_bytes = kMaxFrameBytes;
  auto link = Link::make(*parts->links, std::move(worker->link), link_options);
  std::unique_lock lock(mutex_);
  auto& entry = entries_[process];
  entry.link = link;
  entry.pid = worker->pid;
  entry.log = log;
  entry.out = std::move(worker->out);
  entry.err = std::move(worker->err);
  const bool ended = entry.exit.has_value();
  lock.unlock();
  if (ended && log) parts->pump->finish(log);
  auto started = link->start({.on_frame = [this, process](Link::Frame& frame) { on_frame(process, frame); },
                              .on_close = [this, process](const ErrorInfo& why) { on_link_closed(process, why); }});
  if (!started) on_link_closed(process, started.error());
  wire::Hello hello = hello_;
  hello.process = process;
  hello.cpus = cpus;
  send(process, wire::encode(hello));
  parts->links->run_after(kReadyLook, [this, process] { kill_unless_ready(process, kReadyLooks - 1); });
  return Started{.process = process, .pid = worker->pid};
}

void ZygoteLauncher::kill_unless_ready(ProcessId process, int looks_left) {
  {
    std::lock_guard lock(mutex_);
    auto it = entries_.find(process);
    if (it == entries_.end() || it->second.ready) return;
    if (looks_left > 0 && links_)
      return links_->run_after(kReadyLook, [this, process, looks_left] { kill_unless_ready(process, looks_left - 1); });
  }
  log(LogLevel::kError, "worker process " + std::to_string(process) + " did not become ready in time; it is killed");
  kill(process);
}

void ZygoteLauncher::on_frame(ProcessId from, Link::Frame& frame) {
  Route route;
  std::span<const std::byte> message;
  if (!split_message(frame, route, message)) return log(LogLevel::kWarning, "a worker process sent a frame that is no message");
  std::shared_ptr<Link> link;
  bool gone = false;
  {
    std::lock_guard lock(mutex_);
    if (auto sender = entries_.find(from); sender != entries_.end()) {
      // The first Ready comes from every process; what else it says may be from before it was adopted.
      sender->second.unused = sender->second.unused && !(sender->second.ready && says_ready(route, message));
      sender->second.ready = true;
    }
    if (auto it = entries_.find(route.to); it != entries_.end())
      link = it->second.link;
    else
      gone = route.to != kNodeProcess;
  }
  if (route.to == kNodeProcess) return handlers_.on_message(from, Buffer::copy(message));
  if (gone) return send(from, wire::encode(wire::OwnerGone{route.to}));  // it may have come into being after all others were told
  // Read here too: a worker that another one sends what is no message would end, and be charged with it.
  const auto read = wire::decode(Buffer::copy(message));
  const auto fault = read ? handlers_.check_passing(from, *read) : read.error().message;
  if (!fault.empty()) {
    if (read && !has(route.to)) return;  // it ended meanwhile, and what was made for it is nobody's any more
    log(LogLevel::kError, "worker process " + std::to_string(from) + " sent another one a message that cannot be read (" + fault + "); it is ended");
    return kill(from);
  }
  if (link) end_unless_sent(route.to, send_message(*link, {.from = from, .to = route.to}, message));
}

bool ZygoteLauncher::has(ProcessId process) {
  std::lock_guard lock(mutex_);
  return entries_.contains(process);
}

void ZygoteLauncher::end_unless_sent(ProcessId to, const Result<void>& sent) {
  if (sent || sent.error().code == ErrorCode::kRuntimeStopped) return;
  // A message that is lost would leave somebody waiting for ever: end the process, which is noticed and retried.
  if (sent.error().code != ErrorCode::kIoError)
    log(LogLevel::kError, "cannot send to worker process " + std::to_string(to) + ": " + sent.error().message);
  kill(to);
}

void ZygoteLauncher::on_exit(const WorkerExit& exit) {
  std::unique_lock lock(mutex_);
  const auto process = static_cast<ProcessId>(exit.tag);
  auto it = entries_.find(process);
  if (it == entries_.end()) return;
  it->second.exit = exit;
  const auto log = it->second.log;
  const auto parts = parts_;
  if (!it->second.link_closed && parts) parts->links->run_after(kEndGrace, [this, process] { close_link_of_ended(process); });
  finish_if_gone(process, lock);
  if (lock.owns_lock()) lock.unlock();
  if (log && parts) parts->pump->finish(log);
}

/// A child of the worker's that has left its group may hold the link's other end for as long as it likes.
void ZygoteLauncher::close_link_of_ended(ProcessId process) {
  std::lock_guard lock(mutex_);
  const auto it = entries_.find(process);
  if (it == entries_.end()) return;
  if (const auto link = it->second.link) return link->peer_ended();
  if (links_) links_->run_after(kEndGrace, [this, process] { close_link_of_ended(process); });  // it is just being made
}

void ZygoteLauncher::on_link_closed(ProcessId process, const ErrorInfo& why) {
  std::unique_lock lock(mutex_);
  auto it = entries_.find(process);
  if (it == entries_.end()) return;
  it->second.link_closed = true;
  const bool faulty = why.code != ErrorCode::kIoError && why.code != ErrorCode::kRuntimeStopped;
  if (faulty) it->second.link_fault = why.message;
  const int pid = it->second.pid;
  if (!it->second.exit && links_) links_->run_after(kEndGrace, [this, process] { end_without_link(process); });
  finish_if_gone(process, lock);
  if (lock.owns_lock()) lock.unlock();
  if (faulty) log(LogLevel::kError, "worker process " + std::to_string(process) + " (pid " + std::to_string(pid) + ") is ended, for what came from it: " + why.message);
}

/// One that is stopped, or has lost its end of the link, does not notice that it is to end.
void ZygoteLauncher::end_without_link(ProcessId process) {
  {
    std::lock_guard lock(mutex_);
    const auto it = entries_.find(process);
    if (it == entries_.end() || it->second.exit) return;
    if (it->second.link_fault.empty()) it->second.link_fault = "it had closed its link to the runtime's other processes, but did not end";
  }
  kill(process);
}

void ZygoteLauncher::finish_if_gone(ProcessId process, std::unique_lock<std::mutex>& lock) {
  auto it = entries_.find(process);
  if (!it->second.link_closed || !it->second.exit) return;
  auto entry = std::move(it->second);
  entries_.erase(it);
  lock.unlock();
  const auto how = entry.exit->to_string() + (entry.link_fault.empty() ? "" : " (" + entry.link_fault + ")");
  handlers_.on_ended(process, how, entry.exit->own_doing(), entry.unused);
  changed_.notify_all();
}

void ZygoteLauncher::kill(ProcessId process) { signal(process, SIGKILL); }

void ZygoteLauncher::terminate(ProcessId process) {
  signal(process, SIGTERM);
  std::lock_guard lock(mutex_);
  if (parts_) parts_->links->run_after(kTerminateTimeout, [this, process] { kill(process); });  // ids are never used again
}

void ZygoteLauncher::signal(ProcessId process, int signal) {
  if (forks_ != count_forks()) return;
  std::unique_lock lock(mutex_);
  const auto it = entries_.find(process);
  if (it == entries_.end() || !it->second.pid || it->second.exit || !zygote_) return;
  const auto zygote = zygote_;
  const int pid = it->second.pid;
  if (signal == SIGKILL && parts_) parts_->links->run_after(zygote_timeout_, [this, process, was = std::weak_ptr(zygote)] { give_up_if_stopped(process, was.lock()); });
  lock.unlock();
  static_cast<void>(zygote->kill(pid, signal));
}

/// A worker that was to be killed is still there.
void ZygoteLauncher::give_up_if_stopped(ProcessId process, const std::shared_ptr<Zygote>& zygote) {
  {
    std::lock_guard lock(mutex_);
    const auto it = entries_.find(process);
    if (it == entries_.end() || it->second.exit || !zygote || zygote_ != zygote) return;
  }
  if (is_stopped(zygote->pid())) zygote->give_up("was stopped, did not kill a worker within " + std::to_string(zygote_timeout_.count()) + " ms");
}

void ZygoteLauncher::send(ProcessId to, const Buffer& message, std::span<const int> fds) {
  std::shared_ptr<Link> link;
  {
    std::lock_guard lock(mutex_);
    if (auto it = entries_.find(to); it != entries_.end()) link = it->second.link;
    if (link && links_) links_->expect_answer();
  }
  if (!link) return;
  end_unless_sent(to, send_message(*link, {.from = kNodeProcess, .to = to}, message.bytes(), fds));
}

std::shared_ptr<Reactor> ZygoteLauncher::links_loop() const {
  std::lock_guard lock(mutex_);
  return links_;
}

std::size_t ZygoteLauncher::processes() const {
  std::lock_guard lock(mutex_);
  return entries_.size();
}

void ZygoteLauncher::stop(std::chrono::milliseconds grace) {
  std::unique_lock start_lock(start_mutex_);  // waits for what is being started
  std::unique_lock lock(mutex_);
  stopped_ = true;
  surroundings_ = {};
  start_lock.unlock();
  const auto parts = parts_;
  if (!parts) return;
  changed_.wait_for(lock, grace, [this] { return entries_.empty(); });
  const auto zygote = std::exchange(zygote_, nullptr);
  lock.unlock();
  if (zygote) zygote->shutdown();
  lock.lock();
  for (const auto& [process, entry] : entries_)
    if (entry.link) entry.link->peer_ended();
  changed_.wait_for(lock, std::chrono::seconds(1), [this] { return entries_.empty(); });  // their links' ends, behind their last messages
  lock.unlock();
  parts->links->stop();
  parts->pump->finish_all();
  parts->logs->stop();
  lock.lock();
  const auto entries = std::exchange(entries_, {});
  links_.reset();
  parts_.reset();
  lock.unlock();
}

}  // namespace manta::detail
