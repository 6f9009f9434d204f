#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "runtime/errors.hpp"
#include "runtime/journal.hpp"
#include "tune/core/event_log.hpp"
#include "tune/core/journal_codec.hpp"

namespace manta::tune {

namespace {

namespace fs = std::filesystem;

std::vector<Journal::Record> views(const std::vector<EventLog::Bytes>& records) { return {records.begin(), records.end()}; }

/// Which file a path leads to; none when there is none.
struct FileIdentity {
  dev_t device{};
  ino_t inode{};
  bool operator==(const FileIdentity&) const = default;
};

std::optional<FileIdentity> identity_of(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return FileIdentity{status.st_dev, status.st_ino};
}

class JournalLog final : public EventLog {
 public:
  JournalLog(Journal journal, const fs::path& directory, fs::path history)
      : journal_(std::move(journal)), directory_(fs::absolute(directory)), opened_(identity_of(lock())), history_path_(std::move(history)) {}

  void check_there() const override {
    if (!opened_) return;  // never seen: nothing to compare with
    const auto now = identity_of(lock());
    if (now == opened_ || (!now && errno != ENOENT && errno != ENOTDIR)) return;  // a file system that is away for a moment
    throw IoError("the experiment's journal '" + directory_.string() + "' was " + (now ? "replaced" : "removed") +
                  " while the experiment ran, and its results with it. What was reported so far is lost, so the run ends here: restore the "
                  "directory from a copy and go on with resume, or begin anew.");
  }

  void append(std::span<const std::byte> record) override { journal_.append(record); }
  void append_all(const std::vector<Bytes>& records) override { journal_.append_batch(views(records)); }
  void sync() override { journal_.sync(); }
  void for_each(const Visitor& visit) const override {
    journal_.for_each([&](std::uint64_t, std::span<const std::byte> record) { visit(record); });
  }

  void for_each_event(const Visitor& visit) const override {
    const std::uint64_t sealed = find_sealed();
    std::uint64_t seen = 0;  // a compaction that was killed has left records in the history that it has again, or the journal
    if (sealed != 0)
      read_history([&](std::uint64_t number, std::span<const std::byte> record) {
        if (number != seen + 1 || number > sealed) return;
        seen = number;
        visit(record);
      });
    if (seen != sealed)
      throw StorageCorruption("the experiment's history '" + history_path_.string() + "' ends with record " + std::to_string(seen) + ", and its journal '" +
                              directory_.string() + "' goes on behind record " + std::to_string(sealed) +
                              ": the two are of different times, or a part is lost. If this is a copy of a running experiment, copy both again; "
                              "else restore both from one copy");
    journal_.for_each([&](std::uint64_t number, std::span<const std::byte> record) {
      if (number > sealed) visit(record);
    });
  }

  bool can_compact() const override { return true; }
  void compact(const std::vector<Bytes>& snapshot) override {
    journal_.sync();  // the history must not know of records that a power cut takes from the journal
    Journal history = Journal::open(history_path_.string());
    move_tail_to(history);
    history.close();  // on the disk
    journal_.replace_prefix(journal_.last(), views(snapshot));
  }

 private:
  /// A file that the store keeps from when it is opened until it is closed.
  fs::path lock() const { return directory_ / "LOCK"; }

  /// The number that all records of the snapshot carry; 0 when there is none.
  std::uint64_t find_sealed() const {
    std::optional<std::uint64_t> first;
    journal_.for_each([&](std::uint64_t number, std::span<const std::byte>) { first = first.value_or(number); });
    return first.value_or(1) > 1 ? *first : 0;
  }

  void read_history(const HistoryVisitor& visit) const {
    const Journal history = Journal::open_read_only(history_path_.string());
    history.for_each([&](std::uint64_t, std::span<const std::byte> chunk) { decode_history(chunk, visit); });
  }

  void move_tail_to(Journal& history) const {
    constexpr std::size_t kChunkBytes = 128 * 1024;
    const std::uint64_t sealed = find_sealed();
    std::vector<Bytes> chunk;
    std::size_t bytes = 0;
    std::uint64_t first = 0;
    const auto flush = [&] {
      if (!chunk.empty()) history.append(encode_history(first, chunk));
      chunk.clear();
      bytes = 0;
    };
    journal_.for_each([&](std::uint64_t number, std::span<const std::byte> record) {
      if (number <= sealed) return;
      if (chunk.empty()) first = number;
      chunk.emplace_back(record.begin(), record.end());
      bytes += record.size();
      if (bytes >= kChunkBytes) flush();
    });
    flush();
  }

  Journal journal_;
  fs::path directory_;
  std::optional<FileIdentity> opened_;
  fs::path history_path_;
};

fs::path history_of(const fs::path& journal) { return fs::absolute(journal).lexically_normal().parent_path() / "history"; }

}  // namespace

std::unique_ptr<EventLog> open_event_log(const fs::path& directory) {
  return std::make_unique<JournalLog>(Journal::open(directory.string()), directory, history_of(directory));
}

std::unique_ptr<EventLog> open_event_log_read_only(const fs::path& directory) {
  return std::make_unique<JournalLog>(Journal::open_read_only(directory.string()), directory, history_of(directory));
}

}  // namespace manta::tune
