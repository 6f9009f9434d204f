#include "runtime/store/rocksdb_tables.hpp"

#include <fmt/format.h>
#include <rocksdb/sst_file_reader.h>

#include <algorithm>
#include <filesystem>

namespace manta::rocks {

namespace {

struct Table {
  explicit Table(const rocksdb::Options& options) : reader(options) {}
  rocksdb::SstFileReader reader;
  Status status{};
};

/// One of its live files, alone. Null when it has been merged meanwhile, which went through all of it.
std::unique_ptr<Table> open_table(const rocksdb::LiveFileMetaData& file, const rocksdb::Options& options) {
  const auto path = file.directory + file.name;
  auto table = std::make_unique<Table>(options);
  table->status = table->reader.Open(path);
  std::error_code ignored;
  return table->status.ok() || std::filesystem::exists(path, ignored) ? std::move(table) : nullptr;
}

}  // namespace

Status look_for_gaps(rocksdb::DB& db, const rocksdb::Options& options, rocksdb::Iterator& at, const Slice& first,
                     const std::optional<std::string>& last) {
  rocksdb::ReadOptions once;
  once.fill_cache = false;
  std::vector<rocksdb::LiveFileMetaData> files;
  db.GetLiveFilesMetaData(&files);
  for (const auto& file : files) {
    if (file.level == 0 || slice(file.largestkey).compare(first) < 0 || (last && file.smallestkey > *last)) continue;
    const auto begin = std::max(first.ToStringView(), std::string_view(file.smallestkey));
    at.Seek(slice(begin));
    if (!at.status().ok()) return at.status();
    auto table = open_table(file, options);
    if (!table) continue;
    if (!table->status.ok()) return table->status;
    if (table->reader.GetTableProperties()->num_range_deletions == 0) continue;
    const std::unique_ptr<rocksdb::Iterator> alone(table->reader.NewIterator(once));
    for (alone->Seek(slice(begin)); alone->Valid() && (!last || alone->key().compare(*last) <= 0);) alone->Next();
    if (!alone->status().ok()) return alone->status();
  }
  return {};
}

Status look_at_ends(rocksdb::DB& db, const rocksdb::Options& options, const std::optional<std::string>& last) {
  std::vector<rocksdb::LiveFileMetaData> files;
  db.GetLiveFilesMetaData(&files);
  for (const auto& file : files) {
    if (last && file.largestkey < *last) continue;
    auto table = open_table(file, options);
    if (!table) continue;
    if (!table->status.ok()) return table->status;
    const std::unique_ptr<rocksdb::Iterator> alone(table->reader.NewIterator(rocksdb::ReadOptions()));
    alone->SeekToLast();
    if (!alone->status().ok()) return alone->status();
  }
  return {};
}

Result<void> check_table(const std::string& file, std::span<const KeyValueStore::Record> records, const rocksdb::Options& options,
                         const std::string& path) {
  rocksdb::SstFileReader reader(options);
  auto status = reader.Open(file);
  rocksdb::ReadOptions once;
  once.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> at(status.ok() ? reader.NewIterator(once) : nullptr);
  for (const auto* record : {&records.front(), &records.back()}) {
    if (!status.ok()) break;
    at->Seek(slice(record->key));
    status = at->status();
    if (status.ok() && !(at->Valid() && at->key() == slice(record->key))) status = Status::Corruption("a record is missing");
  }
  if (status.ok()) return {};
  return ErrorInfo{.code = ErrorCode::kIoError,
                   .message = fmt::format("{}: a table that had just been written could not be read back. The disk is failing, or another program "
                                          "writes to its files ({})", path, status.ToString())};
}

bool may_hold(rocksdb::DB& db, std::string_view first, std::string_view end) {
  for (const auto* table : {"rocksdb.num-entries-active-mem-table", "rocksdb.num-entries-imm-mem-tables"}) {
    std::uint64_t entries = 0;
    if (!db.GetIntProperty(table, &entries) || entries) return true;
  }
  std::vector<rocksdb::LiveFileMetaData> files;
  db.GetLiveFilesMetaData(&files);
  return std::any_of(files.begin(), files.end(), [&](const auto& file) { return file.smallestkey < end && file.largestkey >= first; });
}

}  // namespace manta::rocks
