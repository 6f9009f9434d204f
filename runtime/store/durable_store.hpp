#pragma once
// DurableStore: named values that outlive the process, the program and the machine's restart.
//
// A value carries a type tag that the user gives, so that next year's build can tell what it reads. Large values lie in
// chunks, so that no copy of the whole is made; a checksum covers the whole. Owned by the node. One program at a time has a
// directory open. Every operation is thread-safe and blocks on the disk.
//
//   auto store = DurableStore::open("/data/objects").value();
//   store->put("weights/best", "tensor-map-1", bytes).value();
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/store/key_value_store.hpp"
#include "runtime/store/records.hpp"

namespace manta {

struct DurableInfo {
  std::string name{};
  std::string type_tag{};
  std::uint64_t bytes{};
  bool damaged{};  ///< its header cannot be read: tag and size are not known
};

struct DurableValue {
  std::string type_tag{};
  std::vector<std::byte> bytes{};
};

class DurableStore {
 public:
  /// Gives the place where a value of this size and tag shall be written; exactly info.bytes long.
  using Placer = std::function<Result<std::span<std::byte>>(const DurableInfo& info)>;
  using Visitor = std::function<bool(DurableInfo info)>;

  /// Opens or makes the directory (0700). ResourceExhausted when another program has it open, names that program. A value that is
  /// damaged is no hindrance: get says so, and the others are whole.
  static Result<std::unique_ptr<DurableStore>> open(const std::string& path);
  /// On any store; removes what an interrupted put left behind.
  static Result<std::unique_ptr<DurableStore>> on(std::unique_ptr<KeyValueStore> store);

  /// Stores or replaces a value: on the disk when it returns, whole or not at all whatever happens meanwhile.
  /// InvalidArgument for a name that is empty or has more than 4 KiB, or a type tag of more than 64 KiB; OutOfDisk, IoError.
  Result<void> put(std::string_view name, std::string_view type_tag, ByteView bytes);
  /// A copy of the value. NotFound, or StorageCorruption when it is not what was put.
  Result<DurableValue> get(std::string_view name) const;
  /// As get, straight into the place that `placer` gives. After an error its content means nothing.
  Result<DurableInfo> read(std::string_view name, const Placer& placer) const;
  /// Tag and size without the bytes; room can be made for so many. NotFound, or StorageCorruption.
  Result<DurableInfo> info(std::string_view name) const;
  /// All values whose name starts with `prefix`, by name; those whose header cannot be read are among them, marked as damaged.
  Result<std::vector<DurableInfo>> list(std::string_view prefix = "") const;
  /// As list, one by one, only those behind the name `after` unless it is empty, until the visitor says false.
  Result<void> visit(std::string_view prefix, std::string_view after, const Visitor& visitor) const;
  /// Forgets a value, a damaged one too, on the disk when it returns, also on a full one; the space of a value over 64 KiB is free then. NotFound.
  Result<void> remove(std::string_view name);

 private:
  explicit DurableStore(std::unique_ptr<KeyValueStore> store);
  Result<void> collect_orphans();
  Result<std::optional<std::set<std::uint64_t>>> named_generations();
  Result<DurableHeader> header(std::string_view name) const;
  Result<DurableHeader> sound_header(std::string_view name) const;
  Result<void> read_chunk(std::string_view name, const DurableHeader& head, std::uint64_t index, const KeyValueStore::Reader& reader) const;
  Result<void> load_chunks(std::uint64_t generation, ByteView bytes);
  void drop_chunks(std::uint64_t generation);
  void give_back(const DurableHeader& value);
  bool holds_refused(std::string_view name, std::uint64_t generation);
  ErrorInfo corrupt(std::string_view name, std::string_view detail) const;

  std::unique_ptr<KeyValueStore> store_;
  mutable std::shared_mutex mutex_;  // a commit excludes readers, so that no chunk vanishes under them
  std::atomic<std::uint64_t> next_generation_;  // one that was dropped is never used again, also not by a later program
};

}  // namespace manta
