#include "tune/loggers/append_files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

constexpr std::size_t kMostOpen = 64;
constexpr std::size_t kMuch = 64 * 1024;
constexpr std::size_t kMostKept = 8 * 1024 * 1024;  // of all files that cannot be written

}  // namespace

AppendFiles::~AppendFiles() {
  while (!files_.empty()) {
    write(files_.front());  // the journal has what is lost here
    drop(files_.begin());
  }
}

void AppendFiles::append(TrialIndex trial, const std::filesystem::path& dir, std::string_view text) {
  const auto found = by_trial_.find(trial);
  if (found != by_trial_.end()) {
    files_.splice(files_.begin(), files_, found->second);
  } else {
    if (files_.size() >= kMostOpen) make_room();
    files_.push_front({.trial = trial, .path = dir / name_});
    by_trial_[trial] = files_.begin();
  }
  File& file = files_.front();
  file.closing = false;
  if (file.failed && kept() + text.size() > kMostKept) return;  // whole lines are lost, the earlier ones not
  file.waiting += text;
  if (file.waiting.size() >= kMuch && !file.failed) write(file);
}

bool AppendFiles::write(File& file) {
  if (file.waiting.empty()) return true;
  if (file.fd < 0) file.fd = ::open(file.path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  int error = file.fd < 0 ? errno : 0;
  std::size_t done = 0;
  while (error == 0 && done < file.waiting.size()) {
    const ssize_t written = ::write(file.fd, file.waiting.data() + done, file.waiting.size() - done);
    if (written > 0)
      done += static_cast<std::size_t>(written);
    else if (written == 0 || errno != EINTR)
      error = written == 0 ? ENOSPC : errno;
  }
  file.waiting.erase(0, done);
  file.failed = error != 0;
  if (error != 0) failed(file, error);
  return error == 0;
}

void AppendFiles::failed(File& file, int error) {
  if (std::exchange(file.told, true) || !news_.empty()) return;
  news_ = "cannot write '" + file.path.string() + "': " + std::strerror(error) +
          ". Results are kept in memory (8 MiB at most) and written once that works again.";
}

void AppendFiles::flush() {
  for (auto it = files_.begin(); it != files_.end();) {
    const Position position = it++;
    if (write(*position) && position->closing) drop(position);
  }
  if (!news_.empty()) throw IoError(std::exchange(news_, {}));
}

void AppendFiles::close(TrialIndex trial) {
  const auto found = by_trial_.find(trial);
  if (found == by_trial_.end() || settle(trial)) return;
  found->second->closing = true;
}

bool AppendFiles::settle(TrialIndex trial) {
  const auto found = by_trial_.find(trial);
  if (found == by_trial_.end()) return true;
  if (!write(*found->second)) return false;
  drop(found->second);
  return true;
}

void AppendFiles::make_room() {
  File& last = files_.back();
  if (settle(last.trial)) return;
  if (last.fd >= 0) ::close(std::exchange(last.fd, -1));
  files_.splice(files_.begin(), files_, std::prev(files_.end()));  // the next time another one's
}

std::size_t AppendFiles::kept() const {
  std::size_t bytes = 0;
  for (const File& file : files_) bytes += file.waiting.size();
  return bytes;
}

void AppendFiles::forget(TrialIndex trial) {
  const auto found = by_trial_.find(trial);
  if (found != by_trial_.end()) drop(found->second);
}

void AppendFiles::drop(Position position) {
  if (position->fd >= 0) ::close(position->fd);
  by_trial_.erase(position->trial);
  files_.erase(position);
}

}  // namespace manta::tune
