#include "runtime/store/rocksdb_store.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/file_system.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <shared_mutex>
#include <thread>

#include "runtime/store/directory_claim.hpp"
#include "runtime/store/disk_reserve.hpp"
#include "runtime/store/live_logs.hpp"
#include "runtime/store/store_directory.hpp"

namespace manta {

namespace {

namespace fs = std::filesystem;
using rocksdb::Slice;
using rocksdb::Status;

constexpr char kInUse[] = "the disk was full, and the store is still in use from before";
constexpr int kReadOnlyAttempts = 5;
constexpr int kReadOnlyChanges = 50;  // while a writer is quicker
constexpr int kOpenTables = 128;  // of a durable store, one for each large value: else a descriptor each, for ever
constexpr char kReserveFile[] = "RESERVE";
constexpr std::size_t kReservedWriteBuffer = 1 << 20;
constexpr std::uint64_t kReserveBytes = 4 << 20;  // two write buffers as tables and a new log; and twice the manifest
constexpr std::uint64_t kOpeningBytes = 256 << 10;  // beside the content of log and manifest: a new log
constexpr int kReopenAttempts = 200;  // while somebody reads
constexpr int kFullAttempts = 10;     // while there is too little room, even in the reserve's place
constexpr std::uint64_t kUnsyncedBytes = 8 << 20;
constexpr int kReservedTables = 8;  // at the first level, of a write buffer each, until they are merged
constexpr char kUnsyncedLog[] = "the log could not be synced";

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

/// A log that could not be synced for lack of space. The kernel may have dropped what it could not write: trying again would say
/// that all is well, of a log that lacks what had been written to it without syncing.
bool is_unsynced_log(const Status& status) { return !status.ok() && status.ToString().find(kUnsyncedLog) != std::string::npos; }

bool is_no_space(const Status& status) {
  if (status.ok() || status.IsNoSpace()) return !status.ok();
  const auto text = status.ToString();
  return text.find(kUnsyncedLog) == std::string::npos && says_no_room(text);
}

ErrorInfo translate(const Status& status, const std::string& path) {
  const auto text = status.ToString();
  if (is_no_space(status)) {
    return {.code = ErrorCode::kOutOfDisk,
            .message = fmt::format("no space left on the file system of {}; free some and try again ({})", path, text)};
  }
  if (status.IsCorruption() || (status.IsIOError() && lacks_manifest(path))) return damaged_store(path, text);
  return {.code = ErrorCode::kIoError, .message = fmt::format("{}: {}", path, text)};
}

Result<void> checked(const Status& status, const std::string& path) {
  if (status.ok()) return {};
  return translate(status, path);
}

// --- directories -------------------------------------------------------------------------------------------------------

/// Removes what a spill store leaves; files of others stay, and then the directory too.
void wipe_spill(const std::string& path) {
  std::error_code ignored;
  remove_left_object_files(path);
  remove_left_tables(path);
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
  if (auto made = make_writable_directory(path, Sync::kNo); !made) return made;
  std::ofstream marker(path + "/" + kSpillMarker);
  marker << "spilled objects of a running program; safe to delete after its end\n";
  marker.close();  // a full disk shows here
  if (marker) return {};
  return cannot_write(path, errno);
}

// --- files as the stores need them ---------------------------------------------------------------------------------------

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using FilePointer = std::unique_ptr<rocksdb::FSWritableFile>;

/// Spilled objects need no syncing, they are deleted at the next start.
class UnsyncedFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  UnsyncedFile(FilePointer file, const std::string&) : FSWritableFileOwnerWrapper(std::move(file)) {}
  IOStatus Sync(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Fsync(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus RangeSync(std::uint64_t, std::uint64_t, const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
};

/// A full disk as an error that RocksDB leaves to its user. By itself it would go on with a log whose end it knows to be torn when
/// nothing has been written since the log's beginning, and the next write would fail an assertion.
IOStatus left_to_user(IOStatus status) {
  if (!is_no_space(status)) return status;
  auto left = IOStatus::IOError(status.ToString());
  left.SetRetryable(true);
  return left;
}

class FileOnDisk final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  FileOnDisk(FilePointer file, const std::string& name) : FSWritableFileOwnerWrapper(std::move(file)), log_(name.ends_with(".log") ? name : "") {
    if (is_log()) LiveLogs::instance().add(log_);
  }
  ~FileOnDisk() override {
    if (is_log()) LiveLogs::instance().remove(log_);
  }
  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    return left_to_user(FSWritableFileOwnerWrapper::Append(data, options, debug));
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo& check, IODebugContext* debug) override {
    return left_to_user(FSWritableFileOwnerWrapper::Append(data, options, check, debug));
  }
  IOStatus Flush(const IOOptions& o, IODebugContext* d) override { return left_to_user(FSWritableFileOwnerWrapper::Flush(o, d)); }
  IOStatus Sync(const IOOptions& o, IODebugContext* d) override { return synced(FSWritableFileOwnerWrapper::Sync(o, d)); }
  IOStatus Fsync(const IOOptions& o, IODebugContext* d) override { return synced(FSWritableFileOwnerWrapper::Fsync(o, d)); }
  IOStatus Close(const IOOptions& o, IODebugContext* d) override { return left_to_user(FSWritableFileOwnerWrapper::Close(o, d)); }
  /// What was written to a log without syncing is on the disk before anything in the next one is, or a power cut would leave a gap. (Not what
  /// an earlier opening has left: it is in tables by now, and a sync that failed then is not to be tried again.)
  static IOStatus before_new(const std::string& name) {
    if (name.ends_with(".log"))
      for (const auto& log : LiveLogs::instance().beside(name))
        if (const auto synced = sync_file(log); !synced && fs::exists(log))  // else it has just gone, as all of it is in tables
          return IOStatus::IOError(kUnsyncedLog, synced.error().message);
    return IOStatus::OK();
  }

 private:
  IOStatus synced(IOStatus status) const {
    if (!is_log() || !is_no_space(status)) return left_to_user(status);
    return IOStatus::IOError(kUnsyncedLog, status.ToString());
  }
  bool is_log() const { return !log_.empty(); }
  const std::string log_;
};

template <class File>
class FileSystemOf final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  const char* Name() const override { return "MantaFileSystem"; }
  IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options, FilePointer* file, IODebugContext* debug) override {
    if constexpr (requires { File::before_new(name); })
      if (auto ready = File::before_new(name); !ready.ok()) return ready;
    return wrapped(target()->NewWritableFile(name, options, file, debug), name, file);
  }
  IOStatus ReopenWritableFile(const std::string& name, const rocksdb::FileOptions& options, FilePointer* file, IODebugContext* debug) override {
    return wrapped(target()->ReopenWritableFile(name, options, file, debug), name, file);
  }

