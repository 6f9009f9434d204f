#pragma once
// RuntimeTrialHost: trials as actors of the runtime. One reference is outstanding for each trial that is at work.
#include <map>
#include <memory>

#include "tune/core/trial_actor.hpp"
#include "tune/core/trial_host.hpp"
#include "tune/options.hpp"

namespace manta::tune {

class RuntimeTrialHost final : public TrialHost {
 public:
  /// All three must outlive it.
  RuntimeTrialHost(Client& client, const Trainable& trainable, const TuneOptions& options)
      : client_(client), trainable_(trainable), options_(options) {}
  ~RuntimeTrialHost() override;

  void launch(const TrialSpec& spec, const std::filesystem::path& log_file) override;
  void answer(TrialIndex trial, Decision decision) override;
  void kill(TrialIndex trial) override;
  std::vector<HostEvent> wait(std::chrono::milliseconds timeout) override;

 private:
  struct Running {
    std::unique_ptr<TrialHandle> handle{};
    ObjectRef<TrialReply> word{};  ///< empty while the trial waits for an answer
  };
  ActorOptions actor_options(const TrialSpec& spec, const std::filesystem::path& log_file) const;
  HostEvent take(TrialIndex trial);

  Client& client_;
  const Trainable& trainable_;
  const TuneOptions& options_;
  std::map<TrialIndex, Running> running_;
  std::vector<HostEvent> failed_launches_;
};

}  // namespace manta::tune
