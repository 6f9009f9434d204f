#pragma once
// Lineage: how the stored results of tasks are made again when their only copy is lost. Belongs to the owner; thread-safe.
//
// A task whose result lies in the object store leaves a Recipe: the function, its arguments as bytes, and for arguments that
// are objects either the object, where it cannot be lost, or its own recipe. A recipe does not keep large ancestors in
// memory: it makes them again. It lives as long as a ref to its object or to a descendant; all together are bounded in
// bytes, the oldest are dropped beyond. No recipe: `put` values, results of actors and items of streams, results of tasks whose arguments
// are too large to travel inline or hold refs inside. What has none says why not.
#include <functional>
#include <list>
#include <mutex>
#include <optional>

#include "runtime/actors/owned_work.hpp"
#include "runtime/actors/rebuildable.hpp"

namespace manta::detail {

class Lineage;
class RecoverableObject;

/// The cell's value in the store; null when it is not there.
std::shared_ptr<StoredObject> stored_in(const Cell& cell);

struct Recipe {
  struct Argument {
    std::weak_ptr<Cell> cell{};
    std::shared_ptr<Cell> kept{};      ///< small, so that a copy of it is simply kept; null when it refers to others
    std::shared_ptr<Recipe> recipe{};
    std::size_t output = 0;            ///< which of that recipe's
  };
  /// A result; of a std::tuple there are several, which are made again together.
  struct Output {
    std::weak_ptr<Cell> current{};              ///< of the last time it was made again
    TaskId task{};                              ///< that makes or made that; 0: it has not been submitted yet
    std::weak_ptr<RecoverableObject> holder{};  ///< what gets it then, whether somebody still waits or not
  };
  ~Recipe();

  std::weak_ptr<Lineage> book{};
  FunctionEntry* function = nullptr;
  std::shared_ptr<const std::string> name{};
  std::shared_ptr<const TaskOptions> options{};
  Buffer arguments{};
  std::vector<Argument> refs{};
  std::uint64_t bytes = 0;
  // Guarded by the book's lock.
  int rebuilds = 0;
  bool dropped = false;
  std::vector<Output> outputs{};
  std::list<Recipe*>::iterator place{};
};

/// Bytes in the store that are made again when they are lost.
class RecoverableObject final : public StoredObject, public Rebuildable {
 public:
  RecoverableObject(std::shared_ptr<StoredObject> bytes, std::shared_ptr<Recipe> recipe, std::size_t output = 0)
      : bytes_(std::move(bytes)), recipe_(std::move(recipe)), output_(output) {}
  std::uint64_t id() const noexcept override { return bytes()->id(); }
  std::uint64_t size() const noexcept override { return bytes()->size(); }
  /// Blocks also while the object is made again.
  Result<Buffer> open(Deadline deadline) override;
  const StoreAccess* home() const noexcept override { return bytes()->home(); }
  Result<std::shared_ptr<Cell>> rebuild(std::uint64_t lost) override;
  Result<void> adopt(Cell& cell) override;
  const std::shared_ptr<Recipe>& recipe() const noexcept { return recipe_; }
  std::size_t output() const noexcept { return output_; }

 private:
  std::shared_ptr<StoredObject> bytes() const {
    std::lock_guard lock(mutex_);
    return bytes_;
  }
  mutable std::mutex mutex_;  // guards bytes_
  std::shared_ptr<StoredObject> bytes_;
  const std::shared_ptr<Recipe> recipe_;
  const std::size_t output_;
};

/// Bytes in the store that nothing makes again, and why not.
class IrrecoverableObject final : public StoredObject, public Rebuildable {
 public:
  /// `what`: for messages; `why`: the end of a sentence, which stays there.
  IrrecoverableObject(std::shared_ptr<StoredObject> bytes, std::string what, const char* why)
      : bytes_(std::move(bytes)), what_(std::move(what)), why_(why) {}
  std::uint64_t id() const noexcept override { return bytes_->id(); }
  std::uint64_t size() const noexcept override { return bytes_->size(); }
  const StoreAccess* home() const noexcept override { return bytes_->home(); }
  Result<Buffer> open(Deadline deadline) override;
  Result<std::shared_ptr<Cell>> rebuild(std::uint64_t) override { return reason(); }
  Result<void> adopt(Cell&) override { return reason(); }

