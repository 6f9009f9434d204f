#include "tune/core/checkpoint_files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kHidden = ".checkpoint_tmp_";
constexpr std::string_view kVisible = "checkpoint_";

[[noreturn]] void fail(const std::string& what, const fs::path& path, const std::string& reason) {
  throw IoError("checkpoint: cannot " + what + " '" + path.string() + "': " + reason +
                ". The checkpoint before it is still whole.");
}

fs::path hidden_path(const fs::path& trial_dir) {
  static std::atomic<unsigned> counter{0};
  return trial_dir / (std::string(kHidden) + std::to_string(::getpid()) + "_" + std::to_string(counter++));
}

void sync_path(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("open", path, std::strerror(errno));
  const int result = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  if (result != 0) fail("sync", path, std::strerror(error));
}

void sync_tree(const fs::path& root) {
  for (const auto& entry : fs::recursive_directory_iterator(root))
    if (!entry.is_symlink() && (entry.is_regular_file() || entry.is_directory())) sync_path(entry.path());
  sync_path(root);
}

void remove_quietly(const fs::path& path) {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

/// Puts `fresh` in the place of `there` and the other way round, at once: a kill at any moment leaves one of them there. False when
/// there is nothing in that place, or the file system cannot.
bool exchange(const fs::path& fresh, const fs::path& there) noexcept {
  return ::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, there.c_str(), RENAME_EXCHANGE) == 0;
}

void move_away(const fs::path& trial_dir, const fs::path& victim) {
  const fs::path grave = hidden_path(trial_dir);
  std::error_code error;
  fs::rename(victim, grave, error);
  if (!error) remove_quietly(grave);
}

}  // namespace

std::string checkpoint_name(std::uint64_t iteration) {
  char text[48];
  std::snprintf(text, sizeof text, "checkpoint_%06llu", static_cast<unsigned long long>(iteration));
  return text;
}

namespace {

/// Fills a hidden directory and makes it the checkpoint of that name, in place of one that is there.
void publish(const fs::path& trial_dir, const std::string& name, const SaveFunction& fill) {
  const fs::path hidden = hidden_path(trial_dir);
  remove_quietly(hidden);
  try {
    fs::create_directories(hidden);
    fill(hidden);
    sync_tree(hidden);
    const fs::path place = trial_dir / name;
    const bool exchanged = exchange(hidden, place);
    if (!exchanged && fs::exists(place)) move_away(trial_dir, place);
    if (!exchanged) fs::rename(hidden, place);
    sync_path(trial_dir);
    if (exchanged) remove_quietly(hidden);
  } catch (const fs::filesystem_error& error) {
    remove_quietly(hidden);
    fail("write", error.path1().empty() ? hidden : error.path1(), error.code().message());
  } catch (...) {
    remove_quietly(hidden);
    throw;
  }
}

/// A copy that shares the files' contents, since a checkpoint is never written to again; where links are refused, one of its own.
void link_tree(const fs::path& source, const fs::path& target) {
  std::error_code error;
  fs::copy(source, target, fs::copy_options::recursive | fs::copy_options::create_hard_links, error);
  if (!error) return;
  fs::remove_all(target);  // what is linked already is the source itself: it must not be copied onto
  fs::copy(source, target, fs::copy_options::recursive);
}

}  // namespace

std::string write_checkpoint(const fs::path& trial_dir, std::uint64_t iteration, const SaveFunction& save) {
  std::string name = checkpoint_name(iteration);
  publish(trial_dir, name, save);
  return name;
}

std::uint64_t checkpoint_bytes(const fs::path& checkpoint_dir) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator it(checkpoint_dir, error), end; !error && it != end; it.increment(error)) {
    std::error_code none;
    if (!it->is_symlink(none) && it->is_regular_file(none)) bytes += it->file_size(none);
  }
  return bytes;
}

void copy_checkpoint(const fs::path& source, const fs::path& trial_dir, const std::string& name) {
  publish(trial_dir, name, [&](const fs::path& dir) { link_tree(source, dir); });
}

void remove_checkpoint(const fs::path& trial_dir, const std::string& name) {
  if (fs::exists(trial_dir / name)) move_away(trial_dir, trial_dir / name);
}

void remove_leftovers(const fs::path& trial_dir, const std::vector<std::string>& keep) {
  std::error_code none;
  std::vector<fs::path> victims;
  for (const auto& entry : fs::directory_iterator(trial_dir, none)) {
    const std::string name = entry.path().filename().string();
    const bool kept = std::find(keep.begin(), keep.end(), name) != keep.end();
    if (name.starts_with(kHidden) || (name.starts_with(kVisible) && !kept)) victims.push_back(entry.path());
  }
  for (const fs::path& victim : victims)
    victim.filename().string().starts_with(kHidden) ? remove_quietly(victim) : move_away(trial_dir, victim);
}

}  // namespace manta::tune
