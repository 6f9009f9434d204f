#pragma once
// Opens a KeyValueStore on RocksDB. One process at a time may have a directory open for writing; readers may look on.
#include <chrono>
#include <memory>
#include <string>

#include "runtime/store/key_value_store.hpp"

namespace manta {

enum class StoreKind {
  kMeta,   ///< Small and durable: logged, every block checksummed, never silent about damage.
  kSpill,  ///< Large and disposable: no log; whatever lay in the directory is deleted at open, the directory at close.
};

struct RocksDbOptions {
  StoreKind kind{StoreKind::kMeta};
  bool create{true};      ///< make the directory (0700) if there is none; otherwise NotFound
  bool read_only{false};  ///< a snapshot of a kMeta store, also while another process writes it
  /// Of a kMeta store whose records of more than 64 KiB are loaded in bulk: erasing and drop_range work on a full disk too, by
  /// means of a reserve of 4 MiB and twice a large manifest (the file RESERVE in the directory), without which nothing is put.
  bool erases_on_full_disk{false};
};

/// Opens `path`. Errors: NotFound, IoError (not writable, not a store, …), OutOfDisk, StorageCorruption (names the file and
/// how to repair), ResourceExhausted (held by another program; names its process and what to do), InvalidArgument (kSpill:
/// the directory has files in it that are no spill store's, and they are not touched).
///
/// A kMeta store that was cut anywhere in its newest log (power loss) opens with a prefix of what was written. Damage
/// anywhere else is StorageCorruption; RocksDB itself would take a flipped length for a cut, see wal_audit.hpp.
Result<std::unique_ptr<KeyValueStore>> open_rocksdb(const std::string& path, RocksDbOptions options = {});

/// Whether this program or another one has the store open for writing just now.
bool rocksdb_in_use(const std::string& path);

/// Deletes the spill store that a killed program left there; false when there is none, or somebody has it open.
bool remove_stale_spill(const std::string& path);
/// Deletes the spill stores directly below `parent` that a killed program left: nobody has them open, and they have not
/// changed for `age` (one younger than that may just be opening). Gives how many. Call it before making one's own there.
std::size_t remove_stale_spills(const std::string& parent, std::chrono::seconds age = std::chrono::minutes(1));

}  // namespace manta