 private:
  ErrorInfo reason() const;
  const std::shared_ptr<StoredObject> bytes_;
  const std::string what_;
  const char* const why_;
};

/// What `put` made, which lies in the store alone.
std::shared_ptr<StoredObject> put_object(std::shared_ptr<StoredObject> bytes);

class Lineage : public std::enable_shared_from_this<Lineage> {
 public:
  struct Hooks {
    std::function<void(std::shared_ptr<OwnedTask>)> submit{};  ///< a task whose arguments are encoded; must not block
    std::function<bool(Cell&, Deadline)> wait{};               ///< until settled; false at the deadline
    std::function<void(std::function<void()>)> post{};         ///< runs it on a thread where the program's code may run; none: at once
  };
  Lineage(std::uint64_t limit_bytes, Hooks hooks) : limit_(limit_bytes), hooks_(std::move(hooks)) {}

  /// For a finished task, before its arguments are released: the same for each of its results. Null when it cannot be made again.
  std::shared_ptr<Recipe> remember(OwnedTask& task);
  /// A result of finished work, the first one or a further one, as its owner keeps it: it comes back when it is lost, or says why not.
  std::shared_ptr<StoredObject> keep(OwnedWork& work, std::size_t output, std::shared_ptr<StoredObject> bytes);
  std::shared_ptr<StoredObject> keep(const std::shared_ptr<Recipe>& recipe, std::size_t output, std::shared_ptr<StoredObject> bytes);
  Result<std::shared_ptr<Cell>> rebuild(const std::shared_ptr<Recipe>& recipe, std::size_t output, std::uint64_t lost);
  bool wait(Cell& cell, Deadline deadline) const { return hooks_.wait(cell, deadline); }
  /// The task that makes the cell's lost value again just now; null when none does. Its id is 0 for a moment.
  std::optional<TaskId> making_again(const Cell& cell) const;
  /// The task that makes this cell, which took a lost one's place.
  std::optional<TaskId> making(const Cell& made) const;
  void forget(Recipe& recipe);
  std::uint64_t bytes() const;

 private:
  /// A task that will make a result again.
  struct Step {
    std::shared_ptr<Recipe> recipe{};
    std::size_t output = 0;  ///< the one that is wanted
    std::vector<std::shared_ptr<Cell>> refs{};
    std::vector<std::shared_ptr<Cell>> results{};
    std::vector<std::weak_ptr<RecoverableObject>> holders{};
  };
  struct Plan {
    std::vector<Step> steps{};
    std::vector<std::shared_ptr<void>> looked_at{};  ///< perhaps their last refs: they go without the lock
  };
  class Adopter;
  Result<std::shared_ptr<Cell>> plan(const std::shared_ptr<Recipe>& recipe, std::size_t output, std::uint64_t lost, Plan& made);
  Result<std::shared_ptr<Cell>> look_at(const std::shared_ptr<Recipe>& recipe, std::size_t output, std::uint64_t lost, Plan& made,
                                        std::vector<Step>& open) const;
  Result<std::shared_ptr<Cell>> go_on(Plan& made, std::vector<Step>& open);
  void submit(Step& step) const;
  void submit(std::vector<Step> steps) const;
  void drop_oldest(std::vector<Recipe::Argument>& unused);

  const std::uint64_t limit_;
  const Hooks hooks_;
  mutable std::recursive_mutex mutex_;  // guards what follows; letting a cell go may let a recipe go, which comes back here
  std::uint64_t bytes_ = 0;
  std::list<Recipe*> by_age_{};
};

}  // namespace manta::detail
