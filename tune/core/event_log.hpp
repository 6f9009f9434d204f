#pragma once
// EventLog: where an experiment's records are kept, in order. The journal in RocksDB, or a vector for tests.
// Used by the driver's thread only.
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
  virtual ~EventLog() = default;

  /// After it returns, the record outlives a kill of this process. IoError or OutOfDisk when it cannot be written.
  virtual void append(std::span<const std::byte> record) = 0;
  /// The same for several, in order.
  virtual void append_all(const std::vector<std::vector<std::byte>>& records) {
    for (const auto& record : records) append(record);
  }
  /// After it returns, all records so far outlive a power cut.
  virtual void sync() = 0;
  virtual void for_each(const std::function<void(std::span<const std::byte>)>& visit) const = 0;
};

class MemoryEventLog final : public EventLog {
 public:
  void append(std::span<const std::byte> record) override { records.emplace_back(record.begin(), record.end()); }
  void sync() override {}
  void for_each(const std::function<void(std::span<const std::byte>)>& visit) const override {
    for (const auto& record : records) visit(record);
  }

  std::vector<std::vector<std::byte>> records;
};

/// The journal in `directory`, made when there is none. ResourceExhausted when another process has it open, IoError
/// when it cannot be written, StorageCorruption when it is damaged before its end.
std::unique_ptr<EventLog> open_event_log(const std::filesystem::path& directory);

}  // namespace manta::tune
