#pragma once
// A machine whose stored objects can be lost, and tasks whose results lie in its store.
#include <algorithm>
#include <fstream>
#include <set>

#include "support.hpp"

namespace manta_test {

inline constexpr std::size_t kMiB = 1 << 20;

inline Buffer filled(std::size_t size, int value) { return Buffer::copy(std::vector<std::byte>(size, static_cast<std::byte>(value))); }
inline int value_of(const Buffer& buffer) {
  const bool even = std::all_of(buffer.bytes().begin(), buffer.bytes().end(), [&](std::byte b) { return b == buffer.data()[0]; });
  return even ? std::to_integer<int>(buffer.data()[0]) : -1;
}
inline Buffer first(const std::string& runs, int value) {
  append(runs, ".");
  return filled(kMiB, value);
}
/// The second time it waits for the gate.
inline Buffer slow_again(const std::string& runs, const std::string& gate, int value) {
  append(runs, ".");
  if (content(runs).size() > 1) pass(gate, 0);
  return filled(kMiB, value);
}

/// A machine with a spill folder that can be damaged, and a count of runs.
struct Place {
  static RuntimeOptions options(const Folder& folder, std::uint64_t lineage_bytes) {
    auto options = small_machine();
    options.spill_dir = folder / "spill";
    options.lineage_bytes = lineage_bytes;
    return options;
  }
  explicit Place(std::uint64_t lineage_bytes = std::uint64_t{1} << 30) : machine(options(folder, lineage_bytes)) {}

  template <auto F, class... Args>
  ObjectRef<Buffer> run(int max_retries, const Args&... args) {  // where a result must be stored
    TaskOptions options{.max_retries = max_retries};
    if (!in_processes()) options.isolation = own_process;
    return machine.rt.task<F>(options).remote(args...);
  }
  std::size_t runs() const { return content(file).size(); }
  /// Sends what is there to disk and damages it.
  void lose_all() {
    auto& rt = machine.rt;
    const auto there = rt.stats().stored_objects;
    {
      std::vector<ObjectRef<Buffer>> others;
      for (int i = 0; i < 14; ++i) others.push_back(machine.rt.task<filled>({.isolation = own_process}).remote(6 * kMiB, i));
      rt.wait(others, {.count = others.size()});
      CHECK(eventually([&] { return rt.stats().spilled_objects >= there; }));
    }
    CHECK(eventually([&] { return rt.stats().stored_objects <= there; }));  // fewer: ancestors that were just going
    // What is left of an epoch that others left may just be written to another file: until a look finds none that is new.
    Seen seen;
    for (int quiet = 0; quiet < 8; std::this_thread::sleep_for(20ms)) quiet = damage_new(seen) ? 0 : quiet + 1;
  }
  using Seen = std::set<std::pair<fs::path, std::streamoff>>;  ///< with its size: one that is still being written is looked at again
  /// Damages the files that are not in `seen` yet; false when there were none.
  bool damage_new(Seen& seen) const {
    bool any = false;
    for (const auto& each : fs::recursive_directory_iterator(folder / "spill")) {
      std::error_code gone;
      const auto size = static_cast<std::streamoff>(fs::file_size(each.path(), gone));
      if (gone || each.path().extension() != ".sst" || !seen.insert({each.path(), size}).second) continue;
      any = true;
      std::fstream damaged(each.path(), std::ios::in | std::ios::out | std::ios::binary);
      for (std::streamoff at = 4096; at < size - 65536; at += 65536) damaged.seekp(at).write("damage", 6);
    }
    return any;
  }

  Folder folder{};
  const std::string file = folder / "runs";
  Machine machine;
};

}  // namespace manta_test
