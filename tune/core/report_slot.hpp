#pragma once
// ReportSlot: how a trial on a thread of the driver's own process tells its results and hears what is decided, without a message
// of the runtime between: a lock and one wake-up each way. A trial in another process does not find its slot and answers by
// the actor's method instead. See docs/design, "A report on a thread takes two wake-ups".
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "tune/core/trial_messages.hpp"

namespace manta::tune {

/// What has come for the driver, in the order of arrival. Thread-safe; shared with what may outlive the driver's loop.
class HostInbox {
 public:
  struct Item {
    TrialIndex trial{0};
    std::uint64_t ticket{0};           ///< of the slot: tells one launch of a trial from the next
    std::optional<TrialReply> reply{};  ///< none: the trial's reference has its value
  };

  void put(Item item);
  /// All that is there, waiting up to `timeout` for the first.
  std::vector<Item> take(std::chrono::milliseconds timeout);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Item> arrived_;
};

/// One launch of a trial. Shared by the driver, which opens and closes it, and the trial's session.
class ReportSlot {
 public:
  /// `find` gives it until it is closed or gone.
  static std::shared_ptr<ReportSlot> open(std::shared_ptr<HostInbox> inbox, TrialIndex trial);
  struct Found {
    std::shared_ptr<ReportSlot> slot{};  ///< null when it was let go, or is another process's
    bool let_go{false};                  ///< it was this process's, and its driver has closed it
  };
  static Found find(std::uint64_t ticket);
  ~ReportSlot();
  ReportSlot(const ReportSlot&) = delete;
  ReportSlot& operator=(const ReportSlot&) = delete;

  std::uint64_t ticket() const noexcept { return ticket_; }

  // The trial's side, one thread at a time.
  /// Tells a result and waits for the decision. None: the slot was closed, and what was told may never be heard.
  std::optional<Decision> ask(TrialReply reply);

  // The driver's side.
  /// Answers what was asked.
  void answer(Decision decision);
  /// The trial is told to stop, now or at its next report, and not heard any more.
  void close();

  bool closed() const noexcept { return closed_.load(std::memory_order_relaxed); }

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
