// TensorBoard's event files. The field numbers are those of tensorflow's event.proto and summary.proto, and of the hparams
// plugin's plugin_data.proto and protobuf's struct.proto. Written with protozero: LibTorch exports protobuf's symbols, so
// nothing in its process may link libprotobuf.
#include <map>
#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>
#include <string>

#include "tune/loggers/append_files.hpp"
#include "tune/loggers/file_writer.hpp"
#include "tune/loggers/logger.hpp"
#include "tune/loggers/tf_record.hpp"
#include "tune/utf8.hpp"

namespace manta::tune {

namespace {

using protozero::pbf_writer;

namespace event {
enum : protozero::pbf_tag_type { kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5 };
}
namespace summary {
enum : protozero::pbf_tag_type { kValue = 1 };
}
namespace summary_value {
enum : protozero::pbf_tag_type { kTag = 1, kSimpleValue = 2, kMetadata = 9 };
}
namespace metadata {
enum : protozero::pbf_tag_type { kPluginData = 1 };
}
namespace plugin_data {
enum : protozero::pbf_tag_type { kPluginName = 1, kContent = 2 };
}
namespace hparams {
enum : protozero::pbf_tag_type { kSessionStart = 3, kSessionEnd = 4 };
enum : protozero::pbf_tag_type { kHparams = 1, kGroupName = 4, kStartTime = 5 };  // SessionStartInfo
enum : protozero::pbf_tag_type { kStatus = 1, kEndTime = 2 };                     // SessionEndInfo
enum Status { kSuccess = 1, kFailure = 2 };
}  // namespace hparams
namespace map_entry {
enum : protozero::pbf_tag_type { kKey = 1, kMapValue = 2 };
}
namespace any_value {
enum : protozero::pbf_tag_type { kNumber = 2, kString = 3, kBool = 4 };
}

constexpr const char* kFile = "events.out.tfevents.manta";

std::string file_version(double time_s) {
  std::string data;
  pbf_writer writer(data);
  writer.add_double(event::kWallTime, time_s);
  writer.add_string(event::kFileVersion, "brain.Event:2");
  return tf_record(data);
}

/// An event with a summary that `fill` writes.
template <class F>
std::string summary_event(double time_s, std::int64_t step, F&& fill) {
  std::string data;
  pbf_writer writer(data);
  writer.add_double(event::kWallTime, time_s);
  writer.add_int64(event::kStep, step);
  {
    pbf_writer inside(writer, event::kSummary);
    fill(inside);
  }
  return tf_record(data);
}

std::string scalars_event(double time_s, const TrialReported& result, double time_total_s) {
  return summary_event(time_s, static_cast<std::int64_t>(result.iteration), [&](pbf_writer& writer) {
    const auto scalar = [&](const std::string& name, double value) {
      pbf_writer inside(writer, summary::kValue);
      inside.add_string(summary_value::kTag, valid_utf8(name));
      inside.add_float(summary_value::kSimpleValue, static_cast<float>(value));
    };
    for (const auto& [name, value] : result.metrics) scalar(name, value);
    if (!result.metrics.contains("time_total_s")) scalar("time_total_s", time_total_s);
  });
}

/// A record of the hparams plugin; `fill` writes HParamsPluginData.
template <class F>
std::string hparams_event(double time_s, const char* tag, F&& fill) {
  return summary_event(time_s, 0, [&](pbf_writer& writer) {
    pbf_writer value(writer, summary::kValue);
    value.add_string(summary_value::kTag, tag);
    pbf_writer meta(value, summary_value::kMetadata);
    pbf_writer plugin(meta, metadata::kPluginData);
    plugin.add_string(plugin_data::kPluginName, "hparams");
    pbf_writer content(plugin, plugin_data::kContent);
    fill(content);
  });
}

void write_value(pbf_writer& writer, const Value& value) {
  if (const auto* boolean = value.as<bool>()) return writer.add_bool(any_value::kBool, *boolean);
  if (const auto* integer = value.as<std::int64_t>()) return writer.add_double(any_value::kNumber, static_cast<double>(*integer));
  if (const auto* number = value.as<double>()) return writer.add_double(any_value::kNumber, *number);
  const auto* text = value.as<std::string>();
  writer.add_string(any_value::kString, valid_utf8(text ? *text : value.to_text()));
}

std::string session_start(double time_s, const Trial& trial) {
  return hparams_event(time_s, "_hparams_/session_start_info", [&](pbf_writer& content) {
    pbf_writer start(content, hparams::kSessionStart);
    for (const auto& [path, value] : trial.config_of_result().flat()) {
      pbf_writer entry(start, hparams::kHparams);
      entry.add_string(map_entry::kKey, valid_utf8(path));
      pbf_writer inside(entry, map_entry::kMapValue);
      write_value(inside, value);
    }
    start.add_string(hparams::kGroupName, trial.id);
    start.add_double(hparams::kStartTime, time_s);
  });
}

std::string session_end(double time_s, bool failed) {
  return hparams_event(time_s, "_hparams_/session_end_info", [&](pbf_writer& content) {
    pbf_writer end(content, hparams::kSessionEnd);
    end.add_enum(hparams::kStatus, failed ? hparams::kFailure : hparams::kSuccess);
    end.add_double(hparams::kEndTime, time_s);
  });
}

/// Of an event; 0 when there is none.
double wall_time(std::string_view data) {
  try {
    for (protozero::pbf_reader reader(data.data(), data.size()); reader.next();) {
      if (reader.tag_and_type() == protozero::tag_and_type(event::kWallTime, protozero::pbf_wire_type::fixed64)) return reader.get_double();
      reader.skip();
    }
  } catch (const protozero::exception&) {  // not written by us
  }
  return 0;
}

class TensorboardLogger final : public Logger {
 public:
  void on_created(const Trial& trial, const std::filesystem::path& dir) override {
    open_.erase(trial.index);
    files_.forget(trial.index);
    std::filesystem::remove(dir / kFile);
  }

