// What the node writes down about its worker processes' objects, and what becomes of it when they die.
#include "runtime/actors/node_store.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <thread>

#include "runtime/store/memory_store.hpp"

using namespace manta;
using namespace manta::detail;

namespace {

constexpr std::uint64_t kMiB = 1 << 20;

/// A store whose worker processes are played by the test.
struct Fixture {
  explicit Fixture(std::uint64_t budget = 4 * kMiB, std::uint64_t extent = 64 * kMiB) {
    auto objects = std::make_unique<ObjectStore>(
        Arena::create({.budget_bytes = budget, .extent_bytes = extent}).value(),
        []() -> Result<std::unique_ptr<KeyValueStore>> { return std::unique_ptr<KeyValueStore>(new MemoryStore); });
    store = std::make_shared<NodeStore>(
        std::move(objects), ids,
        [this](ProcessId to, const wire::StoreReply& reply, std::span<const int>) {
          std::lock_guard lock(mutex);
          replies.emplace_back(to, reply);
          changed.notify_all();
        },
        [this](ProcessId owner, std::vector<ObjectId> objects) {
          for (auto id : objects) orphans.emplace_back(owner, id);
        });
  }

  wire::StoreReply ask(ProcessId from, wire::StoreRequest request) {
    request.request = ++requests;
    store->serve(from, request);
    std::unique_lock lock(mutex);
    const auto answered = [&] { return !replies.empty() && replies.back().second.request == request.request; };
    REQUIRE(changed.wait_for(lock, std::chrono::seconds(10), answered));
    return replies.back().second;
  }
  ObjectId make(ProcessId from, ProcessId owner, bool seal = true, std::uint64_t size = 1000) {
    const auto reply = ask(from, {.operation = wire::StoreOperation::kCreate, .size = size, .owner = owner});
    REQUIRE_FALSE(reply.error);
    if (seal) store->serve(from, {.operation = wire::StoreOperation::kSeal, .id = reply.id});
    return reply.id;
  }
  std::size_t objects() const { return store->objects().stats().objects; }

