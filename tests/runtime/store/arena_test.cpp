#include "runtime/store/arena.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <random>
#include <thread>

#include "runtime/store/arena_view.hpp"
#include "tests/runtime/store/store_fixtures.hpp"

using namespace manta;
using namespace manta::test;
using namespace std::chrono_literals;

namespace {
int g_interruptions = 0;  // that are still to come
std::function<void()> g_on_hole;
}

/// In the place of the C library's. As tmpfs was before Linux 6.10: a signal that comes meanwhile ends all of it.
extern "C" int fallocate(int fd, int mode, off_t offset, off_t length) {
  if (g_on_hole && (mode & FALLOC_FL_PUNCH_HOLE)) g_on_hole();
  sigset_t blocked;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  if (g_interruptions > 0 && !::sigismember(&blocked, SIGALRM)) return --g_interruptions, errno = EINTR, -1;
  return static_cast<int>(::syscall(SYS_fallocate, fd, mode, offset, length));
}

namespace {

constexpr std::uint64_t kMiB = 1 << 20;

std::unique_ptr<Arena> make_arena(std::uint64_t budget, std::uint64_t extent = 64 * kMiB) {
  return Arena::create({.budget_bytes = budget, .extent_bytes = extent}).value();
}

bool overlap(const Block& a, const Block& b) {
  return a.extent == b.extent && a.offset < b.offset + Arena::rounded_bytes(b.size) &&
         b.offset < a.offset + Arena::rounded_bytes(a.size);
}

struct Descriptor {
  int fd;
  ~Descriptor() { ::close(fd); }
};

}  // namespace

