#include "runtime/actors/lineage.hpp"

#include "runtime/control_section.hpp"
#include "runtime/results.hpp"

namespace manta::detail {

namespace {

constexpr std::uint64_t kRecipeBytes = 256;  // beside its arguments

ErrorInfo lost(std::string what, const std::string& why) {
  return {.code = ErrorCode::kObjectLost, .message = "its only copy was lost, and it cannot be made again: " + why, .where = std::move(what)};
}

ErrorInfo lost_for_good(const std::string& name, const std::string& why) { return lost("the result of " + name, why); }

/// Null when there is a recipe.
const char* why_without_recipe(const OwnedWork& work) {
  if (work.kind != OwnedWork::Kind::kTask) return "an actor or a stream made it, whose state is another one now";
  if (work.encoded->arguments.stored) return "its task took a large argument by value, which is not kept: put it, and pass the ref";
  if (work.encoded->arguments.references)
    return "its task took refs or handles inside an argument, which are not kept: pass each ref as an argument of its own";
  return nullptr;
}

/// A small argument's bytes alone: the value as this process has it may be large, and its cell may hold on to another process. Null where what
/// it refers to would be kept with it.
std::shared_ptr<Cell> copy_of(const Cell& cell, std::uint64_t& bytes) {
  auto sent = cell.failed() ? std::nullopt : cell.sent();
  if (!sent || sent->references) return nullptr;
  bytes += sent->bytes.size();
  auto copy = make_pooled<Cell>(cell.ops());
  copy->set_bytes(std::move(sent->bytes));
  return copy;
}
}  // namespace

std::shared_ptr<StoredObject> stored_in(const Cell& cell) {
  return !cell.settled() || cell.failed() ? nullptr : cell.stored();
}

/// Its ancestors may be a chain as long as the program has run: they go one after the other, not one inside the other.
Recipe::~Recipe() {
  if (auto lineage = book.lock()) lineage->forget(*this);
  thread_local std::vector<std::shared_ptr<Recipe>>* going = nullptr;  // of the first of them on this thread
  std::vector<std::shared_ptr<Recipe>> mine;
  const bool first = going == nullptr;
  if (first) going = &mine;
  for (auto& each : refs)
    if (each.recipe) going->push_back(std::move(each.recipe));
  if (!first) return;
  while (!mine.empty()) {
    const auto next = std::move(mine.back());
    mine.pop_back();
  }
  going = nullptr;
}

Result<Buffer> RecoverableObject::open(Deadline deadline) {
  while (true) {
    auto now = bytes();
    auto opened = now->open(deadline);
    if (opened || opened.error().code != ErrorCode::kObjectLost) return opened;
    if (bytes() != now) continue;  // made again meanwhile
    auto cell = rebuild(now->id());
    if (!cell) return cell.error();
    if (auto lineage = recipe_->book.lock(); lineage && !lineage->wait(**cell, deadline)) return not_made_again_in_time();
    if (auto adopted = adopt(**cell); !adopted) return adopted.error();
  }
}

Result<std::shared_ptr<Cell>> RecoverableObject::rebuild(std::uint64_t lost) {
  auto lineage = recipe_->book.lock();
  if (!lineage) return lost_for_good(*recipe_->name, "the runtime has been shut down");
  return lineage->rebuild(recipe_, output_, lost);
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

Result<Buffer> IrrecoverableObject::open(Deadline deadline) {
  auto opened = bytes_->open(deadline);
  if (opened || opened.error().code != ErrorCode::kObjectLost) return opened;
  auto error = reason();
  error.message += " (" + opened.error().message + ")";
  return error;
}

ErrorInfo IrrecoverableObject::reason() const { return lost(what_, why_); }

std::shared_ptr<StoredObject> put_object(std::shared_ptr<StoredObject> bytes) {
  return std::make_shared<IrrecoverableObject>(std::move(bytes), "a value that was put", "no task made it");
}

/// Gives what was made again to whom it belongs, also when all who asked for it have gone.
class Lineage::Adopter final : public Cell::Waiter {
 public:
  Adopter(std::weak_ptr<RecoverableObject> holder, std::weak_ptr<Cell> made) : holder_(std::move(holder)), made_(std::move(made)) {}
  void settled() override {
    const auto holder = holder_.lock();
    const auto made = made_.lock();
    if (holder && made && !made->failed()) static_cast<void>(holder->adopt(*made));  // what is wrong with it, who asks hears
  }

 private:
  std::weak_ptr<RecoverableObject> holder_;
  std::weak_ptr<Cell> made_;
};

std::shared_ptr<StoredObject> Lineage::keep(OwnedWork& work, std::size_t output, std::shared_ptr<StoredObject> bytes) {
  if (work.kind == OwnedWork::Kind::kTask && !work.encoded) return bytes;
  if (const auto* why = why_without_recipe(work))
    return std::make_shared<IrrecoverableObject>(std::move(bytes), "the result of " + *work.name(), why);
  return keep(remember(static_cast<OwnedTask&>(work)), output, std::move(bytes));
}

std::shared_ptr<StoredObject> Lineage::keep(const std::shared_ptr<Recipe>& recipe, std::size_t output, std::shared_ptr<StoredObject> bytes) {
  auto object = std::make_shared<RecoverableObject>(std::move(bytes), recipe, output);
  std::lock_guard lock(mutex_);
  if (auto& holder = recipe->outputs.at(output).holder; holder.expired()) holder = object;
  return object;
}

std::shared_ptr<Recipe> Lineage::remember(OwnedTask& task) {
  if (!task.encoded) return nullptr;
  if (task.encoded->recipe) return task.encoded->recipe;  // made again by it, or remembered with another of its results
  if (why_without_recipe(task)) return nullptr;
  const auto& arguments = task.encoded->arguments;
  auto recipe = std::make_shared<Recipe>();
  recipe->function = task.record->function;
  recipe->name = task.name();
  recipe->options = task.options;
  recipe->arguments = arguments.bytes;
  recipe->outputs.resize(1 + (task.record->more ? task.record->more->size() : 0));
  recipe->bytes = kRecipeBytes + recipe->arguments.size();
  for (const auto& cell : task.record->refs) {
    const auto stored = stored_in(*cell);
    const auto recoverable = std::dynamic_pointer_cast<RecoverableObject>(stored);
    const bool ours = recoverable && recoverable->recipe()->book.lock().get() == this;  // it may be another Runtime's
    recipe->refs.push_back({.cell = cell, .kept = stored ? nullptr : copy_of(*cell, recipe->bytes), .recipe = ours ? recoverable->recipe() : nullptr,
                            .output = ours ? recoverable->output() : 0});
    recipe->bytes += sizeof(Recipe::Argument);
  }
  std::vector<Recipe::Argument> unused;
  std::lock_guard lock(mutex_);
  recipe->book = weak_from_this();
  recipe->place = by_age_.insert(by_age_.end(), recipe.get());
  bytes_ += recipe->bytes;
  while (bytes_ > limit_) drop_oldest(unused);
  task.encoded->recipe = recipe;
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
  if (std::exchange(recipe.dropped, true)) return;
  by_age_.erase(recipe.place);
  bytes_ -= recipe.bytes;
}

std::uint64_t Lineage::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

/// The value's cell where it is there or on its way; null, and a step more in `open`, where it is to be made again.
Result<std::shared_ptr<Cell>> Lineage::look_at(const std::shared_ptr<Recipe>& recipe, std::size_t output, std::uint64_t lost, Plan& made,
                                               std::vector<Step>& open) const {
  if (auto cell = recipe->outputs.at(output).current.lock()) {
    made.looked_at.push_back(cell);
    const auto stored = cell->failed() ? nullptr : stored_in(*cell);
    made.looked_at.push_back(stored);
    if (!cell->failed() && (!stored || stored->id() != lost)) return cell;  // on its way, or there: shared ancestors are made once
  }
  if (auto holder = lost != 0 ? recipe->outputs.at(output).holder.lock() : nullptr) {
    made.looked_at.push_back(holder);
    if (holder->id() != lost) {  // it has been made again since, and nobody waits for that any more
      auto cell = output == 0 ? std::make_shared<Cell>(recipe->function->result_ops()) : recipe->function->make_more().at(output - 1);
      cell->set_stored(std::move(holder));
      return cell;
    }
  }
  if (recipe->dropped)
    return lost_for_good(*recipe->name, "what is needed for that was dropped to stay within RuntimeOptions::lineage_bytes (" +
                                            std::to_string(limit_) + ")");
  if (recipe->options->max_retries >= 0 && recipe->rebuilds >= recipe->options->max_retries)
    return lost_for_good(*recipe->name, "its max_retries (" + std::to_string(recipe->options->max_retries) + ") are used up");
  open.push_back({.recipe = recipe, .output = output});
  return std::shared_ptr<Cell>();
}

/// One argument more of the last open step, or with all of them its result, which closes it.
Result<std::shared_ptr<Cell>> Lineage::go_on(Plan& made, std::vector<Step>& open) {
  Step& step = open.back();
  const auto& recipe = step.recipe;
  if (step.refs.size() < recipe->refs.size()) {
    const auto& argument = recipe->refs[step.refs.size()];
    auto cell = argument.kept ? argument.kept : argument.cell.lock();
    if (!cell && argument.recipe) return look_at(argument.recipe, argument.output, 0, made, open);
    if (!cell) {
      auto error = lost_for_good(*recipe->name, "an argument of it was put, or made by an actor, or holds refs, and has been released");
      open.pop_back();
      return error;
    }
    made.looked_at.push_back(cell);
    return cell;
  }
  step.results.push_back(std::make_shared<Cell>(recipe->function->result_ops()));
  if (recipe->function->make_more)
    for (auto& more : recipe->function->make_more()) step.results.push_back(std::move(more));
  ++recipe->rebuilds;
  for (std::size_t i = 0; i < recipe->outputs.size(); ++i) {
    recipe->outputs[i].current = step.results.at(i);
    recipe->outputs[i].task = {};
    step.holders.push_back(recipe->outputs[i].holder);
  }
  auto result = step.results.at(step.output);
  made.steps.push_back(std::move(step));
  open.pop_back();
  return result;
}

/// Depth first, without recursion: ancestors may be a chain of any length. A plan that fails is as if it had never been: nothing of it
/// runs, and so nothing counts against anybody's max_retries.
Result<std::shared_ptr<Cell>> Lineage::plan(const std::shared_ptr<Recipe>& recipe, std::size_t output, std::uint64_t lost, Plan& made) {
  std::vector<Step> open;
  auto found = look_at(recipe, output, lost, made, open);
  while (found && !open.empty()) {
    if (*found) open.back().refs.push_back(std::move(*found));
    found = go_on(made, open);
  }
  if (found) return found;
  for (auto& step : made.steps) {
    --step.recipe->rebuilds;
    for (auto& each : step.recipe->outputs) each.current.reset();
  }
  auto error = found.error();
  for (; !open.empty(); open.pop_back()) {
    auto cause = std::make_shared<const ErrorInfo>(std::move(error));
    error = lost_for_good(*open.back().recipe->name, "an argument of it is gone");
    error.cause = as_cause(std::move(cause));
  }
  return error;
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
    const auto shared = std::make_shared<const ErrorInfo>(std::move(error));
    for (auto& result : step.results) result->set_error(shared);
    return;
  }
  for (std::size_t i = 0; i < step.holders.size(); ++i) step.results[i]->on_settled(std::make_shared<Adopter>(step.holders[i], step.results[i]));
  task->record->result = step.results.front();
  if (step.results.size() > 1) {
    task->record->more = std::make_unique<std::vector<std::shared_ptr<Cell>>>(std::next(step.results.begin()), step.results.end());
    share_failure(task->record->result, *task->record->more);
  }
  task->options = step.recipe->options;
  task->need_encoded().arguments.bytes = step.recipe->arguments;
  task->need_encoded().recipe = step.recipe;
  hooks_.submit(task);
  std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < step.results.size(); ++i)
    if (step.recipe->outputs[i].current.lock() == step.results[i]) step.recipe->outputs[i].task = task->id;
}

