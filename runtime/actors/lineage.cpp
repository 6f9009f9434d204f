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

std::shared_ptr<StoredObject> stored_in(Cell& cell) {
  if (!cell.settled() || cell.failed() || cell.needs_encoding(~std::uint64_t{0})) return nullptr;
  auto encoded = cell.encoded(~std::uint64_t{0}, [](std::uint64_t, const auto&) -> Result<std::shared_ptr<StoredObject>> {
    return ErrorInfo{.code = ErrorCode::kInvalidArgument};
  });
  return encoded ? encoded->stored : nullptr;
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

Result<std::shared_ptr<Cell>> Lineage::plan(const std::shared_ptr<Recipe>& recipe, std::uint64_t lost, Tasks& tasks) {
  if (auto cell = recipe->current.lock(); cell && !cell->failed()) {
    const auto stored = stored_in(*cell);
    if (!stored || stored->id() != lost) return cell;  // on its way, or there: shared ancestors are made once
  }
  if (recipe->dropped)
    return lost_for_good(*recipe->name, "what is needed for that was dropped to stay within RuntimeOptions::lineage_bytes (" +
                                            std::to_string(limit_) + ")");
  if (recipe->options->max_retries >= 0 && recipe->rebuilds >= recipe->options->max_retries)
    return lost_for_good(*recipe->name, "its max_retries (" + std::to_string(recipe->options->max_retries) + ") are used up");
  auto task = std::make_shared<OwnedTask>();
  std::vector<std::shared_ptr<Cell>> refs;
  for (auto& each : recipe->refs) {
    auto cell = each.kept ? each.kept : each.cell.lock();
    if (!cell && each.recipe) {
      auto made = plan(each.recipe, 0, tasks);
      if (!made) {
        auto error = lost_for_good(*recipe->name, "an argument of it is gone");
        error.cause = std::make_shared<const ErrorInfo>(made.error());
        return error;
      }
      cell = *made;
    }
    if (!cell) return lost_for_good(*recipe->name, "an argument of it was put, or made by an actor, and has been released");
    refs.push_back(std::move(cell));
  }
  InputArchive archive(recipe->arguments);
  task->record = recipe->function->decode(archive, std::move(refs));
  task->record->result = std::make_shared<Cell>(recipe->function->result_ops());
  task->options = recipe->options;
  task->need_encoded().arguments.bytes = recipe->arguments;
  task->need_encoded().recipe = recipe;
  ++recipe->rebuilds;
  recipe->current = task->record->result;
  auto result = task->record->result;
  tasks.push_back(std::move(task));
  return result;
}

Result<std::shared_ptr<Cell>> Lineage::rebuild(const std::shared_ptr<Recipe>& recipe, std::uint64_t lost) {
  Tasks tasks;
  auto cell = [&]() -> Result<std::shared_ptr<Cell>> {
    std::lock_guard lock(mutex_);
    try {
      return plan(recipe, lost, tasks);
    } catch (...) {  // a serialise function of the user's
      auto error = lost_for_good(*recipe->name, "its arguments cannot be read");
      error.cause = std::make_shared<const ErrorInfo>(current_exception_info());
      return error;
    }
  }();
  if (cell)
    for (auto& task : tasks) hooks_.submit(std::move(task));
  return cell;
}

}  // namespace manta::detail
