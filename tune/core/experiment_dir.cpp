#include "tune/core/experiment_dir.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "runtime/errors.hpp"
#include "tune/core/experiment.hpp"
#include "tune/random.hpp"

namespace manta::tune {

namespace fs = std::filesystem;

namespace {

constexpr const char* kJournal = "journal";
constexpr const char* kProbe = ".writable";

void check_name(const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos || name.find('\0') != std::string::npos)
    throw InvalidArgument("the experiment's name '" + name + "' cannot be a directory's name: it must not be empty, '.' or "
                          "'..', nor hold a '/'.");
}

[[noreturn]] void refuse_dir(const fs::path& dir, const std::string& reason) {
  throw IoError("the results directory '" + dir.string() + "' cannot be written: " + reason +
                ". Choose another with TuneOptions::results_dir.");
}

void make_writable(const fs::path& dir) {
  std::error_code error;
  fs::create_directories(dir, error);
  if (error) refuse_dir(dir, error.message());
  const fs::path probe = dir / kProbe;
  const int fd = ::open(probe.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) refuse_dir(dir, std::strerror(errno));
  ::close(fd);
  fs::remove(probe, error);
}

}  // namespace

bool holds_more_than_journal(const fs::path& dir) {
  std::error_code error;
  const fs::directory_iterator entries(dir, error);
  return std::any_of(begin(entries), end(entries), [](const fs::directory_entry& entry) {
    return entry.path().filename() != kProbe && entry.path().filename() != kJournal;
  });
}

StorageCorruption lost_journal(const fs::path& dir) {
  return StorageCorruption("'" + dir.string() + "' holds what an experiment left, but its journal, '" + (dir / kJournal).string() +
                           "', has no record of it: files in there were removed or cut. Restore the journal from a copy to go on; to begin anew, "
                           "choose another name or results directory, or move this one away. The trials' own folders are as they were.");
}

ExperimentDir open_experiment_dir(const fs::path& results_dir, const std::string& name, bool resume) {
  check_name(name);
  if (results_dir.empty()) throw InvalidArgument("the results directory has no name. Choose one with TuneOptions::results_dir; '.' is this one.");
  const fs::path dir = fs::absolute(results_dir) / name;
  make_writable(dir);
  const bool holds_more = holds_more_than_journal(dir);
  if (!fs::exists(dir / kJournal) && holds_more)
    throw InvalidArgument("'" + dir.string() + "' is not empty and holds no experiment. Choose another name or results "
                          "directory, or empty it.");
  ExperimentDir opened{dir, open_event_log(dir / kJournal), {}};
  opened.header = read_header(*opened.log);
  if (!opened.header && holds_more) throw lost_journal(dir);  // a driver that was killed at its first step has left nothing
  if (opened.header && !resume)
    throw InvalidArgument("'" + dir.string() + "' holds the experiment '" + opened.header->name +
                          "' already. Set TuneOptions::resume (--resume) to go on with it, or choose another name or "
                          "results directory.");
  return opened;
}

void check_same_experiment(const fs::path& dir, const ExperimentCreated& there, const ExperimentCreated& wanted,
                           bool compare_seed) {
  if (there.rules != wanted.rules)
    throw InvalidArgument("'" + dir.string() + "' holds an experiment that " + (there.rules < wanted.rules ? "an older" : "a newer") +
                          " version of Manta began: it decides by rules " + std::to_string(there.rules) + ", this program by rules " +
                          std::to_string(wanted.rules) + ", which would make other decisions of the same results. Go on with the program that "
                          "began it, or begin anew under another name; `manta tune show`, `manta tune report` and tune::load_experiment "
                          "read what it has.");
  std::string differences;
  const auto differ = [&](const std::string& key, const std::string& old_value, const std::string& new_value) {
    if (old_value != new_value) differences += "\n  " + key + ": there '" + old_value + "', now '" + new_value + "'";
  };
  for (const auto& [key, value] : wanted.description) {
    const auto found = std::find_if(there.description.begin(), there.description.end(), [&key = key](auto& item) { return item.first == key; });
    differ(key, found == there.description.end() ? "(nothing)" : found->second, value);
  }
  for (const auto& [key, value] : there.description)
    if (std::none_of(wanted.description.begin(), wanted.description.end(), [&key = key](auto& item) { return item.first == key; }))
      differ(key, value, "(nothing)");
  if (compare_seed) differ("seed", std::to_string(there.seed), std::to_string(wanted.seed));
  if (differences.empty()) return;
  throw InvalidArgument("'" + dir.string() + "' holds another experiment than the one to be resumed:" + differences +
                        "\nUse the options it was made with, or choose another name or results directory.");
}

std::string trial_id_prefix(const ExperimentCreated& header) {
  std::string text = std::to_string(header.seed);
  for (const auto& [key, value] : header.description) text += "\n" + key + "=" + value;
  char digits[8];
  std::snprintf(digits, sizeof digits, "%05x", static_cast<unsigned>(stable_hash(text) & 0xfffff));
  return digits;
}

}  // namespace manta::tune
