#include "runtime/journal.hpp"

#include "tune/core/event_log.hpp"

namespace manta::tune {

namespace {

class JournalLog final : public EventLog {
 public:
  explicit JournalLog(const std::filesystem::path& directory) : journal_(Journal::open(directory.string())) {}

  void append(std::span<const std::byte> record) override { journal_.append(record); }
  void append_all(const std::vector<std::vector<std::byte>>& records) override {
    std::vector<Journal::Record> views(records.begin(), records.end());
    journal_.append_batch(views);
  }
  void sync() override { journal_.sync(); }
  void for_each(const std::function<void(std::span<const std::byte>)>& visit) const override {
    journal_.for_each([&](std::uint64_t, std::span<const std::byte> record) { visit(record); });
  }

 private:
  Journal journal_;
};

}  // namespace

std::unique_ptr<EventLog> open_event_log(const std::filesystem::path& directory) {
  return std::make_unique<JournalLog>(directory);
}

}  // namespace manta::tune
