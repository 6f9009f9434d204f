#pragma once
// Lineage: how the stored results of tasks are made again when their only copy is lost. Belongs to the owner; thread-safe.
//
// A task whose result lies in the object store leaves a Recipe: the function, its arguments as bytes, and for arguments that
// are objects either the object, where it cannot be lost, or its own recipe. A recipe does not keep large ancestors in
// memory: it makes them again. It lives as long as a ref to its object or to a descendant; all together are bounded in
// bytes, the oldest are dropped beyond. No recipe: `put` values, results of actors, tasks whose arguments are too large to
// travel inline or hold refs inside.
#include <functional>
#include <list>
#include <mutex>

#include "runtime/actors/owned_work.hpp"

namespace manta::detail {

class Lineage;

/// The cell's value in the store; null when it is not there.
std::shared_ptr<StoredObject> stored_in(const Cell& cell);

struct Recipe {
  struct Argument {
    std::weak_ptr<Cell> cell{};
    std::shared_ptr<Cell> kept{};      ///< small, so that it is simply kept
    std::shared_ptr<Recipe> recipe{};
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
  std::weak_ptr<Cell> current{};  ///< of the last time it was made again
  std::list<Recipe*>::iterator place{};
};

/// Bytes in the store that are made again when they are lost.
class RecoverableObject final : public StoredObject {
 public:
  RecoverableObject(std::shared_ptr<StoredObject> bytes, std::shared_ptr<Recipe> recipe)
      : bytes_(std::move(bytes)), recipe_(std::move(recipe)) {}
  std::uint64_t id() const noexcept override { return bytes()->id(); }
  std::uint64_t size() const noexcept override { return bytes()->size(); }
  /// Blocks also while the object is made again.
  Result<Buffer> open() override;
  const StoreAccess* home() const noexcept override { return bytes()->home(); }
  /// The object `lost` is gone: the cell that its value will come to, once. ObjectLost with the reason when it cannot come.
  Result<std::shared_ptr<Cell>> rebuild(std::uint64_t lost);
  /// Takes over what was made again.
  Result<void> adopt(Cell& cell);
  const std::shared_ptr<Recipe>& recipe() const noexcept { return recipe_; }

 private:
  std::shared_ptr<StoredObject> bytes() const {
    std::lock_guard lock(mutex_);
    return bytes_;
  }
  mutable std::mutex mutex_;  // guards bytes_
  std::shared_ptr<StoredObject> bytes_;
  const std::shared_ptr<Recipe> recipe_;
};

class Lineage : public std::enable_shared_from_this<Lineage> {
 public:
  struct Hooks {
    std::function<void(std::shared_ptr<OwnedTask>)> submit{};  ///< a task whose arguments are encoded; must not block
    std::function<void(Cell&)> wait{};                         ///< until settled
  };
  Lineage(std::uint64_t limit_bytes, Hooks hooks) : limit_(limit_bytes), hooks_(std::move(hooks)) {}

  /// For a finished task, before its arguments are released. Null when it cannot be made again.
  std::shared_ptr<Recipe> remember(const OwnedTask& task);
  Result<std::shared_ptr<Cell>> rebuild(const std::shared_ptr<Recipe>& recipe, std::uint64_t lost);
  void wait(Cell& cell) const { hooks_.wait(cell); }
  void forget(Recipe& recipe);
  std::uint64_t bytes() const;

 private:
  /// A task that will make a result again.
  struct Step {
    std::shared_ptr<Recipe> recipe{};
    std::vector<std::shared_ptr<Cell>> refs{};
    std::shared_ptr<Cell> result{};
  };
  struct Plan {
    std::vector<Step> steps{};
    std::vector<std::shared_ptr<void>> looked_at{};  ///< perhaps their last refs: they go without the lock
  };
  Result<std::shared_ptr<Cell>> plan(const std::shared_ptr<Recipe>& recipe, std::uint64_t lost, Plan& made);
  Result<std::shared_ptr<Cell>> look_at(const std::shared_ptr<Recipe>& recipe, std::uint64_t lost, Plan& made, std::vector<Step>& open) const;
  Result<std::shared_ptr<Cell>> go_on(Plan& made, std::vector<Step>& open);
  void submit(Step& step) const;
  void drop_oldest(std::vector<Recipe::Argument>& unused);

  const std::uint64_t limit_;
  const Hooks hooks_;
  mutable std::recursive_mutex mutex_;  // guards what follows; letting a cell go may let a recipe go, which comes back here
  std::uint64_t bytes_ = 0;
  std::list<Recipe*> by_age_{};
};

}  // namespace manta::detail
