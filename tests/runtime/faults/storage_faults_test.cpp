// Faults 13, 14, 17 and 18: what outlives the program, on a disk that tears, flips, fills up and fails.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iostream>

#include "runtime/journal.hpp"
#include "tests/runtime/faults/disk.hpp"
#include "tests/runtime/clean.hpp"

namespace manta_test {

namespace {

constexpr std::size_t kNumbers = 40'000;
constexpr int kNames = 5;

std::string name_of(std::uint64_t round) { return "v/" + std::to_string(round % kNames); }
Array<std::uint64_t> value_of(std::uint64_t round) { return Array<std::uint64_t>(std::vector<std::uint64_t>(kNumbers, round)); }

/// Puts for ever and says after each put which one it was.
int put_durables(const std::string& dir) {
  auto options = small_machine();
  options.durable_dir = dir;
  auto rt = Runtime::start(options);
  for (std::uint64_t round = 1;; ++round) {
    rt.put(value_of(round), {.durable_name = name_of(round)});
    std::cout << round << std::endl;
  }
}

RuntimeOptions durable_in(const std::string& dir) {
  auto options = small_machine();
  options.durable_dir = dir;
  return options;
}

/// The largest file of the directory whose name ends so.
fs::path largest(const fs::path& directory, const std::string& ending) {
  fs::path found;
  for (const auto& entry : fs::directory_iterator(directory))
    if (entry.path().string().ends_with(ending) && (found.empty() || entry.file_size() > fs::file_size(found))) found = entry.path();
  return found;
}

void flip(const fs::path& file, std::uintmax_t at) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(at));
  const char byte = static_cast<char>(stream.get() ^ 0x10);
  stream.seekp(static_cast<std::streamoff>(at));
  stream.put(byte);
}

std::span<const std::byte> record(const std::string& text) { return std::as_bytes(std::span(text)); }

int square(int x) { return x * x; }

}  // namespace

int run_put_durables(const std::string& dir) { return put_durables(dir); }

