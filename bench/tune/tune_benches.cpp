#include "bench/tune/tune_benches.hpp"

#include <time.h>

#include <chrono>
#include <memory>
#include <string>

#include "tune/study.hpp"

namespace manta::bench {

namespace {

tune::StudyOptions ten_parameters() {
  return {.space = {{"lr", tune::loguniform(1e-5, 1)},
                    {"decay", tune::loguniform(1e-6, 0.1)},
                    {"momentum", tune::uniform(0, 1)},
                    {"dropout", tune::uniform(0, 0.5)},
                    {"smoothing", tune::quniform(0, 0.2, 0.01)},
                    {"layers", tune::randint(1, 9)},
                    {"width", tune::lograndint(8, 1025)},
                    {"batch", tune::ordinal({16, 32, 64, 128, 256})},
                    {"optimizer", tune::choice({"sgd", "adam", "rmsprop"})},
                    {"activation", tune::choice({"relu", "gelu", "tanh"})}},
          .seed = 1};
}

/// Of this thread alone: a suggestion neither waits nor hands over, and the machine may be busy with other things.
std::chrono::nanoseconds cpu_time() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

double loss_of(const tune::Config& config) {
  const double momentum = config.get<double>("momentum") - 0.9, layers = config.get<double>("layers") - 3;
  return momentum * momentum + 0.1 * layers * layers + config.get<double>("dropout") +
         (config.get<std::string>("optimizer") == "adam" ? 0 : 0.5);
}

}  // namespace

Body tpe_suggest_10d_200() {
  auto study = std::make_shared<tune::Study>(ten_parameters());
  for (int i = 0; i < 200; ++i) {
    const tune::StudyTrial trial = study->ask();
    study->tell(trial, {{"loss", loss_of(trial.config)}});
  }
  return [study, at_200 = study->save()](std::size_t n) {
    Timed all{0, {}};
    for (; all.operations < n; ++all.operations) {
      study->restore(at_200);
      const auto start = cpu_time();
      (void)study->ask();
      all.time += cpu_time() - start;
    }
    return all;
  };
}

}  // namespace manta::bench
