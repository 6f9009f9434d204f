#include "runtime/journal.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <mutex>
#include <optional>

#include "runtime/base/error.hpp"
#include "runtime/store/records.hpp"
#include "runtime/store/rocksdb_store.hpp"
#include "runtime/store/store_directory.hpp"

namespace manta {

namespace {

constexpr char kHeaderKey[] = "manta.journal";
constexpr char kRecordPrefix[] = "r";
constexpr std::uint32_t kVersion = 1;

/// Records of a snapshot share a number and are told apart by `index`.
std::string record_key(std::uint64_t number, std::uint64_t index = 0) {
  return ordered_key(kRecordPrefix, {number, index});
}

[[noreturn]] void fail(ErrorCode code, std::string message) {
  throw_error({.code = code, .message = std::move(message)});
}

}  // namespace

struct Journal::State {
  std::unique_ptr<KeyValueStore> store;
  bool read_only{};
  Sync sync_each{Sync::kNo};
  mutable std::mutex mutex;  // numbers are given in the order of the writes, so that a failed one leaves no hole
  JournalHeader header{};
  std::uint64_t last{};
  const pid_t process = ::getpid();

  void load_header(const std::string& path) {
    std::optional<Result<JournalHeader>> read;
    store->read(kHeaderKey, [&](ByteView bytes) { read = decode_journal_header(bytes); }).value();
    if (!read) fail_without_header(path);
    if (!*read) throw_error(damaged_store(path, "the journal's header: " + read->error().message));
    header = std::move(*read).value();
    if (header.version != kVersion)
      fail(ErrorCode::kVersionMismatch,
           fmt::format("{} is a journal of format {}, this program reads format {}", path, header.version, kVersion));
  }

  [[noreturn]] void fail_without_header(const std::string& path) const {
    const auto key = store->last_key().value();
    if (!key) fail(ErrorCode::kNotFound, path + " is a journal that is only just being made; try again");
    if (key->size() == record_key(0).size() && key->starts_with(kRecordPrefix)) throw_error(damaged_store(path, "the journal's header is missing"));
    fail(ErrorCode::kInvalidArgument, path + " holds another kind of store, not a journal");
  }

  void load_last() {
    last = header.sealed;
    const auto key = store->last_key().value();
    if (!key || !key->starts_with(kRecordPrefix)) return;
    const auto number = number_of_key(*key, 1);
    if (!number || *number < last || *number >= kEndOfNumbers) throw_error(damaged_store(store->name(), "the journal has a record of no number"));
    last = *number;
  }

  [[noreturn]] void fail_missing(std::uint64_t number) const {
    fail(ErrorCode::kStorageCorruption,
         fmt::format("{} is damaged: record {} is missing; restore the directory from a copy", store->name(), number));
  }

  void require_writable() const {
    if (read_only)
      fail(ErrorCode::kInvalidArgument, store->name() + " was opened for reading; open it for writing to change it");
  }
};

Journal::Journal(std::unique_ptr<State> state) : state_(std::move(state)) {}
Journal::Journal(Journal&&) noexcept = default;
Journal& Journal::operator=(Journal&&) noexcept = default;
Journal::~Journal() = default;

Journal::State& Journal::state() const {
  if (!state_) fail(ErrorCode::kInvalidArgument, "the journal is closed");
  if (::getpid() != state_->process)  // a thread that this one has not may hold its locks
    fail(ErrorCode::kRuntimeStopped, state_->store->name() + " is open in the process of which this one is a fork: use it there, read it here by "
                                     "open_read_only, or let the fork start a program anew by exec");
  return *state_;
}

Journal Journal::open(const std::string& path, JournalOptions options) {
  auto state = std::make_unique<State>();
  state->store = open_rocksdb(path, {.create = options.create}).value();
  state->sync_each = options.sync_each_append ? Sync::kYes : Sync::kNo;
  if (!state->store->last_key().value()) {
    const auto header = encode(JournalHeader{.version = kVersion});
    state->store->put(kHeaderKey, as_byte_view(header), Sync::kNo).value();
    state->store->flush().value();  // out of the log, so that a log cut short still belongs to a journal
  }
  state->load_header(path);
  state->load_last();
  return Journal(std::move(state));
}

Journal Journal::open_read_only(const std::string& path) {
  auto state = std::make_unique<State>();
  state->store = open_rocksdb(path, {.create = false, .read_only = true}).value();
  state->read_only = true;
  state->load_header(path);
  state->load_last();
  return Journal(std::move(state));
}

bool Journal::in_use(const std::string& path) { return rocksdb_in_use(path); }

std::uint64_t Journal::append(Record record) { return append_batch({&record, 1}); }

std::uint64_t Journal::append_batch(std::span<const Record> records) {
  State& journal = state();
  journal.require_writable();
  std::lock_guard lock(journal.mutex);
  WriteBatch batch;
  for (std::size_t i = 0; i < records.size(); ++i) batch.put(record_key(journal.last + 1 + i), records[i]);
  if (!records.empty()) journal.store->write(batch, journal.sync_each).value();
  journal.last += records.size();
  return journal.last;
}

void Journal::replace_prefix(std::uint64_t up_to, std::span<const Record> snapshot) {
  State& journal = state();
  journal.require_writable();
  std::lock_guard lock(journal.mutex);
  if (up_to > journal.last || up_to < journal.header.sealed) {
    fail(ErrorCode::kInvalidArgument,
         fmt::format("{}: cannot replace the records up to {}; it has a snapshot up to {} and records up to {}",
                     journal.store->name(), up_to, journal.header.sealed, journal.last));
  }
  const JournalHeader header{.version = kVersion, .sealed = up_to, .snapshot_records = snapshot.size()};
  const auto encoded = encode(header);
  WriteBatch batch;
  batch.erase_range(record_key(0), record_key(up_to + 1)).put(kHeaderKey, as_byte_view(encoded));
  for (std::size_t i = 0; i < snapshot.size(); ++i) batch.put(record_key(up_to, i), snapshot[i]);
  journal.store->write(batch, Sync::kYes).value();
  journal.header = header;
}

void Journal::for_each(const Visitor& visitor) const {
  const State& journal = state();
  const auto least_last = last();
  JournalHeader header;
  std::uint64_t number = 0;
  std::uint64_t index = 0;  // how many of the snapshot's records have been seen
  // The header's key comes before all records: one scan sees both as they belong together.
  auto scanned = journal.store->scan(kHeaderKey, [&](std::string_view key, ByteView value) {
    if (key == kHeaderKey) {
      header = decode_journal_header(value).value();
      number = header.sealed;
      return true;
    }
    const auto expected = index < header.snapshot_records ? record_key(number, index++) : record_key(++number);
    if (key != expected) journal.fail_missing(number);
    visitor(number, value);
    return true;
  });
  scanned.value();
  if (number < least_last || index < header.snapshot_records) journal.fail_missing(number + 1);
}

std::uint64_t Journal::last() const {
  const State& journal = state();
  std::lock_guard lock(journal.mutex);
  return journal.last;
}

void Journal::sync() {
  State& journal = state();
  if (!journal.read_only) journal.store->sync().value();
}

void Journal::close() {
  if (!state_) return;
  if (!state_->read_only && ::getpid() == state_->process) state_->store->sync().value();
  state_.reset();
}

}  // namespace manta