 private:
  static IOStatus wrapped(IOStatus status, const std::string& name, FilePointer* file) {
    if (status.ok()) *file = std::make_unique<File>(std::move(*file), name);
    return left_to_user(status);
  }
};

template <class File>
rocksdb::Env* env_of() {
  static rocksdb::Env* const env =  // never destroyed: RocksDB's threads may outlive main
      rocksdb::NewCompositeEnv(std::make_shared<FileSystemOf<File>>(rocksdb::Env::Default()->GetFileSystem())).release();
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
    options.env = env_of<UnsyncedFile>();
    options.disable_auto_compactions = true;
    options.max_open_files = 256, options.advise_random_on_open = false;  // large values: the kernel reads ahead
    table.no_block_cache = true;
    table.block_size = 1;  // a block for each record: reading one reads nothing else
  } else {
    options.env = env_of<FileOnDisk>();
    options.max_bgerror_resume_count = 0;
    options.ttl = options.periodic_compaction_seconds = 0;  // else all is written anew each month, the large values too
    // Who only looks on keeps all open: the writer may delete them.
    if (!wanted.read_only) options.max_open_files = kOpenTables;
    // A merge that finds no room is tried again for ever, and who waits for it holds locks: nobody does.
    options.level0_slowdown_writes_trigger = options.level0_stop_writes_trigger = 1 << 30;
    options.soft_pending_compaction_bytes_limit = options.hard_pending_compaction_bytes_limit = 0;
    if (wanted.erases_on_full_disk) {
      options.write_buffer_size = kReservedWriteBuffer;
      options.level0_file_num_compaction_trigger = kReservedTables;
      options.max_bytes_for_level_base = 2 * kReservedTables * kReservedWriteBuffer;  // else each merge writes 256 MiB anew
      options.target_file_size_base = 4 * kReservedWriteBuffer;
    }
    table.block_cache = rocksdb::NewLRUCache(4 << 20);
  }
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

