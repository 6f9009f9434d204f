// Properties of the arena under walks that RapidCheck chooses, and shrinks when one fails.
#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <cstring>

#include "runtime/store/arena.hpp"
#include "tests/runtime/choices.hpp"

namespace manta {
namespace {

constexpr std::uint64_t kKiB = 1 << 10;

struct Live {
  Block block{};
  unsigned char mark = 0;
};

bool overlap(const Block& a, const Block& b) {
  return a.extent == b.extent && a.offset < b.offset + Arena::rounded_bytes(b.size) && b.offset < a.offset + Arena::rounded_bytes(a.size);
}

/// The first and the last byte say whose it is.
void mark(Arena& arena, const Live& live) {
  const auto bytes = arena.bytes(live.block);
  if (bytes.empty()) return;
  bytes.front() = bytes.back() = static_cast<std::byte>(live.mark);
}
bool is_marked(Arena& arena, const Live& live) {
  const auto bytes = arena.bytes(live.block);
  return bytes.empty() || (bytes.front() == static_cast<std::byte>(live.mark) && bytes.back() == static_cast<std::byte>(live.mark));
}

}  // namespace

TEST_SUITE("runtime/store/properties") {
  TEST_CASE("arena: blocks never overlap, keep their bytes, are counted, and leave nothing") {
    CHECK(rc::check([](const std::vector<std::uint32_t>& numbers) {
      test::Choices choices(numbers);
      auto arena = Arena::create({.budget_bytes = 512 * kKiB, .extent_bytes = 128 * kKiB}).value();
      std::vector<Live> live;
      unsigned char next = 0;
      while (choices.left()) {
        if (choices.below(5) < 3) {
          const auto size = choices.below(std::size_t{1} << choices.below(19));
          auto block = arena->allocate(size);
          if (!block) {
            RC_ASSERT(block.error().code == ErrorCode::kObjectStoreFull);
            continue;
          }
          RC_ASSERT(block->size == size);
          RC_ASSERT(block->offset % 64 == 0u);
          for (const auto& other : live) RC_ASSERT(!overlap(*block, other.block));
          live.push_back({*block, ++next});
          mark(*arena, live.back());
        } else if (!live.empty()) {
          std::swap(live[choices.below(live.size())], live.back());
          RC_ASSERT(is_marked(*arena, live.back()));
          arena->free(live.back().block);
          live.pop_back();
        }
        std::uint64_t used = 0;
        for (const auto& each : live) used += Arena::rounded_bytes(each.block.size);
        const auto stats = arena->stats();
        RC_ASSERT(stats.blocks == live.size());
        RC_ASSERT(stats.used_bytes == used);
        RC_ASSERT(stats.reserved_bytes <= stats.budget_bytes);
      }
      for (const auto& each : live) {
        RC_ASSERT(is_marked(*arena, each));
        arena->free(each.block);
      }
      RC_ASSERT(arena->stats().used_bytes == 0u);
      arena->trim(std::chrono::milliseconds(0));
      RC_ASSERT(arena->stats().reserved_bytes == 0u);
      RC_ASSERT(arena->allocate(512 * kKiB).ok());
    }));
  }
}

}  // namespace manta
