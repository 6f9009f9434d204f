#include "runtime/store/rocksdb_store.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/file_system.h>
#include <rocksdb/sst_file_manager.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "runtime/store/directory_claim.hpp"
#include "runtime/store/object_file.hpp"
#include "runtime/store/wal_audit.hpp"

namespace manta {

namespace {

namespace fs = std::filesystem;
using rocksdb::Slice;
using rocksdb::Status;

constexpr char kSpillMarker[] = "MANTA_SPILL";
constexpr char kLoadPrefix[] = "load-";
constexpr int kReadOnlyAttempts = 5;

Slice slice(std::string_view text) { return {text.data(), text.size()}; }
Slice slice(ByteView bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
ByteView view(const Slice& slice) { return std::as_bytes(std::span{slice.data(), slice.size()}); }

/// RocksDB writes a chatty LOG file beside its data; errors come back as Status anyway.
class SilentLogger final : public rocksdb::Logger {
 public:
  SilentLogger() : Logger(rocksdb::InfoLogLevel::FATAL_LEVEL) {}
  using Logger::Logv;
  void Logv(const char*, va_list) override {}
};

ErrorInfo corruption(const std::string& path, const std::string& detail) {
  return {.code = ErrorCode::kStorageCorruption,
          .message = fmt::format("{} is damaged: {}. Restore the directory from a copy, or move it away to start anew; "
                                 "RocksDB's own tool (ldb --db={} repair) keeps what is still readable",
                                 path, detail, path)};
}

ErrorInfo translate(const Status& status, const std::string& path) {
  const auto text = status.ToString();
  if (status.IsNoSpace() || text.find("No space left on device") != std::string::npos) {
    return {.code = ErrorCode::kOutOfDisk,
            .message = fmt::format("no space left on the file system of {}; free some and try again ({})", path, text)};
  }
  if (status.IsCorruption()) return corruption(path, text);
  return {.code = ErrorCode::kIoError, .message = fmt::format("{}: {}", path, text)};
}

Result<void> checked(const Status& status, const std::string& path) {
  if (status.ok()) return {};
  return translate(status, path);
}

// --- directories -------------------------------------------------------------------------------------------------------

Result<void> make_directory(const std::string& path) {
  std::error_code error;
  if (const auto parent = fs::path(path).parent_path(); !parent.empty()) fs::create_directories(parent, error);
  if (!error && ::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) error = {errno, std::generic_category()};
  if (!error && !fs::is_directory(path)) error = std::make_error_code(std::errc::not_a_directory);
  if (!error && ::access(path.c_str(), W_OK | X_OK) != 0) error = {errno, std::generic_category()};
  if (!error) return {};
  return ErrorInfo{.code = ErrorCode::kIoError,
                   .message = fmt::format("cannot write to directory {}: {}", path, error.message())};
}

bool is_store(const std::string& path) { return fs::exists(path + "/CURRENT"); }

Result<void> require_store(const std::string& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    return ErrorInfo{.code = ErrorCode::kNotFound, .message = fmt::format("there is no directory {}", path)};
  if (!is_store(path))
    return ErrorInfo{.code = ErrorCode::kNotFound, .message = fmt::format("{} holds no store of Manta", path)};
  if (::access((path + "/CURRENT").c_str(), R_OK) != 0 || ::access(path.c_str(), R_OK | X_OK) != 0)
    return ErrorInfo{.code = ErrorCode::kIoError,
                     .message = fmt::format("cannot read directory {}: {}", path, std::strerror(errno))};
  return {};
}

/// Whoever makes such a file now has it open and does not need its name.
void remove_left_object_files(const std::string& path) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(path, ignored))
    if (is_left_object_file(entry.path().filename().string()) && fs::is_regular_file(entry.symlink_status(ignored)))
      fs::remove(entry.path(), ignored);
}

/// Removes what a spill store leaves; files of others stay, and then the directory too.
void wipe_spill(const std::string& path) {
  std::error_code ignored;
  remove_left_object_files(path);
  for (const auto& entry : fs::directory_iterator(path, ignored))
    if (entry.path().filename().string().starts_with(kLoadPrefix)) fs::remove(entry.path(), ignored);
  rocksdb::Options options;
  options.info_log = std::make_shared<SilentLogger>();
  rocksdb::DestroyDB(path, options).PermitUncheckedError();
  fs::remove(path + "/" + kSpillMarker, ignored);
  fs::remove(path, ignored);
}

Result<void> prepare_spill(const std::string& path) {
  std::error_code ignored;
  remove_left_object_files(path);
  if (fs::exists(path + "/" + kSpillMarker, ignored)) wipe_spill(path);
  if (fs::is_directory(path, ignored) && !fs::is_empty(path, ignored)) {
    return ErrorInfo{.code = ErrorCode::kInvalidArgument,
                     .message = fmt::format("{} has files in it that are not spilled objects; name an empty or a new "
                                            "directory for spilling", path)};
  }
  if (auto made = make_directory(path); !made) return made;
  if (std::ofstream(path + "/" + kSpillMarker) << "spilled objects of a running program; safe to delete after its end\n")
    return {};
  return ErrorInfo{.code = ErrorCode::kIoError, .message = fmt::format("cannot write to directory {}", path)};
}

// --- what RocksDB would not notice -------------------------------------------------------------------------------------

Result<void> audit_logs(const std::string& path, Damage kind = Damage::kPassedOver) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(path, ignored)) {
    const auto name = entry.path().filename().string();
    if (!name.ends_with(".log") && !name.starts_with("MANIFEST-")) continue;
    if (const auto offset = find_damage(entry.path().string(), kind))
      return corruption(path, fmt::format("file {}, the record at byte {}", name, *offset));
  }
  return {};
}

