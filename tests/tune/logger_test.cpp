#include "tune/loggers/logger.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "runtime/errors.hpp"
#include "support.hpp"
#include "tune/loggers/json_text.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {
Trial make_trial() {
  Trial trial{.index = 0, .id = "abcde_00000", .name = "f_abcde_00000"};
  trial.config.set("lr", 0.1);
  trial.config.set("model/opt", "a,\"b\"");
  return trial;
}

void log_result(Logger& logger, Trial& trial, const std::filesystem::path& dir, Metrics metrics) {
  TrialReported report{0, ++trial.iteration, std::move(metrics), 0.25, trial.iteration == 2 ? "checkpoint_000002" : "", 12};
  trial.time_total_s += 0.25;
  logger.on_result(trial, dir, report, 1000);
}
}  // namespace

TEST_SUITE("tune/loggers") {
  TEST_CASE("result.jsonl has one object a line, with exact numbers and texts for NaN and infinities") {
    TempDir dir;
    Trial trial = make_trial();
    auto logger = make_json_logger();
    logger->on_created(trial, dir.path());
    log_result(*logger, trial, dir.path(), {{"loss", 0.1 + 0.2}, {"acc", NAN}});
    log_result(*logger, trial, dir.path(), {{"loss", -INFINITY}});
    const auto lines = lines_of(dir.path() / "result.jsonl");
    REQUIRE(lines.size() == 2);
    CHECK(has(lines[0], "\"loss\":0.30000000000000004,\"acc\":\"NaN\",\"training_iteration\":1,\"trial_id\":\"abcde_00000\""));
    CHECK_FALSE(has(lines[0], "checkpoint"));
    CHECK(has(lines[1], "\"-Infinity\""));
    CHECK(has(lines[1], "\"time_total_s\":0.5"));
    CHECK(has(lines[1], "\"checkpoint\":\"checkpoint_000002\""));
    CHECK(has(text_of(dir.path() / "params.json"), "\"opt\": \"a,\\\"b\\\"\""));
  }

  TEST_CASE("text that is no UTF-8 does not stop the logger") {
    Config config;
    config.set("p", std::string("\xff\xfe"));
    CHECK(has(config_json(config, -1), "\"p\""));
  }

  TEST_CASE("progress.csv gets new columns at its end when a later result has new names") {
    TempDir dir;
    Trial trial = make_trial();
    auto logger = make_csv_logger();
    logger->on_created(trial, dir.path());
    log_result(*logger, trial, dir.path(), {{"loss", 0.1}});
    log_result(*logger, trial, dir.path(), {{"loss", NAN}, {"acc", 1}});
    log_result(*logger, trial, dir.path(), {{"acc", 2}});
    const auto lines = lines_of(dir.path() / "progress.csv");
    REQUIRE(lines.size() == 4);
    CHECK(lines[0] == "loss,training_iteration,trial_id,time_this_iter_s,time_total_s,timestamp_ms,pid,checkpoint,"
                      "config/lr,config/model/opt,acc");
    CHECK(lines[1] == "0.1,1,abcde_00000,0.25,0.25,1000,12,,0.10000000000000001,\"a,\"\"b\"\"\",");
    CHECK(lines[2] == "nan,2,abcde_00000,0.25,0.5,1000,12,checkpoint_000002,0.10000000000000001,\"a,\"\"b\"\"\",1");
    CHECK(lines[3].starts_with(",3,"));
  }

  TEST_CASE("files of an earlier life are begun anew") {
    TempDir dir;
    Trial trial = make_trial();
    for (auto* make : {make_json_logger, make_csv_logger}) {
      auto logger = make();
      logger->on_created(trial, dir.path());
      trial.iteration = 0;
      log_result(*logger, trial, dir.path(), {{"loss", 1}});
      trial.error = "first";
      logger->on_failure(trial, dir.path(), 0);
      logger->on_created(trial, dir.path());
      trial.iteration = 0;
      log_result(*logger, trial, dir.path(), {{"other", 2}});
    }
    CHECK(lines_of(dir.path() / "result.jsonl").size() == 1);
    CHECK(lines_of(dir.path() / "progress.csv").size() == 2);
    CHECK_FALSE(std::filesystem::exists(dir.path() / "error.txt"));
  }

  TEST_CASE("a file that cannot be written is an IoError that names it") {
    TempDir dir;
    Trial trial = make_trial();
    auto logger = make_json_logger();
    CHECK_THROWS_AS(logger->on_created(trial, dir.path() / "absent"), IoError);
    CHECK(has(error_of([&] { logger->on_failure(trial, dir.path() / "absent", 0); }), "error.txt"));
  }
}
