#include "runtime/actors/node_engine.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <random>
#include <sstream>

#include "runtime/actors/own_threads.hpp"
#include "runtime/base/log.hpp"
#include "runtime/base/standard_streams.hpp"
#include "runtime/base/threads.hpp"
#include "runtime/gpu/discovery.hpp"
#include "runtime/in_task.hpp"
#include "runtime/store/memory_limits.hpp"
#include "runtime/store/rocksdb_store.hpp"
#include "runtime/store/spill_place.hpp"

namespace manta::detail {

namespace {

constexpr std::chrono::hours kAsGoodAsForEver{24 * 365 * 30};  // what is longer, like milliseconds::max(), the clock cannot add
constexpr std::chrono::milliseconds kLeavingTime{500};  // for threads that are just calling the runtime as it ends
constexpr std::chrono::seconds kCallbackTime{1};  // at the end, for those that are due when nothing is left of the time for it
constexpr std::size_t kMostSpares = 4;  // each takes some MB
constexpr std::uint64_t kMaxInlineBytes = 192 * 1024;  // a full report of outcomes stays below the largest frame

std::filesystem::path spill_parent() { return default_spill_place() / ("manta-spill-" + std::to_string(::getuid())); }

/// A folder in the directory for temporary files that is ours alone, for the spill stores of all our runs.
Result<std::filesystem::path> private_spill_parent() {
  const auto parent = spill_parent();
  struct stat seen {};
  if (::mkdir(parent.c_str(), 0700) != 0 && errno != EEXIST)
    return ErrorInfo{.code = ErrorCode::kIoError, .message = "cannot make " + parent.string() + " for spilled objects: " +
                                                             std::strerror(errno) + "; start with --spill-dir=DIR"};
  if (::lstat(parent.c_str(), &seen) != 0 || !S_ISDIR(seen.st_mode) || seen.st_uid != ::getuid() || (seen.st_mode & 077))
    return ErrorInfo{.code = ErrorCode::kAuthError, .message = parent.string() + " is not a folder of this user alone (mode "
                                                                 "0700): remove it, or start with --spill-dir=DIR"};
  return parent;
}

/// What killed runs have left whose zygote was killed with them, or that had not started one yet.
void sweep_spills() {
  if (::access(spill_parent().c_str(), F_OK) != 0) return;
  if (const auto parent = private_spill_parent()) remove_stale_spills(parent->string());
}

/// Of this run's spill store, in the folder for those of all our runs: also of those in containers that share it, where the pids may be alike.
std::string new_spill_name() {
  static std::atomic<int> number{0};
  std::random_device random;
  std::ostringstream name;
  name << ::getpid() << '-' << ++number << '-' << std::hex << random() << random();
  return name.str();
}

Result<std::unique_ptr<KeyValueStore>> open_spill(const std::filesystem::path& given, const std::string& name) {
  if (!given.empty()) return open_rocksdb(given.string(), {.kind = StoreKind::kSpill});
  auto parent = private_spill_parent();
  if (!parent) return parent.error();
  remove_stale_spills(parent->string());
  return open_rocksdb((*parent / name).string(), {.kind = StoreKind::kSpill});
}

/// In the folder of the spill store, or where those of all our runs lie; none when it is turned off.
ObjectFileFactory object_files(const RuntimeOptions& options) {
  if (!options.file_fallback) return nullptr;
  if (!options.spill_dir.empty()) return object_files_in(options.spill_dir.string());
  return [](std::uint64_t bytes) -> Result<int> {
    for (int attempt = 1;; ++attempt) {
      auto parent = private_spill_parent();
      if (!parent) return parent.error();
      auto file = make_object_file(parent->string(), bytes);
      if (file || attempt == 10 || ::access(parent->c_str(), F_OK) == 0) return file;  // else another run has removed it at its end
    }
  };
}

/// Unless somebody chose the folder: then all of it is for objects.
bool object_files_take_memory(const RuntimeOptions& options) {
  return options.spill_dir.empty() && lies_in_memory(default_spill_place().string());
}

std::optional<std::vector<std::string>> look_for_names() {
  const auto gpus = look_for_gpus();
  return gpus ? std::optional(names_of(*gpus)) : std::nullopt;
}

std::vector<std::string> names_of_given(std::size_t count) {
  const auto usable = discover_gpus();
  return names_of_so_many(count, usable, std::getenv("CUDA_VISIBLE_DEVICES"), usable.empty() ? look_for_gpus() : std::nullopt);
}

constexpr double kMemoryShare = 0.7;  // of what is available: the rest is for the arena's pages, the driver and the system

Amount memory_of(const RuntimeOptions& options) {
  if (options.memory_bytes) return bytes_as_amount(*options.memory_bytes);
  return bytes_as_amount(static_cast<std::uint64_t>(kMemoryShare * static_cast<double>(read_memory_limits().smaller())));
}

Resources total_of(Amount cpus, std::size_t gpus, const Resources& custom) {
  Resources total = custom;
  total.set("CPU", cpus);
  total.set("GPU", Amount(gpus));
  return total;
}

/// The program may change its folder later.
void make_absolute(std::filesystem::path& path) {
  if (path.empty()) return;
  std::error_code failed;
  auto absolute = std::filesystem::absolute(path, failed).lexically_normal();
  if (failed) throw InvalidArgument("the folder " + path.string() + " is relative, and the current folder cannot be told: " + failed.message());
  path = absolute.has_filename() ? absolute : absolute.parent_path();
}

void check_folders(const RuntimeOptions& options) {
  std::error_code unknown;  // as far as it cannot be looked at, it is compared by name
  auto real = [&](const std::filesystem::path& path) {
    auto found = std::filesystem::weakly_canonical(path, unknown);
    return unknown ? path : found;
  };
  if (!options.spill_dir.empty() && !options.durable_dir.empty() && real(options.spill_dir) == real(options.durable_dir))
    throw InvalidArgument("spill_dir and durable_dir are both " + options.spill_dir.string() +
                          ": what is spilled is deleted at the end, so name two folders");
}

constexpr std::int64_t kMostGpus = 65536;  // each has an id; beyond it is a slip of the pen
constexpr std::int64_t kMostCpus = 1'000'000;

void check_options(const RuntimeOptions& options) {
  if (options.workers > Workers::kProcess)
    throw InvalidArgument("workers is " + std::to_string(static_cast<int>(options.workers)) + ": give Workers::kThread or Workers::kProcess");
  if (options.num_cpus && *options.num_cpus < Amount(0)) throw InvalidArgument("num_cpus is negative or not a number: give 0 or more");
  if (options.num_cpus && *options.num_cpus > Amount(kMostCpus))
    throw InvalidArgument("num_cpus is " + options.num_cpus->to_string() + ": at most " + std::to_string(kMostCpus));
  if (options.arena_bytes && *options.arena_bytes == 0)
    throw InvalidArgument("arena_bytes (--arena-mib) is 0: give what objects may take, or leave it out for 30 % of the memory that is available");
  if (options.inline_bytes > kMaxInlineBytes)
    throw InvalidArgument("inline_bytes is " + std::to_string(options.inline_bytes) + ": at most " + std::to_string(kMaxInlineBytes) +
                          "; larger values travel by the arena, which is faster");
  if (options.num_gpus && *options.num_gpus < Amount(0)) throw InvalidArgument("num_gpus is negative or not a number: give a whole number, 0 or more");
  if (options.num_gpus && !options.num_gpus->is_whole())
    throw InvalidArgument("num_gpus is " + options.num_gpus->to_string() + ": give a whole number, 0 or more");
  if (options.num_gpus && *options.num_gpus > Amount(kMostGpus))
    throw InvalidArgument("num_gpus is " + options.num_gpus->to_string() + ": at most " + std::to_string(kMostGpus));
  if (!(options.memory_threshold > 0))
    throw InvalidArgument("memory_threshold is " + std::to_string(options.memory_threshold) + ": give a share above 0, like 0.95; 1 for never");
  for (const auto& [name, amount] : options.resources) {
    if (name.empty()) throw InvalidArgument("a resource has no name: give it one");
    if (name == "CPU" || name == "GPU" || name == "memory")
      throw InvalidArgument("the resource " + name + " is said by num_cpus, num_gpus, memory_bytes");
    if (amount < Amount(0)) throw InvalidArgument("the resource " + name + " is negative or not a number: give 0 or more");
  }
}

}  // namespace

void remove_left_spill(const std::string& path) noexcept try {
  const std::filesystem::path store(path);
  remove_stale_spill(path);
  if (store.parent_path() == spill_parent()) ::rmdir(store.parent_path().c_str());  // unless other runs are in it
} catch (...) {  // the next run that spills there tries again
}

NodeEngine::Machine NodeEngine::look_at_machine(const RuntimeOptions& options) {
  Machine machine{.cpus = options.num_cpus ? *options.num_cpus : Amount(usable_cpus()), .custom = options.resources};
  machine.custom.set("memory", memory_of(options));
  if (options.num_gpus) {
    machine.gpu_names = names_of_given(static_cast<std::size_t>(options.num_gpus->raw() / Amount::kUnit));
  } else {
    machine.gpu_names = names_of(discover_gpus());
  }
  return machine;
}

NodeEngine::NodeEngine(const RuntimeOptions& options, Machine machine)
    : ProcessEngine(kNodeProcess, total_of(machine.cpus, machine.gpu_names.size(), machine.custom), options.inline_bytes,
                    options.workers == Workers::kProcess, {options.max_queued_bytes, options.submit_timeout}),
      options_(options), machine_(std::move(machine)) {}

std::shared_ptr<NodeEngine> NodeEngine::start(const RuntimeOptions& given) {
  take_standard_streams();
  auto options = given;
  for (auto* folder : {&options.spill_dir, &options.durable_dir, &options.log_dir}) make_absolute(*folder);
  check_options(options);
  check_folders(options);
  remember_program_thread();
  try {
    std::thread([] {}).join();  // at the limit it fails here, where it can be said, and not inside CAF
    std::shared_ptr<NodeEngine> engine(new NodeEngine(options, look_at_machine(options)));
    engine->start_roles();
    return engine;
  } catch (const std::system_error& e) {
    throw ResourceExhausted(std::string("the runtime cannot start: the system gives no more threads (") + e.what() +
                            "): raise the limit of processes (ulimit -u), or end others");
  }
}

void NodeEngine::start_roles() {
  auto arena = Arena::create({.budget_bytes = options_.arena_bytes.value_or(0), .make_file = object_files(options_),
                              .files_in_memory = object_files_take_memory(options_)}).value();
  if (options_.spill_dir.empty()) sweep_spills();
  const auto spill_name = new_spill_name();
  auto objects = std::make_unique<ObjectStore>(std::move(arena), [dir = options_.spill_dir, spill_name] { return open_spill(dir, spill_name); });
  node_store_ = std::make_shared<NodeStore>(std::move(objects), ids_,
                                            [this](ProcessId to, const wire::StoreReply& reply, std::span<const int> fds) {
                                              launcher_->send(to, wire::encode(reply), fds);
                                            },
                                            [this](ProcessId owner, std::vector<ObjectId> objects) {
                                              send(owner, wire::Orphans{std::move(objects)});
                                            });
  durables_ = std::make_unique<NodeDurables>(options_.durable_dir, node_store_, options_.inline_bytes,
                                             [this](ProcessId to, const wire::DurableReply& reply) { send_remote(to, reply); });
  const auto cpus = static_cast<std::size_t>(std::max<std::int64_t>(1, (machine_.cpus.raw() + Amount::kUnit - 1) / Amount::kUnit));
  launcher_ = std::make_unique<ZygoteLauncher>(
      wire::Hello{.build_id = program_build_id(), .inline_bytes = options_.inline_bytes, .total = total_,
                  .max_queued_bytes = options_.max_queued_bytes, .submit_timeout_ms = options_.submit_timeout.count(), .lineage_bytes = options_.lineage_bytes},
      options_.log_dir,
      ZygoteLauncher::Handlers{.on_message = [this](ProcessId from, const Buffer& bytes) { on_message(from, bytes); },
                               .check_passing = [this](ProcessId from, const wire::Message& message) { return check_passing(from, message); },
                               .on_ended = [this](ProcessId process, std::string how, bool own_doing, bool unused) {
                                 node_->process_ended(process, std::move(how), own_doing, unused);
                               }},
      std::filesystem::absolute(options_.spill_dir.empty() ? spill_parent() / spill_name : options_.spill_dir).string());
  begin(node_store_, std::max<std::size_t>(cpus, usable_cpus()), options_.lineage_bytes);
  std::vector<int> gpu_ids(machine_.gpu_names.size());
  for (std::size_t i = 0; i < gpu_ids.size(); ++i) gpu_ids[i] = static_cast<int>(i);
  core::LeaseTable table(core::ResourceLedger(machine_.cpus, std::move(gpu_ids), machine_.custom), ids_);
  launches_ = std::make_unique<Lane>(2);
  node_ = std::make_unique<Node>(system(), std::move(table), *this, *launcher_, *launches_,
                                 [this](ProcessId process) {
                                   node_store_->process_gone(process);
                                   directory_.drop_owner(process);
                                   wait_graph_.drop_owner(process);
                                 },
                                 Node::Options{.workers = options_.workers, .shared_processes = cpus,
                                               .spare_processes = options_.spare_processes.value_or(std::min<std::size_t>(cpus, kMostSpares)), .gpu_names = machine_.gpu_names,
                                               .memory_threshold = options_.memory_threshold,
                                               .memory_meter = options_.memory_meter ? options_.memory_meter : [] { return read_memory_use(); },
                                               .find_gpus = options_.num_gpus ? nullptr : std::function(look_for_names)});
}

NodeEngine::~NodeEngine() { shutdown(); }

void NodeEngine::need_running() const {
  gate_->need_own_process();
  if (stopped_) throw RuntimeStopped("the runtime has been shut down: start another one");
}

/// What is told of the end may keep what it has.
void NodeEngine::need_store() const {
  gate_->need_own_process();
  if (over_) need_running();
}

void NodeEngine::submit(std::shared_ptr<TaskRecord> record, std::shared_ptr<const TaskOptions> options) {
  const UseGate::Use use(*gate_);
  need_running();
  ProcessEngine::submit(std::move(record), std::move(options));
}

std::shared_ptr<ActorLink> NodeEngine::spawn(std::shared_ptr<TaskRecord> constructor, std::shared_ptr<const ActorOptions> options,
                                             const FunctionEntry& type) {
  const UseGate::Use use(*gate_);
  need_running();
  return ProcessEngine::spawn(std::move(constructor), std::move(options), type);
}

std::shared_ptr<ActorLink> NodeEngine::find_actor(const std::string& name, const FunctionEntry& type) {
  const UseGate::Use use(*gate_);
  need_running();
  return ProcessEngine::find_actor(name, type);
}

void NodeEngine::shutdown(const std::function<void()>& done) {
  if (!belongs_here()) return done();
  if (stopped_.exchange(true)) return wait_for_the_end();
  struct Told {
    ~Told() { ended = true, ended.notify_all(); }  // also where memory is short
    std::atomic<bool>& ended;
  } const told{ended_};
  end_roles();
  done();
}

/// Another thread ends it. What that one waits for, the runtime's work above all, must not wait for it in turn.
void NodeEngine::wait_for_the_end() const {
  if (!t_is_runtimes && !in_task()) ended_.wait(false);
}

void NodeEngine::end_roles() {
  if (!node_) return;
  placements_.stop();
  const auto limit = SteadyClock::now() + std::clamp<std::chrono::milliseconds>(options_.shutdown_timeout, std::chrono::milliseconds(0), kAsGoodAsForEver);
  if (!finish_work(limit)) {
    abandon_work();
    // What was killed with the abandoned work frees its threads in a moment; code that never returns does not.
    for (int i = 0; i < 500 && (!host_->idle() || owner_->unfinished().submitted > 0); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  over_ = true;
  gate_->shut();
  coroutine_waits_->stop();  // it asks the node
  references_->begin_end();
  node_->stop();
  launches_->drain();
  const auto soon = std::max(limit, SteadyClock::now() + kCallbackTime);
  const bool is_drained = lane_->drain_until(soon) && bin_->is_empty(soon);  // the user's code may be there
  launcher_->stop(std::chrono::milliseconds(1000));
  durables_->close();  // first: what is left behind below has no more use for it, and the next Runtime has
  if (!is_drained || !host_->idle()) return end_system(false);  // keeps this engine, and all that the code stands on, until the process ends
  if (!gate_->empty_by(SteadyClock::now() + kLeavingTime)) {
    node_store_->close();  // they may wait for room there
    if (!gate_->empty_by(std::max(limit, SteadyClock::now() + kLeavingTime))) return end_system(false);
  }
  owner_->end();
  const auto late = std::max(limit, SteadyClock::now() + kCallbackTime);
  if (!bin_->is_empty(late) || !end_callbacks(late)) return end_system(false);
  node_store_->close();
  if (options_.spill_dir.empty())  // goes when the last run's store in it has gone
    ::rmdir(spill_parent().c_str());
  references_->close();  // a promise that is set later must not reach for the lane
  bin_->close();
  lane_.reset();
  node_->end();  // its events may still be launches
  launches_.reset();
  node_.reset();
  end_system(true);
  launcher_.reset();
}

namespace {
constexpr const char* kOfAnother = "it gives another one's object as a result";
}

std::string NodeEngine::check_passing(ProcessId from, const wire::Message& message) const {
  if (!may_come_from_a_worker(message)) return "it is the node's to send";
  return made_its_results(from, message) ? "" : kOfAnother;
}

void NodeEngine::on_message(ProcessId from, const Buffer& bytes) {
  auto message = wire::decode(bytes);
  if (message && (may_come_from_a_worker(*message) || std::holds_alternative<wire::WantLeases>(*message) ||
                  std::holds_alternative<wire::ReleaseLease>(*message) || std::holds_alternative<wire::SetBlocked>(*message) ||
                  std::holds_alternative<wire::PlaceGroup>(*message) || std::holds_alternative<wire::WatchGroup>(*message) ||
                  std::holds_alternative<wire::RemoveGroup>(*message) || std::holds_alternative<wire::FindGroups>(*message) ||
                  std::holds_alternative<wire::Ready>(*message) || std::holds_alternative<wire::StoreRequest>(*message) ||
                  std::holds_alternative<wire::ResourcesReport>(*message) || std::holds_alternative<wire::DurableRequest>(*message) ||
                  std::holds_alternative<wire::NameRequest>(*message) ||
                  std::holds_alternative<wire::ActorWaiting>(*message))) {
    if (made_its_results(from, *message)) return deliver(from, std::move(*message));
    message = ErrorInfo{.message = kOfAnother};
  }
  log(LogLevel::kError, "worker process " + std::to_string(from) + " sent a message that cannot be read (" +
                            (message ? "it is the node's to send" : message.error().message) + "); it is ended");
  launcher_->kill(from);
}

/// What is given as a result is freed as one: it must not be another one's object.
bool NodeEngine::made_its_results(ProcessId from, const wire::Message& message) const {
  const auto made = [&](const wire::Value& value) { return !value.stored || node_store_->is_maker(from, value.stored); };
  const auto made_all = [&](const std::vector<wire::Outcome>& outcomes) {
    return std::all_of(outcomes.begin(), outcomes.end(), [&](const wire::Outcome& outcome) {
      const auto* value = std::get_if<wire::Value>(&outcome.result);
      return (!value || made(*value)) && std::all_of(outcome.more.begin(), outcome.more.end(), made);
    });
  };
  if (const auto* tasks = std::get_if<wire::TasksDone>(&message)) return made_all(tasks->outcomes);
  const auto* calls = std::get_if<wire::ActorDone>(&message);
  return !calls || made_all(calls->outcomes);
}

void NodeEngine::deliver_control(ProcessId from, wire::Message message) {
  if (auto* request = std::get_if<wire::StoreRequest>(&message)) {
    node_store_->serve(from, *request);
  } else if (auto* durable = std::get_if<wire::DurableRequest>(&message)) {
    durables_->serve(from, std::move(*durable));
  } else if (auto* report = std::get_if<wire::ResourcesReport>(&message)) {
    send(from, wire::ResourcesReport{.request = report->request, .total = node_->total(), .available = node_->available()});
  } else if (auto* waiting = std::get_if<wire::ActorWaiting>(&message)) {
    for (auto& [to, letter] : wait_graph_.told(*waiting, from)) send(to, std::move(letter));
  } else if (auto* request = std::get_if<wire::NameRequest>(&message)) {
    auto reply = directory_.answer(*request);
    if (request->request) send(from, std::move(reply));
  } else if (node_) {
    node_->deliver(from, std::move(message));
  }
}

void NodeEngine::send_remote(ProcessId to, const wire::Message& message) { launcher_->send(to, wire::encode(message)); }

/// Whoever waits asks for it.
std::shared_ptr<Reactor> NodeEngine::links_loop() {
  gate_->need_own_process();
  const UseGate::Use use(*gate_);
  return use && launcher_ ? launcher_->links_loop() : nullptr;
}

Resources NodeEngine::total_resources() const {
  const UseGate::Use use(*gate_);
  return use && node_ ? node_->total() : total_;
}

Resources NodeEngine::available_resources() const {
  const UseGate::Use use(*gate_);
  return use && node_ ? node_->available() : Resources{};
}

RuntimeStats NodeEngine::stats() const {
  const UseGate::Use use(*gate_);
  need_running();
  use.need();
  auto stats = own_stats();
  const auto store = node_store_->objects().stats();
  stats.stored_objects = store.objects;
  stats.arena_bytes = store.arena.used_bytes;
  stats.file_bytes = store.arena.file_bytes;
  stats.pinned_objects = store.pinned_objects;
  stats.spilled_objects = store.spilled_objects;
  stats.leases = node_->leases_held();
  stats.worker_processes = launcher_->processes();
  return stats;
}

void NodeEngine::put(Cell& cell, const PutOptions& options, const std::string& standard_tag) {
  const UseGate::Use use(*gate_);
  need_store();
  use.need();
  if (!options.durable_name.empty())
    return durables_->put(cell, options.durable_name, options.type_tag.empty() ? standard_tag : options.type_tag);
  if (!portable_) return;
  cell.encoded(options_.inline_bytes, [this](std::uint64_t size, const StoreAccess::Fill& fill) -> Result<std::shared_ptr<StoredObject>> {
        auto placed = node_store_->place(size, fill, kNodeProcess);
        return placed ? put_object(*placed) : placed;
      })
      .value();
  cell.leave_to_store();
}

std::shared_ptr<Cell> NodeEngine::find_durable(const TypeOps& ops, const std::string& name, const std::string& tag) {
  const UseGate::Use use(*gate_);
  need_store();
  use.need();
  return durables_->find(ops, name, tag);
}

bool NodeEngine::remove_durable(const std::string& name) {
  const UseGate::Use use(*gate_);
  need_store();
  use.need();
  return durables_->remove(name);
}

std::vector<std::string> NodeEngine::list_durable(const std::string& prefix) {
  const UseGate::Use use(*gate_);
  need_store();
  use.need();
  return durables_->list(prefix);
}

}  // namespace manta::detail