  IdSource ids{kNodeProcess};
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::pair<ProcessId, wire::StoreReply>> replies;
  std::vector<std::pair<ProcessId, ObjectId>> orphans;
  std::uint64_t requests = 0;
  std::shared_ptr<NodeStore> store;
};

/// While it lives, this process gets no more descriptors.
class NoDescriptors {
 public:
  NoDescriptors() {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    auto few = before_;
    few.rlim_cur = std::min<rlim_t>(few.rlim_cur, 1000);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
    for (int fd = 0; fd >= 0;) {
      fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
      if (fd >= 0) taken_.push_back(fd);
    }
  }
  ~NoDescriptors() {
    for (const int fd : taken_) ::close(fd);
    ::setrlimit(RLIMIT_NOFILE, &before_);
  }
  NoDescriptors(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
  std::vector<int> taken_{};
};

}  // namespace

TEST_SUITE("runtime/actors/node_store") {
  TEST_CASE("a process that dies leaves nothing: its own objects, its pins, what it was creating") {
    Fixture f;
    f.make(1, 1);
    f.make(1, 1, false);
    const auto shared = f.make(2, kNodeProcess);
    CHECK_FALSE(f.ask(1, {.operation = wire::StoreOperation::kPin, .id = shared}).error);
    CHECK(f.store->objects().stats().pinned_objects == 1);
    f.store->process_gone(1);
    CHECK(f.objects() == 1);
    CHECK(f.store->objects().stats().pinned_objects == 0);
    CHECK(f.orphans.empty());
    f.store->free(shared);
    CHECK(f.store->idle());
  }

  // A worker that was killed after it had sealed a task's result and before it had told the task's owner left the bytes in
  // the arena for ever: the owner did not know of them, and the task's next attempt made others.
  TEST_CASE("an owner hears of what a dead process had made for it and had perhaps not yet told") {
    Fixture f;
    const auto told = f.make(1, kNodeProcess);
    const auto for_driver = f.make(1, kNodeProcess);
    const auto for_worker = f.make(1, 2);
    const auto freed = f.make(1, kNodeProcess);
    f.make(1, kNodeProcess, false);
    f.store->free(freed);
    auto handle = f.store->owned(told, 1000);
    f.store->process_gone(1);
    REQUIRE(f.orphans.size() == 3);
    for (const auto& [owner, id] : f.orphans) {
      CHECK(owner == (id == for_worker ? 2 : kNodeProcess));
      CHECK(id != freed);
      if (owner == kNodeProcess && !f.store->holds(id)) f.store->free(id);  // as the owner does
    }
    CHECK(f.objects() == 2);
    CHECK(f.store->holds(told));
    handle.reset();
    CHECK_FALSE(f.store->holds(told));
    CHECK_FALSE(f.store->holds(for_driver));
    f.store->process_gone(2);
    CHECK(f.store->idle());
  }

  // The room was given back, but the maker and the owner had the id to their ends, and the owner was told of it then.
  TEST_CASE("nothing stays written down of an object that was never made") {
    Fixture f;
    auto first = f.store->place(8, [](std::span<std::byte>) {}, kNodeProcess).value();  // so that there is memory
    {
      NoDescriptors none;  // to send the arena's memory by
      for (const ProcessId owner : {ProcessId{2}, kNodeProcess, ProcessId{1}})
        CHECK(f.ask(1, {.operation = wire::StoreOperation::kCreate, .size = 1000, .owner = owner}).error->code == ErrorCode::kIoError);
    }
    first.reset();
    CHECK(f.store->idle());
    const auto given_up = f.make(1, 2, false);
    f.store->serve(1, {.operation = wire::StoreOperation::kAbort, .id = given_up});
    const auto failed = f.store->place(1000, [](std::span<std::byte>) { throw std::runtime_error("its save threw"); }, 2);
    CHECK_FALSE(failed);
    CHECK(f.store->idle());
    CHECK(f.store->noted_objects() == 0);
    f.store->process_gone(1);
    CHECK(f.orphans.empty());
    f.make(2, 2);
    CHECK(f.store->noted_objects() == 1);
  }

  TEST_CASE("room that comes when its creator is dead goes back at once") {
    Fixture f;
    const auto filler = f.make(2, kNodeProcess, true, 4 * kMiB);
    CHECK_FALSE(f.ask(2, {.operation = wire::StoreOperation::kPin, .id = filler}).error);
    f.store->serve(1, {.request = 1000, .operation = wire::StoreOperation::kCreate, .size = kMiB, .owner = 1});  // waits
    f.store->process_gone(1);
    f.store->free(filler);
    f.store->serve(2, {.operation = wire::StoreOperation::kUnpin, .id = filler});
    {
      std::unique_lock lock(f.mutex);
      REQUIRE(f.changed.wait_for(lock, std::chrono::seconds(10), [&] { return f.replies.back().first == 1; }));
    }
    CHECK(f.store->idle());
    CHECK(f.ask(1, {.operation = wire::StoreOperation::kCreate, .size = 8, .owner = 1}).error->code == ErrorCode::kOwnerDied);
  }

  TEST_CASE("a process hears of extents that it was sent and that are no more, once") {
    Fixture f;
    const auto first = f.ask(1, {.operation = wire::StoreOperation::kCreate, .size = 3 * kMiB, .owner = 1});
    REQUIRE_FALSE(first.error);
    f.store->serve(1, {.operation = wire::StoreOperation::kSeal, .id = first.id});
    f.store->serve(1, {.operation = wire::StoreOperation::kFree, .id = first.id});
    REQUIRE(f.store->objects().arena().trim(std::chrono::milliseconds(0)) == 1);
    const auto second = f.ask(1, {.operation = wire::StoreOperation::kCreate, .size = kMiB, .owner = 1});
    CHECK(second.retired == std::vector{first.extent});
    CHECK(f.ask(1, {.operation = wire::StoreOperation::kCreate, .size = kMiB, .owner = 1}).retired.empty());
    CHECK(f.ask(2, {.operation = wire::StoreOperation::kCreate, .size = kMiB, .owner = 2}).retired.empty());
    CHECK(f.store->objects().arena().extents() == std::vector{second.extent});
  }

  TEST_CASE("nothing stays written down of processes that have ended, however many; what they ask late is refused") {
    Fixture f;
    for (ProcessId process = 1; process <= 300; ++process) {
      f.make(process, process);
      CHECK(f.store->clients() <= 3);
      f.store->process_gone(process);
      f.store->process_gone(process);
      CHECK(f.ask(process, {.operation = wire::StoreOperation::kCreate, .size = 8, .owner = process}).error->code == ErrorCode::kOwnerDied);
      CHECK(f.ask(400, {.operation = wire::StoreOperation::kCreate, .size = 8, .owner = process}).error->code == ErrorCode::kOwnerDied);
      for (auto operation : {wire::StoreOperation::kFree, wire::StoreOperation::kUnpin, wire::StoreOperation::kAbort, wire::StoreOperation::kSeal})
        f.store->serve(process, {.operation = operation, .id = {1}});
    }
    CHECK(f.store->clients() <= 2);  // the driver, and the one that lives
    CHECK(f.store->idle());
  }

  TEST_CASE("nobody gives back what is not his") {
    Fixture f;
    const auto id = f.make(1, 1);
    for (auto operation : {wire::StoreOperation::kFree, wire::StoreOperation::kUnpin, wire::StoreOperation::kAbort, wire::StoreOperation::kSeal})
      f.store->serve(2, {.operation = operation, .id = id});
    CHECK(f.objects() == 1);
    f.store->serve(1, {.operation = wire::StoreOperation::kFree, .id = id});
    CHECK(f.store->idle());
  }

  TEST_CASE("who made an object for another one is known until that is gone") {
    Fixture f;
    const auto of_driver = f.make(1, kNodeProcess);
    CHECK(f.store->is_maker(1, of_driver));
    CHECK(!f.store->is_maker(2, of_driver));
    CHECK(!f.store->is_maker(kNodeProcess, of_driver));
    CHECK(!f.store->is_maker(1, f.make(1, 1)));  // its own, which it does not give
    CHECK(!f.store->is_maker(1, f.make(2, 1)));
    f.store->free(of_driver);
    CHECK(!f.store->is_maker(1, of_driver));
  }

  TEST_CASE("nothing stays written down of an object whose maker died before it was whole") {
    Fixture f;
    f.make(1, 2, false);
    f.store->process_gone(1);
    CHECK(f.objects() == 0);
    CHECK(f.store->noted_objects() == 0);
  }

  // It stood in line behind four that waited for the room that it would have given back.
  TEST_CASE("a large object that finds room does not wait behind those that find none") {
    Fixture f(16 * kMiB, kMiB);
    const auto held = f.make(1, 1, true, 5 * kMiB);
    f.ask(1, {.operation = wire::StoreOperation::kPin, .id = held});
    constexpr int kWaiting = 4;
    for (int i = 0; i < kWaiting; ++i)
      f.store->serve(2, {.request = 1000 + static_cast<std::uint64_t>(i), .operation = wire::StoreOperation::kCreate, .size = 12 * kMiB, .owner = 2});
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const auto reply = f.ask(1, {.operation = wire::StoreOperation::kCreate, .size = 2 * kMiB, .owner = 1});
    CHECK_FALSE(reply.error);
    {
      std::lock_guard lock(f.mutex);
      CHECK(std::none_of(f.replies.begin(), f.replies.end(), [](const auto& each) { return each.second.request >= 1000; }));
    }
    f.store->serve(1, {.operation = wire::StoreOperation::kAbort, .id = reply.id});
    f.store->serve(1, {.operation = wire::StoreOperation::kUnpin, .id = held});
  }
}
