// pbt_global.txt and pbt_policy_<trial id>.txt, as Ray's PBT writes them, in the experiment's directory. A trial's file is
// its donor's with one more line, so it tells the whole way to the trial's state.
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <utility>
#include <vector>

#include "runtime/errors.hpp"
#include "tune/core/value_json.hpp"
#include "tune/loggers/file_writer.hpp"
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
    const std::string text = line.dump();
    if (!read_) read_all(folder);
    if (known(folder, {trial.id, trial.exploits}, text)) return;
    write(file(folder, trial), text_of(file(folder, donor)) + text + "\n", std::ios::trunc);
    write(folder / kGlobal, text + "\n", std::ios::app);
    add(text);
  }

 private:
  using Exploit = std::pair<std::string, std::uint64_t>;  // the trial's id, and the how manieth of its exploits

  static constexpr const char* kGlobal = "pbt_global.txt";
  static fs::path file(const fs::path& folder, const Trial& trial) { return folder / ("pbt_policy_" + trial.id + ".txt"); }

  void read_all(const fs::path& folder) {
    const std::string text = text_of(folder / kGlobal);
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) add(line);
    read_ = true;
    if (!text.empty() && text.back() != '\n') rewrite(folder);  // an earlier life was killed in the middle of a line
  }

  void add(const std::string& line) {
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_array() || json.size() != 7 || !json[0].is_string() || !json[6].is_number_unsigned()) return;
    places_[{json[0].get<std::string>(), json[6].get<std::uint64_t>()}] = lines_.size();
    lines_.push_back(line);
  }

  void rewrite(const fs::path& folder) const {
    std::string kept;
    for (const std::string& each : lines_) kept += each + "\n";
    replace_file(folder / kGlobal, kept);
  }

  /// True when an earlier life wrote this line. What it wrote and the journal does not have is cut off.
  bool known(const fs::path& folder, const Exploit& exploit, const std::string& line) {
    const auto found = places_.find(exploit);
    if (found == places_.end()) return false;
    if (lines_[found->second] == line) return true;
    lines_.resize(found->second);
    std::erase_if(places_, [&](const auto& place) { return place.second >= lines_.size(); });
    rewrite(folder);
    return false;
  }

  std::vector<std::string> lines_;
  std::map<Exploit, std::size_t> places_;  // of the lines: an experiment has thousands
  bool read_{false};
};

}  // namespace

std::unique_ptr<Logger> make_policy_logger() { return std::make_unique<PolicyLogger>(); }

}  // namespace manta::tune
