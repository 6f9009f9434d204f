#include "runtime/actors/launcher.hpp"

#include <csignal>

#include "runtime/base/log.hpp"

namespace manta::detail {

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

ZygoteLauncher::ZygoteLauncher(wire::Hello hello, std::filesystem::path log_dir, Handlers handlers)
    : hello_(std::move(hello)), log_dir_(std::move(log_dir)), handlers_(std::move(handlers)) {}

ZygoteLauncher::~ZygoteLauncher() { stop(std::chrono::milliseconds(0)); }

Result<void> ZygoteLauncher::ensure_started() {
  std::lock_guard lock(start_mutex_);
  if (zygote_) return {};
  if (!links_) {
    auto links = Reactor::start("manta-links");
    if (!links) return links.error();
    auto logs = Reactor::start("manta-logs");
    if (!logs) return logs.error();
    links_ = std::move(*links);
    logs_ = std::move(*logs);
    pump_ = std::make_unique<LogPump>(*logs_);
  }
  ZygoteOptions options;
  options.on_exit = [this](const WorkerExit& exit) { on_exit(exit); };
  options.on_lost = [](const ErrorInfo& error) { log(LogLevel::kError, "the zygote has ended: " + error.message); };
  auto zygote = Zygote::start(std::move(options));
  if (!zygote) return zygote.error();
  zygote_ = std::move(*zygote);
  return {};
}

Result<ProcessLauncher::Started> ZygoteLauncher::launch(ProcessId process, const wire::ProcessOptions& options,
                                                        const std::map<std::string, std::string>& environment, Amount cpus) {
  if (auto started = ensure_started(); !started) return started.error();
  {
    std::lock_guard lock(mutex_);
    entries_.try_emplace(process);
  }
  SpawnRequest request{.tag = process, .env = {environment.begin(), environment.end()}, .title = options.name.substr(0, 15)};
  auto worker = zygote_->spawn(std::move(request));
  if (!worker) {
    std::lock_guard lock(mutex_);
    entries_.erase(process);
    return worker.error();
  }
  std::string file = options.log_file;
  if (file.empty() && !log_dir_.empty()) file = log_dir_ / (options.name + "-" + std::to_string(worker->pid) + ".log");
  auto log = pump_->add({.name = options.name, .pid = worker->pid, .out = std::move(worker->out), .err = std::move(worker->err),
                         .file = file, .echo = options.echo});
  auto link = Link::make(*links_, std::move(worker->link));
  std::unique_lock lock(mutex_);
  auto& entry = entries_[process];
  entry.link = link;
  entry.pid = worker->pid;
  if (log) entry.log = *log;
  lock.unlock();
  auto started = link->start({.on_frame = [this, process](Link::Frame& frame) { on_frame(process, frame); },
                              .on_close = [this, process](const ErrorInfo&) { on_link_closed(process); }});
  if (!started) on_link_closed(process);
  wire::Hello hello = hello_;
  hello.process = process;
  hello.cpus = cpus;
  send(process, wire::encode(hello));
  return Started{.process = process, .pid = worker->pid};
}

void ZygoteLauncher::on_frame(ProcessId from, Link::Frame& frame) {
  Route route;
  std::span<const std::byte> message;
  if (!split_message(frame, route, message)) return log(LogLevel::kWarning, "a worker process sent a frame that is no message");
  if (route.to == kNodeProcess) return handlers_.on_message(from, Buffer::copy(message));
  std::shared_ptr<Link> link;
  {
    std::lock_guard lock(mutex_);
    if (auto it = entries_.find(route.to); it != entries_.end()) link = it->second.link;
  }
  if (link) static_cast<void>(send_message(*link, {.from = from, .to = route.to}, message));
}

void ZygoteLauncher::on_exit(const WorkerExit& exit) {
  std::unique_lock lock(mutex_);
  const auto process = static_cast<ProcessId>(exit.tag);
  auto it = entries_.find(process);
  if (it == entries_.end()) return;
  it->second.exit = exit.to_string();
  if (it->second.log) pump_->finish(it->second.log);
  finish_if_gone(process, lock);
}

void ZygoteLauncher::on_link_closed(ProcessId process) {
  std::unique_lock lock(mutex_);
  auto it = entries_.find(process);
  if (it == entries_.end()) return;
  it->second.link_closed = true;
  finish_if_gone(process, lock);
}

void ZygoteLauncher::finish_if_gone(ProcessId process, std::unique_lock<std::mutex>& lock) {
  auto it = entries_.find(process);
  if (!it->second.link_closed || !it->second.exit) return;
  auto entry = std::move(it->second);
  entries_.erase(it);
  lock.unlock();
  handlers_.on_ended(process, *entry.exit);
  changed_.notify_all();
}

void ZygoteLauncher::kill(ProcessId process) {
  std::unique_lock lock(mutex_);
  auto it = entries_.find(process);
  if (it == entries_.end() || !it->second.pid) return;
  const int pid = it->second.pid;
  lock.unlock();
  static_cast<void>(zygote_->kill(pid, SIGKILL));
}

void ZygoteLauncher::send(ProcessId to, const Buffer& message, std::span<const int> fds) {
  std::shared_ptr<Link> link;
  {
    std::lock_guard lock(mutex_);
    if (auto it = entries_.find(to); it != entries_.end()) link = it->second.link;
  }
  if (!link) return;
  auto sent = send_message(*link, {.from = kNodeProcess, .to = to}, message.bytes(), fds);
  if (!sent && sent.error().code != ErrorCode::kIoError && sent.error().code != ErrorCode::kRuntimeStopped) {
    // A message that cannot be sent would leave somebody waiting for ever: end the process, which is reported and retried.
    log(LogLevel::kError, "cannot send to worker process " + std::to_string(to) + ": " + sent.error().message);
    kill(to);
  }
}

std::size_t ZygoteLauncher::processes() const {
  std::lock_guard lock(mutex_);
  return entries_.size();
}

void ZygoteLauncher::stop(std::chrono::milliseconds grace) {
  std::lock_guard start_lock(start_mutex_);
  if (zygote_) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, grace, [this] { return entries_.empty(); });
    lock.unlock();
    zygote_->shutdown();
    zygote_.reset();
    lock.lock();
    changed_.wait_for(lock, std::chrono::seconds(1), [this] { return entries_.empty(); });
  }
  if (links_) links_->stop();
  if (logs_) logs_->run_after(std::chrono::milliseconds(0), [] {}), logs_->stop();
  pump_.reset();
  links_.reset();
  logs_.reset();
  std::lock_guard lock(mutex_);
  entries_.clear();
}

}  // namespace manta::detail
