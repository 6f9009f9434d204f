#pragma once
// A round of work whose every answer is known, whatever dies meanwhile: tasks, nested tasks, actors that restart, objects that
// are larger than what travels inline and together larger than the arena.
#include <string>

#include "tests/runtime/api/support.hpp"

namespace manta_test {

class Workload {
 public:
  /// `folder` takes the files in which at-most-once calls leave their marks.
  Workload(Runtime& rt, std::string folder, unsigned seed);
  /// Submits a round, checks all its answers. Each get has a limit of a minute.
  void round();
  int rounds() const { return rounds_; }
  /// Lets go of all refs and handles.
  void finish();

 private:
  struct Kept {
    ObjectRef<Buffer> ref;
    std::uint64_t seed;
  };
  void small_tasks();
  void nested_tasks();
  void large_objects();
  void retried_calls();
  void careful_calls();
  void check_marks();

  Runtime& rt_;
  const std::string folder_;
  std::uint64_t seed_;
  int rounds_ = 0;
  std::vector<Kept> kept_;
  std::shared_ptr<void> actors_;
};

}  // namespace manta_test
