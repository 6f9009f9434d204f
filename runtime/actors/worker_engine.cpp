#include "runtime/actors/worker_engine.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <system_error>
#include <thread>

#include "runtime/actors/launcher.hpp"
#include "runtime/base/log.hpp"
#include "runtime/base/threads.hpp"
#include "runtime/process/forks.hpp"

namespace manta::detail {

namespace {

constexpr std::chrono::milliseconds kRetiredLook{20};  // at what a retired process has submitted
constexpr std::chrono::seconds kFlushTime{2};          // for what the program has written to files of its own

std::atomic<bool> is_worker{false};

/// What a program has written by stdio is not to be lost. But a thread that a task left behind may hold a FILE's lock for as long as it
/// likes, asleep in a read, and a flush of all waits for each lock: another thread does that, and is not waited for without an end.
void flush_files() {
  for (auto* file : {stdout, stderr}) {
    if (::ftrylockfile(file) != 0) continue;
    ::fflush_unlocked(file);
    ::funlockfile(file);
  }
  if (count_forks() > 0) return;  // the other files are its parent's
  const auto flushed = std::make_shared<std::promise<void>>();
  auto over = flushed->get_future();
  try {
    std::thread([flushed] {
      std::fflush(nullptr);
      flushed->set_value();
    }).detach();
  } catch (const std::system_error&) {  // no thread is left
    return;
  }
  over.wait_for(kFlushTime);
}

[[noreturn]] void leave(int status) {
  flush_files();
  ::_exit(status);  // no static destructors: LibTorch's and CUDA's do not survive running beside live threads
}

[[noreturn]] void leave_at_start(const std::string& why) {
  log(LogLevel::kError, "this worker process cannot start: " + why);
  leave(1);
}

/// LibTorch's intra-op threads, and OpenMP's, follow the CPUs of this process, where the program is linked with them: they have read the
/// environment of the zygote.
void limit_threads() {
  const char* text = std::getenv("OMP_NUM_THREADS");
  const int threads = text ? std::atoi(text) : 0;
  remember_program_thread(threads);
  using SetThreads = void (*)(int);
  auto set = reinterpret_cast<SetThreads>(::dlsym(RTLD_DEFAULT, "_ZN2at15set_num_threadsEi"));
  if (set && threads > 0) set(threads);
}

/// As ps shows it: the name of the thread that main began on, which this one may write, but not by prctl.
void name_process(const std::string& name) {
  const int file = ::open("/proc/self/comm", O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  [[maybe_unused]] const auto written = ::write(file, name.data(), std::min<std::size_t>(name.size(), 15));
  ::close(file);
}

}  // namespace

wire::StoreReply RemoteStore::ask(wire::StoreRequest request) {
  auto pending = std::make_shared<Pending>();
  pending->writable = request.operation == wire::StoreOperation::kCreate;
  {
    std::lock_guard lock(mutex_);
    request.request = next_request_++;
    pending_[request.request] = pending;
  }
  send_(request);
  Reactor::stand_back();
  while (pending->done.load(std::memory_order_acquire) == 0) futex_wait(pending->done, 0, std::nullopt);
  return std::move(pending->reply);
}

void RemoteStore::on_reply(wire::StoreReply reply, std::vector<OwnedFd>& fds) {
  std::shared_ptr<Pending> pending;
  {
    std::lock_guard lock(mutex_);
    auto it = pending_.find(reply.request);
    if (it == pending_.end()) return;
    pending = std::move(it->second);
    pending_.erase(it);
  }
  for (const auto extent : reply.retired) {
    view_.detach(extent);
    forget_unmapped(extent);
  }
  if (!reply.error && !fds.empty() && !view_.attach(reply.extent, fds.front().get(), reply.extent_bytes, pending->writable)) {
    std::lock_guard lock(mutex_);  // the node sends it only once
    unmapped_[{reply.extent, pending->writable}] = {std::move(fds.front()), reply.extent_bytes};
  }
  pending->reply = std::move(reply);
  pending->done.store(1, std::memory_order_release);
  futex_wake_all(pending->done);
}

Result<void> RemoteStore::map(std::uint32_t extent, bool writable) {
  if (view_.known(extent, writable)) return {};
  std::lock_guard lock(mutex_);
  const auto found = unmapped_.find({extent, writable});
  if (found == unmapped_.end()) return {};
  auto attached = view_.attach(extent, found->second.fd.get(), found->second.bytes, writable);
  if (attached) unmapped_.erase(found);
  return attached;
}

void RemoteStore::forget_unmapped(std::uint32_t extent) {
  std::lock_guard lock(mutex_);
  unmapped_.erase({extent, false});
  unmapped_.erase({extent, true});
}

Result<Buffer> RemoteStore::open(ObjectId id) {
  auto reply = ask({.operation = wire::StoreOperation::kPin, .id = id});
  if (reply.error) return *reply.error;
  const auto mapped = map(reply.extent, false);
  auto bytes = mapped ? view_.read({.extent = reply.extent, .offset = reply.offset, .size = reply.size}) : mapped.error();
  if (!bytes) {
    send_({.operation = wire::StoreOperation::kUnpin, .id = id});
    return bytes.error();
  }
  std::shared_ptr<const void> pin(bytes->data(), [self = shared_from_this(), this, id](const void*) {
    send_({.operation = wire::StoreOperation::kUnpin, .id = id});
  });
  return Buffer(std::move(pin), *bytes);
}

void RemoteStore::free(ObjectId id) { send_({.operation = wire::StoreOperation::kFree, .id = id}); }

Result<StoreAccess::Room> RemoteStore::create(std::uint64_t size, ProcessId owner) {
  auto reply = ask({.operation = wire::StoreOperation::kCreate, .size = size, .owner = owner});
  if (reply.error) return *reply.error;
  const auto mapped = map(reply.extent, true);
  auto bytes = mapped ? view_.write({.extent = reply.extent, .offset = reply.offset, .size = reply.size}) : mapped.error();
  if (!bytes) {
    abort(reply.id);
    return bytes.error();
  }
  return Room{reply.id, *bytes};
}

Result<void> RemoteStore::seal(ObjectId id) {
  send_({.operation = wire::StoreOperation::kSeal, .id = id});
  return {};
}

void RemoteStore::abort(ObjectId id) { send_({.operation = wire::StoreOperation::kAbort, .id = id}); }

WorkerEngine::WorkerEngine(std::shared_ptr<Reactor> reactor, std::shared_ptr<Link> link, const wire::Hello& hello)
    : ProcessEngine(hello.process, hello.total, hello.inline_bytes, true,
                    {hello.max_queued_bytes, std::chrono::milliseconds(hello.submit_timeout_ms)}),
      reactor_(std::move(reactor)), link_(std::move(link)), total_now_(hello.total) {}

/// What a lone task or call wakes runs on this thread after this round, where the message was read.
void WorkerEngine::deliver_here(ProcessId from, wire::Message message) {
  const auto* run = std::get_if<wire::RunTasks>(&message);
  const auto* call = std::get_if<wire::CallActor>(&message);
  if (!(run && run->tasks.size() == 1) && !(call && call->calls.size() == 1)) return deliver(from, std::move(message));
  auto& scheduler = ElasticScheduler::of(system());
  caf::resumable* job = nullptr;
  ElasticScheduler::keep_next(&job);
  deliver(from, std::move(message));
  ElasticScheduler::keep_next(nullptr);
  if (job && !reactor_->run_after_round([&scheduler, job] { scheduler.run_here(job); })) scheduler.enqueue(job);
}

void WorkerEngine::on_frame(const std::shared_ptr<Reactor>& reactor, const std::shared_ptr<Link>& link, Link::Frame& frame,
                            std::shared_ptr<WorkerEngine>& engine, bool& unnamed) {
  Route route;
  std::span<const std::byte> bytes;
  if (!split_message(frame, route, bytes)) leave(1);
  auto message = wire::decode(Buffer::copy(bytes));
  if (route.from != kNodeProcess && message && !may_come_from_a_worker(*message)) {
    log(LogLevel::kError, "a message that only the node may send came from another worker; dropped");
    return;
  }
  if (!message) {
    log(LogLevel::kError, "a message from the node cannot be read: " + message.error().message);
    leave(1);
  }
  if (auto* hello = std::get_if<wire::Hello>(&*message)) {
    if (engine || hello->build_id != program_build_id()) {
      log(LogLevel::kError, "this worker's build differs from the driver's: was the executable replaced while it ran?");
      leave(1);
    }
    engine.reset(new WorkerEngine(reactor, link, *hello));
    auto store = std::make_shared<RemoteStore>(hello->process, [self = engine.get()](const wire::StoreRequest& request) {
      self->send_remote(kNodeProcess, request);
    });
    engine->remote_store_ = store;
    engine->remote_durables_ = std::make_unique<RemoteDurables>(
        store, hello->inline_bytes, [self = engine.get()](const wire::DurableRequest& request) { self->send_remote(kNodeProcess, request); });
    try {
      engine->begin(std::move(store), std::max(2u, std::thread::hardware_concurrency()), hello->lineage_bytes);
    } catch (const std::system_error& e) {
      leave_at_start("the system gives no more threads (" + std::string(e.what()) + "): raise the limit of processes (ulimit -u), or end others");
    }
    engine->send(kNodeProcess, wire::Ready{.build_id = program_build_id()});
  } else if (auto* reply = std::get_if<wire::StoreReply>(&*message); reply && engine) {
    engine->remote_store_->on_reply(std::move(*reply), frame.fds);
  } else if (auto* durable = std::get_if<wire::DurableReply>(&*message); durable && engine) {
    engine->remote_durables_->on_reply(std::move(*durable));
  } else if (engine) {
    if (const auto* create = std::get_if<wire::CreateActor>(&*message); create && std::exchange(unnamed, false)) {
      name_process(create->name);
      engine->send(kNodeProcess, wire::Ready{.build_id = program_build_id()});  // from here on the actor has begun, and its end counts
    }
    engine->deliver_here(route.from, std::move(*message));
    engine->leave_if_unused();
  }
}

bool WorkerEngine::runs_here() noexcept { return is_worker.load(std::memory_order_relaxed); }

void WorkerEngine::run(WorkerStart start) {
  is_worker = true;
  limit_threads();
  auto started = Reactor::start("manta-links", Reactor::Threads::kTwo);
  if (!started) leave_at_start(started.error().message);
  const std::shared_ptr<Reactor> reactor = std::move(*started);
  LinkOptions options;
  options.limits.max_payload_bytes = kMaxFrameBytes;
  keep_from_forks(start.link.get());  // or nobody would hear of this process's end while a child of it lives
  auto link = Link::make(*reactor, std::move(start.link), options);
  // Never destroyed: a child that a thread of the user's forks and that calls exit() has none of the threads that would be joined.
  static auto& engine = *new std::shared_ptr<WorkerEngine>;
  static bool unnamed = start.title == kSpareTitle;
  link->start({.on_frame = [reactor, link](Link::Frame& frame) { on_frame(reactor, link, frame, engine, unnamed); },
               .on_close =
                   [](const ErrorInfo& why) {
                     // Else the node is gone, and so is the reason to be here.
                     if (why.code != ErrorCode::kIoError && why.code != ErrorCode::kRuntimeStopped) log(LogLevel::kError, "this worker process ends: " + why.message);
                     ::_exit(1);
                   }})
      .value();
  while (true) ::pause();
}

void WorkerEngine::leave_if_unused() {
  if (!retiring_ || references_->counts().lent > 0) return;  // the message that it is not says so
  if (is_done_with_work() && link_->queued_bytes() == 0) leave(0);
  if (std::exchange(looks_again_, true)) return;
  reactor_->run_after(kRetiredLook, [this] {
    looks_again_ = false;
    leave_if_unused();
  });
}

/// At the runtime's end; the node waits for that, but not for long: what the program has written is to be on its way by then.
void WorkerEngine::leave_when_let_go() {
  if (bin_->is_empty()) leave(0);
  if (!std::exchange(leaving_, true)) flush_files();
  reactor_->run_after(kRetiredLook, [this] { leave_when_let_go(); });
}

void WorkerEngine::deliver_control(ProcessId, wire::Message message) {
  if (std::holds_alternative<wire::Shutdown>(message)) return leave_when_let_go();
  retiring_ |= std::holds_alternative<wire::Retire>(message);
  if (auto* reply = std::get_if<wire::NameReply>(&message)) {
    std::shared_ptr<NameWait> waiting;
    {
      std::lock_guard lock(reports_mutex_);
      if (auto it = names_.find(reply->request); it != names_.end()) waiting = std::move(it->second), names_.erase(it);
    }
    if (!waiting) return;
    waiting->reply = std::move(*reply);
    waiting->done.set_value(std::make_shared<const Void>());
  }
  if (auto* report = std::get_if<wire::ResourcesReport>(&message)) {
    std::lock_guard lock(reports_mutex_);
    total_now_ = report->total;
    auto it = reports_.find(report->request);
    if (it == reports_.end()) return;
    it->second->report = std::move(*report);
    it->second->done = 1;
    futex_wake_all(it->second->done);
    reports_.erase(it);
  }
}

void WorkerEngine::send_remote(ProcessId to, const wire::Message& message) {
  auto sent = send_message(*link_, {.from = self_, .to = to}, wire::encode(message).bytes());
  if (!sent && (count_forks() > 0 || sent.error().code != ErrorCode::kRuntimeStopped)) {
    log(LogLevel::kError, count_forks() > 0 ? "a fork of a worker process used the runtime, or returned from a task: it ends; let it call exec or _exit"
                                    : "cannot send to the node: " + sent.error().message);
    leave(1);  // dying is noticed and retried; a lost message would leave somebody waiting for ever
  }
}

wire::NameReply WorkerEngine::ask_directory(wire::NameRequest request) {
  auto waiting = std::make_shared<NameWait>();
  {
    std::lock_guard lock(reports_mutex_);
    request.request = next_report_++;
    names_[request.request] = waiting;
  }
  send(kNodeProcess, std::move(request));
  wait(waiting->done, {});
  return std::move(waiting->reply);
}

Resources WorkerEngine::available_resources() const {
  auto wait = std::make_shared<ReportWait>();
  std::uint64_t request = 0;
  {
    std::lock_guard lock(reports_mutex_);
    request = next_report_++;
    reports_[request] = wait;
  }
  const_cast<WorkerEngine*>(this)->send(kNodeProcess, wire::ResourcesReport{.request = request});
  Reactor::stand_back();
  while (wait->done.load(std::memory_order_acquire) == 0) futex_wait(wait->done, 0, std::nullopt);
  return wait->report.available;
}

Resources WorkerEngine::total_resources() const {
  std::lock_guard lock(reports_mutex_);
  return total_now_;
}

void WorkerEngine::put(Cell& cell, const PutOptions& options, const std::string& standard_tag) {
  if (!options.durable_name.empty())
    return remote_durables_->put(cell, options.durable_name, options.type_tag.empty() ? standard_tag : options.type_tag);
  cell.encoded(environment_.inline_bytes, [this](std::uint64_t size, const StoreAccess::Fill& fill) -> Result<std::shared_ptr<StoredObject>> {
        auto placed = store_->place(size, fill, self_);
        return placed ? put_object(*placed) : placed;
      })
      .value();
  cell.leave_to_store();
}

std::shared_ptr<Cell> WorkerEngine::find_durable(const TypeOps& ops, const std::string& name, const std::string& tag) {
  return remote_durables_->find(ops, name, tag);
}

bool WorkerEngine::remove_durable(const std::string& name) { return remote_durables_->remove(name); }

std::vector<std::string> WorkerEngine::list_durable(const std::string& prefix) { return remote_durables_->list(prefix); }

}  // namespace manta::detail
