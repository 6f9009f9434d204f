#include "runtime/base/object_pool.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace manta {
namespace {

struct Piece {
  unsigned char* at;
  std::size_t size;
  unsigned char mark;
};

Piece make_piece(std::size_t size, unsigned char mark) {
  auto* at = static_cast<unsigned char*>(pool_allocate(size));
  std::memset(at, mark, size);
  return {at, size, mark};
}

bool is_whole(const Piece& piece) {
  for (std::size_t i = 0; i < piece.size; ++i)
    if (piece.at[i] != piece.mark) return false;
  return true;
}

struct Wide {
  alignas(16) double values[2];
};

}  // namespace

TEST_SUITE("runtime/base/object_pool") {
  TEST_CASE("pieces of all sizes keep what is written to them, whatever comes and goes") {
    std::mt19937 random(3);
    std::vector<Piece> pieces;
    for (int step = 0; step < 60000; ++step) {
      if (pieces.empty() || random() % 5 < 3) {
        pieces.push_back(make_piece(1 + random() % kMaxPooledSize, static_cast<unsigned char>(random())));
        REQUIRE(reinterpret_cast<std::uintptr_t>(pieces.back().at) % 8 == 0);
      } else {
        std::swap(pieces[random() % pieces.size()], pieces.back());
        REQUIRE(is_whole(pieces.back()));
        pool_free(pieces.back().at, pieces.back().size);
        pieces.pop_back();
      }
    }
    for (const auto& piece : pieces) {
      REQUIRE(is_whole(piece));
      pool_free(piece.at, piece.size);
    }
  }

  TEST_CASE("an object is aligned as its type asks") {
    std::vector<std::shared_ptr<Wide>> all;
    for (int i = 0; i < 1000; ++i) {
      all.push_back(make_pooled<Wide>());
      REQUIRE(reinterpret_cast<std::uintptr_t>(all.back().get()) % 16 == 0);
    }
  }

  TEST_CASE("memory that one thread takes and another one gives back goes round, and what is too much goes back to the system") {
    constexpr std::size_t kObjects = 50'000, kSize = 96;
    const auto before = pool_slab_bytes();
    for (int round = 0; round < 3; ++round) {
      std::vector<void*> made(kObjects);
      std::thread maker([&] {
        for (auto& each : made) each = pool_allocate(kSize);
      });
      maker.join();
      std::thread([&] {
        for (auto* each : made) pool_free(each, kSize);
      }).join();
      REQUIRE(pool_slab_bytes() < before + kObjects * kSize / 8);
    }
  }

  TEST_CASE("several threads take and give back at once") {
    std::vector<std::thread> threads;
    std::vector<int> whole(4, 0);
    for (unsigned t = 0; t < 4; ++t)
      threads.emplace_back([t, &whole] {
        std::mt19937 random(t);
        std::vector<Piece> pieces;
        bool good = true;
        for (int round = 0; round < 200; ++round) {
          while (pieces.size() < 300) pieces.push_back(make_piece(random() % 2 ? 80 : 160, static_cast<unsigned char>(random())));
          while (pieces.size() > random() % 300) {
            good = good && is_whole(pieces.back());
            pool_free(pieces.back().at, pieces.back().size);
            pieces.pop_back();
          }
        }
        for (const auto& piece : pieces) pool_free(piece.at, piece.size);
        whole[t] = good;
      });
    for (auto& thread : threads) thread.join();
    REQUIRE(whole == std::vector<int>(4, 1));
  }

  TEST_CASE("what a thread's last destructors give back and take is served without its magazines") {
    struct Late {
      std::shared_ptr<Wide> kept{};
      bool* right = nullptr;
      ~Late() {
        kept.reset();
        auto fresh = make_pooled<Wide>();
        fresh->values[1] = 2;
        *right = fresh->values[1] == 2;
      }
    };
    bool right = false;
    std::thread([&right] {
      thread_local Late late;  // made before the thread's magazines, so destroyed after them
      late.right = &right;
      late.kept = make_pooled<Wide>();
    }).join();
    REQUIRE(right);
  }

#if !defined(MANTA_SANITIZED) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // At its end it gives back what its thread has, and slept for a depot that another thread of its parent's had held.
  TEST_CASE("a fork's child ends by exit though other threads were in the pool when it was forked") {
    constexpr std::size_t kSize = 96;
    std::atomic<bool> over{false};
    std::vector<std::thread> busy;
    for (int i = 0; i < 3; ++i)
      busy.emplace_back([&] {
        std::vector<void*> held;
        while (!over) {
          for (int n = 0; n < 300; ++n) held.push_back(pool_allocate(kSize));
          for (auto* each : held) pool_free(each, kSize);
          held.clear();
        }
      });
    pool_free(pool_allocate(kSize), kSize);  // this thread has a cache, too
    int hung = 0;
    for (int i = 0; i < 300 && hung == 0; ++i) {
      const int child = ::fork();
      if (child == 0) std::thread([] { pool_free(pool_allocate(kSize), kSize); }).join(), ::_exit(0);
      int status = 0;
      const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      while (::waitpid(child, &status, WNOHANG) == 0) {
        if (std::chrono::steady_clock::now() < end) {
          std::this_thread::sleep_for(std::chrono::microseconds(50));
          continue;
        }
        ++hung;
        ::kill(child, SIGKILL);
        ::waitpid(child, &status, 0);
        break;
      }
    }
    CHECK(hung == 0);
    over = true;
    for (auto& each : busy) each.join();
  }
#endif
}

}  // namespace manta
