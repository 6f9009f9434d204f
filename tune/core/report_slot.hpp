#pragma once
// ReportSlot: how a trial on a thread of the driver's own process tells its results and hears what is decided, without a message
// of the runtime between: a lock and one wake-up each way. A trial in another process does not find its slot and answers by
// the driver's ReportDesk or by the actor's method instead. See docs/design, "A report on a thread takes two wake-ups".
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "tune/core/report_line.hpp"

namespace manta::tune {

class DeskBell;

/// What has come for the driver, in the order of arrival. Thread-safe; shared with what may outlive the driver's loop.
class HostInbox {
 public:
  struct Item {
    TrialIndex trial{0};
    std::uint64_t ticket{0};           ///< of the slot: tells one launch of a trial from the next
    std::optional<TrialReply> reply{};  ///< none: the trial's reference has its value
    bool at_desk{false};                ///< how it came, and where the answer is waited for
    bool begun{false};                  ///< only that its actor has its place; there is no reply
  };

  void put(Item item);
  /// From now on the bell tells that something has come, and `take` is asked without waiting.
  void use(std::shared_ptr<const DeskBell> bell);
  /// All that is there, waiting up to `timeout` for the first.
  std::vector<Item> take(std::chrono::milliseconds timeout);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Item> arrived_;
  std::shared_ptr<const DeskBell> bell_{};
};

/// One launch of a trial. Shared by the driver, which opens and closes it, and the trial's session.
class ReportSlot final : public ReportLine {
 public:
  /// `find` gives it until it is closed or gone.
  static std::shared_ptr<ReportSlot> open(std::shared_ptr<HostInbox> inbox, TrialIndex trial);
  struct Found {
    std::shared_ptr<ReportSlot> slot{};  ///< null when it was let go, or is another process's
    bool let_go{false};                  ///< it was this process's, and its driver has closed it
  };
  static Found find(std::uint64_t ticket);
  ~ReportSlot() override;
  ReportSlot(const ReportSlot&) = delete;
  ReportSlot& operator=(const ReportSlot&) = delete;

  std::uint64_t ticket() const noexcept { return ticket_; }

  std::optional<Decision> ask(TrialReply reply) override;
  /// The driver answers what was asked.
  void answer(Decision decision);
  /// The trial is told to stop, now or at its next report, and not heard any more.
  void close() override;
  bool closed() const noexcept override { return closed_.load(std::memory_order_relaxed); }

 private:
  ReportSlot(std::shared_ptr<HostInbox> inbox, TrialIndex trial, std::uint64_t ticket)
      : inbox_(std::move(inbox)), trial_(trial), ticket_(ticket) {}

  const std::shared_ptr<HostInbox> inbox_;
  const TrialIndex trial_;
  const std::uint64_t ticket_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Decision> decision_{};  // given by the driver, not yet taken
  std::atomic<bool> closed_{false};
};

}  // namespace manta::tune
