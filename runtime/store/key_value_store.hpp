#pragma once
// KeyValueStore: ordered keys and their values, what everything that outlives memory stands on.
//
// Two implementations: RocksDB (rocksdb_store.hpp) and a map in memory (memory_store.hpp); FaultyStore wraps either for
// tests. Keys order bytewise. Owned by whoever opened it; every operation is thread-safe and may block on the disk, so it
// belongs on a thread that may block. Closing is the destructor. Every error names the store.
//
//   WriteBatch batch;
//   batch.put("b", bytes).erase("a");
//   store->write(batch, Sync::kYes).value();
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/store/block.hpp"

namespace manta {

/// kYes: on the disk when the call returns. kNo: survives the death of the process, not of the machine.
enum class Sync { kNo, kYes };

/// Changes that happen together or not at all, in order. Keys are copied, values are not: keep them until it is written.
class WriteBatch {
 public:
  enum class Kind { kPut, kErase, kEraseRange };
  struct Operation {
    Kind kind{};
    std::string key{};
    std::string end{};  ///< of kEraseRange, exclusive
    ByteView value{};
  };

  WriteBatch& put(std::string key, ByteView value) { return add({Kind::kPut, std::move(key), {}, value}); }
  WriteBatch& erase(std::string key) { return add({Kind::kErase, std::move(key), {}, {}}); }
  /// Erases every key in [first, end).
  WriteBatch& erase_range(std::string first, std::string end) {
    return add({Kind::kEraseRange, std::move(first), std::move(end), {}});
  }
  std::span<const Operation> operations() const noexcept { return operations_; }

 private:
  WriteBatch& add(Operation operation) {
    operations_.push_back(std::move(operation));
    return *this;
  }
  std::vector<Operation> operations_;
};

class KeyValueStore {
 public:
  struct Record {
    std::string key{};
    ByteView value{};
  };
  struct KeyRange {
    std::string first{};
    std::string last{};  ///< inclusive
  };
  using Reader = std::function<void(ByteView value)>;
  using Visitor = std::function<bool(std::string_view key, ByteView value)>;

  virtual ~KeyValueStore() = default;
  /// For messages: the directory, or what stands for it.
  virtual const std::string& name() const noexcept = 0;

  /// Applies the batch atomically. OutOfDisk (try again when there is space), IoError (the disk failed: a store that is
  /// durable refuses every change from then on; open it anew).
  virtual Result<void> write(const WriteBatch& batch, Sync sync) = 0;
  /// Adds many large records at once, all or none, past the log and the write buffer (so a crash of the process may lose
  /// them). Keys ascend and none is in the store yet.
  virtual Result<void> bulk_load(std::span<const Record> records) = 0;
  /// Forgets every key in [first, end) and gives the disk space of whole files back at once; others go on meanwhile.
  virtual Result<void> drop_range(std::string_view first, std::string_view end) = 0;

  /// Lets `reader` see the value in place, during the call. False when there is no such key. StorageCorruption.
  virtual Result<bool> read(std::string_view key, const Reader& reader) const = 0;
  /// Visits keys in order from `first` on, one consistent state, until the visitor says false. StorageCorruption.
  virtual Result<void> scan(std::string_view first, const Visitor& visitor) const = 0;
  /// Where keys of [first, end) lie, told without reading a value, so that a damaged one is no hindrance. Every key that was loaded
  /// in bulk lies in one of the ranges; of keys that were written some may be missing. A range may hold keys that were erased.
  virtual Result<std::vector<KeyRange>> ranges(std::string_view first, std::string_view end) const = 0;
  /// The last key, if there is any.
  virtual Result<std::optional<std::string>> last_key() const = 0;

  /// Makes everything written so far durable.
  virtual Result<void> sync() = 0;
  /// Moves what is only in the log into tables of its own; a log that is cut short later does not concern it.
  virtual Result<void> flush() = 0;

  Result<void> put(std::string key, ByteView value, Sync sync = Sync::kNo);
  Result<void> erase(std::string key, Sync sync = Sync::kNo);
  /// A copy of the value.
  Result<std::optional<std::vector<std::byte>>> get(std::string_view key) const;
};

/// Big-endian, so that keys order as the numbers do.
std::string ordered_key(std::string_view prefix, std::initializer_list<std::uint64_t> numbers);
/// The `index`-th number after a prefix of `prefix_bytes`; nullopt when the key is too short.
std::optional<std::uint64_t> number_of_key(std::string_view key, std::size_t prefix_bytes, std::size_t index = 0);

inline ByteView as_byte_view(std::string_view text) { return std::as_bytes(std::span{text.data(), text.size()}); }

}  // namespace manta