// --- spilled objects need no syncing, they are deleted at the next start ------------------------------------------------

class UnsyncedFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  using FSWritableFileOwnerWrapper::FSWritableFileOwnerWrapper;
  rocksdb::IOStatus Sync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override { return rocksdb::IOStatus::OK(); }
  rocksdb::IOStatus Fsync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override { return rocksdb::IOStatus::OK(); }
  rocksdb::IOStatus RangeSync(std::uint64_t, std::uint64_t, const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
    return rocksdb::IOStatus::OK();
  }
};

class UnsyncedFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  const char* Name() const override { return "UnsyncedFileSystem"; }
  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* context) override {
    return unsynced(target()->NewWritableFile(name, options, file, context), file);
  }
  rocksdb::IOStatus ReopenWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* file,
                                       rocksdb::IODebugContext* context) override {
    return unsynced(target()->ReopenWritableFile(name, options, file, context), file);
  }

 private:
  static rocksdb::IOStatus unsynced(rocksdb::IOStatus status, std::unique_ptr<rocksdb::FSWritableFile>* file) {
    if (status.ok()) *file = std::make_unique<UnsyncedFile>(std::move(*file));
    return status;
  }
};

rocksdb::Env* unsynced_env() {
  static rocksdb::Env* const env =  // never destroyed: RocksDB's threads may outlive main
      rocksdb::NewCompositeEnv(std::make_shared<UnsyncedFileSystem>(rocksdb::Env::Default()->GetFileSystem())).release();
  return env;
}

// --- the store ---------------------------------------------------------------------------------------------------------

