#pragma once
// Ids are plain 64-bit numbers with a type, unique within one run. An id made by process p starts with p in its upper
// 24 bits, so that no two processes ever make the same one and nobody needs to ask.
#include <atomic>
#include <compare>
#include <cstdint>
#include <functional>

namespace manta {

template <class Tag>
struct Id {
  std::uint64_t value = 0;
  explicit operator bool() const noexcept { return value != 0; }
  auto operator<=>(const Id&) const = default;
};

using TaskId = Id<struct TaskTag>;
using ActorId = Id<struct ActorTag>;
using ObjectId = Id<struct ObjectTag>;
using LeaseId = Id<struct LeaseTag>;
using GroupId = Id<struct GroupTag>;  ///< of a placement group

/// The node is process 0; worker processes count from 1 and are never used again.
using ProcessId = std::uint32_t;
inline constexpr ProcessId kNodeProcess = 0;

/// The process whose IdSource made this id.
constexpr ProcessId maker_of(std::uint64_t id) noexcept { return static_cast<ProcessId>(id >> 40); }

/// Makes ids for one process. Thread-safe.
class IdSource {
 public:
  explicit IdSource(ProcessId process) : next_((static_cast<std::uint64_t>(process) << 40) + 1) {}
  template <class IdType>
  IdType next() noexcept {
    return IdType{next_.fetch_add(1, std::memory_order_relaxed)};
  }

 private:
  std::atomic<std::uint64_t> next_;
};

}  // namespace manta

template <class Tag>
struct std::hash<manta::Id<Tag>> {
  std::size_t operator()(manta::Id<Tag> id) const noexcept { return std::hash<std::uint64_t>{}(id.value); }
};
