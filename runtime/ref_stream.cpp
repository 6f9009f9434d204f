#include "runtime/ref_stream.hpp"

#include <algorithm>
#include <random>

#include "runtime/without_parent.hpp"

namespace manta::detail {

namespace {

constexpr std::size_t kMaxUnread = 1'000'000;  // each is a call, made when the stream is opened

/// Of a call or task that opens a stream.
template <class Options>
void check_options(const Options& options) {
  if (options.deadline.count() != 0) throw InvalidArgument("a stream has no deadline: give a timeout to next(), and drop the stream");
  if (options.retry_on.filter()) throw InvalidArgument("a stream is not retried after an error of its own: catch it inside, and go on");
  if (options.max_unread == 0) throw InvalidArgument("max_unread is 0, so the generator could never run: give 1 or more");
  if (options.max_unread > kMaxUnread)
    throw InvalidArgument("max_unread is " + std::to_string(options.max_unread) + ": give 1 to " + std::to_string(kMaxUnread) +
                          ", as so many calls are made at once");
}

}  // namespace

ActorStreams::State& ActorStreams::state() {
  if (auto* made = state_.load(std::memory_order_acquire)) return *made;
  auto fresh = std::make_unique<State>();
  State* seen = nullptr;
  if (!state_.compare_exchange_strong(seen, fresh.get(), std::memory_order_acq_rel)) return *seen;
  return *fresh.release();
}

void ActorStreams::add(std::uint64_t id, std::shared_ptr<void> stream, ProcessId opener) {
  auto& all = state();
  std::lock_guard lock(all.mutex);
  auto& place = all.streams[id];
  place.first.swap(stream);
  place.second = opener;
}

std::shared_ptr<void> ActorStreams::find(std::uint64_t id) const {
  auto* all = state_.load(std::memory_order_acquire);
  if (!all) return nullptr;
  std::lock_guard lock(all->mutex);
  const auto it = all->streams.find(id);
  return it == all->streams.end() ? nullptr : it->second.first;
}

void ActorStreams::remove(std::uint64_t id) {
  auto* all = state_.load(std::memory_order_acquire);
  if (!all) return;
  std::shared_ptr<void> stream;  // the user's code: it ends without the lock
  std::lock_guard lock(all->mutex);
  if (const auto it = all->streams.find(id); it != all->streams.end()) {
    stream = std::move(it->second.first);
    all->streams.erase(it);
  }
}

bool ActorStreams::has_of(ProcessId opener) const {
  auto* all = state_.load(std::memory_order_acquire);
  if (!all) return false;
  std::lock_guard lock(all->mutex);
  return std::any_of(all->streams.begin(), all->streams.end(), [opener](const auto& each) { return each.second.second == opener; });
}

void ActorStreams::remove_of(const std::vector<ProcessId>& openers) {
  auto* all = state_.load(std::memory_order_acquire);
  if (!all) return;
  std::vector<std::shared_ptr<void>> ended;  // the user's code: it ends without the lock
  std::lock_guard lock(all->mutex);
  std::erase_if(all->streams, [&](auto& each) {
    if (std::find(openers.begin(), openers.end(), each.second.second) == openers.end()) return false;
    ended.push_back(std::move(each.second.first));
    return true;
  });
}

void ActorStreams::clear() { delete state_.exchange(nullptr, std::memory_order_acq_rel); }

std::uint64_t stream_in(const Buffer& arguments) {
  if (arguments.size() == 0) return 0;
  try {
    InputArchive archive(arguments);
    ArgumentSlot<std::uint64_t> id;
    std::size_t none = 0;
    id.decode(archive, {}, none);
    return *id.value();
  } catch (const ProtocolError&) {  // whoever decodes all of them says so
    return 0;
  }
}

std::uint64_t new_stream_id() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  static std::atomic<std::uint64_t> count{0};
  return random() ^ ++count;
}

void check_stream_options(const CallOptions& options) { check_options(options); }

void close_stream(ActorLink& link, std::shared_ptr<TaskRecord> close, const ObjectRef<Void>& opened, const std::string& concurrency_group) noexcept {
  try {
    close->result->need_not_be_seen();
    if (!opened.ready()) link.engine()->give_up(*opened.cell());  // else what it waits for would hold up the actor, and nobody could change that
    const WithoutParent apart;  // else a task that is cancelled could not close what it has opened
    link.call(std::move(close), std::make_shared<const CallOptions>(CallOptions{.concurrency_group = concurrency_group, .uncounted = true}));
  } catch (const Error&) {  // the runtime has stopped
  }
}

bool is_end_of_stream(const Cell& cell) {
  static const auto& kType = *new std::string(demangle(typeid(EndOfStream).name()));
  return cell.failed() && cell.error()->code == ErrorCode::kTaskError && cell.error()->remote_type == kType;
}

ActorOptions stream_options(const TaskOptions& options) {
  check_options(options);
  return {.label = options.name, .num_cpus = options.num_cpus, .num_gpus = options.num_gpus,
          .memory_bytes = options.memory_bytes, .resources = options.resources, .wait_if_infeasible = options.wait_if_infeasible,
          .placement = options.placement,
          .max_restarts = options.max_retries, .max_task_retries = options.max_retries, .cpus_while_idle = false,
          .isolation = options.isolation, .env = options.env, .log_file = options.log_file, .echo_output = options.echo_output,
          .of_stream = true, .backoff = options.backoff};
}

}  // namespace manta::detail