TEST_SUITE("runtime/store") {
  TEST_CASE("blocks are aligned, and large ones start at a page") {
    auto arena = make_arena(8 * kMiB);
    for (const std::uint64_t size : {0ull, 1ull, 63ull, 64ull, 65ull, 4097ull, 1048575ull, 1048576ull, 1048577ull}) {
      CAPTURE(size);
      const auto block = arena->allocate(size).value();
      CHECK(block.size == size);
      CHECK(arena->bytes(block).size() == size);
      CHECK(block.offset % (size >= kMiB ? 4096 : 64) == 0);
    }
  }

  TEST_CASE("no memory is taken before the first block") {
    auto arena = make_arena(8 * kMiB);
    CHECK(arena->stats().reserved_bytes == 0);
    CHECK(arena->allocate(10).ok());
    CHECK(arena->stats().reserved_bytes == 8 * kMiB);
  }

  TEST_CASE("random allocations never overlap, keep their bytes, and coalesce to nothing when all are freed") {
    for (const unsigned seed : {1u, 2u, 3u}) {
      CAPTURE(seed);
      auto arena = make_arena(12 * kMiB, 4 * kMiB);
      std::mt19937_64 random(seed);
      std::vector<std::pair<Block, std::uint64_t>> live;  // block, seed of its bytes
      for (int step = 0; step < 3000; ++step) {
        const auto size = std::uint64_t{1} << random() % 22;
        if (random() % 100 < 55) {
          auto block = arena->allocate(size + random() % size);
          if (!block) {
            CHECK(block.error().code == ErrorCode::kObjectStoreFull);
            continue;
          }
          for (const auto& [other, bytes] : live) REQUIRE_FALSE(overlap(*block, other));
          const auto content = pattern(random(), std::min<std::uint64_t>(block->size, 64));
          std::uint64_t key = 0;
          std::memcpy(&key, content.data(), std::min<std::size_t>(8, content.size()));
          std::memcpy(arena->bytes(*block).data(), &key, std::min<std::uint64_t>(8, block->size));
          live.emplace_back(*block, key);
        } else if (!live.empty()) {
          std::swap(live[random() % live.size()], live.back());
          const auto [block, key] = live.back();
          REQUIRE(std::memcmp(arena->bytes(block).data(), &key, std::min<std::uint64_t>(8, block.size)) == 0);
          arena->free(block);
          live.pop_back();
        }
        REQUIRE(arena->stats().reserved_bytes <= 12 * kMiB);
        REQUIRE(arena->stats().blocks == live.size());
      }
      for (const auto& [block, key] : live) arena->free(block);
      const auto stats = arena->stats();
      CHECK(stats.used_bytes == 0);
      CHECK(stats.largest_free_bytes >= 4 * kMiB);  // whole extents again
      CHECK(arena->trim(0ms) == stats.extents);
      CHECK(arena->stats().reserved_bytes == 0);
      CHECK(arena->allocate(12 * kMiB).ok());
    }
  }

  TEST_CASE("an object larger than an extent gets one of its own, and empty extents make way for it") {
    auto arena = make_arena(10 * kMiB, 4 * kMiB);
    const auto small = arena->allocate(100).value();
    const auto first_extent = small.extent;
    arena->free(small);
    const auto large = arena->allocate(9 * kMiB).value();
    CHECK(large.offset == 0);
    CHECK(arena->extent_bytes(large.extent) == 9 * kMiB);
    CHECK(arena->extent_bytes(first_extent) == 0);
    CHECK(large.extent != first_extent);  // numbers are not used again
  }

  TEST_CASE("a full arena says ObjectStoreFull, an impossible size InvalidArgument, and both name the numbers") {
    auto arena = make_arena(4 * kMiB, kMiB);
    const auto most = arena->allocate(3 * kMiB).value();
    const auto full = arena->allocate(2 * kMiB);
    REQUIRE_FALSE(full);
    CHECK(full.error().code == ErrorCode::kObjectStoreFull);
    const auto impossible = arena->allocate(4 * kMiB + 1);
    REQUIRE_FALSE(impossible);
    CHECK(impossible.error().code == ErrorCode::kInvalidArgument);
    CHECK(impossible.error().message.find("4194305") != std::string::npos);
    CHECK(impossible.error().message.find("4194304") != std::string::npos);
    CHECK_FALSE(arena->allocate(UINT64_MAX));
    arena->free(most);
    CHECK(arena->allocate(4 * kMiB).ok());
  }

  TEST_CASE("a budget larger than memory allows is refused with both numbers; without one, the limits decide") {
    const MemoryLimits limits{.available_bytes = 1'000'000'000, .cgroup_headroom_bytes = 200'000'000};
    const auto refused = Arena::create({.budget_bytes = 300'000'000, .memory_limits = limits});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kResourceExhausted);
    CHECK(refused.error().message.find("300000000") != std::string::npos);
    CHECK(refused.error().message.find("200000000") != std::string::npos);
    CHECK(Arena::create({.memory_limits = limits}).value()->budget_bytes() <= 200'000'000);
    const MemoryLimits machine{.available_bytes = 1'000'000'000, .cgroup_headroom_bytes = UINT64_MAX};
    CHECK(Arena::create({.memory_limits = machine}).value()->budget_bytes() == 300'000'000 / 4096 * 4096);
  }

  TEST_CASE("an extent goes back only after it has been empty long enough") {
    auto arena = make_arena(4 * kMiB);
    arena->free(arena->allocate(10).value());
    CHECK(arena->trim(1h) == 0);
    CHECK(arena->trim(0ms) == 1);
    CHECK(arena->extents().empty());
  }

  TEST_CASE("another process reads a block in place, and cannot map a reader's descriptor for writing") {
    auto arena = make_arena(4 * kMiB);
    const auto content = pattern(7, 100'000);
    const auto block = arena->allocate(content.size()).value();
    std::memcpy(arena->bytes(block).data(), content.data(), content.size());
    const Descriptor reader{arena->extent_fd(block.extent, false).value()};
    CHECK((::fcntl(reader.fd, F_GETFD) & FD_CLOEXEC) != 0);
    const auto extent_bytes = arena->extent_bytes(block.extent);

    const int status = run_in_child([&] {
      ArenaView view;
      if (view.attach(block.extent, reader.fd, extent_bytes, true).ok()) return 1;
      if (view.known(block.extent)) return 2;
      if (!view.attach(block.extent, reader.fd, extent_bytes, false).ok()) return 3;
      if (!equal(view.read(block).value(), content)) return 4;
      if (view.write(block).ok()) return 5;
      if (::ftruncate(reader.fd, 10) == 0) return 6;
      if (::pwrite(reader.fd, "x", 1, 0) >= 0) return 7;
      return 0;
    });
    CHECK(status == 0);
  }

  TEST_CASE("a worker that writes to what it may only read dies, and the bytes stay") {
    auto arena = make_arena(kMiB);
    const auto block = arena->allocate(64).value();
    arena->bytes(block)[0] = std::byte{42};
    const Descriptor reader{arena->extent_fd(block.extent, false).value()};
    const int status = run_in_child([&] {
      ::signal(SIGSEGV, SIG_DFL);
      ArenaView view;
      view.attach(block.extent, reader.fd, arena->extent_bytes(block.extent), false).value();
      *const_cast<volatile std::byte*>(view.read(block).value().data()) = std::byte{1};
      return 0;
    });
    CHECK(status == -SIGSEGV);
    CHECK(arena->bytes(block)[0] == std::byte{42});
  }

  TEST_CASE("the node's own readers read in a mapping that cannot be written") {
    auto arena = make_arena(kMiB);
    const auto block = arena->allocate(64).value();
    arena->bytes(block)[0] = std::byte{42};
    CHECK(arena->readable(block).size() == block.size);
    CHECK(arena->readable(block)[0] == std::byte{42});
    const int status = run_in_child([&] {
      ::signal(SIGSEGV, SIG_DFL);
      *const_cast<volatile std::byte*>(arena->readable(block).data()) = std::byte{1};
      return 0;
    });
    CHECK(status == -SIGSEGV);
    CHECK(arena->bytes(block)[0] == std::byte{42});
  }

  TEST_CASE("what a worker writes through a writable descriptor the node sees at once") {
    auto arena = make_arena(4 * kMiB);
    const auto block = arena->allocate(2 * kMiB).value();
    const Descriptor writer{arena->extent_fd(block.extent, true).value()};
    const auto content = pattern(9, block.size);
    const int status = run_in_child([&] {
      ArenaView view;
      view.attach(block.extent, writer.fd, arena->extent_bytes(block.extent), true).value();
      const auto place = view.write(block).value();
      std::memcpy(place.data(), content.data(), content.size());
      return 0;
    });
    CHECK(status == 0);
    CHECK(equal(arena->bytes(block), content));
  }

  TEST_CASE("the size of an extent is sealed against both shrinking and growing") {
    auto arena = make_arena(kMiB);
    const auto block = arena->allocate(1).value();
    const Descriptor writer{arena->extent_fd(block.extent, true).value()};
    CHECK(::ftruncate(writer.fd, 0) != 0);
    CHECK(::ftruncate(writer.fd, 8 * kMiB) != 0);
  }

  TEST_CASE("a view refuses forged blocks, unknown extents and descriptors that are too short") {
    auto arena = make_arena(kMiB);
    const auto block = arena->allocate(100).value();
    const Descriptor reader{arena->extent_fd(block.extent, false).value()};
    ArenaView view;
    CHECK(view.read(block).error().code == ErrorCode::kNotFound);
    CHECK(view.attach(block.extent, reader.fd, 2 * kMiB, false).error().code == ErrorCode::kInvalidArgument);
    CHECK(view.attach(block.extent, reader.fd, 0, false).error().code == ErrorCode::kInvalidArgument);
    view.attach(block.extent, reader.fd, kMiB, false).value();
    CHECK(view.read({block.extent, kMiB, 1}).error().code == ErrorCode::kProtocolError);
    CHECK(view.read({block.extent, 1, kMiB}).error().code == ErrorCode::kProtocolError);
    CHECK(view.read({block.extent, UINT64_MAX - 3, 8}).error().code == ErrorCode::kProtocolError);
    CHECK(view.read({block.extent, 8, UINT64_MAX - 3}).error().code == ErrorCode::kProtocolError);
    CHECK(view.read({block.extent, kMiB, 0}).ok());
    view.detach(block.extent);
    view.detach(block.extent);
    CHECK_FALSE(view.known(block.extent));
  }

  TEST_CASE("the memory of an extent that was given back is free although a worker still maps it") {
    auto arena = make_arena(8 * kMiB, 8 * kMiB);
    const auto block = arena->allocate(8 * kMiB).value();
    std::memset(arena->bytes(block).data(), 1, block.size);
    const Descriptor reader{arena->extent_fd(block.extent, false).value()};
    ArenaView view;
    view.attach(block.extent, reader.fd, block.size, false).value();
    arena->free(block);
    CHECK(arena->trim(0ms) == 1);
    CHECK(arena->extent_fd(block.extent, false).error().code == ErrorCode::kNotFound);
    CHECK(std::to_integer<int>(view.read(block).value()[0]) == 0);  // a hole reads as zero
  }

  TEST_CASE("threads allocate and free at once without two of them getting the same bytes") {
    auto arena = make_arena(16 * kMiB, 2 * kMiB);
    std::atomic<int> clashes{0};
    std::vector<std::thread> threads;
    for (int id = 1; id <= 4; ++id)
      threads.emplace_back([&arena, &clashes, id] {
        for (int round = 0; round < 2000; ++round) {
          auto block = arena->allocate(64 + static_cast<std::uint64_t>(round) % 5000);
          if (!block) continue;
          const auto place = arena->bytes(*block);
          std::memset(place.data(), id, place.size());
          std::this_thread::yield();
          if (place.front() != std::byte(id) || place.back() != std::byte(id)) ++clashes;
          arena->free(*block);
        }
      });
    for (auto& thread : threads) thread.join();
    CHECK(clashes == 0);
    CHECK(arena->stats().used_bytes == 0);
  }

  TEST_CASE("a block larger than an extent needs an extent to itself, unless one lies there empty") {
    auto arena = Arena::create({.budget_bytes = 8 * kMiB, .extent_bytes = kMiB}).value();
    CHECK_FALSE(arena->clears_much(kMiB));
    CHECK(arena->clears_much(2 * kMiB));
    CHECK_FALSE(arena->clears_much(8 * kMiB + 1));  // nor makes it one
    CHECK_FALSE(arena->clears_much(UINT64_MAX));
    const auto block = arena->allocate(2 * kMiB).value();
    CHECK(arena->stats().reserved_bytes == 2 * kMiB);
    CHECK(arena->clears_much(2 * kMiB));
    arena->free(block);
    CHECK_FALSE(arena->clears_much(2 * kMiB));
    CHECK(arena->clears_much(3 * kMiB));
    CHECK(arena->allocate(7 * kMiB).value().size == 7 * kMiB);  // in the empty one's place
    CHECK(arena->stats().reserved_bytes == 7 * kMiB);
    CHECK(arena->allocate(2 * kMiB).error().code == ErrorCode::kObjectStoreFull);
    CHECK(arena->allocate(kMiB).value().size == kMiB);
    CHECK(arena->stats().reserved_bytes == 8 * kMiB);
  }

  // That freed the memory of an emptied one under both locks, .4 s and more for each GiB.
  TEST_CASE("while the memory of an emptied extent goes for a larger one the caller's lock is free, and so is the arena") {
    auto arena = Arena::create({.budget_bytes = 8 * kMiB, .extent_bytes = kMiB}).value();
    std::mutex mutex;
    std::unique_lock lock(mutex);
    for (int i = 0; i < 2; ++i) arena->free(arena->allocate(static_cast<std::uint64_t>(2 + i) * kMiB, &lock).value());
    int holes = 0, free_locks = 0;
    g_on_hole = [&] {
      std::thread([&] {
        ++holes;
        if (!mutex.try_lock()) return;
        free_locks += arena->stats().reserved_bytes == 7 * kMiB;  // the claim is there already
        mutex.unlock();
      }).join();
    };
    const auto block = arena->allocate(7 * kMiB, &lock).value();
    g_on_hole = {};
    CHECK(lock.owns_lock());
    CHECK(holes == 2);
    CHECK(free_locks == 2);
    CHECK(arena->stats().reserved_bytes == 7 * kMiB);
    arena->free(block);
  }

  // A worker that made an object of some GiB stopped all other puts and gets of the machine until the kernel had cleared it.
  TEST_CASE("while much memory is cleared the caller's lock is free, and so is the arena") {
    auto arena = Arena::create({.budget_bytes = 64 * kMiB, .extent_bytes = kMiB}).value();
    std::mutex mutex;
    std::atomic<bool> came{false};
    std::thread other;
    std::unique_lock lock(mutex);
    other = std::thread([&] {
      std::lock_guard beside(mutex);
      const auto small = arena->allocate(100).value();
      arena->free(small);
      came = true;
    });
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!came && std::chrono::steady_clock::now() < deadline) {  // the other one may be slow to wake up
      const auto block = arena->allocate(32 * kMiB, &lock).value();
      REQUIRE(lock.owns_lock());
      arena->free(block);
      arena->trim(std::chrono::milliseconds(0));
    }
    CHECK(came);
    lock.unlock();
    other.join();
  }

  // It began again for ever, with the store's lock held, where a timer's signal was quicker than the kernel.
  TEST_CASE("an extent is made though signals come all the time, and the program hears them afterwards") {
    auto arena = make_arena(256 * kMiB);
    g_interruptions = 1000;
    CHECK(arena->allocate(200 * kMiB).value().size == 200 * kMiB);  // in several parts
    CHECK(arena->allocate(100).value().size == 100);
    CHECK(g_interruptions == 1000);
    g_interruptions = 0;
    sigset_t blocked;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
    CHECK_FALSE(::sigismember(&blocked, SIGALRM));
  }
}
