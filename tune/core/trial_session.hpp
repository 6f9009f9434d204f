#pragma once
// TrialSession: one attempt of a trial inside its actor. The user's function runs on a thread of its own; `next` hands it
// the driver's decision and waits for its next word, so driver and trial take turns. With a line the function asks the driver
// itself, and `next` waits for its end. Owned by the actor; `next` is called by one thread at a time, the rest by the session's own
// thread. The destructor tells the function to stop and waits for it.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "tune/core/report_line.hpp"
#include "tune/core/trial_messages.hpp"
#include "tune/trial_context.hpp"

namespace manta::tune {

/// Unwinds the user's function. Not a std::exception, so that `catch (const std::exception&)` lets it pass.
struct TrialStopped {};

/// What the session borrows from the runtime. The client may be null in tests.
struct SessionRuntime {
  std::shared_ptr<Client> client{};
  std::vector<int> gpu_ids{};
  Amount num_cpus{};
};

class TrialSession {
 public:
  using Body = std::function<void(TrialContext&, const Config&)>;

  TrialSession(TrialSpec spec, Body body, SessionRuntime runtime, std::shared_ptr<ReportLine> line = nullptr);
  ~TrialSession();
  TrialSession(const TrialSession&) = delete;
  TrialSession& operator=(const TrialSession&) = delete;

  /// Starts the function (first call; the decision does not count) or lets it go on, and waits for what it says. After
  /// its end the last word is repeated.
  TrialReply next(Decision decision);

  // The user's side, by TrialContext.
  void report(const Metrics& metrics, const TrialContext::SaveFunction* save);
  void save_when_leaving(TrialContext::SaveFunction save) { leaving_save_ = std::move(save); }
  bool stopping() const noexcept { return stopping_.load(std::memory_order_relaxed) || (line_ && line_->closed()); }
  std::uint64_t iteration() const noexcept { return iteration_; }
  const TrialSpec& spec() const noexcept { return spec_; }
  const std::filesystem::path& dir() const noexcept { return dir_; }
  SessionRuntime& runtime() noexcept { return runtime_; }

 private:
  using Clock = std::chrono::steady_clock;
  class Reporting;

  void run();
  void say(TrialReply reply);
  TrialReply last_word();
  bool hold_back(TrialReply& reply);
  TrialContext::SaveFunction while_wanted(const TrialContext::SaveFunction& save) const;
  Decision ask(TrialReply reply);
  std::optional<Decision> take_turns(TrialReply reply);
  void save_if_wanted(Decision decision, bool saved_already);

  const TrialSpec spec_;
  const std::filesystem::path dir_;
  const Body body_;
  SessionRuntime runtime_;
  const std::shared_ptr<ReportLine> line_;  // null: the driver asks by `next`
  std::uint64_t iteration_;
  Clock::time_point turn_began_{};
  Clock::time_point told_at_{};            // when the driver last heard a result
  std::vector<TrialReply> held_back_{};    // results that it has not heard
  TrialContext::SaveFunction leaving_save_{};
  TrialReply leaving_{};                   // the checkpoint made when leaving, or why there is none

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<TrialReply> word_{};        // said by the function, not yet taken
  std::optional<TrialReply> final_word_{};  // what every further `next` gives
  std::optional<Decision> decision_{};      // given by the driver, not yet taken
  std::atomic<bool> stopping_{false};
  std::atomic<bool> reporting_{false};
  bool abandoned_{false};                   // nobody asks any more
  bool unheard_{false};                     // the line ended with a result on it
  std::thread thread_{};
};

}  // namespace manta::tune
