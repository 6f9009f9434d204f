#include "runtime/store/store_directory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string_view>

#include "runtime/store/object_file.hpp"

namespace manta {

namespace fs = std::filesystem;

namespace {

constexpr char kLoadPrefix[] = "load-";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_number(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), is_digit); }
/// RocksDB's: others may keep logs of theirs in the directory.
bool is_log(std::string_view name) { return name.ends_with(".log") && is_number(name.substr(0, name.size() - 4)); }
bool is_manifest(std::string_view name) { return name.starts_with("MANIFEST-") && is_number(name.substr(9)); }

template <class Wanted>
void remove_files(const std::string& path, Wanted wanted) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(path, ignored))
    if (wanted(entry.path().filename().string()) && fs::is_regular_file(entry.symlink_status(ignored))) fs::remove(entry.path(), ignored);
}

/// The entries of a directory. One that may not be read is left alone, and so is a file system that does not sync directories.
std::error_code sync_entries(const fs::path& directory) {
  const int fd = ::open(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return {};
  const int error = ::fsync(fd) != 0 && errno != EINVAL && errno != EROFS ? errno : 0;
  ::close(fd);
  return {error, std::generic_category()};
}

/// And those above it, as anybody makes them.
std::error_code make_directory(const fs::path& path, mode_t mode, Sync sync) {
  std::error_code error;
  if (fs::exists(path, error)) return {};
  const auto parent = path.parent_path();
  if (!parent.empty() && parent != path)
    if (error = make_directory(parent, 0777, sync); error) return error;
  if (::mkdir(path.c_str(), mode) == 0) return sync == Sync::kYes ? sync_entries(parent) : std::error_code{};
  return errno == EEXIST ? std::error_code{} : std::error_code{errno, std::generic_category()};
}

/// The name of the manifest; empty where the file CURRENT does not tell.
std::string manifest_name(const std::string& path) {
  std::string name;
  std::getline(std::ifstream(path + "/CURRENT"), name);
  return name;
}

}  // namespace

ErrorInfo damaged_store(const std::string& path, const std::string& detail) {
  return {.code = ErrorCode::kStorageCorruption,
          .message = fmt::format("{} is damaged: {}. Restore the directory from a copy, or move it away to start anew; "
                                 "RocksDB's own tool (ldb --db={} repair) keeps what is still readable",
                                 path, detail, path)};
}

ErrorCode write_error_code(int error) noexcept {
  return error == ENOSPC || error == EDQUOT ? ErrorCode::kOutOfDisk : ErrorCode::kIoError;
}

ErrorInfo cannot_write(const std::string& directory, int error) {
  return {.code = write_error_code(error), .message = fmt::format("cannot write to directory {}: {}", directory, std::strerror(error))};
}

Result<void> make_writable_directory(const std::string& path, Sync sync) {
  std::error_code error = make_directory(path, 0700, sync);
  if (std::error_code unknown; !error && !fs::is_directory(path, unknown)) error = unknown ? unknown : std::make_error_code(std::errc::not_a_directory);
  if (!error && ::access(path.c_str(), W_OK | X_OK) != 0) error = {errno, std::generic_category()};
  if (!error) return {};
  return cannot_write(path, error.value());
}

Result<void> require_store(const std::string& path) {
  const auto missing = [](const std::string& name, int how) { return ::access(name.c_str(), how) != 0 && (errno == ENOENT || errno == ENOTDIR); };
  const std::string current = path + "/CURRENT";
  if (missing(path, F_OK)) return ErrorInfo{.code = ErrorCode::kNotFound, .message = fmt::format("there is no directory {}", path)};
  if (missing(current, R_OK)) return ErrorInfo{.code = ErrorCode::kNotFound, .message = fmt::format("{} holds no store of Manta", path)};
  if (::access(current.c_str(), R_OK) != 0 || ::access(path.c_str(), R_OK | X_OK) != 0)
    return ErrorInfo{.code = ErrorCode::kIoError,
                     .message = fmt::format("cannot read directory {}: {}. Look who may read it", path, std::strerror(errno))};
  return {};
}

