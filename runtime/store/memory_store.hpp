#pragma once
// MemoryStore: the in-memory twin of the RocksDB store, for tests, simulation and runs that shall leave nothing behind.
// Same contract; sync does nothing; ends with the object. Visitors see the state at the start of the scan.
#include <map>
#include <memory>
#include <mutex>

#include "runtime/store/key_value_store.hpp"

namespace manta {

class MemoryStore final : public KeyValueStore {
 public:
  explicit MemoryStore(std::string name = "memory") : name_(std::move(name)) {}

  const std::string& name() const noexcept override { return name_; }
  Result<void> write(const WriteBatch& batch, Sync sync) override;
  Result<void> bulk_load(std::span<const Record> records) override;
  Result<void> drop_range(std::string_view first, std::string_view end) override;
  Result<bool> read(std::string_view key, const Reader& reader) const override;
  Result<void> scan(std::string_view first, const Visitor& visitor) const override;
  Result<std::vector<KeyRange>> ranges(std::string_view first, std::string_view end) const override;
  Result<std::optional<std::string>> last_key() const override;
  Result<void> sync() override { return {}; }
  Result<void> flush() override { return {}; }

 private:
  using Value = std::shared_ptr<const std::vector<std::byte>>;
  void apply(const WriteBatch::Operation& operation);

  const std::string name_;
  mutable std::mutex mutex_;
  std::map<std::string, Value, std::less<>> values_;
};

}  // namespace manta