std::uint64_t reserve_bytes(const std::string& path) { return kReserveBytes + 2 * (manifest_bytes(path) >> 20 << 20); }

class RocksDbStore final : public KeyValueStore {
 public:
  RocksDbStore(std::string path, StoreKind kind, rocksdb::Options options, std::unique_ptr<rocksdb::DB> db, DirectoryClaim claim,
               std::unique_ptr<DiskReserve> reserve = {})
      : path_(std::move(path)), kind_(kind), options_(std::move(options)), claim_(std::move(claim)), db_(std::move(db)),
        reserve_(std::move(reserve)) {
    options_.create_if_missing = false;  // a store that is gone is not made anew behind its user
  }

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
  Result<std::vector<KeyRange>> ranges(std::string_view first, std::string_view end) const override;
  Result<std::optional<std::string>> last_key() const override;
  Result<void> sync() override;
  Result<void> flush() override { return stopped_ ? stopped() : settle(change([](rocksdb::DB& db) { return db.Flush({}); })); }

 private:
  struct Table {
    explicit Table(const rocksdb::Options& options) : reader(options) {}
    rocksdb::SstFileReader reader;
    Status status{};
  };
  std::unique_ptr<Table> open_table(const rocksdb::LiveFileMetaData& file) const;
  Status look_at_ends(rocksdb::DB& db, const std::optional<std::string>& last) const;
  Status look_for_gaps(rocksdb::DB& db, rocksdb::Iterator& at, const Slice& first, const std::optional<std::string>& last) const;
  static bool may_hold(rocksdb::DB& db, std::string_view first, std::string_view end);
  Result<void> stopped() const;
  Result<void> settle(const Status& status);
  /// Held by whoever uses it, so that it is not closed meanwhile; null after it could not be opened anew.
  std::shared_ptr<rocksdb::DB> db() const {
    std::lock_guard lock(db_mutex_);
    return db_;
  }
  template <class Operation>
  Status change(Operation&& operation);
  Status reopen();
  Result<void> unreadable() const;
  Result<std::shared_lock<std::shared_mutex>> beside_reserve();
  template <class Operation>
  Status change_by_reserve(Operation&& operation);
  Result<void> write_table(const std::string& file, std::span<const Record> records);
  Result<void> check_table(const std::string& file, std::span<const Record> records) const;
  rocksdb::WriteOptions write_options(Sync sync) const {
    rocksdb::WriteOptions options;
    options.disableWAL = kind_ == StoreKind::kSpill;
    options.sync = sync == Sync::kYes && !options.disableWAL;
    return options;
  }

  const std::string path_;
  const StoreKind kind_;
  rocksdb::Options options_;
  DirectoryClaim claim_;  // ends after the database is closed
  mutable std::mutex db_mutex_;
  std::shared_ptr<rocksdb::DB> db_;
  Status reopened_;  // the last time
  std::atomic<bool> stopped_{false};
  std::atomic<bool> full_{false};  // the disk was, and the store has not been opened anew since
  std::shared_mutex room_;  // whoever uses the reserve excludes those who would take its space; nobody holds it for long
  std::unique_ptr<DiskReserve> reserve_;
};

Result<void> RocksDbStore::stopped() const {
  return ErrorInfo{.code = ErrorCode::kIoError, .message = path_ + " takes no more changes after an error of its disk; close "
                                                                    "it and open it anew, to see what is on the disk"};
}

Result<void> RocksDbStore::unreadable() const {
  std::lock_guard lock(db_mutex_);
  auto error = translate(reopened_, path_);
  error.message = fmt::format("{} cannot be read: its disk was full, and then it could not be opened anew, which the next change tries again. "
                              "The reason: {}", path_, error.message);
  return error;
}

/// After a failed sync nobody knows what is on the disk, and a second one may lie (Rebello et al., ATC 2020): stop here.
Result<void> RocksDbStore::settle(const Status& status) {
  auto result = checked(status, path_);
  if (is_unsynced_log(status))
    result = ErrorInfo{.code = ErrorCode::kIoError,
                       .message = fmt::format("{}: there was no space for what had been written before. It may be lost unless it was synced when "
                                              "it was written; free some space, and open the store anew to see what is there ({})",
                                              path_, status.ToString())};
  if (!result && result.error().code == ErrorCode::kIoError && kind_ == StoreKind::kMeta) stopped_ = true;
  return result;
}

