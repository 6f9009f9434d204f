#include "runtime/store/memory_store.hpp"

namespace manta {

Result<void> MemoryStore::write(const WriteBatch& batch, Sync) {
  std::lock_guard lock(mutex_);
  for (const auto& operation : batch.operations()) apply(operation);
  return {};
}

void MemoryStore::apply(const WriteBatch::Operation& operation) {
  switch (operation.kind) {
    case WriteBatch::Kind::kPut:
      values_[operation.key] = std::make_shared<std::vector<std::byte>>(operation.value.begin(), operation.value.end());
      break;
    case WriteBatch::Kind::kErase:
      values_.erase(operation.key);
      break;
    case WriteBatch::Kind::kEraseRange:
      if (operation.key < operation.end)
        values_.erase(values_.lower_bound(operation.key), values_.lower_bound(operation.end));
      break;
  }
}

Result<void> MemoryStore::bulk_load(std::span<const Record> records) {
  WriteBatch batch;
  for (const auto& record : records) batch.put(record.key, record.value);
  return write(batch, Sync::kNo);
}

Result<void> MemoryStore::drop_range(std::string_view first, std::string_view end) {
  return write(WriteBatch{}.erase_range(std::string(first), std::string(end)), Sync::kNo);
}

Result<bool> MemoryStore::read(std::string_view key, const Reader& reader) const {
  Value value;
  {
    std::lock_guard lock(mutex_);
    const auto found = values_.find(key);
    if (found == values_.end()) return false;
    value = found->second;
  }
  reader(*value);
  return true;
}

Result<void> MemoryStore::scan(std::string_view first, const Visitor& visitor) const {
  std::vector<std::pair<std::string, Value>> state;
  {
    std::lock_guard lock(mutex_);
    state.assign(values_.lower_bound(first), values_.end());
  }
  for (const auto& [key, value] : state)
    if (!visitor(key, *value)) break;
  return {};
}

Result<std::vector<KeyValueStore::KeyRange>> MemoryStore::ranges(std::string_view first, std::string_view end) const {
  std::lock_guard lock(mutex_);
  std::vector<KeyRange> found;
  for (auto it = values_.lower_bound(first); it != values_.end() && it->first < end; ++it) found.push_back({it->first, it->first});
  return found;
}

Result<std::optional<std::string>> MemoryStore::last_key() const {
  std::lock_guard lock(mutex_);
  if (values_.empty()) return std::optional<std::string>{};
  return std::optional<std::string>{values_.rbegin()->first};
}

}  // namespace manta
