#pragma once
// Looks into a RocksDB store's tables where RocksDB itself would pass over damage, or end the process at it. Internal: for the
// files rocksdb_*.cpp alone. Plain functions; they block on the disk. Thread-safe beside other users of the same database.
#include <rocksdb/iterator.h>

#include <optional>

#include "runtime/store/rocksdb_files.hpp"

namespace manta::rocks {

/// In a level's tables, RocksDB's iterator takes an error for the end of a table with range tombstones, and what comes after it is no error either
/// (facebook/rocksdb, pull request 11782): it passes over the rest in silence. So the tables that it went through are looked into one by one.
Status look_for_gaps(rocksdb::DB& db, const rocksdb::Options& options, rocksdb::Iterator& at, const Slice& first,
                     const std::optional<std::string>& last);
/// At the tables' last records, from `last` on: as above; and an error in one table is forgotten where what another one gives is covered by
/// a range tombstone (pull request 11786).
Status look_at_ends(rocksdb::DB& db, const rocksdb::Options& options, const std::optional<std::string>& last);
/// What RocksDB reads of a table when it takes it in: the first and the last record. Where it does not find them it ends the process by
/// an assertion. What lies between them, the readers check.
Result<void> check_table(const std::string& file, std::span<const KeyValueStore::Record> records, const rocksdb::Options& options,
                         const std::string& path);
/// By what is known without reading a value: an iterator over damaged bytes ends the process by an assertion of RocksDB's.
bool may_hold(rocksdb::DB& db, std::string_view first, std::string_view end);

}  // namespace manta::rocks
