#include "runtime/actors/lineage.hpp"

namespace manta::detail {

namespace {

constexpr std::uint64_t kRecipeBytes = 256;  // beside its arguments

ErrorInfo lost_for_good(const std::string& name, const std::string& why) {
  return {.code = ErrorCode::kObjectLost,
          .message = "its only copy was lost, and it cannot be made again: " + why,
          .where = "the result of " + name};
}

}  // namespace

std::shared_ptr<StoredObject> stored_in(const Cell& cell) {
  return !cell.settled() || cell.failed() ? nullptr : cell.stored();
}

Recipe::~Recipe() {
  if (auto lineage = book.lock()) lineage->forget(*this);
}

Result<Buffer> RecoverableObject::open() {
  while (true) {
    auto now = bytes();
    auto opened = now->open();
    if (opened || opened.error().code != ErrorCode::kObjectLost) return opened;
    auto cell = rebuild(now->id());
    if (!cell) return cell.error();
    if (auto lineage = recipe_->book.lock()) lineage->wait(**cell);
    if (auto adopted = adopt(**cell); !adopted) return adopted.error();
  }
}

Result<std::shared_ptr<Cell>> RecoverableObject::rebuild(std::uint64_t lost) {
  auto lineage = recipe_->book.lock();
  if (!lineage) return lost_for_good(*recipe_->name, "the runtime has been shut down");
  return lineage->rebuild(recipe_, lost);
}

Result<void> RecoverableObject::adopt(Cell& cell) {
  if (cell.failed()) {
    auto error = lost_for_good(*recipe_->name, "running it again failed");
    error.cause = cell.error();
    return error;
  }
  auto made = std::dynamic_pointer_cast<RecoverableObject>(stored_in(cell));
  if (!made) return lost_for_good(*recipe_->name, "it gave another value when it ran again");
  auto bytes = made->bytes();
  std::lock_guard lock(mutex_);
  bytes_.swap(bytes);  // the lost one goes without the lock
  return {};
}

std::shared_ptr<Recipe> Lineage::remember(const OwnedTask& task) {
  if (!task.encoded) return nullptr;
  if (task.encoded->recipe) return task.encoded->recipe;  // made again by it
  const auto& arguments = task.encoded->arguments;
  if (arguments.stored || arguments.references || task.record->more) return nullptr;
  auto recipe = std::make_shared<Recipe>();
  recipe->function = task.record->function;
  recipe->name = task.name();
  recipe->options = task.options;
  recipe->arguments = arguments.bytes;
  recipe->bytes = kRecipeBytes + recipe->arguments.size();
  for (const auto& cell : task.record->refs) {
    const auto stored = stored_in(*cell);
    const auto recoverable = std::dynamic_pointer_cast<RecoverableObject>(stored);
    recipe->refs.push_back({.cell = cell, .kept = stored ? nullptr : cell, .recipe = recoverable ? recoverable->recipe() : nullptr});
    recipe->bytes += sizeof(Recipe::Argument);
  }
  std::vector<Recipe::Argument> unused;
  std::lock_guard lock(mutex_);
  recipe->book = weak_from_this();
  recipe->place = by_age_.insert(by_age_.end(), recipe.get());
  bytes_ += recipe->bytes;
  while (bytes_ > limit_) drop_oldest(unused);
  return recipe;
}

void Lineage::drop_oldest(std::vector<Recipe::Argument>& unused) {
  auto& oldest = *by_age_.front();
  by_age_.pop_front();
  bytes_ -= oldest.bytes;
  oldest.dropped = true;
  for (auto& each : oldest.refs) unused.push_back(std::move(each));
  oldest.refs.clear();
}

void Lineage::forget(Recipe& recipe) {
  std::lock_guard lock(mutex_);
  if (recipe.dropped) return;
  by_age_.erase(recipe.place);
  bytes_ -= recipe.bytes;
}

std::uint64_t Lineage::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

Result<std::shared_ptr<Cell>> Lineage::plan(const std::shared_ptr<Recipe>& recipe, std::uint64_t lost, Plan& made) {
  if (auto cell = recipe->current.lock()) {
    made.looked_at.push_back(cell);
    const auto stored = cell->failed() ? nullptr : stored_in(*cell);
    made.looked_at.push_back(stored);
    if (!cell->failed() && (!stored || stored->id() != lost)) return cell;  // on its way, or there: shared ancestors are made once
  }
  if (recipe->dropped)
    return lost_for_good(*recipe->name, "what is needed for that was dropped to stay within RuntimeOptions::lineage_bytes (" +
                                            std::to_string(limit_) + ")");
  if (recipe->options->max_retries >= 0 && recipe->rebuilds >= recipe->options->max_retries)
    return lost_for_good(*recipe->name, "its max_retries (" + std::to_string(recipe->options->max_retries) + ") are used up");
  std::vector<std::shared_ptr<Cell>> refs;
  for (auto& each : recipe->refs) {
    auto cell = each.kept ? each.kept : each.cell.lock();
    if (!cell && each.recipe) {
      auto again = plan(each.recipe, 0, made);
      if (!again) {
        auto error = lost_for_good(*recipe->name, "an argument of it is gone");
        error.cause = std::make_shared<const ErrorInfo>(again.error());
        return error;
      }
      cell = *again;
    }
    if (!cell) return lost_for_good(*recipe->name, "an argument of it was put, or made by an actor, and has been released");
    made.looked_at.push_back(cell);
    refs.push_back(std::move(cell));
  }
  auto result = std::make_shared<Cell>(recipe->function->result_ops());
  ++recipe->rebuilds;
  recipe->current = result;
  made.steps.push_back({.recipe = recipe, .refs = std::move(refs), .result = result});
  return result;
}

/// Reads the arguments, which is the user's code: without the lock.
void Lineage::submit(Step& step) const {
  auto task = std::make_shared<OwnedTask>();
  try {
    InputArchive archive(step.recipe->arguments);
    task->record = step.recipe->function->decode(archive, std::move(step.refs));
  } catch (...) {
    auto error = lost_for_good(*step.recipe->name, "its arguments cannot be read");
    error.cause = std::make_shared<const ErrorInfo>(current_exception_info());
    step.result->set_error(std::make_shared<const ErrorInfo>(std::move(error)));
    return;
  }
  task->record->result = std::move(step.result);
  task->options = step.recipe->options;
  task->need_encoded().arguments.bytes = step.recipe->arguments;
  task->need_encoded().recipe = std::move(step.recipe);
  hooks_.submit(std::move(task));
}

Result<std::shared_ptr<Cell>> Lineage::rebuild(const std::shared_ptr<Recipe>& recipe, std::uint64_t lost) {
  Plan made;
  auto cell = [&] {
    std::lock_guard lock(mutex_);
    return plan(recipe, lost, made);
  }();
  for (auto& step : made.steps) cell ? submit(step) : static_cast<void>(step.result->set_error(std::make_shared<const ErrorInfo>(cell.error())));
  return cell;
}

}  // namespace manta::detail
