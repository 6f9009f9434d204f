#pragma once
// A worker's host of its own, for tests that drive it as messages would: it serves owners in other processes, whose answers
// are written down.
#include <chrono>
#include <condition_variable>
#include <functional>
#include <thread>

#include "runtime/actors/scheduler.hpp"
#include "runtime/actors/task_worker.hpp"
#include "runtime/actors/worker_host.hpp"
#include "tests/runtime/actors/quiet_process.hpp"

namespace manta::detail {

inline int twice(int x) { return 2 * x; }

/// Writes down what is sent to the owner, which is another process here.
class OwnersRouter final : public Router {
 public:
  ProcessId self() const override { return 7; }
  void send(ProcessId, wire::Message message) override {
    if (on_send) on_send(message);
    std::lock_guard lock(mutex_);
    auto take = [this](std::vector<wire::Outcome>& outcomes) {
      for (auto& outcome : outcomes) outcomes_.push_back(std::move(outcome));
    };
    if (auto* done = std::get_if<wire::TasksDone>(&message)) take(done->outcomes);
    if (auto* calls = std::get_if<wire::ActorDone>(&message)) take(calls->outcomes);
    destroyed_ += std::holds_alternative<wire::ActorDestroyed>(message);
    changed_.notify_all();
  }
  /// Of tasks and calls, in the order in which they were told.
  std::vector<wire::Outcome> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [&] { return outcomes_.size() >= count; });
    return outcomes_;
  }
  /// True when so many actors have been destroyed.
  bool wait_for_ends(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return destroyed_ >= count; });
  }
  int ends() {
    std::lock_guard lock(mutex_);
    return destroyed_;
  }
  /// Set before anything is sent: called first, by the thread that sends.
  std::function<void(const wire::Message&)> on_send{};

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<wire::Outcome> outcomes_;
  int destroyed_ = 0;
};

/// False when it has not come true after a time that is long for anything here.
inline bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

class NoEngine final : public Engine {
 public:
  void submit(std::shared_ptr<TaskRecord>, std::shared_ptr<const TaskOptions>) override {}
  std::shared_ptr<ActorLink> spawn(std::shared_ptr<TaskRecord>, std::shared_ptr<const ActorOptions>, const FunctionEntry&) override {
    return nullptr;
  }
  std::shared_ptr<ActorLink> find_actor(const std::string&, const FunctionEntry&) override { return nullptr; }
  void put(Cell&, const PutOptions&, const std::string&) override {}
  std::shared_ptr<Cell> find_durable(const TypeOps&, const std::string&, const std::string&) override { return nullptr; }
  bool remove_durable(const std::string&) override { return false; }
  std::vector<std::string> list_durable(const std::string&) override { return {}; }
  bool wait(Cell&, Deadline) override { return true; }
  bool wait_some(std::span<Cell* const>, std::size_t, Deadline, bool) override { return true; }
  bool wait_while(std::atomic<std::uint32_t>&, std::uint32_t, Deadline, std::span<Cell* const>) override { return true; }
  void cancel(Cell&, const CancelOptions&) override {}
  void give_up(Cell&) override {}
  std::string explain(Cell&) override { return {}; }
  void post_callback(std::function<void()>) override {}
  GroupHandle place_group(std::shared_ptr<const PlacementGroupOptions>) override { return {}; }
  std::shared_ptr<Cell> watch_group(GroupId) override { return nullptr; }
  void remove_group(GroupId) override {}
  std::vector<GroupHandle> find_groups(const std::string&) override { return {}; }
  Resources total_resources() const override { return {}; }
  Resources available_resources() const override { return {}; }
  RuntimeStats stats() const override { return {}; }
};

struct HostFixture {
  struct Config : caf::actor_system_config {
    Config() { load<ElasticScheduler>(); }
  };
  HostFixture() {
    environment.router = &router;
    environment.store = &store;
    environment.references = references.get();
    environment.engine = engine;
    environment.inline_bytes = 100'000;
    host = std::make_unique<WorkerHost>(system, environment);
  }
  /// A worker that has told its outcomes may still be about to lie down.
  ~HostFixture() {
    while (!host->idle()) std::this_thread::yield();
  }
  template <class Record>
  static Work work_of(std::uint64_t id, std::vector<std::byte> arguments) {
    const auto key = function_key(Registration<Record>::entry);
    (void)Registration<Record>::done;
    return {.id = {id}, .name = std::make_shared<const std::string>("test"),
            .encoded = std::make_unique<wire::Task>(
                wire::Task{.id = {id}, .module = key.module, .offset = key.offset, .name = "test", .arguments = {.bytes = Buffer::copy(arguments)}})};
  }
  template <auto F>
  static Work work(std::uint64_t id, std::vector<std::byte> arguments) {
    return work_of<FunctionRecord<F>>(id, std::move(arguments));
  }
  template <class Record, class... Args>
  static std::vector<std::byte> arguments(Args&&... args) {
    Record record;
    record.fill(std::forward<Args>(args)...);
    OutputArchive count;
    record.encode_arguments(count);
    std::vector<std::byte> bytes(count.size());
    OutputArchive archive(bytes);
    record.encode_arguments(archive);
    return bytes;
  }
  static std::vector<std::byte> argument(int x) { return arguments<FunctionRecord<twice>>(x); }
  void run(Work work) {
    std::vector<Work> one;
    one.push_back(std::move(work));
    host->run(1, {.id = {5}, .cpus = Amount(1)}, std::move(one));
  }

  Config config{};
  caf::actor_system system{config};
  OwnersRouter router{};
  EmptyStore store{7};
  IdSource ids{7};
  Lane lane{1};
  std::shared_ptr<ReferenceKeeper> references = std::make_shared<ReferenceKeeper>(7, ids, router, store, lane, 100'000);
  std::shared_ptr<NoEngine> engine = std::make_shared<NoEngine>();
  HostEnvironment environment{};
  std::unique_ptr<WorkerHost> host;
};

}  // namespace manta::detail
