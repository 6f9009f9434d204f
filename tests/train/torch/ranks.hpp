#pragma once
// Runs a function as several ranks, each in a forked process, and brings back the numbers each returns. The parent must
// not have started threads.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

namespace manta::train::testing {

struct RankResult {
  int status{0};  ///< as waitpid gives it
  std::vector<float> values{};
  bool ok() const { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }
  /// "exit 2" or "signal 6": an exit code alone reads 0 for a process that a signal ended.
  std::string ending() const {
    return WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status)) : "exit " + std::to_string(WEXITSTATUS(status));
  }
};

/// An empty file in memory that child processes can open by its path.
class MemoryFile {
 public:
  MemoryFile() : fd_(memfd_create("rendezvous", MFD_CLOEXEC)) {}
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

inline void write_values(int fd, const std::vector<float>& values) {
  const char* at = reinterpret_cast<const char*>(values.data());
  for (std::size_t left = values.size() * sizeof(float); left > 0;) {
    const ssize_t n = write(fd, at, left);
    if (n <= 0) _exit(3);
    at += n;
    left -= static_cast<std::size_t>(n);
  }
}

inline std::vector<float> read_values(int fd) {
  std::vector<char> bytes;
  char chunk[65536];
  for (ssize_t n; (n = read(fd, chunk, sizeof chunk)) > 0;) bytes.insert(bytes.end(), chunk, chunk + n);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::copy(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(values.size() * sizeof(float)),
            reinterpret_cast<char*>(values.data()));
  return values;
}

/// A rank that throws exits with 2 and prints what it threw.
inline std::vector<RankResult> run_ranks(
    int count, const std::function<std::vector<float>(int rank, const std::string& rendezvous)>& body) {
  const MemoryFile rendezvous;
  const std::string path = rendezvous.path();
  std::cout.flush();
  std::vector<pid_t> children;
  std::vector<int> pipes;
  for (int rank = 0; rank < count; ++rank) {
    int ends[2];
    if (pipe(ends) != 0) std::abort();
    const pid_t child = fork();
    if (child == 0) {
      close(ends[0]);
      try {
        write_values(ends[1], body(rank, path));
        _exit(0);
      } catch (const std::exception& e) {
        std::fprintf(stderr, "rank %d: %.300s\n", rank, e.what());
        _exit(2);
      }
    }
    close(ends[1]);
    children.push_back(child);
    pipes.push_back(ends[0]);
  }
  std::vector<RankResult> results(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < results.size(); ++i) {
    results[i].values = read_values(pipes[i]);
    close(pipes[i]);
    waitpid(children[i], &results[i].status, 0);
  }
  return results;
}

}  // namespace manta::train::testing
