#pragma once
// What the tests of the object store share.
#include <chrono>
#include <memory>
#include <thread>

#include "runtime/store/memory_store.hpp"
#include "runtime/store/object_store.hpp"
#include "tests/runtime/store/store_fixtures.hpp"

namespace manta::test {

constexpr std::uint64_t kMiB = 1 << 20;

inline std::unique_ptr<Arena> make_arena(std::uint64_t budget, std::uint64_t extent = 64 * kMiB) {
  return Arena::create({.budget_bytes = budget, .extent_bytes = extent}).value();
}

inline SpillFactory in_memory() {
  return []() -> Result<std::unique_ptr<KeyValueStore>> { return std::unique_ptr<KeyValueStore>(new MemoryStore); };
}

/// Creates and seals object `id`, filled with the pattern of its id.
inline void put(ObjectStore& store, std::uint64_t id, std::uint64_t size) {
  const auto block = store.create(id, size).value();
  const auto content = pattern(id, size);
  if (size > 0) std::memcpy(store.arena().bytes(block).data(), content.data(), size);
  store.seal(id).value();
}

/// Whether the object reads as put wrote it.
inline bool holds(ObjectStore& store, std::uint64_t id, std::uint64_t size) {
  const auto block = store.pin(id).value();
  const bool same = equal(store.arena().bytes(block), pattern(id, size));
  store.unpin(id);
  return same;
}

/// As put and holds, but only the first and last bytes tell the object: quick for large ones.
inline void put_marked(ObjectStore& store, std::uint64_t id, std::uint64_t size) {
  const auto place = store.arena().bytes(store.create(id, size).value());
  std::memset(place.data(), static_cast<int>(id), size);
  std::memcpy(place.data(), &id, sizeof id);
  std::memcpy(place.data() + size - sizeof id, &id, sizeof id);
  store.seal(id).value();
}

inline bool holds_marked(ObjectStore& store, std::uint64_t id, std::uint64_t size) {
  const auto block = store.pin(id).value();
  const auto place = store.arena().bytes(block);
  const bool same = place.size() == size && std::memcmp(place.data(), &id, sizeof id) == 0 &&
                    place[size / 2] == static_cast<std::byte>(id) &&
                    std::memcmp(place.data() + size - sizeof id, &id, sizeof id) == 0;
  store.unpin(id);
  return same;
}

/// A size between 1 and 800,000 that depends on the id alone.
inline std::uint64_t size_of(std::uint64_t id) { return 1 + id * 7919 % 800'000; }

/// Waits up to ten seconds for a condition.
template <class Condition>
bool eventually(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

inline std::uintmax_t directory_bytes(const std::string& directory) {
  std::uintmax_t sum = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) sum += entry.file_size(ignored);
  return sum;
}

}  // namespace manta::test