rocksdb::Options options_for(const RocksDbOptions& wanted) {
  rocksdb::Options options;
  options.create_if_missing = wanted.create && !wanted.read_only;
  options.info_log = std::make_shared<SilentLogger>();
  options.compression = rocksdb::kNoCompression;
  options.paranoid_checks = true;
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  options.max_background_jobs = 2;
  options.stats_dump_period_sec = options.stats_persist_period_sec = 0;
  options.allow_fallocate = false;
  options.write_buffer_size = 16 << 20;
  rocksdb::BlockBasedTableOptions table;
  table.checksum = rocksdb::kXXH3;
  if (wanted.kind == StoreKind::kSpill) {
    options.env = unsynced_env();
    options.disable_auto_compactions = true;
    options.max_open_files = 256, options.advise_random_on_open = false;  // large values: the kernel reads ahead
    table.no_block_cache = true;
    table.block_size = 1;  // a block for each record: reading one reads nothing else
  } else {
    options.sst_file_manager.reset(rocksdb::NewSstFileManager(options.env));  // resumes by itself after a full disk
    table.block_cache = rocksdb::NewLRUCache(4 << 20);
  }
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

class RocksDbStore final : public KeyValueStore {
 public:
  RocksDbStore(std::string path, StoreKind kind, rocksdb::Options options, std::unique_ptr<rocksdb::DB> db, DirectoryClaim claim)
      : path_(std::move(path)), kind_(kind), options_(std::move(options)), claim_(std::move(claim)), db_(std::move(db)) {}

  ~RocksDbStore() override {
    db_.reset();
    if (kind_ == StoreKind::kSpill) wipe_spill(path_);
  }

  const std::string& name() const noexcept override { return path_; }
  Result<void> write(const WriteBatch& batch, Sync sync) override;
  Result<void> bulk_load(std::span<const Record> records) override;
  Result<void> drop_range(std::string_view first, std::string_view end) override;
  Result<bool> read(std::string_view key, const Reader& reader) const override;
  Result<void> scan(std::string_view first, const Visitor& visitor) const override;
  Result<std::optional<std::string>> last_key() const override;
  Result<void> sync() override;
  Result<void> flush() override { return stopped_ ? stopped() : settle(db_->Flush({})); }

 private:
  bool may_hold(std::string_view first, std::string_view end) const;
  Result<void> stopped() const;
  Result<void> settle(const Status& status);
  Status write_table(const std::string& file, std::span<const Record> records);
  rocksdb::WriteOptions write_options(Sync sync) const {
    rocksdb::WriteOptions options;
    options.disableWAL = kind_ == StoreKind::kSpill;
    options.sync = sync == Sync::kYes && !options.disableWAL;
    return options;
  }

  const std::string path_;
  const StoreKind kind_;
  const rocksdb::Options options_;
  DirectoryClaim claim_;  // ends after the database is closed
  std::unique_ptr<rocksdb::DB> db_;
  std::atomic<std::uint64_t> next_table_{0};
  std::atomic<bool> stopped_{false};
};

Result<void> RocksDbStore::stopped() const {
  return ErrorInfo{.code = ErrorCode::kIoError, .message = path_ + " takes no more changes after an error of its disk; close "
                                                                    "it and open it anew, to see what is on the disk"};
}

/// After a failed sync nobody knows what is on the disk, and a second one may lie (Rebello et al., ATC 2020): stop here.
Result<void> RocksDbStore::settle(const Status& status) {
  auto result = checked(status, path_);
  if (!result && result.error().code == ErrorCode::kIoError && kind_ == StoreKind::kMeta) stopped_ = true;
  return result;
}

Result<void> RocksDbStore::write(const WriteBatch& batch, Sync sync) {
  if (stopped_) return stopped();
  rocksdb::WriteBatch changes;
  for (const auto& operation : batch.operations()) {
    Status status;
    switch (operation.kind) {
      case WriteBatch::Kind::kPut:
        status = changes.Put(slice(operation.key), slice(operation.value));
        break;
      case WriteBatch::Kind::kErase:
        status = changes.Delete(slice(operation.key));
        break;
      case WriteBatch::Kind::kEraseRange:
        if (operation.key < operation.end) status = changes.DeleteRange(slice(operation.key), slice(operation.end));
        break;
    }
    if (!status.ok()) return translate(status, path_);
  }
  return settle(db_->Write(write_options(sync), &changes));
}

Status RocksDbStore::write_table(const std::string& file, std::span<const Record> records) {
  rocksdb::SstFileWriter writer(rocksdb::EnvOptions(options_), options_, nullptr, /*invalidate_page_cache=*/false);
  auto status = writer.Open(file);
  for (const auto& record : records) {
    if (!status.ok()) return status;
    status = writer.Put(slice(record.key), slice(record.value));
  }
  return status.ok() ? writer.Finish() : status;
}

Result<void> RocksDbStore::bulk_load(std::span<const Record> records) {
  if (records.empty()) return {};
  const auto file = fmt::format("{}/{}{}.sst", path_, kLoadPrefix, next_table_++);
  auto status = write_table(file, records);
  if (status.ok()) {
    rocksdb::IngestExternalFileOptions ingest;
    ingest.move_files = true;
    ingest.snapshot_consistency = false;
    ingest.write_global_seqno = false;
    status = db_->IngestExternalFile({file}, ingest);
  }
  std::error_code ignored;
  fs::remove(file, ignored);
  return checked(status, path_);
}

/// By what is known without reading a value: an iterator over damaged bytes ends the process by an assertion of RocksDB's.
bool RocksDbStore::may_hold(std::string_view first, std::string_view end) const {
  for (const auto* table : {"rocksdb.num-entries-active-mem-table", "rocksdb.num-entries-imm-mem-tables"}) {
    std::uint64_t entries = 0;
    if (!db_->GetIntProperty(table, &entries) || entries) return true;
  }
  std::vector<rocksdb::LiveFileMetaData> files;
  db_->GetLiveFilesMetaData(&files);
  return std::any_of(files.begin(), files.end(), [&](const auto& file) { return file.smallestkey < end && file.largestkey >= first; });
}

Result<void> RocksDbStore::drop_range(std::string_view first, std::string_view end) {
  if (first >= end) return {};
  const Slice begin_slice = slice(first);
  const Slice end_slice = slice(end);
  auto status = rocksdb::DeleteFilesInRange(db_.get(), db_->DefaultColumnFamily(), &begin_slice, &end_slice, false);
  if (!status.ok()) return translate(status, path_);
  if (!may_hold(first, end)) return {};
  return write(WriteBatch{}.erase_range(std::string(first), std::string(end)), Sync::kNo);
}

Result<bool> RocksDbStore::read(std::string_view key, const Reader& reader) const {
  rocksdb::PinnableSlice value;
  const bool verify = kind_ != StoreKind::kSpill;  // SpillTier has a checksum over the whole object
  const auto status = db_->Get({verify, true}, db_->DefaultColumnFamily(), slice(key), &value);
  if (status.IsNotFound()) return false;
  if (!status.ok()) return translate(status, path_);
  reader(view(value));
  return true;
}

Result<void> RocksDbStore::scan(std::string_view first, const Visitor& visitor) const {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(options));
  for (at->Seek(slice(first)); at->Valid(); at->Next())
    if (!visitor(at->key().ToStringView(), view(at->value()))) break;
  return checked(at->status(), path_);
}