/// Makes a change. After a full disk RocksDB takes none until the store is opened anew.
template <class Operation>
Status RocksDbStore::change(Operation&& operation) {
  Status status;
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (full_)
      if (auto reopened = reopen(); !reopened.ok()) return reopened;
    const auto db = this->db();
    if (!db) return Status::NoSpace(kInUse);  // another thread just opens it
    status = operation(*db);
    if (kind_ == StoreKind::kSpill || !is_no_space(status)) break;
    full_ = true;
  }
  return status;
}

/// NoSpace while somebody else uses the store, or when there is no room for what is in its log; or why it cannot be opened.
Status RocksDbStore::reopen() {
  std::lock_guard lock(db_mutex_);
  if (!full_) return {};
  if (db_.use_count() > 1) return Status::NoSpace(kInUse);
  if (free_disk_bytes(path_) < log_bytes(path_) + manifest_bytes(path_) + kOpeningBytes)
    return Status::NoSpace("the disk was full, and has too little room to go on");
  db_.reset();
  rocksdb::DB* db = nullptr;
  reopened_ = rocksdb::DB::Open(options_, path_, &db);
  full_ = !reopened_.ok();
  if (!full_ || rocksdb::DB::OpenForReadOnly(options_, path_, &db).ok()) db_.reset(db);  // reading goes on
  return reopened_;
}

Result<void> RocksDbStore::write(const WriteBatch& batch, Sync sync) {
  if (stopped_) return stopped();
  rocksdb::WriteBatch changes;
  bool puts = false;
  for (const auto& operation : batch.operations()) {
    Status status;
    switch (operation.kind) {
      case WriteBatch::Kind::kPut:
        status = changes.Put(slice(operation.key), slice(operation.value));
        puts = true;
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
  const auto how = write_options(sync);
  const auto write = [&](rocksdb::DB& db) { return db.Write(how, &changes); };
  if (!puts) return settle(change_by_reserve(write));
  const auto room = beside_reserve();
  if (!room) return room.error();
  return settle(change(write));
}

/// For who adds something, which must not take the reserve's place: while the lock is held, it is whole and nobody uses it.
Result<std::shared_lock<std::shared_mutex>> RocksDbStore::beside_reserve() {
  const auto bytes = reserve_ ? reserve_bytes(path_) : 0;
  while (true) {
    std::shared_lock lock(room_);
    if (!reserve_ || reserve_->holds(bytes)) return lock;
    lock.unlock();
    std::lock_guard alone(room_);
    if (auto held = reserve_->hold(bytes); !held) return held.error();
  }
}

/// Takes something away; where there is no room even for that, in the reserve's.
template <class Operation>
Status RocksDbStore::change_by_reserve(Operation&& operation) {
  auto status = change(operation);
  if (!reserve_ || !is_no_space(status)) return status;
  std::lock_guard alone(room_);
  status = change(operation);
  if (!is_no_space(status)) return status;
  reserve_->give_up();
  for (int attempt = 0, full = 0; is_no_space(status) && attempt < kReopenAttempts && full < kFullAttempts; ++attempt) {
    if (attempt) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    status = change(operation);
    full += status.ToString().find(kInUse) == std::string::npos;
  }
  static_cast<void>(reserve_->hold(reserve_bytes(path_)));  // the next put tries again, and says why it cannot
  return status;
}

/// Record by record, so that who needs the reserve does not wait for all of them; and for no more of their syncing than a few.
Result<void> RocksDbStore::write_table(const std::string& file, std::span<const Record> records) {
  rocksdb::SstFileWriter writer(rocksdb::EnvOptions(options_), options_, nullptr, /*invalidate_page_cache=*/false);
  const auto write = [&](auto&& part) -> Result<void> {
    const auto room = beside_reserve();
    return room ? checked(part(), path_) : room.error();
  };
  auto written = write([&] { return writer.Open(file); });
  std::uint64_t unsynced = 0;
  for (const auto& record : records) {
    if (written) written = write([&] { return writer.Put(slice(record.key), slice(record.value)); });
    unsynced += record.value.size();
  }
  if (written && kind_ == StoreKind::kMeta && unsynced > kUnsyncedBytes) written = sync_file(file);
  return written ? write([&] { return writer.Finish(); }) : written;
}

/// What RocksDB reads of a table when it takes it in: the first and the last record. Where it does not find them it ends the process by
/// an assertion. What lies between them, the readers check.
Result<void> RocksDbStore::check_table(const std::string& file, std::span<const Record> records) const {
  rocksdb::SstFileReader reader(options_);
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
                                          "writes to its files ({})", path_, status.ToString())};
}

