#include "tune/loggers/logger.hpp"

#include <doctest/doctest.h>

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>
#include <map>
#include <protozero/pbf_reader.hpp>

#include "runtime/errors.hpp"
#include "support.hpp"
#include "tune/loggers/json_text.hpp"
#include "tune/loggers/tf_record.hpp"

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
  ++trial.results;
  logger.flush();
}

std::uint64_t little_endian(std::string_view bytes) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) number |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  return number;
}

/// The records of an event file, checked as a reader of TFRecords checks them.
std::vector<std::string> tf_records(const std::string& file) {
  std::vector<std::string> records;
  for (std::size_t at = 0; at < file.size();) {
    REQUIRE(at + 12 <= file.size());
    const std::string_view head(file.data() + at, 8);
    const std::size_t size = little_endian(head);
    REQUIRE(at + 16 + size <= file.size());
    CHECK(little_endian({file.data() + at + 8, 4}) == masked_crc32c(head));
    records.push_back(file.substr(at + 12, size));
    CHECK(little_endian({file.data() + at + 12 + size, 4}) == masked_crc32c(records.back()));
    at += 16 + size;
  }
  return records;
}

/// The fields of a message by number; those of wire type 2 as bytes, others as the number they hold.
struct Fields {
  std::multimap<unsigned, std::string> bytes;
  std::map<unsigned, double> numbers;
  explicit Fields(const std::string& message) {
    protozero::pbf_reader reader(message);
    while (reader.next()) {
      const unsigned tag = reader.tag();
      switch (reader.wire_type()) {
        case protozero::pbf_wire_type::varint: numbers[tag] = static_cast<double>(reader.get_int64()); break;
        case protozero::pbf_wire_type::fixed64: numbers[tag] = reader.get_double(); break;
        case protozero::pbf_wire_type::fixed32: numbers[tag] = reader.get_float(); break;
        default: bytes.emplace(tag, reader.get_string());
      }
    }
  }
  std::string text(unsigned tag) const { return bytes.count(tag) ? bytes.find(tag)->second : "(none)"; }
  Fields inside(unsigned tag) const { return Fields(text(tag)); }
};

/// While it lives the directory is elsewhere, as on a share that went away.
struct Away {
  explicit Away(const std::filesystem::path& dir) : from(dir) { std::filesystem::rename(from, to()); }
  ~Away() { std::filesystem::rename(to(), from); }
  Away(const Away&) = delete;
  Away& operator=(const Away&) = delete;
  std::filesystem::path to() const { return from.string() + ".away"; }
  std::filesystem::path from;
};

