#pragma once
// RocksDB as our stores need it: its options, the files that it writes, and its statuses as our errors. Internal: for the files
// rocksdb_*.cpp alone, which are the only ones that include RocksDB. Thread-safe: plain functions without state.
#include <rocksdb/db.h>

#include <string>
#include <string_view>
#include <system_error>

#include "runtime/store/rocksdb_store.hpp"

namespace manta::rocks {

using rocksdb::Slice;
using rocksdb::Status;

inline Slice slice(std::string_view text) { return {text.data(), text.size()}; }
inline Slice slice(ByteView bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
inline ByteView view(const Slice& slice) { return std::as_bytes(std::span{slice.data(), slice.size()}); }

/// What `wanted` asks for. The environments that the options name are never destroyed.
rocksdb::Options options_for(const RocksDbOptions& wanted);
/// RocksDB writes a chatty LOG file beside its data; errors come back as Status anyway.
std::shared_ptr<rocksdb::Logger> silent_logger();

/// A log that could not be synced for lack of space. The kernel may have dropped what it could not write: trying again would say
/// that all is well, of a log that lacks what had been written to it without syncing.
Status unsynced_log(std::string_view reason);
bool is_unsynced_log(const Status& status);
/// No room, and trying again once there is some does no harm.
bool is_no_space(const Status& status);
/// Throws std::system_error when the system does not give as many threads as RocksDB starts when a store is opened: where it has begun to,
/// and cannot go on, it ends the program.
void need_threads();
/// What opens a store.
template <class Open>
Status opened(Open&& open) try {
  need_threads();
  return open();
} catch (const std::system_error& e) {
  return Status::MemoryLimit(e.what());
}
/// OutOfDisk, StorageCorruption, IoError, or ResourceExhausted of `opened`, with what to do. `status` is not OK.
ErrorInfo translate(const Status& status, const std::string& path);
Result<void> checked(const Status& status, const std::string& path);

}  // namespace manta::rocks
