#pragma once
// The directory of a RocksDB store as files: made, looked at and audited without opening it. Plain functions; they block on the disk.
#include <cstdint>
#include <string>

#include "runtime/base/result.hpp"
#include "runtime/store/wal_audit.hpp"

namespace manta {

/// Makes the directory (0700), and those above it, if there is none. IoError when it cannot be made or written to.
Result<void> make_writable_directory(const std::string& path);
/// NotFound unless a store is there, IoError when it cannot be read.
Result<void> require_store(const std::string& path);
/// StorageCorruption for damage in the logs that RocksDB would not notice, or would not say where it lies.
Result<void> audit_logs(const std::string& path, Damage kind = Damage::kPassedOver);
/// The size of the logs: what is not in tables yet.
std::uint64_t log_bytes(const std::string& path);
/// The error that says so, and how to repair.
ErrorInfo damaged_store(const std::string& path, const std::string& detail);

}  // namespace manta
