#include "runtime/store/rocksdb_files.hpp"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/file_system.h>
#include <rocksdb/table.h>

#include <filesystem>
#include <future>
#include <thread>
#include <vector>

#include "runtime/store/live_logs.hpp"
#include "runtime/store/store_directory.hpp"

namespace manta::rocks {

namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using FilePointer = std::unique_ptr<rocksdb::FSWritableFile>;

constexpr int kOpenTables = 128;  // of a durable store, one for each large value: else a descriptor each, for ever
constexpr std::size_t kReservedWriteBuffer = 1 << 20;
constexpr int kReservedTables = 8;  // at the first level, of a write buffer each, until they are merged
constexpr char kUnsyncedLog[] = "the log could not be synced";

IOStatus unsynced(std::string_view reason) { return IOStatus::IOError(kUnsyncedLog, slice(reason)); }

class SilentLogger final : public rocksdb::Logger {
 public:
  SilentLogger() : Logger(rocksdb::InfoLogLevel::FATAL_LEVEL) {}
  using Logger::Logv;
  void Logv(const char*, va_list) override {}
};

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
        if (const auto synced = sync_file(log); !synced && std::filesystem::exists(log))  // else it has just gone, as all of it is in tables
          return unsynced(synced.error().message);
    return IOStatus::OK();
  }

 private:
  IOStatus synced(IOStatus status) const {
    if (!is_log() || !is_no_space(status)) return left_to_user(status);
    return unsynced(status.ToString());
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

}  // namespace

rocksdb::Options options_for(const RocksDbOptions& wanted) {
  rocksdb::Options options;
  options.create_if_missing = wanted.create && !wanted.read_only;
  options.info_log = silent_logger();
  options.compression = rocksdb::kNoCompression;
  options.paranoid_checks = true;
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  options.max_background_jobs = 2;
  options.max_file_opening_threads = 1;  // of more than one, those that the system does not give end the program
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

std::shared_ptr<rocksdb::Logger> silent_logger() { return std::make_shared<SilentLogger>(); }

Status unsynced_log(std::string_view reason) { return Status::IOError(kUnsyncedLog, slice(reason)); }

bool is_unsynced_log(const Status& status) { return !status.ok() && status.ToString().find(kUnsyncedLog) != std::string::npos; }

bool is_no_space(const Status& status) {
  if (status.ok() || status.IsNoSpace()) return !status.ok();
  const auto text = status.ToString();
  return text.find(kUnsyncedLog) == std::string::npos && says_no_room(text);
}

void need_threads() {
  constexpr int kThreads = 5;  // of its pools and its timer
  std::promise<void> enough;
  const auto told = enough.get_future().share();
  std::vector<std::jthread> threads;  // joined behind what follows
  struct Tell {
    ~Tell() { enough.set_value(); }
    std::promise<void>& enough;
  } const tell{enough};
  for (int i = 0; i < kThreads; ++i) threads.emplace_back([told] { told.wait(); });
}

ErrorInfo translate(const Status& status, const std::string& path) {
  const auto text = status.ToString();
  if (status.IsMemoryLimit())
    return {.code = ErrorCode::kResourceExhausted,
            .message = fmt::format("{} cannot be opened: the system gives no more threads ({}): raise the limit of processes (ulimit -u) or of "
                                   "memory, or end others", path, text)};
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

}  // namespace manta::rocks