std::optional<TaskId> Lineage::making_again(const Cell& cell) const {
  const auto lost = std::dynamic_pointer_cast<RecoverableObject>(stored_in(cell));
  if (!lost) return {};
  std::shared_ptr<Cell> current;  // perhaps its last ref: it goes without the lock
  std::lock_guard lock(mutex_);
  if (lost->recipe()->book.lock().get() != this) return {};
  const auto& output = lost->recipe()->outputs.at(lost->output());
  current = output.current.lock();
  return current && !current->settled() ? std::optional(output.task) : std::nullopt;
}

std::optional<TaskId> Lineage::making(const Cell& made) const {
  std::vector<std::shared_ptr<Cell>> looked_at;  // likewise
  std::lock_guard lock(mutex_);
  for (const auto* recipe : by_age_)
    for (const auto& output : recipe->outputs) {
      if (output.current.expired()) continue;
      looked_at.push_back(output.current.lock());
      if (looked_at.back().get() == &made) return output.task;
    }
  return {};
}

/// A load may wait for what only this thread brings, if it is one of the runtime's own.
void Lineage::submit(std::vector<Step> steps) const {
  if (steps.empty()) return;
  auto job = [self = shared_from_this(), steps = std::make_shared<std::vector<Step>>(std::move(steps))] {
    for (auto& step : *steps) self->submit(step);
  };
  ControlSection::bin() && hooks_.post ? hooks_.post(std::move(job)) : job();
}

Result<std::shared_ptr<Cell>> Lineage::rebuild(const std::shared_ptr<Recipe>& recipe, std::size_t output, std::uint64_t lost) {
  Plan made;
  auto cell = [&] {
    std::lock_guard lock(mutex_);
    return plan(recipe, output, lost, made);
  }();
  if (cell) submit(std::move(made.steps));
  return cell;
}

}  // namespace manta::detail