TEST_SUITE("runtime/faults/storage") {
  TEST_CASE("fault 13: a journal's torn tail costs records that were not acknowledged, and nothing else") {
    const Clean clean;
    Folder folder;
    const std::string path = folder / "journal";
    {
      auto journal = Journal::open(path);
      for (int i = 0; i < 1000; ++i) journal.append(record("record " + std::to_string(i)));
    }
    const auto log = largest(path, ".log");
    fs::resize_file(log, fs::file_size(log) - 3);
    auto journal = Journal::open(path);
    CHECK(journal.last() == 999);
    std::uint64_t seen = 0;
    journal.for_each([&](std::uint64_t number, Journal::Record bytes) {
      CHECK(number == ++seen);
      CHECK(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()) == "record " + std::to_string(number - 1));
    });
    CHECK(journal.append(record("more")) == 1000);
  }

  TEST_CASE("fault 13: after kill -9 at any instant each durable object is whole, and those that were acknowledged are there") {
    Folder folder;
    const std::string dir = folder / "durable";
    std::uint64_t acknowledged[kNames] = {};
    for (int kill = 0; kill < 6; ++kill) {
      {
        SubProgram writer("put-durables", {dir});
        const auto end = SteadyClock::now() + std::chrono::milliseconds(5 + 17 * kill);
        std::uint64_t first = 0;
        for (std::uint64_t last = 0; SteadyClock::now() < end || last < first + kNames;) {
          last = std::stoull(writer.read_line());
          if (!first) first = last;
          acknowledged[last % kNames] = last;
        }
        ::kill(writer.pid, SIGKILL);  // in the middle of the next put
        for (auto line = writer.read_line(); !line.empty(); line = writer.read_line()) acknowledged[std::stoull(line) % kNames] = std::stoull(line);
        writer.wait();
      }
      Machine machine(durable_in(dir));
      auto& rt = machine.rt;
      CHECK(rt.list_durable("v/").size() == kNames);
      for (std::uint64_t i = 0; i < kNames; ++i) {
        const auto value = rt.get(rt.find_durable<Array<std::uint64_t>>(name_of(i)));
        REQUIRE(value.size() == kNumbers);
        CHECK(value[0] % kNames == i);
        CHECK(value[0] >= acknowledged[i]);
        CHECK(value == value_of(value[0]));
      }
      std::fill(std::begin(acknowledged), std::end(acknowledged), 0);  // the next writer counts from one again
    }
  }

  TEST_CASE("fault 14: a byte flipped in the middle is StorageCorruption with file, place and a way to repair, for journal and objects") {
    Folder folder;
    const std::string path = folder / "journal";
    const std::string dir = folder / "durable";
    {
      auto journal = Journal::open(path);
      for (int i = 0; i < 1000; ++i) journal.append(record("record " + std::to_string(i)));
      Machine machine(durable_in(dir));
      for (int i = 0; i < 20; ++i) machine.rt.put(value_of(7), {.durable_name = "v/" + std::to_string(i)});
    }
    for (const auto& directory : {path, dir}) {
      const auto log = largest(directory, ".log");
      flip(log, fs::file_size(log) / 2);
      CAPTURE(directory);
      Machine machine(durable_in(dir));
      const auto error = directory == path ? error_of<StorageCorruption>([&] { Journal::open(path); })
                                           : error_of<StorageCorruption>([&] { machine.rt.list_durable(); });
      CHECK(contains(error.message, log.filename().string()));
      CHECK(contains(error.message, "at byte "));
      CHECK(contains(error.message, "ldb --db=" + directory + " repair"));
      if (directory == dir) CHECK_THROWS_AS(machine.rt.put(1, {.durable_name = "new"}), StorageCorruption);
      CHECK(machine.rt.get(machine.rt.remote<square>(4)) == 16);  // what needs no disk goes on
    }
  }

  TEST_CASE("fault 17: a full disk stops what must be written there, nothing else, and is over when there is space") {
    Folder folder;
    SmallDisk disk(folder / "disk", 56);
    if (!disk) return;
    std::ofstream(disk / "filler") << std::string(36 << 20, 'f') << std::flush;
    Machine machine(durable_in(disk / "durable"));
    auto& rt = machine.rt;
    rt.put(std::string("kept"), {.durable_name = "kept"});
    ErrorInfo error;
    int put = 0;
    for (; put < 200 && error.message.empty(); ++put) try {
        rt.put(value_of(1), {.durable_name = "fill/" + std::to_string(put)});
      } catch (const OutOfDisk& e) {
        error = e.info();
      }
    CHECK(put < 200);
    CHECK(contains(error.message, disk / "durable"));
    CHECK(rt.get(rt.remote<square>(5)) == 25);
    CHECK(rt.get(rt.task<square>({.isolation = own_process}).remote(6)) == 36);
    CHECK(rt.get(rt.find_durable<std::string>("kept")) == "kept");
    const auto whole = rt.list_durable("fill/");
    CHECK(whole.size() == static_cast<std::size_t>(put) - 1);
    for (const auto& name : whole) CHECK(rt.get(rt.find_durable<Array<std::uint64_t>>(name)) == value_of(1));
    CHECK(rt.remove_durable("fill/0"));  // what helps is not refused
    CHECK(rt.list_durable("fill/").size() == whole.size() - 1);
    fs::remove(disk / "filler");
    CHECK(eventually(
        [&] {
          try {
            rt.put(value_of(2), {.durable_name = "after"});
            return true;
          } catch (const OutOfDisk&) {
            return false;
          }
        },
        30s));
    CHECK(rt.get(rt.find_durable<Array<std::uint64_t>>("after")) == value_of(2));
  }

  TEST_CASE("fault 18: after a failed fsync the store is not written again but read anew from the disk; no fsync is retried") {
    Folder folder;
    Machine machine(durable_in(folder / "durable"));
    auto& rt = machine.rt;
    rt.put(1, {.durable_name = "a"});
    auto journal = Journal::open(folder / "journal");
    journal.append(record("one"));
    {
      FailingSync failing;
      CHECK_THROWS_AS(rt.put(2, {.durable_name = "b"}), IoError);
      CHECK_THROWS_AS(journal.sync(), IoError);
    }
    CHECK(FailingSync::failures() == 2);
    const auto error = error_of<IoError>([&] { journal.append(record("two")); });
    CHECK(contains(error.message, "open it anew"));
    CHECK(rt.get(rt.find_durable<int>("a")) == 1);
    rt.put(3, {.durable_name = "c"});  // opened anew
    CHECK(rt.get(rt.find_durable<int>("c")) == 3);
    CHECK_THROWS_AS(journal.close(), IoError);
    journal = Journal::open(folder / "journal2");
    auto again = Journal::open(folder / "journal");
    CHECK(again.last() >= 1);
    again.append(record("three"));
    again.sync();
    CHECK(FailingSync::retries() == 0);
  }
}

}  // namespace manta_test
