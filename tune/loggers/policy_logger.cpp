// pbt_global.txt and pbt_policy_<trial id>.txt, as Ray's PBT writes them, in the experiment's directory. A trial's file is
// its donor's with one more line, so it tells the whole way to the trial's state.
#include <algorithm>
#include <fstream>
#include <iterator>

#include "runtime/errors.hpp"
#include "tune/core/value_json.hpp"
#include "tune/loggers/logger.hpp"

namespace manta::tune {

namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write(const fs::path& file, const std::string& text, std::ios::openmode how) {
  std::ofstream out(file, std::ios::binary | how);
  out << text << std::flush;
  if (!out) throw IoError("the policy file '" + file.string() + "' cannot be written.");
}

Json json_of(const Config& config) { return value_json(Value(config.entries())); }

class PolicyLogger final : public Logger {
 public:
  void on_exploit(const Trial& trial, const fs::path& dir, const Trial& donor, std::uint64_t from_iteration) override {
    const fs::path folder = dir.parent_path();
    const Json line{trial.id, donor.id, from_iteration, trial.iteration, json_of(donor.config), json_of(trial.config), trial.exploits};
    if (!read_) read_all(folder);
    if (known(folder, trial, line.dump())) return;
    const std::string text = line.dump() + "\n";
    write(file(folder, trial), text_of(file(folder, donor)) + text, std::ios::trunc);
    write(folder / kGlobal, text, std::ios::app);
    lines_.push_back(line.dump());
  }

 private:
  static constexpr const char* kGlobal = "pbt_global.txt";
  static fs::path file(const fs::path& folder, const Trial& trial) { return folder / ("pbt_policy_" + trial.id + ".txt"); }

  void read_all(const fs::path& folder) {
    std::ifstream in(folder / kGlobal);
    for (std::string line; std::getline(in, line);) lines_.push_back(line);
    read_ = true;
  }

  /// True when an earlier life wrote this line. What it wrote and the journal does not have is cut off.
  bool known(const fs::path& folder, const Trial& trial, const std::string& line) {
    const auto same_exploit = [&](const std::string& other) {
      const Json json = Json::parse(other, nullptr, false);
      return json.is_array() && json.size() == 7 && json[0] == trial.id && json[6] == trial.exploits;
    };
    const auto found = std::find_if(lines_.begin(), lines_.end(), same_exploit);
    if (found == lines_.end()) return false;
    if (*found == line) return true;
    lines_.erase(found, lines_.end());
    std::string kept;
    for (const std::string& each : lines_) kept += each + "\n";
    write(folder / kGlobal, kept, std::ios::trunc);
    return false;
  }

  std::vector<std::string> lines_;
  bool read_{false};
};

}  // namespace

std::unique_ptr<Logger> make_policy_logger() { return std::make_unique<PolicyLogger>(); }

}  // namespace manta::tune
