#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>
#include <utility>

#include "support.hpp"
#include "trainables.hpp"
#include "tune/core/event_log.hpp"
#include "tune/core/journal_codec.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

/// The driver as a child; what it prints goes into a file. `where`: thread or process.
pid_t start_driver(const fs::path& dir, int pause_ms, const char* where) {
  const std::string results = dir.string(), pause = std::to_string(pause_ms), out = dir / "driver.out";
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (!std::freopen(out.c_str(), "a", stdout) || !std::freopen(out.c_str(), "a", stderr)) ::_exit(99);
    ::execl("/proc/self/exe", "tune_run", "--driver", results.c_str(), pause.c_str(), where, "--num-cpus=2", "--num-gpus=0", nullptr);
    ::_exit(98);
  }
  return pid;
}

int wait_for(pid_t pid) {
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  return status;
}

/// Waits until the processes that a killed driver left, which come to us, are gone too.
void reap_orphans() {
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  pid_t gone = 0;
  while ((gone = ::waitpid(-1, nullptr, WNOHANG)) >= 0 && std::chrono::steady_clock::now() < deadline)
    if (gone == 0) std::this_thread::sleep_for(2ms);
  CHECK(gone == -1);
}

/// Starts the driver and kills it at a random moment in its first `latest_ms`; false when it had ended by itself.
bool kill_one(const fs::path& dir, Random& random, int latest_ms, const char* where) {
  const pid_t driver = start_driver(dir, 60, where);
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(random.randint(0, latest_ms));
  int status = 0;
  pid_t ended = 0;
  while ((ended = ::waitpid(driver, &status, WNOHANG)) == 0 && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(1ms);
  if (ended == 0) {
    ::kill(driver, SIGKILL);
    status = wait_for(driver);
  }
  reap_orphans();
  CAPTURE(text_of(dir / "driver.out"));
  if (WIFEXITED(status)) REQUIRE(WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status);
}

struct Journaled {
  std::map<TrialIndex, std::vector<std::uint64_t>> iterations;
  std::map<TrialIndex, int> finished, failed;
};

Journaled read_journal(const fs::path& dir) {
  Journaled found;
  open_event_log_read_only(dir / "killed" / "journal")->for_each_event([&](std::span<const std::byte> record) {
    const Event event = decode_event(record);
    if (const auto* report = std::get_if<TrialReported>(&event.body)) found.iterations[report->trial].push_back(report->iteration);
    if (const auto* end = std::get_if<TrialFinished>(&event.body)) ++found.finished[end->trial];
    if (const auto* end = std::get_if<TrialFailed>(&event.body)) ++found.failed[end->trial];
  });
  return found;
}

/// What a report returned for is in the journal, in order and once, wherever the driver was killed. Gives how many that were.
std::size_t check_told(const fs::path& dir) {
  std::size_t told = 0;
  if (!fs::exists(dir / "killed" / "journal")) return told;
  std::map<TrialIndex, std::uint64_t> newest;
  for (const auto& entry : fs::directory_iterator(dir / "killed")) {
    const auto lines = lines_of(entry.path() / "told");  // "abcde_00003 2"
    if (lines.empty()) continue;
    told += lines.size();
    const auto number = lines.back().rfind('_') + 1, iteration = lines.back().rfind(' ') + 1;
    newest[static_cast<TrialIndex>(std::stoul(lines.back().substr(number)))] = std::stoull(lines.back().substr(iteration));
  }
  if (newest.empty()) return told;
  const Journaled journal = read_journal(dir);
  for (const auto& [trial, iterations] : journal.iterations)
    for (std::size_t i = 0; i < iterations.size(); ++i) CHECK(iterations[i] == i + 1);
  for (const auto& [trial, iteration] : newest) {
    CAPTURE(trial);
    CHECK(journal.iterations.at(trial).size() >= iteration);
  }
  return told;
}

void check_complete(const fs::path& dir) {
  const Journaled journal = read_journal(dir);
  REQUIRE(journal.iterations.size() == 4);
  for (const auto& [trial, iterations] : journal.iterations) {
    CHECK(iterations == std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6});
    CHECK(journal.finished.at(trial) == 1);
  }
  CHECK(journal.failed.empty());
  for (const auto& entry : fs::directory_iterator(dir / "killed"))
    if (fs::exists(entry.path() / "result.jsonl")) CHECK(lines_of(entry.path() / "result.jsonl").size() == kIterations);
}

}  // namespace

TEST_SUITE("tune/run") {
  TEST_CASE("kill -9 of the driver at a hundred random moments, resumed each time: every result once, nothing run twice, nobody left") {
    const char* where = "";
    SUBCASE("trials in processes of their own") { where = "process"; }
    SUBCASE("trials on threads of the driver") { where = "thread"; }
    constexpr int kKills = 100, kMostOfOne = 25;
    Random random(20261124);
    int killed = 0, latest_ms = 200;
    std::size_t told_in_all = 0;
    while (killed < kKills) {
      const TempDir tmp;
      std::size_t told = 0;
      for (const int most = std::min(kKills, killed + kMostOfOne); killed < most && kill_one(tmp.path(), random, latest_ms, where); ++killed) {
        const std::size_t before = std::exchange(told, check_told(tmp.path()));
        if (told == before) latest_ms += 20;  // on a busy machine drivers need longer to come to anything
      }
      told_in_all += told;
      const int last = wait_for(start_driver(tmp.path(), 1, where));
      CAPTURE(text_of(tmp.path() / "driver.out"));
      REQUIRE(WIFEXITED(last));
      CHECK(WEXITSTATUS(last) == 0);
      check_told(tmp.path());
      check_complete(tmp.path());
      reap_orphans();
    }
    CHECK(told_in_all > 0);  // else the moments were all too early to show anything
  }

  TEST_CASE("Ctrl-C and SIGTERM: what is known is printed, the code is that of the signal, and a resume goes on") {
    for (int number : {SIGINT, SIGTERM}) {
      TempDir tmp;
      const fs::path out = tmp.path() / "driver.out";
      const pid_t driver = start_driver(tmp.path(), 100, "process");
      const auto deadline = std::chrono::steady_clock::now() + 20s;
      while (!has(text_of(out), "iteration 2") && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(5ms);
      ::kill(driver, number);
      const int status = wait_for(driver);
      CAPTURE(text_of(out));
      REQUIRE(WIFEXITED(status));
      CHECK(WEXITSTATUS(status) == 128 + number);
      CHECK(has(text_of(out), "Interrupted. Everything reported so far is kept."));
      CHECK(has(text_of(out), "Current best trial: train_slowly_"));
      reap_orphans();
      CHECK(wait_for(start_driver(tmp.path(), 1, "process")) == 0);
      check_complete(tmp.path());
      reap_orphans();
    }
  }
}
