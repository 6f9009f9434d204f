#pragma once
// EventLog: where an experiment's records are kept, in order. The journal in RocksDB with the history beside it, or vectors
// for tests. Used by the driver's thread only.
//
// Compaction: the records so far give way to a snapshot of the state that they led to, and go into the history, from where
// nothing needs them but a reader who wants every result: docs/design, "An experiment's journal is compacted".
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace manta::tune {

class EventLog {
 public:
  using Bytes = std::vector<std::byte>;
  using Visitor = std::function<void(std::span<const std::byte>)>;

  virtual ~EventLog() = default;

  /// After it returns, the record outlives a kill of this process. IoError or OutOfDisk when it cannot be written.
  virtual void append(std::span<const std::byte> record) = 0;
  /// The same for several, in order.
  virtual void append_all(const std::vector<Bytes>& records) {
    for (const Bytes& record : records) append(record);
  }
  /// After it returns, all records so far outlive a power cut.
  virtual void sync() = 0;
  /// IoError when its files have been removed under it: what is written then is gone with the process.
  virtual void check_there() const {}
  /// The snapshot, if there is one, and the records since.
  virtual void for_each(const Visitor& visit) const = 0;
  /// Every record that was ever appended, and no snapshot.
  virtual void for_each_event(const Visitor& visit) const { for_each(visit); }

  virtual bool can_compact() const { return false; }
  /// All records so far give way to these, at once or not at all.
  virtual void compact(const std::vector<Bytes>& /*snapshot*/) {}
};

class MemoryEventLog final : public EventLog {
 public:
  void append(std::span<const std::byte> record) override { records.emplace_back(record.begin(), record.end()); }
  void sync() override {}
  void for_each(const Visitor& visit) const override {
    for (const Bytes& record : records) visit(record);
  }
  void for_each_event(const Visitor& visit) const override {
    for (const Bytes& record : history) visit(record);
    for (std::size_t i = snapshot_records; i < records.size(); ++i) visit(records[i]);
  }
  bool can_compact() const override { return true; }
  void compact(const std::vector<Bytes>& snapshot) override {
    history.insert(history.end(), records.begin() + static_cast<std::ptrdiff_t>(snapshot_records), records.end());
    records = snapshot;
    snapshot_records = snapshot.size();
  }

  std::vector<Bytes> records;  ///< first those of the snapshot
  std::vector<Bytes> history;
  std::size_t snapshot_records{0};
};

/// The journal in `directory`, made when there is none, with its history in the directory "history" beside it.
/// ResourceExhausted when another process has it open, IoError when it cannot be written, StorageCorruption when it is damaged
/// before its end.
std::unique_ptr<EventLog> open_event_log(const std::filesystem::path& directory);
/// The same to look at, also while another process writes it; what changes it throws InvalidArgument.
std::unique_ptr<EventLog> open_event_log_read_only(const std::filesystem::path& directory);

}  // namespace manta::tune
