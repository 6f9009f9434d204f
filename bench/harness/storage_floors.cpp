#include "bench/harness/storage_floors.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <system_error>

namespace manta::bench {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

class File {
 public:
  File(const fs::path& path, int flags) : path_(path), fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {
    if (fd_ < 0) fail("open " + path_.string());
  }
  ~File() { ::close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  void write(const void* data, std::size_t size) {
    for (auto* at = static_cast<const char*>(data); size > 0;) {
      const auto done = ::write(fd_, at, size);
      if (done <= 0) fail("write " + path_.string());
      at += done, size -= static_cast<std::size_t>(done);
    }
  }
  void read(void* data, std::size_t size) {
    for (auto* at = static_cast<char*>(data); size > 0;) {
      const auto done = ::read(fd_, at, size);
      if (done <= 0) fail("read " + path_.string());
      at += done, size -= static_cast<std::size_t>(done);
    }
  }
  void sync() {
    if (::fsync(fd_) != 0) fail("fsync " + path_.string());
  }
  void forget() { ::posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED); }

 private:
  const fs::path path_;
  const int fd_;
};

}  // namespace

TemporaryFolder::TemporaryFolder() {
  auto name = (fs::temp_directory_path() / "manta-bench-XXXXXX").string();
  if (!::mkdtemp(name.data())) fail("mkdtemp " + name);
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

Timed fork_and_exit(std::size_t n) {
  return {n, time_of([&] {
            for (std::size_t i = 0; i < n; ++i) {
              const pid_t child = ::fork();
              if (child < 0) fail("fork");
              if (child == 0) ::_exit(0);
              int status = 0;
              if (::waitpid(child, &status, 0) != child) fail("waitpid");
            }
          })};
}

BigCopy::BigCopy() : from_(kBigMebibytes * kMebibyte, 'a'), to_(kBigMebibytes * kMebibyte, 'b') {}

Timed BigCopy::operator()(std::size_t n) {
  const std::size_t copies = (n + kBigMebibytes - 1) / kBigMebibytes;
  return {copies * kBigMebibytes, time_of([&] {
            for (std::size_t i = 0; i < copies; ++i) {
              std::memcpy(to_.data(), from_.data(), from_.size());
              asm volatile("" : : "r"(to_.data()) : "memory");  // it is looked at
            }
          })};
}

std::vector<char> random_mebibyte() {
  std::vector<std::uint64_t> words(kMebibyte / sizeof(std::uint64_t));
  std::mt19937_64 random(1);
  for (auto& word : words) word = random();
  std::vector<char> bytes(kMebibyte);
  std::memcpy(bytes.data(), words.data(), kMebibyte);
  return bytes;
}

void sync_files(const fs::path& folder, bool forget) {
  std::error_code gone;  // files of a store that works may go meanwhile
  for (const auto& entry : fs::recursive_directory_iterator(folder, gone)) {
    if (!entry.is_regular_file(gone)) continue;
    try {
      File file(entry.path(), O_RDONLY);
      file.sync();
      if (forget) file.forget();
    } catch (const std::system_error& e) {
      if (e.code().value() != ENOENT) throw;
    }
  }
}

fs::path PlainFiles::file(std::size_t index) const { return folder_.path() / std::to_string(index); }

Timed PlainFiles::write() {
  written_ = true;
  return {kSpillValues, time_of([&] {
            for (std::size_t i = 0; i < kSpillValues; ++i) {
              const std::uint64_t checksum = XXH3_64bits(value_.data(), value_.size());
              File out(file(i), O_WRONLY | O_CREAT | O_TRUNC);
              out.write(&checksum, sizeof checksum);
              out.write(value_.data(), value_.size());
            }
            sync_files(folder_.path(), false);
          })};
}

Timed PlainFiles::read() {
  if (!written_) write();
  sync_files(folder_.path(), true);
  std::vector<char> bytes(kMebibyte);
  return {kSpillValues, time_of([&] {
            for (std::size_t i = 0; i < kSpillValues; ++i) {
              std::uint64_t checksum = 0;
              File in(file(i), O_RDONLY);
              in.read(&checksum, sizeof checksum);
              in.read(bytes.data(), bytes.size());
              if (checksum != XXH3_64bits(bytes.data(), bytes.size())) throw std::runtime_error("a plain file is damaged");
            }
          })};
}

}  // namespace manta::bench
