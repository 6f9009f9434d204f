#pragma once
// CallbackCaller: tells the user's callbacks what happened once the journal has it. Owned by the runner; called by the driver's
// thread.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tune/callback.hpp"
#include "tune/core/experiment.hpp"

namespace manta::tune {

class CallbackCaller {
 public:
  using Callbacks = std::vector<std::shared_ptr<Callback>>;

  explicit CallbackCaller(Callbacks callbacks) : callbacks_(std::move(callbacks)) {}

  /// Notes an event that the machine has just taken.
  void note(const ExperimentMachine& machine, const EventBody& event, const Effects& effects);
  /// Tells what was noted.
  void tell(const Experiment& experiment);
  void tell_end(const Experiment& experiment);
  /// What callbacks threw; empties the list.
  std::vector<std::string> take_warnings() { return std::exchange(warnings_, {}); }

 private:
  struct Noted {
    EventBody event{};
    TrialState state{};  ///< of the event's trial, after it
    double time_total_s{0};
    double time_since_start_s{0};
    std::vector<TrialIndex> others_ended{};
    std::vector<Exploited> exploits{};
    bool checkpoint_dropped{false};  ///< the event's own checkpoint was of no use
  };
  using Call = std::function<void(Callback&)>;

  void tell_begin(const Experiment& experiment);
  void tell(const Experiment& experiment, const Noted& noted);
  void tell_event(const Experiment& experiment, const Noted& noted);
  void tell_result(const Experiment& experiment, const Noted& noted, const TrialReported& report);
  void tell_state(const Trial& trial, TrialState state);
  /// `name`: of the function that is called; `trial`: that it is about, or null.
  void each(const char* name, const Trial* trial, const Call& call);

  Callbacks callbacks_;
  bool begun_{false};  // on_experiment_begin was told
  std::vector<Noted> noted_;
  std::vector<std::string> warnings_;
};

}  // namespace manta::tune
