// The files of results that a resume reads back, cuts and goes on writing. The first byte chooses the file, the second one how many results the
// journal has. What is kept of the file is a beginning of it, unless it is written anew.
#include <filesystem>
#include <fstream>

#include "runtime/errors.hpp"
#include "tests/tune/support.hpp"
#include "tune/loggers/logger.hpp"
#include "tune/schedulers/pbt_replay.hpp"

namespace {

using namespace manta::tune;
namespace fs = std::filesystem;

struct File {
  std::string name;
  std::unique_ptr<Logger> (*make)();
};
const File kFiles[] = {{"progress.csv", make_csv_logger}, {"result.jsonl", make_json_logger}, {"error.txt", make_json_logger},
                       {"events.out.tfevents.manta", make_tensorboard_logger}};

/// Of this run, and empty.
const fs::path& directory() {
  static const testing::TempDir kept;
  static const fs::path dir = kept.path() / "trial";
  fs::remove_all(dir);
  fs::create_directory(dir);
  return dir;
}

void write(const fs::path& file, std::string_view text) { std::ofstream(file, std::ios::binary) << text; }

void check_results(const File& file, std::uint64_t results, std::string_view text) {
  const fs::path& dir = directory();
  write(dir / file.name, text);
  const auto logger = file.make();
  Trial trial{.index = 3, .id = "e_00003", .results = results, .last = {{"loss", 0.5}}};
  const bool whole = logger->on_restored(trial, dir);
  const std::string kept = testing::text_of(dir / file.name);
  MANTA_CHECK(text.starts_with(kept));
  if (!whole) logger->on_created(trial, dir);
  trial.record(1, {{"loss", 0.5}, {"a new, \"quoted\" name", 1}}, 1);
  logger->on_result(trial, dir, {3, 1, trial.last, 1}, 1000);
  trial.error = "it failed";
  logger->on_failure(trial, dir, 1000);
  logger->on_ended(trial);
  logger->flush();
}

void check_policies(std::string_view text) {
  const fs::path& dir = directory();
  write(dir / "pbt_global.txt", text);
  write(dir / "policy.txt", text);
  try {
    (void)read_pbt_policy(dir / "policy.txt");
  } catch (const manta::InvalidArgument&) {
  }
  const auto logger = make_policy_logger();
  const Trial trial{.index = 3, .id = "e_00003", .exploits = 1}, donor{.index = 1, .id = "e_00001"};
  logger->on_exploit(trial, dir / "e_00003", donor, 4);
  MANTA_CHECK(testing::text_of(dir / "pbt_global.txt").ends_with('\n'));
  if (const fs::path own = dir / "pbt_policy_e_00003.txt"; fs::exists(own)) MANTA_CHECK(!read_pbt_policy(own).changes.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 2), size - 2);
  const std::size_t which = data[0] % (std::size(kFiles) + 1);
  if (which == std::size(kFiles))
    check_policies(text);
  else
    check_results(kFiles[which], data[1] % 8, text);
  return 0;
}
