#pragma once
// RuntimeTrialHost: trials as actors of the runtime. One reference is outstanding for each trial that is at work; whoever settles it
// puts the trial into an inbox, so that a turn costs what has come and not what runs. A trial in this process puts its results there
// itself, one in another process of this machine tells them at a desk, and the references of both give only their end.
// With reuse_actors an actor whose trial came to its end waits for the next one of the same resources.
#include <map>
#include <memory>

#include "tune/core/report_desk.hpp"
#include "tune/core/report_slot.hpp"
#include "tune/core/trial_actor.hpp"
#include "tune/core/trial_host.hpp"
#include "tune/options.hpp"

namespace manta::tune {

class RuntimeTrialHost final : public TrialHost {
 public:
  /// All three must outlive it.
  RuntimeTrialHost(Client& client, const Trainable& trainable, const TuneOptions& options);
  ~RuntimeTrialHost() override;

  void launch(const TrialSpec& spec, const std::filesystem::path& log_file) override;
  /// Where there is a time limit: it costs a call for each launch.
  bool tells_begin() const override { return options_.trial_time_limit_s > 0; }
  void answer(TrialIndex trial, Decision decision) override;
  void kill(TrialIndex trial) override;
  std::vector<HostEvent> wait(std::chrono::milliseconds timeout) override;

 private:
  /// An actor and what it holds.
  struct Seat {
    std::unique_ptr<TrialHandle> handle{};
    TrialResources resources{};
    PlacementGroup group{};
  };
  struct Running {
    Seat seat{};
    ObjectRef<bool> place{};       ///< has its value when the actor runs; empty when nobody wants to know
    ObjectRef<TrialReply> word{};  ///< empty while the trial waits for an answer by its actor's method
    std::shared_ptr<ReportSlot> slot{};
    enum class Asked : std::uint8_t { kTurns, kSlot, kDesk };
    Asked asked{Asked::kTurns};  ///< how its last report came
  };

  ActorOptions actor_options(const TrialSpec& spec, const Seat& seat, const std::filesystem::path& log_file) const;
  Seat take_seat(const TrialSpec& spec, const std::filesystem::path& log_file);
  Seat new_seat(const TrialSpec& spec, const std::filesystem::path& log_file);
  void leave_seat(Seat seat, bool reusable);
  void end(Seat& seat);
  void listen(TrialIndex trial, Running& running);
  bool open_desk();
  std::vector<HostInbox::Item> arrived(std::chrono::milliseconds timeout);
  void let_go(Running& running);
  void take(HostInbox::Item item, std::vector<HostEvent>& events);
  void take_word(TrialIndex trial, Running& running, std::vector<HostEvent>& events);

  Client& client_;
  const Trainable& trainable_;
  const TuneOptions& options_;
  std::map<TrialIndex, Running> running_;
  std::vector<Seat> free_seats_;
  std::vector<HostEvent> failed_launches_;
  std::shared_ptr<HostInbox> inbox_;
  std::unique_ptr<ReportDesk> desk_{};  // none while all trials run in this process
  bool wants_desk_;
};

}  // namespace manta::tune
