#pragma once
// How many trials fit at a time, and resource use as text. Pure.
#include <cstddef>
#include <cstdint>
#include <string>

#include "tune/options.hpp"

namespace manta::tune {

/// The number of trials that the resources allow at once, at most `max_concurrent` when that is not 0. InfeasibleResources,
/// naming the resource and what there is, when not even one fits.
std::size_t plan_concurrency(const TrialResources& trial, const Resources& total, std::int64_t max_concurrent);

/// What trials hold of the machine, counted by the driver: a trial is started only when all of it is there.
class ResourceLedger {
 public:
  explicit ResourceLedger(Resources total) : total_(std::move(total)) {}

  bool fits(const Resources& wanted) const;
  void take(const Resources& wanted);
  void give_back(const Resources& held);
  const Resources& total() const noexcept { return total_; }

 private:
  Resources total_;
  Resources held_{};
};

/// "1.5/2 CPU, 0/1 GPU".
std::string usage_text(const Resources& total, const Resources& available);

}  // namespace manta::tune
