#include "tune/loggers/append_files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

constexpr std::size_t kMostOpen = 64;
constexpr std::size_t kMuch = 64 * 1024;

[[noreturn]] void fail(const std::filesystem::path& path, int error) {
  throw IoError("cannot write '" + path.string() + "': " + std::strerror(error) + ".");
}

}  // namespace

AppendFiles::~AppendFiles() {
  while (!files_.empty()) {
    try {
      write(files_.front());
    } catch (const Error&) {  // the journal has what is lost here
    }
    drop(files_.begin());
  }
}

void AppendFiles::append(TrialIndex trial, const std::filesystem::path& dir, std::string_view text) {
  const auto found = by_trial_.find(trial);
  if (found != by_trial_.end()) {
    files_.splice(files_.begin(), files_, found->second);
  } else {
    if (files_.size() >= kMostOpen) close(files_.back().trial);
    files_.push_front({.trial = trial, .path = dir / name_});
    by_trial_[trial] = files_.begin();
  }
  File& file = files_.front();
  file.waiting += text;
  if (file.waiting.size() >= kMuch) write(file);
}

void AppendFiles::write(File& file) {
  const std::string text = std::exchange(file.waiting, {});
  if (text.empty()) return;
  if (file.fd < 0) file.fd = ::open(file.path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file.fd < 0) fail(file.path, errno);
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(file.fd, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail(file.path, errno);
    done += static_cast<std::size_t>(written);
  }
}

void AppendFiles::flush() {
  std::string first_error;
  for (File& file : files_) {
    try {
      write(file);
    } catch (const IoError& error) {
      if (first_error.empty()) first_error = error.info().message;
    }
  }
  if (!first_error.empty()) throw IoError(first_error);
}

void AppendFiles::close(TrialIndex trial) {
  const auto found = by_trial_.find(trial);
  if (found == by_trial_.end()) return;
  const Position position = found->second;
  try {
    write(*position);
  } catch (...) {
    drop(position);
    throw;
  }
  drop(position);
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