Result<void> RocksDbStore::bulk_load(std::span<const Record> records) {
  if (records.empty()) return {};
  if (stopped_) return stopped();
  const auto file = new_table_file(path_);
  auto loaded = write_table(file, records);
  if (loaded) loaded = check_table(file, records);
  if (loaded) {
    rocksdb::IngestExternalFileOptions ingest;
    ingest.move_files = true;
    ingest.snapshot_consistency = false;
    ingest.write_global_seqno = false;
    const auto room = beside_reserve();
    const auto load = [&](rocksdb::DB& db) { return db.IngestExternalFile({file}, ingest); };
    loaded = room ? checked(change(load), path_) : room.error();
  }
  std::error_code ignored;
  fs::remove(file, ignored);
  return loaded;
}

/// By what is known without reading a value: an iterator over damaged bytes ends the process by an assertion of RocksDB's.
bool RocksDbStore::may_hold(rocksdb::DB& db, std::string_view first, std::string_view end) {
  for (const auto* table : {"rocksdb.num-entries-active-mem-table", "rocksdb.num-entries-imm-mem-tables"}) {
    std::uint64_t entries = 0;
    if (!db.GetIntProperty(table, &entries) || entries) return true;
  }
  std::vector<rocksdb::LiveFileMetaData> files;
  db.GetLiveFilesMetaData(&files);
  return std::any_of(files.begin(), files.end(), [&](const auto& file) { return file.smallestkey < end && file.largestkey >= first; });
}

Result<void> RocksDbStore::drop_range(std::string_view first, std::string_view end) {
  if (first >= end) return {};
  const Slice begin_slice = slice(first);
  const Slice end_slice = slice(end);
  bool rest = false;
  const auto status = change_by_reserve([&](rocksdb::DB& db) {
    auto deleted = rocksdb::DeleteFilesInRange(&db, db.DefaultColumnFamily(), &begin_slice, &end_slice, false);
    rest = deleted.ok() && may_hold(db, first, end);
    return deleted;
  });
  if (!status.ok()) return translate(status, path_);
  if (!rest) return {};
  return write(WriteBatch{}.erase_range(std::string(first), std::string(end)), Sync::kNo);
}

Result<bool> RocksDbStore::read(std::string_view key, const Reader& reader) const {
  const bool verify = kind_ != StoreKind::kSpill;  // SpillTier has a checksum over the whole object
  const auto db = this->db();
  if (!db) return unreadable().error();
  rocksdb::PinnableSlice value;  // lets go of its block before the database
  const auto status = db->Get({verify, true}, db->DefaultColumnFamily(), slice(key), &value);
  if (status.IsNotFound()) return false;
  if (!status.ok()) return translate(status, path_);
  reader(view(value));
  return true;
}

Result<void> RocksDbStore::scan(std::string_view first, const Visitor& visitor) const {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  const auto db = this->db();
  if (!db) return unreadable();
  std::unique_ptr<rocksdb::Iterator> at(db->NewIterator(options));
  for (at->Seek(slice(first)); at->Valid(); at->Next())
    if (!visitor(at->key().ToStringView(), view(at->value()))) break;
  auto status = at->status();
  if (status.ok() && kind_ == StoreKind::kMeta) {
    const auto last = at->Valid() ? std::optional(at->key().ToString()) : std::nullopt;
    status = look_for_gaps(*db, *at, slice(first), last);
  }
  return checked(status, path_);
}

