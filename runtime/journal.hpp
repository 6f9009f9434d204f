#pragma once
// Journal: an append-only log of records that survives whatever happens to the program.
//
// A record is bytes; what they mean is the caller's. Records are numbered from 1 without a hole. After kill -9 every record
// whose append returned is there; after a power loss a prefix that holds at least everything before the last sync. Damage
// anywhere else is an error and never a missing record. One process writes; others may look on with open_read_only. Owned
// by whoever opened it; thread-safe except for moving and close. Ends with close or the destructor. Every function throws
// an exception of the manta::Error family: in a fork of that process, RuntimeStopped, where open_read_only gives one to read.
//
//   auto journal = manta::Journal::open("results/experiment.journal");
//   journal.append(bytes);
//   journal.for_each([](std::uint64_t number, std::span<const std::byte> record) { … });
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace manta {

struct JournalOptions {
  bool create{true};           ///< make the journal if there is none; otherwise NotFound
  bool sync_each_append{};     ///< every append waits for the disk: safe against power loss, some ms each
};

class Journal {
 public:
  using Record = std::span<const std::byte>;
  using Visitor = std::function<void(std::uint64_t number, Record record)>;

  /// Opens the journal in directory `path` for writing. NotFound, IoError, OutOfDisk; ResourceExhausted when another
  /// program has it open (named); StorageCorruption; InvalidArgument when the directory holds something else.
  static Journal open(const std::string& path, JournalOptions options = {});
  /// A snapshot of the journal as it is now, also while another process writes it. Changing it is InvalidArgument.
  static Journal open_read_only(const std::string& path);
  /// Whether this program or another one has it open for writing just now.
  static bool in_use(const std::string& path);
  Journal(Journal&&) noexcept;
  Journal& operator=(Journal&&) noexcept;
  ~Journal();

  /// Adds one record, empty allowed, and gives its number. After OutOfDisk it is not there: try again later. After IoError
  /// nobody knows: open the journal anew, and look at last().
  std::uint64_t append(Record record);
  /// Adds several records, all or none, in one write; gives the number of the last.
  std::uint64_t append_batch(std::span<const Record> records);
  /// Compaction: the records up to number `up_to` give way to `snapshot`, all at once or not at all. The snapshot's
  /// records are visited first and all carry the number `up_to`. InvalidArgument when `up_to` is beyond the last record
  /// or before an earlier snapshot's.
  void replace_prefix(std::uint64_t up_to, std::span<const Record> snapshot);

  /// Visits all records in order. The bytes are valid during the call. StorageCorruption when any is damaged or missing;
  /// those before it have been visited then.
  void for_each(const Visitor& visitor) const;
  /// Number of the last record; 0 when there is none.
  std::uint64_t last() const;

  /// Waits until everything appended is on the disk.
  void sync();
  /// Syncs and lets go of the directory; every other call is InvalidArgument from then on. Twice is harmless.
  void close();

 private:
  struct State;
  explicit Journal(std::unique_ptr<State> state);
  State& state() const;

  std::unique_ptr<State> state_;
};

}  // namespace manta
