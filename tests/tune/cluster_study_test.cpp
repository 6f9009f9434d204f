#include "bench/schedulers/cluster_study.hpp"

#include <doctest/doctest.h>

#include <ctime>
#include <map>

using namespace manta;
using namespace manta::bench;

TEST_SUITE("tune/simulation") {
  TEST_CASE("the 500-worker figure of the ASHA paper: with stragglers and drops ASHA is ahead of HyperBand and random search") {
    ClusterStudy study;
    study.horizon = 300;
    study.cluster.straggler_sd = 0.5;
    study.cluster.drop_probability = 0.002;
    const std::vector<double> times{100, 200, 300};
    std::map<std::string, Outcome> of;
    const std::clock_t begin = std::clock();
    for (const Contestant& contestant : contestants(study)) of[contestant.name] = run(study, contestant, times, 1);
    CHECK((std::clock() - begin) / CLOCKS_PER_SEC < 20);
    for (const auto* asha : {&of["ASHA, stopping"], &of["ASHA, promotion"]}) {
      CHECK(asha->trials > 10 * of["random search"].trials);
      CHECK(asha->busy > 0.95);
      for (std::size_t i = 1; i < times.size(); ++i) {
        CHECK(asha->best[i] <= of["random search"].best[i]);
        CHECK(asha->best[i] <= of["HyperBand, synchronous"].best[i]);
      }
      CHECK(asha->best[2] < 0.5 * of["random search"].best[2]);
    }
    CHECK(of["ASHA, promotion"].whole > 0);
    const Outcome again = run(study, contestants(study)[3], times, 1);
    CHECK(again.best == of["ASHA, promotion"].best);
    CHECK(again.trials == of["ASHA, promotion"].trials);
  }
}
