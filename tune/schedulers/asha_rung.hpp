#pragma once
// What a rung of the stopping type of ASHA remembers, and how it judges who comes to it. Pure; owned by its scheduler.
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "tune/schedulers/running_quantile.hpp"
#include "tune/searchers/pareto.hpp"
#include "tune/searchers/state_text.hpp"

namespace manta::tune {

class AshaRung {
 public:
  virtual ~AshaRung() = default;
  /// Records one number for each objective, larger is better. True when who brings them is to stop.
  virtual bool judge(const std::vector<double>& values) = 0;
  /// For the reporter: what divides those who go on from those who stop.
  virtual std::string text() const = 0;
  virtual void save(StateWriter& out) const = 0;
  virtual void restore(StateReader& in) = 0;
};

/// One objective: who is strictly worse than the quantile of those before stops. `sign`: -1 where small is good, for the text.
class QuantileRung final : public AshaRung {
 public:
  QuantileRung(double reduction_factor, double sign);
  bool judge(const std::vector<double>& values) override;
  std::string text() const override;
  void save(StateWriter& out) const override;
  void restore(StateReader& in) override;

 private:
  double percent_;
  double sign_;
  RunningQuantile values_;
  std::uint64_t count_{0};  ///< NaN too
};

/// Several: who is not among the best 1 / reduction_factor of the newest kMost stops, by fronts, and on one front by crowding.
class ParetoRung final : public AshaRung {
 public:
  static constexpr std::size_t kMost = 512;  ///< so that a result costs the same however many trials there were

  ParetoRung(double reduction_factor, std::size_t objectives) : factor_(reduction_factor), objectives_(objectives) {}
  bool judge(const std::vector<double>& values) override;
  std::string text() const override;
  void save(StateWriter& out) const override;
  void restore(StateReader& in) override;

 private:
  std::size_t better_than_newest() const;

  double factor_;
  std::size_t objectives_;
  std::deque<Losses> points_;  ///< the newest last
};

}  // namespace manta::tune
