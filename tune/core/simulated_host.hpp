#pragma once
// SimulatedHost: trials as formulas on a virtual clock, and the checkpoints that they "write". Used by the driver's
// thread only.
#include <chrono>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <unordered_map>

#include "tune/core/checkpoint_store.hpp"
#include "tune/core/trial_host.hpp"
#include "tune/simulation.hpp"

namespace manta::tune {

/// The states of simulated trials, by the name that a directory would have.
class MemoryCheckpoints final : public CheckpointStore {
 public:
  /// `makes_dirs`: the trials' directories are made, for the loggers' files.
  explicit MemoryCheckpoints(bool makes_dirs = false) : makes_dirs_(makes_dirs) {}

  void make_trial_dir(const std::filesystem::path& trial_dir) override {
    if (makes_dirs_) std::filesystem::create_directories(trial_dir);
  }
  bool contains(const std::filesystem::path& checkpoint) const override { return states_.contains(key(checkpoint)); }
  void copy(const std::filesystem::path& source, const std::filesystem::path& trial_dir, const std::string& name) override;
  void remove(const std::filesystem::path& trial_dir, const std::string& name) override { states_.erase(key(trial_dir / name)); }
  void remove_leftovers(const std::filesystem::path& trial_dir, const std::vector<std::string>& keep) override;

  void save(const std::filesystem::path& checkpoint, std::vector<double> state) { states_[key(checkpoint)] = std::move(state); }
  std::vector<double> load(const std::filesystem::path& checkpoint) const;
  std::size_t size() const noexcept { return states_.size(); }

 private:
  /// The driver names a checkpoint by an absolute path or one from here: the trial's directory and the name are enough.
  static std::string key(const std::filesystem::path& checkpoint);
  bool makes_dirs_;
  std::unordered_map<std::string, std::vector<double>> states_;
};

class SimulatedHost final : public TrialHost {
 public:
  /// Borrows the store.
  SimulatedHost(SimulatedTrainable trainable, SimulatedCluster cluster, MemoryCheckpoints& checkpoints);

  void launch(const TrialSpec& spec, const std::filesystem::path& log_file) override;
  void answer(TrialIndex trial, Decision decision) override;
  void kill(TrialIndex trial) override;
  /// Whether a limit of time (the experiment's, or a trial's) is reached at that time of the clock, one to come, if nothing happens until
  /// then; it stays so. The clock goes no further at a time than to the first such millisecond, and nowhere when one is reached already by
  /// who has just been launched. Asked in `wait` only.
  void set_due_at(std::function<bool(std::int64_t at_ms)> due_at) { due_at_ = std::move(due_at); }
  /// The next thing that happens within `timeout` of the clock, which goes there, or to the end of that time. Never waits.
  std::vector<HostEvent> wait(std::chrono::milliseconds timeout) override;

  /// The virtual clock, in seconds.
  double now_s() const noexcept { return now_s_; }
  std::int64_t now_ms() const noexcept { return ms_of(now_s_); }
  double busy_s() const noexcept { return busy_s_; }

 private:
  struct Run {
    TrialSpec spec{};
    Config config{};
    std::uint64_t iteration{0};
    std::vector<double> state{};
    double slowness{1};
    double drop_s{0};  ///< work that it does until it is dropped
    double since_s{0};
  };
  struct Due {
    double time_s;
    std::uint64_t order;  ///< of equal times the earlier one first
    TrialIndex trial;
    std::uint64_t launch;  ///< what a killed launch would have said, nobody hears
    HostEvent event;
  };
  struct Later {
    bool operator()(const Due& a, const Due& b) const { return a.time_s != b.time_s ? a.time_s > b.time_s : a.order > b.order; }
  };
  void go_on(TrialIndex trial, double delay_s);
  void say(TrialIndex trial, double delay_s, TrialReply reply, bool crashed = false);
  void leave(TrialIndex trial);
  bool is_heard(const Due& due) const { return runs_.contains(due.trial) && launches_.at(due.trial) == due.launch; }
  std::optional<double> limit_before(double until_s) const;
  static std::int64_t ms_of(double seconds) noexcept { return std::llround(seconds * 1000); }

  SimulatedTrainable trainable_;
  SimulatedCluster cluster_;
  MemoryCheckpoints& checkpoints_;
  std::map<TrialIndex, Run> runs_;
  std::map<TrialIndex, std::uint64_t> launches_;
  std::priority_queue<Due, std::vector<Due>, Later> due_;
  std::uint64_t order_{0};
  bool launched_{false};  ///< somebody, since the last `wait`
  std::function<bool(std::int64_t)> due_at_{};
  double now_s_{0};
  double busy_s_{0};
};

}  // namespace manta::tune
