#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "tune/loggers/append_files.hpp"
#include "tune/loggers/file_writer.hpp"
#include "tune/loggers/json_text.hpp"
#include "tune/loggers/logger.hpp"
#include "tune/loggers/metric_column.hpp"
#include "tune/utf8.hpp"

namespace manta::tune {

namespace {

using Json = nlohmann::ordered_json;

Json to_json(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

Json to_json(const Value& value) {
  if (const auto* boolean = value.as<bool>()) return *boolean;
  if (const auto* integer = value.as<std::int64_t>()) return *integer;
  if (const auto* number = value.as<double>()) return to_json(*number);
  if (const auto* text = value.as<std::string>()) return *text;
  if (const auto* list = value.as<Value::List>()) {
    Json array = Json::array();
    for (const Value& item : *list) array.push_back(to_json(item));
    return array;
  }
  if (const auto* table = value.as<Value::Dict>()) {
    Json object = Json::object();
    for (const Entry& entry : *table) object[entry.name] = to_json(entry.value);
    return object;
  }
  return nullptr;
}

std::string dump(const Json& json, int indent) { return json.dump(indent, ' ', false, Json::error_handler_t::replace); }

class JsonLogger final : public Logger {
 public:
  void on_created(const Trial& trial, const std::filesystem::path& dir) override {
    replace_file(dir / "params.json", config_json(trial.config, 2) + "\n");
    files_.forget(trial.index);
    std::filesystem::remove(dir / kErrors);
    replace_file(dir / kFile, "");
  }

  bool on_restored(const Trial& trial, const std::filesystem::path& dir) override {
    const std::string errors = read_file(dir / kErrors);
    const std::size_t later = std::min(errors.find(failure_title(trial, trial.failures + 1)), errors.find(limit_title(trial)));
    if (later != std::string::npos) cut_file(dir / kErrors, later == 0 ? 0 : errors.rfind('\n', later) + 1);
    const std::string text = read_file(dir / kFile);
    std::size_t end = 0;
    for (std::uint64_t row = 0; row < trial.results; ++row) {
      end = text.find('\n', end);
      if (end++ == std::string::npos) return false;
    }
    return cut_file(dir / kFile, end);
  }

  void on_result(const Trial& trial, const std::filesystem::path& dir, const TrialReported& result,
                 std::int64_t time_ms) override {
    Json row;
    for (const auto& [name, value] : result.metrics) row[metric_column(name, kResultColumns)] = to_json(value);
    row["training_iteration"] = result.iteration;
    row["trial_id"] = trial.id;
    row["time_this_iter_s"] = to_json(result.time_this_iter_s);
    row["time_total_s"] = to_json(trial.time_of_result_s());
    row["timestamp_ms"] = time_ms;
    row["pid"] = result.pid;
    if (!result.checkpoint.empty()) row["checkpoint"] = result.checkpoint;
    files_.append(trial.index, dir, dump(row, -1) + "\n");
  }

  void on_failure(const Trial& trial, const std::filesystem::path& dir, std::int64_t time_ms) override {
    append_file(dir / kErrors, utc_text(time_ms) + (trial.timed_out ? limit_title(trial) : failure_title(trial, trial.failures)) + " after iteration " +
                                   std::to_string(trial.iteration_of_result()) + "\n" + valid_utf8(trial.error) + "\n\n");
  }

  void on_ended(const Trial& trial) override { files_.close(trial.index); }
  void flush() override { files_.flush(); }

 private:
  static constexpr const char* kFile = "result.jsonl";
  static constexpr const char* kErrors = "error.txt";

  static std::string failure_title(const Trial& trial, std::uint32_t number) {
    return " UTC, failure " + std::to_string(number) + " of trial " + trial.id;
  }

  /// No failure of the trial's own where it has reported.
  static std::string limit_title(const Trial& trial) { return " UTC, ended at its time limit: trial " + trial.id; }

  AppendFiles files_{kFile};
};

}  // namespace

std::string value_text(const Value& value) { return dump(to_json(value), -1); }

std::string config_json(const Config& config, int indent) {
  Json object = to_json(Value(config.entries()));
  return dump(object, indent);
}

std::string metrics_json(const Metrics& metrics) {
  Json object = Json::object();
  for (const auto& [name, value] : metrics) object[name] = to_json(value);
  return dump(object, -1);
}

std::string json_quoted(const std::string& text) { return dump(Json(text), -1); }

std::unique_ptr<Logger> make_json_logger() { return std::make_unique<JsonLogger>(); }

}  // namespace manta::tune
