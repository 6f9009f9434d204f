#include "tune/loggers/file_writer.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

void write_all(const std::filesystem::path& path, std::string_view text, int flags) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
  bool good = fd >= 0;
  while (good && !text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    good = written > 0;
    if (good) text.remove_prefix(static_cast<std::size_t>(written));
  }
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (!good) throw IoError("cannot write '" + path.string() + "': " + std::strerror(error) + ".");
}

}  // namespace

void replace_file(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::path hidden = path;
  hidden += ".tmp";
  write_all(hidden, text, O_TRUNC);
  if (::rename(hidden.c_str(), path.c_str()) != 0)
    throw IoError("cannot write '" + path.string() + "': " + std::strerror(errno) + ".");
}

void append_file(const std::filesystem::path& path, std::string_view text) { write_all(path, text, O_APPEND); }

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

bool cut_file(const std::filesystem::path& path, std::size_t bytes) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error || size < bytes) return false;
  if (size > bytes) std::filesystem::resize_file(path, bytes);
  return true;
}

void sync_file_system(const std::filesystem::path& dir) noexcept {
  const int fd = ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::syncfs(fd);
  ::close(fd);
}

std::string utc_text(std::int64_t time_ms) {
  const std::time_t seconds = time_ms / 1000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  return text;
}

}  // namespace manta::tune