  bool on_restored(const Trial& trial, const std::filesystem::path& dir) override {
    if (trial.results == 0) {
      std::filesystem::remove(dir / kFile);
      return true;
    }
    constexpr std::uint64_t kHead = 2;  // the version and the session's start
    const std::string file = read_file(dir / kFile);
    const std::size_t last = tf_records_end(file, trial.results + kHead - 1), end = tf_records_end(file, trial.results + kHead);
    if (end == std::string_view::npos) return false;
    open_[trial.index] = OpenFile{dir / kFile, wall_time(tf_record_data(std::string_view(file).substr(last, end - last)))};
    return cut_file(dir / kFile, end);
  }
  void flush() override { files_.flush(); }

  void on_result(const Trial& trial, const std::filesystem::path& dir, const TrialReported& result,
                 std::int64_t time_ms) override {
    const double now = static_cast<double>(time_ms) / 1000;
    const auto [file, first] = open_.try_emplace(trial.index, OpenFile{dir / kFile, now});
    file->second.time_s = now;
    const double begin = now - result.time_this_iter_s;
    files_.append(trial.index, dir, (first ? file_version(begin) + session_start(begin, trial) : "") +
                                        scalars_event(now, result, trial.time_of_result_s()));
  }

  void on_ended(const Trial& trial) override {
    const auto found = open_.find(trial.index);
    if (found == open_.end()) return;  // it never reported
    const OpenFile file = std::move(found->second);
    open_.erase(found);
    files_.append(trial.index, file.path.parent_path(), session_end(file.time_s, trial.state == TrialState::kError));
    files_.close(trial.index);
  }

 private:
  struct OpenFile {
    std::filesystem::path path{};
    double time_s{0};  ///< of the last result
  };
  std::map<TrialIndex, OpenFile> open_;
  AppendFiles files_{kFile};
};

}  // namespace

std::unique_ptr<Logger> make_tensorboard_logger() { return std::make_unique<TensorboardLogger>(); }

}  // namespace manta::tune
