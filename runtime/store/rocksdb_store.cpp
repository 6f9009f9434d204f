#include "runtime/store/rocksdb_store.hpp"

#include <fmt/format.h>
#include <rocksdb/convenience.h>
#include <rocksdb/sst_file_writer.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <shared_mutex>
#include <thread>

#include "runtime/store/close_at_exit.hpp"
#include "runtime/store/directory_claim.hpp"
#include "runtime/store/disk_reserve.hpp"
#include "runtime/store/rocksdb_tables.hpp"
#include "runtime/store/store_directory.hpp"

namespace manta {

namespace {

namespace fs = std::filesystem;
using namespace rocks;

constexpr char kInUse[] = "the disk was full, and the store is still in use from before";
constexpr int kReadOnlyAttempts = 5;
constexpr int kReadOnlyChanges = 50;  // while a writer is quicker
constexpr char kReserveFile[] = "RESERVE";
constexpr std::uint64_t kReserveBytes = 4 << 20;  // two write buffers as tables and a new log; and twice the manifest
constexpr std::uint64_t kOpeningBytes = 256 << 10;  // beside the content of log and manifest: a new log
constexpr int kReopenAttempts = 200;  // while somebody reads
constexpr int kFullAttempts = 10;     // while there is too little room, even in the reserve's place
constexpr std::uint64_t kUnsyncedBytes = 8 << 20;

// --- directories -------------------------------------------------------------------------------------------------------

/// Removes what a spill store leaves; files of others stay, and then the directory too.
void wipe_spill(const std::string& path) {
  std::error_code ignored;
  remove_left_object_files(path);
  remove_left_tables(path);
  rocksdb::Options options;
  options.info_log = silent_logger();
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

// --- the store ---------------------------------------------------------------------------------------------------------

std::uint64_t reserve_bytes(const std::string& path) { return kReserveBytes + 2 * (manifest_bytes(path) >> 20 << 20); }

class RocksDbStore final : public KeyValueStore {
 public:
  RocksDbStore(std::string path, StoreKind kind, rocksdb::Options options, std::unique_ptr<rocksdb::DB> db, DirectoryClaim claim,
               std::unique_ptr<DiskReserve> reserve = {})
      : path_(std::move(path)), kind_(kind), options_(std::move(options)), claim_(std::move(claim)), db_(std::move(db)),
        reserve_(std::move(reserve)) {
    options_.create_if_missing = false;  // a store that is gone is not made anew behind its user
    close_at_exit(this, [this] { close(); });
  }

  ~RocksDbStore() override {
    closed_by_itself(this);
    if (in_fork()) {
      static_cast<void>(new std::shared_ptr<rocksdb::DB>(std::move(db_)));  // closing waits for threads that are not here, and the files are not ours
      return;
    }
    db_.reset();
    if (kind_ == StoreKind::kSpill) wipe_spill(path_);
  }

  /// When the program ends, unless somebody uses it just then.
  void close() {
    std::lock_guard lock(db_mutex_);
    if (!db_ || db_.use_count() > 1) return;
    ended_ = stopped_ = true;
    db_.reset();
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
  Result<void> flush() override { return !takes_changes() ? stopped() : settle(change([](rocksdb::DB& db) { return db.Flush({}); })); }

 private:
  /// A fork has the open files, at the same places in them: what it wrote would lie between the records of the process that opened the store.
  bool in_fork() const { return ::getpid() != process_; }
  bool takes_changes() const { return !stopped_ && !in_fork(); }
  /// Why it takes none.
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
  rocksdb::WriteOptions write_options(Sync sync) const {
    rocksdb::WriteOptions options;
    options.disableWAL = kind_ == StoreKind::kSpill;
    options.sync = sync == Sync::kYes && !options.disableWAL;
    return options;
  }

  const std::string path_;
  const StoreKind kind_;
  const pid_t process_ = ::getpid();
  rocksdb::Options options_;
  DirectoryClaim claim_;  // ends after the database is closed
  mutable std::mutex db_mutex_;
  std::shared_ptr<rocksdb::DB> db_;
  Status reopened_;  // the last time
  std::atomic<bool> stopped_{false};
  std::atomic<bool> ended_{false};  // with the program
  std::atomic<bool> full_{false};  // the disk was, and the store has not been opened anew since
  std::shared_mutex room_;  // whoever uses the reserve excludes those who would take its space; nobody holds it for long
  std::unique_ptr<DiskReserve> reserve_;
};

Result<void> RocksDbStore::stopped() const {
  if (in_fork())
    return ErrorInfo{.code = ErrorCode::kRuntimeStopped,
                     .message = path_ + " is open in the process of which this one is a fork: change it there, or let the fork start a program anew by exec"};
  if (ended_)
    return ErrorInfo{.code = ErrorCode::kRuntimeStopped, .message = path_ + " was closed as the program ended: end what uses it before main returns"};
  return ErrorInfo{.code = ErrorCode::kIoError, .message = path_ + " takes no more changes after an error of its disk; close "
                                                                    "it and open it anew, to see what is on the disk"};
}

Result<void> RocksDbStore::unreadable() const {
  if (ended_) return stopped();
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
    if (ended_) return Status::ShutdownInProgress("the program ends");
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
  if (auto threads = rocks::opened([] { return Status(); }); !threads.ok()) return threads;
  db_.reset();
  rocksdb::DB* db = nullptr;
  reopened_ = rocksdb::DB::Open(options_, path_, &db);
  full_ = !reopened_.ok();
  if (!full_ || rocksdb::DB::OpenForReadOnly(options_, path_, &db).ok()) db_.reset(db);  // reading goes on
  return reopened_;
}

Result<void> RocksDbStore::write(const WriteBatch& batch, Sync sync) {
  if (!takes_changes()) return stopped();
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

Result<void> RocksDbStore::bulk_load(std::span<const Record> records) {
  if (records.empty()) return {};
  if (!takes_changes()) return stopped();
  const auto file = new_table_file(path_);
  auto loaded = write_table(file, records);
  if (loaded) loaded = check_table(file, records, options_, path_);
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

Result<void> RocksDbStore::drop_range(std::string_view first, std::string_view end) {
  if (first >= end) return {};
  if (in_fork()) return stopped();
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
  if (kind_ == StoreKind::kSpill && (status.IsCorruption() || status.IsPathNotFound()))  // a cleaner of old files may have been there
    return ErrorInfo{.code = ErrorCode::kStorageCorruption, .message = fmt::format("a file of {} is damaged, or gone: {}", path_, status.ToString())};
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
    status = look_for_gaps(*db, options_, *at, slice(first), last);
  }
  return checked(status, path_);
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
    if (auto status = look_at_ends(*db, options_, last); !status.ok()) return translate(status, path_);
  return last;
}

Result<void> RocksDbStore::sync() {
  if (kind_ == StoreKind::kSpill) return {};
  if (!takes_changes()) return stopped();
  return settle(change([](rocksdb::DB& db) {
    const auto status = db.SyncWAL();
    return is_no_space(status) ? unsynced_log(status.ToString()) : status;
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
  const auto open = [&] { return rocksdb::DB::Open(options, path, &db); };
  auto status = rocks::opened(open);
  if (reserve && is_no_space(status)) {
    reserve->give_up();  // opening moves the log into tables
    status = rocks::opened(open);
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
    const auto status = sound ? rocks::opened([&] { return rocksdb::DB::OpenForReadOnly(options, path, &opened); }) : Status::OK();
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