std::string store_path(const std::string& directory) {
  std::error_code error;
  auto path = directory.empty() ? std::string() : fs::absolute(directory, error).string();
  if (error) path = directory;  // where the program stands has been removed
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::string new_table_file(const std::string& path) {
  static const std::uint64_t life = std::uint64_t{std::random_device{}()} << 32 | std::random_device{}();
  static std::atomic<std::uint64_t> next{0};
  std::error_code ignored;
  while (true) {
    auto file = fmt::format("{}/{}{}-{:016x}-{}.table", path, kLoadPrefix, ::getpid(), life, next++);
    if (!fs::exists(file, ignored)) return file;
  }
}

void remove_left_tables(const std::string& path) {
  // As new_table_file names them, of this version and of older ones: others may have files there that begin so.
  remove_files(path, [](const std::string& name) {
    const auto stem = std::string_view(name).substr(0, name.find('.')), rest = stem.substr(std::min(stem.size(), sizeof kLoadPrefix - 1));
    return name.starts_with(kLoadPrefix) && (name.ends_with(".table") || name.ends_with(".sst")) && name.find('.') == name.rfind('.') &&
           !rest.empty() && is_digit(rest[0]) && rest.find_first_not_of("0123456789abcdef-") == std::string_view::npos;
  });
}

void remove_left_object_files(const std::string& path) {
  remove_files(path, [](const std::string& name) { return is_left_object_file(name); });
}

std::uint64_t log_bytes(const std::string& path) {
  std::uint64_t sum = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(path, ignored))
    if (is_log(entry.path().filename().string()))
      if (const auto size = entry.file_size(ignored); !ignored) sum += size;
  return sum;
}

bool lacks_manifest(const std::string& path) {
  std::error_code error;
  const auto name = manifest_name(path);
  return !name.empty() && fs::status(path + "/" + name, error).type() == fs::file_type::not_found;
}

std::uint64_t manifest_bytes(const std::string& path) { return manifest_state(path).second; }

std::pair<std::string, std::uint64_t> manifest_state(const std::string& path) {
  std::error_code error;
  auto name = manifest_name(path);
  const auto size = fs::file_size(path + "/" + name, error);
  return {std::move(name), error ? 0 : size};
}

Result<void> sync_file(const std::string& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  const int error = fd < 0 || ::fdatasync(fd) != 0 ? errno : 0;
  if (fd >= 0) ::close(fd);
  if (!error) return {};
  return ErrorInfo{.code = write_error_code(error),
                   .message = fmt::format("cannot write {} to the disk: {}; try again", file, std::strerror(error))};
}

bool says_no_room(std::string_view text) {
  for (const std::string_view words : {": No space left on device", ": Disk quota exceeded"})
    for (auto at = text.find(words); at != std::string_view::npos; at = text.find(words, at + 1))
      if (const auto end = at + words.size(); end == text.size() || text[end] != '/') return true;
  return false;
}

Result<void> refuse_spill(const std::string& path) {
  std::error_code ignored;
  if (!fs::exists(path + "/" + kSpillMarker, ignored)) return {};
  return ErrorInfo{.code = ErrorCode::kInvalidArgument,
                   .message = fmt::format("{} holds what a program that was killed had spilled, and the next one that spills there deletes it: "
                                          "name another directory for what is to last (or delete this one; only its file {}, if something "
                                          "durable is in it)", path, kSpillMarker)};
}

Result<void> audit_logs(const std::string& path, Damage kind) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(path, ignored)) {
    const auto name = entry.path().filename().string();
    if (!is_log(name) && !is_manifest(name)) continue;
    if (!entry.is_regular_file(ignored)) continue;
    if (const auto offset = find_damage(entry.path().string(), kind))
      return damaged_store(path, fmt::format("file {}, the record at byte {}", name, *offset));
  }
  return {};
}

}  // namespace manta
