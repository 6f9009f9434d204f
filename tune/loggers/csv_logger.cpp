#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "runtime/errors.hpp"
#include "tune/loggers/append_files.hpp"
#include "tune/loggers/csv_text.hpp"
#include "tune/loggers/file_writer.hpp"
#include "tune/loggers/logger.hpp"
#include "tune/loggers/metric_column.hpp"
#include "tune/utf8.hpp"

namespace manta::tune {

namespace {

class CsvLogger final : public Logger {
 public:
  void on_created(const Trial& trial, const std::filesystem::path& dir) override {
    columns_.erase(trial.index);
    files_.forget(trial.index);
    std::filesystem::remove(dir / kFile);
  }

  bool on_restored(const Trial& trial, const std::filesystem::path& dir) override {
    if (trial.results == 0) {
      std::filesystem::remove(dir / kFile);
      return true;
    }
    const std::string text = read_file(dir / kFile);
    const std::size_t end = csv_lines_end(text, trial.results + 1);
    if (end == std::string_view::npos) return false;
    Columns& columns = columns_[trial.index] = csv_first_line(text);
    for (std::string& column : columns) column = valid_utf8(column);  // an older version wrote them as they were
    return cut_file(dir / kFile, end);
  }

  void on_result(const Trial& trial, const std::filesystem::path& dir, const TrialReported& result,
                 std::int64_t time_ms) override {
    Columns& columns = columns_[trial.index];
    const bool first = columns.empty();
    const auto row = cells(trial, result, time_ms);
    Columns added;
    for (const auto& [name, text] : row)
      if (!contains(columns, name) && !contains(added, name)) added.push_back(name);  // two may differ in bytes that are no UTF-8 only
    try {
      if (!added.empty()) {
        Columns wanted = columns;
        wanted.insert(wanted.end(), added.begin(), added.end());
        if (first || widen(trial.index, dir / kFile, wanted, added.size())) columns = std::move(wanted);
      }
    } catch (const Error&) {
      files_.append(trial.index, dir, line(columns, row));
      throw;
    }
    files_.append(trial.index, dir, (first ? csv_line(columns) : "") + line(columns, row));
  }

  void on_ended(const Trial& trial) override {
    columns_.erase(trial.index);
    files_.close(trial.index);
  }
  void flush() override { files_.flush(); }

 private:
  static constexpr const char* kFile = "progress.csv";
  using Row = std::vector<std::pair<std::string, std::string>>;
  using Columns = std::vector<std::string>;

  static bool contains(const Columns& columns, const std::string& name) { return std::find(columns.begin(), columns.end(), name) != columns.end(); }

  static Row cells(const Trial& trial, const TrialReported& result, std::int64_t time_ms) {
    Row row;
    for (const auto& [name, value] : result.metrics) row.emplace_back(metric_column(name, kResultColumns), csv_number(value));
    row.emplace_back("training_iteration", std::to_string(result.iteration));
    row.emplace_back("trial_id", trial.id);
    row.emplace_back("time_this_iter_s", csv_number(result.time_this_iter_s));
    row.emplace_back("time_total_s", csv_number(trial.time_of_result_s()));
    row.emplace_back("timestamp_ms", std::to_string(time_ms));
    row.emplace_back("pid", std::to_string(result.pid));
    row.emplace_back("checkpoint", result.checkpoint);
    for (const auto& [path, value] : trial.config_of_result().flat()) row.emplace_back("config/" + path, csv_value(value));
    for (auto& [name, text] : row) name = valid_utf8(name);  // as the file's first line has it, from which a resume takes the columns
    return row;
  }

  static std::string line(const Columns& columns, const Row& row) {
    std::vector<std::string> texts(columns.size());
    for (const auto& [name, text] : row)
      if (const auto at = std::find(columns.begin(), columns.end(), name); at != columns.end())
        texts[static_cast<std::size_t>(at - columns.begin())] = text;
    return csv_line(texts);
  }

  /// False when the rows that it has cannot be written or read now.
  bool widen(TrialIndex trial, const std::filesystem::path& path, const Columns& columns, std::size_t added) {
    if (!files_.settle(trial)) return false;
    const std::string old = read_file(path);
    const std::size_t begin = csv_lines_end(old, 1);
    if (begin == std::string::npos) return false;
    std::string text = csv_line(columns);
    bool in_quotes = false;
    for (std::size_t i = begin; i < old.size(); ++i) {
      in_quotes ^= old[i] == '"';
      if (old[i] == '\n' && !in_quotes) text.append(added, ',');
      text += old[i];
    }
    replace_file(path, text);
    return true;
  }

  std::map<TrialIndex, Columns> columns_;
  AppendFiles files_{kFile};
};

}  // namespace

std::unique_ptr<Logger> make_csv_logger() { return std::make_unique<CsvLogger>(); }

}  // namespace manta::tune
