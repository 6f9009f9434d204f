#include "runtime/store/object_store.hpp"

#include <doctest/doctest.h>

#include <future>
#include <random>
#include <thread>

#include "runtime/store/memory_store.hpp"
#include "runtime/store/rocksdb_store.hpp"
#include "tests/runtime/store/object_store_fixtures.hpp"

using namespace manta;
using namespace manta::test;
using namespace std::chrono_literals;

TEST_SUITE("runtime/store") {
  TEST_CASE("an object is created, filled, sealed, read and freed, and the arena is empty again") {
    ObjectStore store(make_arena(4 * kMiB), in_memory());
    for (const std::uint64_t size : {0ull, 1ull, 100ull, 1ull << 20, 4ull << 20}) {
      CAPTURE(size);
      put(store, 1, size);
      CHECK(holds(store, 1, size));
      store.free(1);
      CHECK_FALSE(store.contains(1));
      CHECK(store.pin(1).error().code == ErrorCode::kNotFound);
      // One that fills the arena may be on its way to the disk: it goes when that write has ended.
      CHECK(eventually([&] { return store.stats().arena.used_bytes == 0 && store.stats().objects == 0; }));
    }
  }

  TEST_CASE("an object exists for readers only from seal on, and misuse says so") {
    ObjectStore store(make_arena(kMiB), in_memory());
    store.create(1, 10).value();
    CHECK_FALSE(store.contains(1));
    CHECK(store.pin(1).error().code == ErrorCode::kInvalidArgument);
    CHECK(store.create(1, 10).error().code == ErrorCode::kInvalidArgument);
    CHECK(store.try_create(1, 10).error().code == ErrorCode::kInvalidArgument);
    CHECK(store.seal(2).error().code == ErrorCode::kInvalidArgument);
    store.seal(1).value();
    CHECK(store.seal(1).error().code == ErrorCode::kInvalidArgument);
    CHECK(store.abort(1).error().code == ErrorCode::kInvalidArgument);
    store.create(3, 10).value();
    store.abort(3).value();
    CHECK(store.stats().objects == 1);
    store.free(99);
  }

  TEST_CASE("free is deferred while an object is pinned or still being created") {
    ObjectStore store(make_arena(kMiB), in_memory());
    put(store, 1, 1000);
    const auto block = store.pin(1).value();
    store.pin(1).value();
    store.free(1);
    store.free(1);
    CHECK(store.pin(1).error().code == ErrorCode::kNotFound);
    store.unpin(1);
    CHECK(equal(store.arena().bytes(block), pattern(1, 1000)));
    CHECK(store.stats().arena.blocks == 1);
    store.unpin(1);
    CHECK(store.stats().arena.blocks == 0);

    store.create(2, 1000).value();
    store.free(2);
    CHECK(store.stats().arena.blocks == 1);  // somebody still writes there
    store.seal(2).value();
    CHECK(store.stats().arena.blocks == 0);
  }

  TEST_CASE("nothing is opened for spilling before the first spill") {
    TemporaryDirectory directory;
    int opened = 0;
    ObjectStore store(make_arena(kMiB), [&] { return ++opened, open_rocksdb(directory / "s", {.kind = StoreKind::kSpill}); });
    for (std::uint64_t id = 1; id <= 7; ++id) put(store, id, 100'000);
    CHECK(opened == 0);
    CHECK_FALSE(std::filesystem::exists(directory / "s"));
    for (std::uint64_t id = 8; id <= 30; ++id) put(store, id, 100'000);
    CHECK(opened == 1);
  }

  TEST_CASE("sealed objects leave in the order of their last use, and pinned ones stay") {
    ObjectStore store(make_arena(10 * kMiB), in_memory());
    for (std::uint64_t id = 1; id <= 7; ++id) put(store, id, kMiB);
    const auto pinned = store.pin(2).value();
    CHECK(holds(store, 1, kMiB));  // used again: 3 is the oldest now
    put(store, 8, kMiB);
    put(store, 9, kMiB);
    CHECK(eventually([&] { return store.stats().spilled_objects >= 1; }));
    CHECK_FALSE(store.try_pin(3).value().has_value());
    CHECK(store.try_pin(9).value().has_value());
    CHECK(equal(store.arena().bytes(pinned), pattern(2, kMiB)));
    CHECK(holds(store, 3, kMiB));
  }

  TEST_CASE("75 MiB of arena hold 800 MiB of objects that are read back in random order") {
    TemporaryDirectory directory;
    ObjectStore store(make_arena(75 * kMiB, 64 * kMiB),
                      [&] { return open_rocksdb(directory / "spill", {.kind = StoreKind::kSpill}); });
    constexpr std::uint64_t kObjects = 100;
    constexpr std::uint64_t kBytes = 8 * kMiB;
    for (std::uint64_t id = 1; id <= kObjects; ++id) put_marked(store, id, kBytes);
    CHECK(store.stats().spilled_bytes > 700 * kMiB);
    std::mt19937_64 random(1);
    for (int reads = 0; reads < 120; ++reads) CHECK(holds_marked(store, 1 + random() % kObjects, kBytes));
    for (std::uint64_t id = 1; id <= kObjects; ++id) store.free(id);
    const auto stats = store.stats();
    CHECK(stats.arena.used_bytes == 0);
    CHECK(stats.spill_bytes_written < 850 * kMiB);  // each object was written once
    CHECK(eventually([&] { return directory_bytes(directory / "spill") < 10 * kMiB; }));
    store.close();
    CHECK_FALSE(std::filesystem::exists(directory / "spill"));
  }

  TEST_CASE("an object larger than an extent, and one as large as the arena, go to disk and come back") {
    ObjectStore store(make_arena(12 * kMiB, 4 * kMiB), in_memory());
    put(store, 1, 9 * kMiB);
    put(store, 2, 12 * kMiB);
    put(store, 3, 100);
    CHECK(holds(store, 1, 9 * kMiB));
    CHECK(holds(store, 2, 12 * kMiB));
    CHECK(holds(store, 3, 100));
    CHECK(store.create(4, 12 * kMiB + 1).error().code == ErrorCode::kInvalidArgument);
  }

  TEST_CASE("try_create and try_pin never wait, and what they ask for happens") {
    ObjectStore store(make_arena(4 * kMiB), in_memory());
    put(store, 1, 2 * kMiB);
    auto second = store.try_create(2, 3 * kMiB);
    CHECK_FALSE(second.value().has_value());
    CHECK(eventually([&] { return (second = store.try_create(2, 3 * kMiB)).value().has_value(); }));
    store.seal(2).value();
    CHECK_FALSE(store.try_pin(1).value().has_value());
    CHECK(holds(store, 1, 2 * kMiB));
    CHECK(store.try_pin(7).error().code == ErrorCode::kNotFound);
  }

  TEST_CASE("try_create leaves clearing an extent for a large object to create, and takes one that lies there empty") {
    ObjectStore store(make_arena(8 * kMiB, kMiB), in_memory());
    CHECK_FALSE(store.try_create(1, 3 * kMiB).value().has_value());
    CHECK(store.try_create(2, kMiB / 2).value().has_value());
    CHECK(store.create(1, 3 * kMiB).value().size == 3 * kMiB);
    CHECK(store.try_create(3, 8 * kMiB + 1).error().code == ErrorCode::kInvalidArgument);
    store.abort(1).value();
    CHECK(store.try_create(4, 3 * kMiB).value().has_value());
  }

  TEST_CASE("large objects are made and read back side by side, and the store closes meanwhile") {
    for (int round = 0; round < 5; ++round) {
      ObjectStore store(make_arena(24 * kMiB, kMiB), in_memory());
      std::vector<std::thread> makers;
      for (std::uint64_t maker = 0; maker < 4; ++maker)
        makers.emplace_back([&store, maker] {
          for (std::uint64_t id = maker * 1'000'000;; ++id) {
            const auto block = store.create(id, 5 * kMiB + id % 7 * kMiB);
            if (!block) {
              CHECK_MESSAGE(block.error().code == ErrorCode::kRuntimeStopped, block.error().to_string());
              return;
            }
            const auto place = store.arena().bytes(*block);
            std::memset(place.data(), static_cast<int>(id), place.size());
            if (!store.seal(id)) return;
            const auto back = store.pin(id);
            if (!back) {
              CHECK_MESSAGE(back.error().code == ErrorCode::kRuntimeStopped, back.error().to_string());
              return;
            }
            CHECK(store.arena().bytes(*back)[back->size - 1] == static_cast<std::byte>(id));
            store.unpin(id);
            if (id % 3 == 0) store.free(id);
          }
        });
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      store.close();
      for (auto& maker : makers) maker.join();
    }
  }

  TEST_CASE("a restored object keeps its copy on disk and leaves again without being written") {
    ObjectStore store(make_arena(4 * kMiB), in_memory());
    put(store, 1, 3 * kMiB);
    put(store, 2, 3 * kMiB);
    CHECK(holds(store, 1, 3 * kMiB));
    const auto written = store.stats().spill_bytes_written;
    for (int round = 0; round < 5; ++round) {
      CHECK(holds(store, 2, 3 * kMiB));
      CHECK(holds(store, 1, 3 * kMiB));
    }
    CHECK(store.stats().spill_bytes_written == written);
  }

  TEST_CASE("a few objects that stay do not keep the disk space of those that were spilled with them") {
    TemporaryDirectory directory;
    const auto path = directory / "spill";
    ObjectStore store(make_arena(24 * kMiB), [path] { return open_rocksdb(path, {.kind = StoreKind::kSpill}); });
    constexpr std::uint64_t kCount = 400;  // small ones, so that an epoch holds many
    for (std::uint64_t id = 1; id <= kCount; ++id) put(store, id, 200'000);
    REQUIRE(eventually([&] { return store.stats().spilled_objects > 100; }));
    std::vector<std::uint64_t> stay;
    for (std::uint64_t id = 1; id <= kCount; ++id) (id % 16 == 0) ? stay.push_back(id) : store.free(id);
    CHECK(eventually([&] { return directory_bytes(path) < 20 * 1'000'000; }));  // of 80, where each epoch has one that stays
    for (const auto id : stay) {
      CHECK(holds(store, id, 200'000));
      store.free(id);
    }
    CHECK(store.stats().lost_objects == 0);
    CHECK(eventually([&] { return directory_bytes(path) < 1'000'000; }));
  }

  TEST_CASE("many threads that pin a spilled object at once bring it back once") {
    ObjectStore store(make_arena(10 * kMiB), in_memory());
    put(store, 1, kMiB);
    put(store, 2, 10 * kMiB);
    REQUIRE_FALSE(store.try_pin(1).value().has_value());
    std::vector<std::future<bool>> readers;
    for (int i = 0; i < 8; ++i) readers.push_back(std::async(std::launch::async, [&] { return holds(store, 1, kMiB); }));
    for (auto& reader : readers) CHECK(reader.get());
    CHECK(store.stats().restore_bytes_read == kMiB);
  }

  TEST_CASE("threads that create, read and free under pressure never see a wrong byte") {
    ObjectStore store(make_arena(6 * kMiB, 2 * kMiB), in_memory());
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (std::uint64_t worker = 1; worker <= 4; ++worker)
      threads.emplace_back([&store, &wrong, worker] {
        std::mt19937_64 random(worker);
        for (std::uint64_t i = 0; i < 120; ++i) {
          const auto id = worker * 1000 + i;
          put(store, id, size_of(id));
          const auto other = worker * 1000 + random() % (i + 1);
          if (store.contains(other) && !holds(store, other, size_of(other))) ++wrong;
          if (random() % 3 == 0) store.free(worker * 1000 + random() % (i + 1));
        }
        for (std::uint64_t i = 0; i < 120; ++i) store.free(worker * 1000 + i);
      });
    for (auto& thread : threads) thread.join();
    CHECK(wrong == 0);
    CHECK(eventually([&] { return store.stats().objects == 0; }));
    CHECK(store.stats().arena.used_bytes == 0);
  }
}
