#pragma once
// The directory of a RocksDB store as files: made, looked at and audited without opening it. Plain functions; they block on the disk.
#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/base/result.hpp"
#include "runtime/store/key_value_store.hpp"
#include "runtime/store/wal_audit.hpp"

namespace manta {

/// Makes the directory (0700), and those above it, if there is none; Sync::kYes: on the disk, so that what lies in it is not lost with
/// its name. IoError when it cannot be made or written to.
Result<void> make_writable_directory(const std::string& path, Sync sync);
/// A file that says that objects are spilled in its directory.
inline constexpr char kSpillMarker[] = "MANTA_SPILL";
/// InvalidArgument where a program that was killed had spilled: the next one that spills there deletes all that it finds.
Result<void> refuse_spill(const std::string& path);
/// NotFound unless a store is there, IoError when it cannot be read.
Result<void> require_store(const std::string& path);
/// StorageCorruption for damage in the logs that RocksDB would not notice, or would not say where it lies. Looks into regular files
/// only: a pipe in the place of a log would be waited for.
Result<void> audit_logs(const std::string& path, Damage kind = Damage::kPassedOver);
/// Absolute, as the program may go elsewhere while the store is open, and without a slash at its end. Empty for an empty one.
std::string store_path(const std::string& directory);
/// A name in the directory that no file has and none of this or another process ever had, for a table that is written to be ingested.
/// Ingesting makes a second name of the same file: opened under the old name and cut, it would be a table of the store that is gone.
std::string new_table_file(const std::string& path);
/// Deletes such files that a killed process left; call it when nobody has the store open. One that was ingested keeps its other name.
void remove_left_tables(const std::string& path);
/// Deletes objects' files with a name: whoever makes such a file now has it open and does not need the name.
void remove_left_object_files(const std::string& path);
/// The size of the logs: what is not in tables yet.
std::uint64_t log_bytes(const std::string& path);
/// Whether the file CURRENT names a manifest that is not there. Of a store that another process writes, that may be for a moment.
bool lacks_manifest(const std::string& path);
/// The size of the manifest, the list of the tables; opening writes it anew.
std::uint64_t manifest_bytes(const std::string& path);
/// Its name and size: other ones when the store has other tables.
std::pair<std::string, std::uint64_t> manifest_state(const std::string& path);
/// Makes what has been written to the file durable.
Result<void> sync_file(const std::string& file);
/// Whether an error's text has, behind a colon, what the kernel says when there is no room. The same words in a path mean nothing.
bool says_no_room(std::string_view text);
/// OutOfDisk for an errno that says that there is no room (blocks, inodes, quota), else IoError.
ErrorCode write_error_code(int error) noexcept;
ErrorInfo cannot_write(const std::string& directory, int error);
/// The error that says so, and how to repair.
ErrorInfo damaged_store(const std::string& path, const std::string& detail);

}  // namespace manta