/// In a level's tables, RocksDB's iterator takes an error for the end of a table with range tombstones, and what comes after it is no error either
/// (facebook/rocksdb, pull request 11782): it passes over the rest in silence. So the tables that it went through are looked into one by one.
Status RocksDbStore::look_for_gaps(rocksdb::DB& db, rocksdb::Iterator& at, const Slice& first, const std::optional<std::string>& last) const {
  rocksdb::ReadOptions once;
  once.fill_cache = false;
  std::vector<rocksdb::LiveFileMetaData> files;
  db.GetLiveFilesMetaData(&files);
  for (const auto& file : files) {
    if (file.level == 0 || slice(file.largestkey).compare(first) < 0 || (last && file.smallestkey > *last)) continue;
    const auto begin = std::max(first.ToStringView(), std::string_view(file.smallestkey));
    at.Seek(slice(begin));
    if (!at.status().ok()) return at.status();
    auto table = open_table(file);
    if (!table) continue;
    if (!table->status.ok()) return table->status;
    if (table->reader.GetTableProperties()->num_range_deletions == 0) continue;
    const std::unique_ptr<rocksdb::Iterator> alone(table->reader.NewIterator(once));
    for (alone->Seek(slice(begin)); alone->Valid() && (!last || alone->key().compare(*last) <= 0);) alone->Next();
    if (!alone->status().ok()) return alone->status();
  }
  return {};
}

Result<std::vector<KeyValueStore::KeyRange>> RocksDbStore::ranges(std::string_view first, std::string_view end) const {
  const auto db = this->db();
  if (!db) return unreadable().error();
  std::vector<rocksdb::LiveFileMetaData> files;
  db->GetLiveFilesMetaData(&files);
  std::vector<KeyRange> found;
  for (auto& file : files)  // what is in none yet was not loaded in bulk
    if (file.smallestkey < end && file.largestkey >= first) found.push_back({std::move(file.smallestkey), std::move(file.largestkey)});
  return found;
}

Result<std::optional<std::string>> RocksDbStore::last_key() const {
  const auto db = this->db();
  if (!db) return unreadable().error();
  std::unique_ptr<rocksdb::Iterator> at(db->NewIterator({}));
  at->SeekToLast();
  if (!at->status().ok()) return translate(at->status(), path_);
  const auto last = at->Valid() ? std::optional(at->key().ToString()) : std::nullopt;
  if (kind_ == StoreKind::kMeta)
    if (auto status = look_at_ends(*db, last); !status.ok()) return translate(status, path_);
  return last;
}

/// As above; and an error in one table is forgotten where what another one gives is covered by a range tombstone (pull request 11786).
Status RocksDbStore::look_at_ends(rocksdb::DB& db, const std::optional<std::string>& last) const {
  std::vector<rocksdb::LiveFileMetaData> files;
  db.GetLiveFilesMetaData(&files);
  for (const auto& file : files) {
    if (last && file.largestkey < *last) continue;
    auto table = open_table(file);
    if (!table) continue;
    if (!table->status.ok()) return table->status;
    const std::unique_ptr<rocksdb::Iterator> alone(table->reader.NewIterator(rocksdb::ReadOptions()));
    alone->SeekToLast();
    if (!alone->status().ok()) return alone->status();
  }
  return {};
}

/// One of its live files, alone. Null when it has been merged meanwhile, which went through all of it.
std::unique_ptr<RocksDbStore::Table> RocksDbStore::open_table(const rocksdb::LiveFileMetaData& file) const {
  const auto path = file.directory + file.name;
  auto table = std::make_unique<Table>(options_);
  table->status = table->reader.Open(path);
  std::error_code ignored;
  return table->status.ok() || fs::exists(path, ignored) ? std::move(table) : nullptr;
}

Result<void> RocksDbStore::sync() {
  if (kind_ == StoreKind::kSpill) return {};
  if (stopped_) return stopped();
  return settle(change([](rocksdb::DB& db) {
    const auto status = db.SyncWAL();
    return is_no_space(status) ? Status::IOError(kUnsyncedLog, status.ToString()) : status;
  }));
}

// --- opening -----------------------------------------------------------------------------------------------------------

/// Before the store is opened, which may need the room; under the store's lock, since another program may just be writing such a table.
void remove_left_tables_alone(const std::string& path, rocksdb::Env& env) {
  rocksdb::FileLock* lock = nullptr;
  if (!env.LockFile(path + "/LOCK", &lock).ok()) return;
  remove_left_tables(path), env.UnlockFile(lock).PermitUncheckedError();
}

