#include "tune/schedulers/scheduler.hpp"

namespace manta::tune {

namespace {

class FifoScheduler final : public Scheduler {
 public:
  Verdict on_result(TrialIndex, const ResultView&) override { return {}; }
  std::string save() const override { return {}; }
  void restore(std::string_view) override {}
};

}  // namespace

SchedulerSpec fifo() {
  return {"FIFO", "fifo", [](const SchedulerContext&) { return std::make_unique<FifoScheduler>(); }};
}

}  // namespace manta::tune
