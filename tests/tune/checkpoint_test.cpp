#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "runtime/errors.hpp"
#include "support.hpp"
#include "tune/core/checkpoint_files.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;
namespace fs = std::filesystem;

namespace {
std::vector<std::string> entries(const fs::path& dir) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}
}  // namespace

TEST_SUITE("tune/core") {
  TEST_CASE("a checkpoint has everything that was saved, and replaces one of its name") {
    TempDir dir;
    CHECK(write_checkpoint(dir.path(), 3, [](const fs::path& at) { write_text(at / "old", "x"); }) == "checkpoint_000003");
    write_checkpoint(dir.path(), 3, [](const fs::path& at) {
      fs::create_directories(at / "deep/er");
      write_text(at / "deep/er/weights", "data");
    });
    CHECK(entries(dir.path()) == std::vector<std::string>{"checkpoint_000003"});
    CHECK(text_of(dir.path() / "checkpoint_000003/deep/er/weights") == "data");
    CHECK_FALSE(fs::exists(dir.path() / "checkpoint_000003/old"));
  }

  TEST_CASE("a checkpoint that is written again is there at every moment, so that no kill leaves the trial without one") {
    TempDir dir;
    const auto save = [](const fs::path& at) { write_text(at / "w", "x"); };
    const fs::path place = dir.path() / write_checkpoint(dir.path(), 1, save);
    std::atomic<bool> done{false};
    std::size_t looked = 0, missing = 0;
    std::thread watch([&] {
      for (; !done; ++looked) missing += ::access(place.c_str(), F_OK) != 0;
    });
    for (int i = 0; i < 3000; ++i) write_checkpoint(dir.path(), 1, save);
    done = true;
    watch.join();
    CHECK(looked > 0);
    CHECK(missing == 0);
    CHECK(entries(dir.path()).size() == 1);
  }

  TEST_CASE("a save that throws leaves nothing, and the checkpoint before it is whole") {
    TempDir dir;
    write_checkpoint(dir.path(), 1, [](const fs::path& at) { write_text(at / "w", "one"); });
    const auto bad = [](const fs::path& at) {
      write_text(at / "w", "half");
      throw std::runtime_error("disk on fire");
    };
    CHECK(error_of([&] { write_checkpoint(dir.path(), 1, bad); }) == "disk on fire");
    CHECK(error_of([&] { write_checkpoint(dir.path(), 2, bad); }) == "disk on fire");
    CHECK(entries(dir.path()) == std::vector<std::string>{"checkpoint_000001"});
    CHECK(text_of(dir.path() / "checkpoint_000001/w") == "one");
  }

  TEST_CASE("a directory that cannot be written is an IoError that names it") {
    TempDir dir;
    write_text(dir.path() / "file", "");
    const auto nothing = [](const fs::path&) {};
    CHECK_THROWS_AS(write_checkpoint(dir.path() / "file", 1, nothing), IoError);
    CHECK(has(error_of([&] { write_checkpoint(dir.path() / "file", 1, nothing); }), (dir.path() / "file").string()));
  }

  TEST_CASE("leftovers of a killed process go, kept checkpoints and the user's files stay") {
    TempDir dir;
    for (const char* name : {".checkpoint_tmp_77_0", "checkpoint_000001", "checkpoint_000002", "mine"}) {
      fs::create_directory(dir.path() / name);
      write_text(dir.path() / name / "f", "x");
    }
    remove_leftovers(dir.path(), {"checkpoint_000002"});
    CHECK(entries(dir.path()) == std::vector<std::string>{"checkpoint_000002", "mine"});
    remove_leftovers(dir.path() / "absent", {});
  }

  TEST_CASE("a copy is whole, also on another file system, and outlives the original") {
    TempDir near;
    const fs::path far = fs::temp_directory_path() / ("manta_copy_" + std::to_string(::getpid()));
    write_checkpoint(near.path(), 3, [](const fs::path& dir) {
      fs::create_directory(dir / "sub");
      write_text(dir / "weights", "1 2 3");
      write_text(dir / "sub" / "state", "4");
    });
    for (const fs::path& target : {near.path() / "other", far}) {
      fs::create_directories(target);
      copy_checkpoint(near.path() / "checkpoint_000003", target, "checkpoint_000003_clone1");
    }
    remove_checkpoint(near.path(), "checkpoint_000003");
    for (const fs::path& target : {near.path() / "other", far}) {
      CHECK(entries(target) == std::vector<std::string>{"checkpoint_000003_clone1"});
      CHECK(text_of(target / "checkpoint_000003_clone1" / "weights") == "1 2 3");
      CHECK(text_of(target / "checkpoint_000003_clone1" / "sub" / "state") == "4");
    }
    fs::remove_all(far);
    CHECK_THROWS_AS(copy_checkpoint(near.path() / "absent", near.path(), "checkpoint_000009_clone1"), IoError);
    CHECK(entries(near.path()) == std::vector<std::string>{"other"});
  }
}