Result<std::unique_ptr<KeyValueStore>> open_for_writing(const std::string& path, const RocksDbOptions& wanted) {
  if (!wanted.create) {
    if (auto there = require_store(path); !there) return there.error();
  }
  auto claimed = claim_directory(path);
  if (!claimed) return claimed.error();
  if (wanted.kind == StoreKind::kMeta)
    if (auto apart = refuse_spill(path); !apart) return apart.error();
  auto ready = wanted.kind == StoreKind::kSpill ? prepare_spill(path) : make_writable_directory(path, Sync::kYes);
  const auto options = options_for(wanted);
  if (ready && wanted.kind == StoreKind::kMeta) remove_left_tables_alone(path, *options.env), ready = audit_logs(path);
  if (!ready) return ready.error();
  std::unique_ptr<DiskReserve> reserve;
  if (wanted.erases_on_full_disk) reserve = std::make_unique<DiskReserve>(path + "/" + kReserveFile);
  rocksdb::DB* db = nullptr;
  auto status = rocksdb::DB::Open(options, path, &db);
  if (reserve && is_no_space(status)) {
    reserve->give_up();  // opening moves the log into tables
    status = rocksdb::DB::Open(options, path, &db);
  }
  if (!status.ok()) {
    if (status.ToString().find("While lock file") != std::string::npos) return held_by(path, "another program");
    if (status.IsCorruption())  // where, RocksDB does not say
      if (auto damage = audit_logs(path, Damage::kMismatch); !damage) return damage.error();
    return translate(status, path);
  }
  claimed->note_lock_file();
  if (reserve) static_cast<void>(reserve->hold(reserve_bytes(path)));  // a full disk is no reason not to read what is there
  return std::unique_ptr<KeyValueStore>(std::make_unique<RocksDbStore>(path, wanted.kind, options, std::unique_ptr<rocksdb::DB>(db),
                                                                       std::move(claimed).value(), std::move(reserve)));
}

/// A writer may delete a file between two steps of the opening; then the next attempt sees its successor. When that is a log, nothing fails,
/// and what was in it is missing: its table is in a manifest that has changed since.
Result<std::unique_ptr<KeyValueStore>> open_for_reading(const std::string& path, const RocksDbOptions& wanted) {
  if (auto there = require_store(path); !there) return there.error();
  const auto options = options_for(wanted);
  for (int failed = 0, changed = 0;; std::this_thread::sleep_for(std::chrono::milliseconds(10 * (failed + 1)))) {
    const auto before = manifest_state(path);
    const auto sound = audit_logs(path);
    rocksdb::DB* opened = nullptr;
    const auto status = sound ? rocksdb::DB::OpenForReadOnly(options, path, &opened) : Status::OK();
    std::unique_ptr<rocksdb::DB> db(opened);
    if (manifest_state(path) != before) {
      if (++changed == kReadOnlyChanges) return translate(Status::IOError("another program changes it faster than it can be opened; try again"), path);
    } else if (!sound) {
      return sound.error();
    } else if (status.ok()) {
      return std::unique_ptr<KeyValueStore>(std::make_unique<RocksDbStore>(path, wanted.kind, options, std::move(db), DirectoryClaim{}));
    } else if (++failed == kReadOnlyAttempts) {
      return translate(status, path);
    }
  }
}

}  // namespace

Result<std::unique_ptr<KeyValueStore>> open_rocksdb(const std::string& directory, RocksDbOptions options) {
  const std::string path = store_path(directory);
  if (path.empty())
    return ErrorInfo{.code = ErrorCode::kInvalidArgument, .message = "a store needs the path of its directory"};
  return options.read_only ? open_for_reading(path, options) : open_for_writing(path, options);
}

bool rocksdb_in_use(const std::string& path) { return directory_in_use(path); }

bool remove_stale_spill(const std::string& path) {
  std::error_code ignored;
  if (!fs::exists(path + "/" + kSpillMarker, ignored)) return false;
  const auto claimed = claim_directory(path);
  if (claimed) wipe_spill(path);
  return claimed.ok();
}

std::size_t remove_stale_spills(const std::string& parent, std::chrono::seconds age) {
  std::size_t removed = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(parent, ignored)) {
    if (fs::file_time_type::clock::now() - entry.last_write_time(ignored) < age) continue;
    removed += remove_stale_spill(entry.path().string());
  }
  return removed;
}

}  // namespace manta