/// While it lives no file of this process grows beyond so many bytes.
struct FileSizeLimit {
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before);
    struct rlimit limit = before;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  void (*handler)(int) = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit before {};
};
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

  TEST_CASE("a metric with a line's end in its name does not upset progress.csv when a new column comes") {
    TempDir dir;
    Trial trial = make_trial();
    auto logger = make_csv_logger();
    logger->on_created(trial, dir.path());
    log_result(*logger, trial, dir.path(), {{"a\nb", 1}});
    log_result(*logger, trial, dir.path(), {{"a\nb", 2}});
    log_result(*logger, trial, dir.path(), {{"a\nb", 3}, {"acc", 4}});
    const auto lines = lines_of(dir.path() / "progress.csv");
    REQUIRE(lines.size() == 5);
    CHECK(lines[0] == "\"a");
    CHECK(lines[1].starts_with("b\",training_iteration"));
    CHECK(lines[1].ends_with(",acc"));
    CHECK(lines[2].starts_with("1,1,"));
    CHECK(lines[2].ends_with(","));
    CHECK(lines[3].starts_with("2,2,"));
    CHECK(lines[4].starts_with("3,3,"));
    CHECK(lines[4].ends_with(",4"));
  }

  TEST_CASE("the checksum of event files is CRC-32C as RFC 3720 gives it, masked") {
    const auto unmasked = [](std::string_view bytes) {
      const std::uint32_t rotated = masked_crc32c(bytes) - 0xa282ead8;
      return rotated << 15 | rotated >> 17;
    };
    CHECK(unmasked("123456789") == 0xe3069283);
    CHECK(unmasked(std::string(32, '\0')) == 0x8a9136aa);
  }

  TEST_CASE("TensorBoard's event file has its version, the parameters, a scalar for each metric, and the end") {
    TempDir dir;
    Trial trial = make_trial();
    trial.config.set("layers", 3);
    trial.config.set("bias", true);
    trial.results = 1;
    trial.take_config(Config{{"lr", 0.9}});  // it goes on as another one's copy with its first result, whose parameters are meant
    auto logger = make_tensorboard_logger();
    logger->on_created(trial, dir.path());
    log_result(*logger, trial, dir.path(), {{"loss", 0.5}, {"acc", NAN}});
    log_result(*logger, trial, dir.path(), {{"loss", 0.25}});
    trial.state = TrialState::kTerminated;
    logger->on_ended(trial);
    const auto records = tf_records(text_of(dir.path() / "events.out.tfevents.manta"));
    REQUIRE(records.size() == 5);
    CHECK(Fields(records[0]).text(3) == "brain.Event:2");
    CHECK(Fields(records[0]).numbers.at(1) == 0.75);  // the first result was at 1 s and took 0.25 s

    const Fields start = Fields(records[1]).inside(5).inside(1);
    CHECK(start.text(1) == "_hparams_/session_start_info");
    const Fields plugin = start.inside(9).inside(1);
    CHECK(plugin.text(1) == "hparams");
    const Fields info = plugin.inside(2).inside(3);
    CHECK(info.text(4) == trial.id);
    std::map<std::string, Fields> parameters;
    for (auto [it, end] = info.bytes.equal_range(1); it != end; ++it)
      parameters.emplace(Fields(it->second).text(1), Fields(it->second).inside(2));
    CHECK(parameters.at("lr").numbers.at(2) == 0.1);
    CHECK(parameters.at("layers").numbers.at(2) == 3);
    CHECK(parameters.at("bias").numbers.at(4) == 1);
    CHECK(parameters.at("model/opt").text(3) == "a,\"b\"");

    const Fields second(records[3]);
    CHECK(second.numbers.at(1) == 1.0);
    CHECK(second.numbers.at(2) == 2);
    CHECK(second.inside(5).inside(1).text(1) == "loss");
    CHECK(second.inside(5).inside(1).numbers.at(2) == 0.25);
    CHECK(Fields(records[2]).inside(5).bytes.count(1) == 3);  // loss, acc and time_total_s
    CHECK(Fields(records[4]).inside(5).inside(1).inside(9).inside(1).inside(2).inside(4).numbers.at(1) == 1);
  }

  TEST_CASE("a trial that failed ends as a failure in TensorBoard, and one that never reported leaves no file") {
    TempDir dir;
    Trial trial = make_trial();
    auto logger = make_tensorboard_logger();
    logger->on_created(trial, dir.path());
    trial.state = TrialState::kError;
    logger->on_ended(trial);
    CHECK_FALSE(std::filesystem::exists(dir.path() / "events.out.tfevents.manta"));
    log_result(*logger, trial, dir.path(), {{"loss", 1}});
    logger->on_ended(trial);
    const auto records = tf_records(text_of(dir.path() / "events.out.tfevents.manta"));
    REQUIRE(records.size() == 4);
    CHECK(Fields(records[3]).inside(5).inside(1).inside(9).inside(1).inside(2).inside(4).numbers.at(1) == 2);
    logger->on_created(trial, dir.path());
    CHECK_FALSE(std::filesystem::exists(dir.path() / "events.out.tfevents.manta"));
  }

  TEST_CASE("a trial that ends right after its experiment was resumed has the time of its last result as its end") {
    TempDir dir;
    Trial trial = make_trial();
    {
      auto logger = make_tensorboard_logger();
      logger->on_created(trial, dir.path());
      log_result(*logger, trial, dir.path(), {{"loss", 0.5}});
      log_result(*logger, trial, dir.path(), {{"loss", 0.25}});
      log_result(*logger, trial, dir.path(), {{"loss", 0.1}});
    }
    trial.results = 2;  // at the snapshot: the third is cut off
    auto logger = make_tensorboard_logger();
    REQUIRE(logger->on_restored(trial, dir.path()));
    trial.state = TrialState::kTerminated;
    logger->on_ended(trial);
    const auto records = tf_records(text_of(dir.path() / "events.out.tfevents.manta"));
    REQUIRE(records.size() == 5);
    CHECK(Fields(records[3]).numbers.at(1) == 1.0);
    CHECK(Fields(records[4]).numbers.at(1) == 1.0);
    CHECK(Fields(records[4]).inside(5).inside(1).inside(9).inside(1).inside(2).inside(4).numbers.at(2) == 1.0);
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

  TEST_CASE("rows that cannot be written for a moment are in the files afterwards, with their header, and it is said once") {
    for (auto* make : {make_json_logger, make_csv_logger, make_tensorboard_logger}) {
      TempDir dir;
      const auto home = dir.path() / "trial";
      std::filesystem::create_directory(home);
      Trial trial = make_trial();
      auto logger = make();
      logger->on_created(trial, home);
      std::size_t errors = 0;
      {
        const Away away(home);
        for (int i = 0; i < 5; ++i) {
          const std::string error = error_of([&] { log_result(*logger, trial, home, {{"loss", i}}); });
          errors += !error.empty();
          if (!error.empty()) CHECK(has(error, home.string()));
          trial.results = static_cast<std::uint64_t>(i) + 1;
        }
      }
      CHECK(errors == 1);
      log_result(*logger, trial, home, {{"loss", 5}});
      if (make == make_json_logger) CHECK(lines_of(home / "result.jsonl").size() == 6);
      if (make == make_csv_logger) {
        const auto lines = lines_of(home / "progress.csv");
        REQUIRE(lines.size() == 7);
        CHECK(lines[0].starts_with("loss,training_iteration,"));
        for (std::size_t i = 0; i < 6; ++i) CHECK(lines[i + 1].starts_with(std::to_string(i) + "," + std::to_string(i + 1) + ","));
      }
      if (make == make_tensorboard_logger) {
        const auto records = tf_records(text_of(home / "events.out.tfevents.manta"));
        REQUIRE(records.size() == 8);
        CHECK(Fields(records[0]).text(3) == "brain.Event:2");
      }
    }
  }

  TEST_CASE("a trial that ends while its files cannot be written has them whole once they can be") {
    TempDir dir;
    const auto home = dir.path() / "trial";
    std::filesystem::create_directory(home);
    Trial trial = make_trial();
    for (auto* make : {make_json_logger, make_csv_logger, make_tensorboard_logger}) {
      auto logger = make();
      trial.iteration = 0, trial.results = 0, trial.state = TrialState::kRunning;
      logger->on_created(trial, home);
      {
        const Away away(home);
        CHECK_THROWS_AS(log_result(*logger, trial, home, {{"loss", 1}}), IoError);
        trial.state = TrialState::kTerminated;
        logger->on_ended(trial);
        logger->flush();
      }
      logger->flush();
    }
    CHECK(lines_of(home / "result.jsonl").size() == 1);
    CHECK(lines_of(home / "progress.csv").size() == 2);
    const auto records = tf_records(text_of(home / "events.out.tfevents.manta"));
    REQUIRE(records.size() == 4);
    CHECK(Fields(records[3]).inside(5).inside(1).text(1) == "_hparams_/session_end_info");
  }

  TEST_CASE("a row that was written to its half is whole once there is room again") {
    TempDir dir;
    Trial trial = make_trial();
    auto logger = make_csv_logger();
    logger->on_created(trial, dir.path());
    log_result(*logger, trial, dir.path(), {{"loss", 0.5}});
    const auto whole = std::filesystem::file_size(dir.path() / "progress.csv");
    {
      const FileSizeLimit limit(whole + 10);
      CHECK_THROWS_AS(log_result(*logger, trial, dir.path(), {{"loss", 0.25}}), IoError);
      ++trial.results;
      CHECK(std::filesystem::file_size(dir.path() / "progress.csv") == whole + 10);
      log_result(*logger, trial, dir.path(), {{"loss", 0.125}});
    }
    log_result(*logger, trial, dir.path(), {{"loss", 4}});
    const auto lines = lines_of(dir.path() / "progress.csv");
    REQUIRE(lines.size() == 5);
    CHECK(lines[2].starts_with("0.25,2,"));
    CHECK(lines[3].starts_with("0.125,3,"));
    CHECK(lines[4].starts_with("4,4,"));
  }

  TEST_CASE("more trials than files stay open lose nothing while their directory is away") {
    TempDir dir;
    const auto home = dir.path() / "experiment";
    constexpr TrialIndex kTrials = 150;
    std::vector<Trial> trials(kTrials, make_trial());
    auto logger = make_csv_logger();
    for (TrialIndex i = 0; i < kTrials; ++i) {
      trials[i].index = i;
      std::filesystem::create_directories(home / std::to_string(i));
      logger->on_created(trials[i], home / std::to_string(i));
    }
    const auto report = [&](int value) {
      for (Trial& trial : trials) {
        const TrialReported result{trial.index, ++trial.iteration, {{"loss", value}}, 0.25, "", 12};
        logger->on_result(trial, home / std::to_string(trial.index), result, 1000);
      }
    };
    report(0);
    logger->flush();
    {
      const Away away(home);
      report(1), report(2);
      CHECK_THROWS_AS(logger->flush(), IoError);
      report(3);
    }
    report(4);
    logger->flush();
    for (TrialIndex i = 0; i < kTrials; ++i) {
      const auto lines = lines_of(home / std::to_string(i) / "progress.csv");
      REQUIRE(lines.size() == 6);
      for (std::size_t row = 0; row < 5; ++row) CHECK(lines[row + 1].starts_with(std::to_string(row) + ","));
    }
  }

  TEST_CASE("a new column that comes while progress.csv cannot be rewritten comes with a later row") {
    TempDir dir;
    const auto home = dir.path() / "trial";
    std::filesystem::create_directory(home);
    Trial trial = make_trial();
    auto logger = make_csv_logger();
    logger->on_created(trial, home);
    {
      const Away away(home);
      CHECK_THROWS_AS(log_result(*logger, trial, home, {{"loss", 1}}), IoError);
      log_result(*logger, trial, home, {{"loss", 2}, {"acc", 7}});
    }
    log_result(*logger, trial, home, {{"loss", 3}, {"acc", 8}});
    const auto lines = lines_of(home / "progress.csv");
    REQUIRE(lines.size() == 4);
    CHECK(lines[0].ends_with(",acc"));
    CHECK(lines[1].starts_with("1,"));
    CHECK(lines[2].starts_with("2,"));
    CHECK(lines[2].ends_with(","));
    CHECK(lines[3].ends_with(",8"));
  }

  TEST_CASE("a metric called like a column of the tuner's keeps its number, and the column its own") {
    TempDir dir;
    Trial trial = make_trial();
    for (auto* make : {make_json_logger, make_csv_logger}) {
      auto logger = make();
      trial.iteration = 0;
      logger->on_created(trial, dir.path());
      log_result(*logger, trial, dir.path(), {{"pid", 7}, {"time_total_s", 99}, {"config/lr", 5}});
    }
    const auto row = lines_of(dir.path() / "result.jsonl").at(0);
    CHECK(has(row, "\"metrics/pid\":7.0,\"metrics/time_total_s\":99.0"));
    CHECK(has(row, "\"pid\":12"));
    const auto lines = lines_of(dir.path() / "progress.csv");
    CHECK(lines.at(0) == "metrics/pid,metrics/time_total_s,metrics/config/lr,training_iteration,trial_id,time_this_iter_s,time_total_s,"
                         "timestamp_ms,pid,checkpoint,config/lr,config/model/opt");
    CHECK(lines.at(1).starts_with("7,99,5,1,"));
    CHECK(has(lines.at(1), ",1000,12,,0.10000000000000001,"));
  }

  TEST_CASE("error.txt calls the end at the time limit what it is, and a resume cuts it off as it cuts failures") {
    TempDir dir;
    Trial trial = make_trial();
    auto logger = make_json_logger();
    logger->on_created(trial, dir.path());
    trial.iteration = 3, trial.failures = 1, trial.error = "boom";
    logger->on_failure(trial, dir.path(), 0);
    const std::string before = text_of(dir.path() / "error.txt");
    trial.timed_out = true, trial.error = "killed at its time limit of 1.5 s";
    logger->on_failure(trial, dir.path(), 0);
    const std::string text = text_of(dir.path() / "error.txt");
    CHECK(has(text, "UTC, failure 1 of trial abcde_00000 after iteration 3\nboom"));
    CHECK(has(text, "UTC, ended at its time limit: trial abcde_00000 after iteration 3\n"));
    CHECK(text.find("failure") == text.rfind("failure"));
    trial.timed_out = false;  // as it was at the snapshot
    CHECK(logger->on_restored(trial, dir.path()));
    CHECK(text_of(dir.path() / "error.txt") == before);
  }

  TEST_CASE("a file that cannot be written is an IoError that names it") {
    TempDir dir;
    Trial trial = make_trial();
    auto logger = make_json_logger();
    CHECK_THROWS_AS(logger->on_created(trial, dir.path() / "absent"), IoError);
    CHECK(has(error_of([&] { logger->on_failure(trial, dir.path() / "absent", 0); }), "error.txt"));
  }

  TEST_CASE("bytes that are no UTF-8 are replaced in progress.csv and error.txt, and a resume adds no column for them") {
    TempDir dir;
    Trial trial = make_trial();
    trial.config.set("name", std::string("caf\xe9"));
    const std::unique_ptr<Logger> loggers[] = {make_csv_logger(), make_json_logger()};
    for (const auto& logger : loggers) logger->on_created(trial, dir.path());
    log_result(*loggers[0], trial, dir.path(), {{"lo\xfess", 1}, {"lo\xffss", 1}});  // the same name
    const std::string text = text_of(dir.path() / "progress.csv"), name = "lo\uFFFDss";
    REQUIRE(text.starts_with(name + ",training_iteration,"));
    write_text(dir.path() / "progress.csv", "lo\xffss" + text.substr(name.size()));  // as an older version wrote it
    const auto resumed = make_csv_logger();
    REQUIRE(resumed->on_restored(trial, dir.path()));
    log_result(*resumed, trial, dir.path(), {{"lo\xffss", 2}});
    const auto lines = lines_of(dir.path() / "progress.csv");
    REQUIRE(lines.size() == 3);
    CHECK(lines[0].ends_with(",config/name"));
    CHECK(std::count(lines[1].begin(), lines[1].end(), ',') == std::count(lines[2].begin(), lines[2].end(), ','));
    CHECK(lines[2].starts_with("2,2,"));
    CHECK(has(lines[1], "caf\uFFFD"));
    trial.error = "bad byte \xff here", trial.failures = 1;
    loggers[1]->on_failure(trial, dir.path(), 0);
    CHECK(has(text_of(dir.path() / "error.txt"), "bad byte \uFFFD here"));
  }

  TEST_CASE("TensorBoard's texts are UTF-8, as protobuf's are") {
    TempDir dir;
    Trial trial = make_trial();
    trial.config.set("na\xffme", std::string("caf\xe9"));
    auto logger = make_tensorboard_logger();
    logger->on_created(trial, dir.path());
    log_result(*logger, trial, dir.path(), {{"lo\xfess", 1}});
    const std::string text = text_of(dir.path() / "events.out.tfevents.manta");
    for (const char* whole : {"na\uFFFDme", "caf\uFFFD", "lo\uFFFDss"}) CHECK(has(text, whole));
    for (const char* broken : {"na\xff", "caf\xe9", "lo\xfe"}) CHECK_FALSE(has(text, broken));
  }
}
