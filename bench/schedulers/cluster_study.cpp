#include "bench/schedulers/cluster_study.hpp"

#include <algorithm>
#include <cmath>

namespace manta::bench {

namespace {

constexpr double kFactor = 4;
constexpr std::int64_t kEndless = 10'000'000;  // trials: the horizon comes first

/// Reports at 1, 4, 16, … seconds of training, `full` the last.
tune::SimulatedTrainable curves(double full) {
  tune::SimulatedTrainable trainable{.name = "curves", .iterations = 1 + static_cast<std::uint64_t>(std::lround(std::log(full) / std::log(kFactor)))};
  trainable.step = [](tune::SimulatedStep& step) {
    const double t = std::pow(kFactor, static_cast<double>(step.iteration - 1));
    const double before = step.iteration == 1 ? 0 : t / kFactor;
    const double floor = step.config.get<double>("floor"), rate = 0.1 + step.config.get<double>("rate");
    return tune::SimulatedResult{{{"loss", floor + (1 - floor) * std::pow(1 + t, -rate)}, {"seconds", t}}, t - before};
  };
  return trainable;
}

}  // namespace

std::vector<Contestant> contestants(const ClusterStudy& study) {
  tune::AshaOptions stopping{.time_attr = "seconds", .max_t = study.full, .reduction_factor = kFactor};
  tune::AshaOptions promotion = stopping;
  promotion.type = tune::AshaType::kPromotion;
  return {{"random search", tune::fifo()},
          {"HyperBand, synchronous", tune::hyperband({.time_attr = "seconds", .max_t = study.full, .reduction_factor = kFactor,
                                                      .variant = tune::HyperBandVariant::kPaper})},
          {"ASHA, stopping", tune::asha(stopping)},
          {"ASHA, promotion", tune::asha(promotion)}};
}

Outcome run(const ClusterStudy& study, const Contestant& contestant, const std::vector<double>& times, std::uint64_t seed) {
  tune::TuneOptions options{.metric = "loss", .num_samples = kEndless, .space = {{"floor", tune::uniform(0, 1)}, {"rate", tune::uniform(0, 1)}}};
  options.scheduler = contestant.scheduler;
  options.stop = tune::timeout(study.horizon);
  options.seed = seed;
  const tune::SimulatedTrainable trainable = curves(study.full);
  const tune::Simulation done = tune::simulate(options, trainable, study.cluster);
  Outcome outcome;
  double best = 1;
  for (const tune::SimulatedReport& report : done.timeline) {
    while (outcome.best.size() < times.size() && report.time_s > times[outcome.best.size()]) outcome.best.push_back(best);
    best = std::min(best, report.value);
    outcome.whole += report.iteration == trainable.iterations;
  }
  outcome.best.resize(times.size(), best);
  outcome.trials = done.grid.size();
  outcome.busy = done.busy_seconds / (done.seconds * static_cast<double>(study.cluster.workers));
  return outcome;
}

}  // namespace manta::bench