Result<std::optional<std::string>> RocksDbStore::last_key() const {
  std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator({}));
  at->SeekToLast();
  if (!at->status().ok()) return translate(at->status(), path_);
  return at->Valid() ? std::optional(at->key().ToString()) : std::nullopt;
}

Result<void> RocksDbStore::sync() {
  if (kind_ == StoreKind::kSpill) return {};
  return stopped_ ? stopped() : settle(db_->SyncWAL());
}

// --- opening -----------------------------------------------------------------------------------------------------------

Result<std::unique_ptr<KeyValueStore>> open_for_writing(const std::string& path, const RocksDbOptions& wanted) {
  if (!wanted.create) {
    if (auto there = require_store(path); !there) return there.error();
  }
  auto claimed = claim_directory(path);
  if (!claimed) return claimed.error();
  auto ready = wanted.kind == StoreKind::kSpill ? prepare_spill(path) : make_directory(path);
  if (ready && wanted.kind == StoreKind::kMeta) ready = audit_logs(path);
  if (!ready) return ready.error();
  const auto options = options_for(wanted);
  rocksdb::DB* db = nullptr;
  const auto status = rocksdb::DB::Open(options, path, &db);
  if (!status.ok()) {
    if (status.ToString().find("While lock file") != std::string::npos) return held_by(path, "another program");
    if (status.IsCorruption())  // where, RocksDB does not say
      if (auto damage = audit_logs(path, Damage::kMismatch); !damage) return damage.error();
    return translate(status, path);
  }
  return std::unique_ptr<KeyValueStore>(std::make_unique<RocksDbStore>(
      path, wanted.kind, options, std::unique_ptr<rocksdb::DB>(db), std::move(claimed).value()));
}

/// A writer may delete a file between two steps of the opening; then the next attempt sees its successor.
Result<std::unique_ptr<KeyValueStore>> open_for_reading(const std::string& path, const RocksDbOptions& wanted) {
  if (auto there = require_store(path); !there) return there.error();
  const auto options = options_for(wanted);
  Status status;
  for (int attempt = 1; attempt <= kReadOnlyAttempts; ++attempt) {
    if (auto sound = audit_logs(path); !sound) return sound.error();
    rocksdb::DB* db = nullptr;
    status = rocksdb::DB::OpenForReadOnly(options, path, &db);
    if (status.ok())
      return std::unique_ptr<KeyValueStore>(
          std::make_unique<RocksDbStore>(path, wanted.kind, options, std::unique_ptr<rocksdb::DB>(db), DirectoryClaim{}));
    std::this_thread::sleep_for(std::chrono::milliseconds(10 * attempt));
  }
  return translate(status, path);
}

}  // namespace

Result<std::unique_ptr<KeyValueStore>> open_rocksdb(const std::string& directory, RocksDbOptions options) {
  std::string path = directory;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (path.empty())
    return ErrorInfo{.code = ErrorCode::kInvalidArgument, .message = "a store needs the path of its directory"};
  return options.read_only ? open_for_reading(path, options) : open_for_writing(path, options);
}

bool rocksdb_in_use(const std::string& path) { return directory_in_use(path); }

std::size_t remove_stale_spills(const std::string& parent, std::chrono::seconds age) {
  std::size_t removed = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(parent, ignored)) {
    const auto path = entry.path().string();
    const auto marker = path + "/" + kSpillMarker;
    if (!fs::exists(marker, ignored) || fs::file_time_type::clock::now() - entry.last_write_time(ignored) < age) continue;
    if (auto claimed = claim_directory(path); !claimed) continue;
    wipe_spill(path);
    ++removed;
  }
  return removed;
}

}  // namespace manta
