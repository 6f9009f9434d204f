#include "runtime/actors/running_work.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "runtime/base/error.hpp"
#include "runtime/in_task.hpp"
#include "runtime/without_parent.hpp"

namespace manta::detail {

namespace {
thread_local CancelSlot* t_slot = nullptr;
thread_local bool t_without_parent = false;
}  // namespace

CancelSlot* CancelSlot::current() noexcept { return t_without_parent ? nullptr : t_slot; }

CancelSlot* CancelSlot::submitting() noexcept {
  auto* slot = current();
  return slot && slot->cancelled_with_children() && std::uncaught_exceptions() > 0 ? nullptr : slot;
}

WithoutParent::WithoutParent() noexcept : before_(std::exchange(t_without_parent, true)) {}

WithoutParent::~WithoutParent() { t_without_parent = before_; }

CancelSlot::Outside::Outside() noexcept : before_(std::exchange(t_slot, nullptr)) {}

CancelSlot::Outside::~Outside() { t_slot = before_; }

bool in_task() noexcept { return t_slot != nullptr; }

void result_is_made() noexcept { CancelSlot::end_running(); }

/// No more order is needed: who has seen the result sees this too.
bool CancelSlot::end_running() noexcept {
  if (!t_slot || !t_slot->ends_with_result_) return false;
  t_slot->id_.store(0, std::memory_order_release);
  return true;
}

void CancelSlot::check() {
  if (t_slot && t_slot->cancelled())
    throw Cancelled("the task that waits here has been cancelled, or its deadline has passed: let this exception pass");
}

void CancelSlot::cancel(TaskId id, bool recursive) {
  std::lock_guard lock(mutex_);
  if (!tell(id, recursive)) return;
  for (auto* helper = next_; helper; helper = helper->next_) {
    std::lock_guard its_lock(helper->mutex_);
    helper->tell(id, recursive);
  }
}

/// False when that work has ended and another one runs.
bool CancelSlot::tell(TaskId id, bool recursive) {
  if (recursive) recursive_id_.store(id.value, std::memory_order_release);
  cancelled_id_.store(id.value, std::memory_order_release);
  if (!cancelled()) return false;
  wake();
  return true;
}

void CancelSlot::wake() {
  if (!word_) return;
  auto expected = value_;
  if (word_->compare_exchange_strong(expected, ~value_, std::memory_order_acq_rel)) futex_wake_all(*word_);
}

CancelSlot::Sleep::Sleep(std::atomic<std::uint32_t>& word, std::uint32_t value) : slot_(t_slot) {
  if (!slot_) return;
  std::lock_guard lock(slot_->mutex_);
  slot_->word_ = &word;
  slot_->value_ = value;
  if (slot_->cancelled()) slot_->wake();
}

CancelSlot::Sleep::~Sleep() {
  if (!slot_) return;
  std::lock_guard lock(slot_->mutex_);
  slot_->word_ = nullptr;
}

RunningWork::Scope::Scope(RunningWork& all, TaskId id, bool ends_with_result) : all_(all), slot_(&all.take()), before_(t_slot) {
  slot_->ends_with_result_ = ends_with_result;
  slot_->id_.store(id.value, std::memory_order_seq_cst);
  if (all.any_early_.load(std::memory_order_seq_cst)) all.meet_early(*slot_);
  t_slot = slot_;
}

RunningWork::Scope::~Scope() {
  t_slot = before_;
  slot_->id_.store(0, std::memory_order_seq_cst);
  if (slot_->helped_.load(std::memory_order_seq_cst)) {
    std::lock_guard lock(slot_->mutex_);
    slot_->helped_ = false;
    slot_->next_ = nullptr;
    all_.helped_ = true;
  }
  slot_->taken_.store(false, std::memory_order_release);
}

RunningWork::Helper::Helper(RunningWork& all) : all_(all), belongs_(all.add(slot_)) {
  if (belongs_) t_slot = &slot_;
}

RunningWork::Helper::~Helper() {
  if (!belongs_) return;
  t_slot = nullptr;
  std::lock_guard lock(all_.first_.mutex_);
  for (auto* each = &all_.first_; each; each = each->next_) {
    if (each->next_ != &slot_) continue;
    each->next_ = slot_.next_;
    break;
  }
}

/// An executor runs one work at a time, so it is in first_. Either this sees that it has ended, or its end sees `helped_`.
bool RunningWork::add(CancelSlot& helper) {
  std::lock_guard lock(first_.mutex_);
  first_.helped_.store(true, std::memory_order_seq_cst);
  const auto id = first_.id_.load(std::memory_order_seq_cst);
  if (id == 0) return false;
  helper.id_ = id;
  if (first_.cancelled_id_ == id) helper.cancelled_id_ = id;
  if (first_.recursive_id_ == id) helper.recursive_id_ = id;
  helper.next_ = std::exchange(first_.next_, &helper);
  return true;
}

CancelSlot& RunningWork::take() {
  if (!first_.taken_.exchange(true, std::memory_order_acquire)) return first_;
  std::lock_guard lock(mutex_);
  auto& more = rare().more;
  for (auto& slot : more)
    if (!slot.taken_.exchange(true, std::memory_order_acquire)) return slot;
  more.emplace_back().taken_ = true;
  return more.back();
}

RunningWork::Rare& RunningWork::rare() {
  if (!rare_) rare_ = std::make_unique<Rare>();
  return *rare_;
}

/// Until `f` says true of one. With mutex_ held.
template <class F>
bool RunningWork::any_slot(F&& f) {
  return f(first_) || (rare_ && std::any_of(rare_->more.begin(), rare_->more.end(), f));
}

bool RunningWork::cancel_running(TaskId id, bool recursive) {
  return any_slot([=](CancelSlot& slot) {
    if (slot.id_.load(std::memory_order_seq_cst) != id.value) return false;
    slot.cancel(id, recursive);
    return true;
  });
}

std::vector<TaskId> RunningWork::cancel_all() {
  std::vector<TaskId> running;
  std::lock_guard lock(mutex_);
  all_ = true;
  any_early_.store(true, std::memory_order_seq_cst);  // what begins after it has been looked for here meets it
  any_slot([&](CancelSlot& slot) {
    const TaskId id{slot.id_.load(std::memory_order_seq_cst)};
    if (id) slot.cancel(id, true), running.push_back(id);
    return false;
  });
  return running;
}

void RunningWork::cancel(TaskId id, bool recursive) {
  std::lock_guard lock(mutex_);
  if (cancel_running(id, recursive)) return;
  auto& early = rare().early;
  if (early.size() == kMaxEarly) early.pop_front();
  early.push_back({id, recursive});
  any_early_.store(true, std::memory_order_seq_cst);
  if (cancel_running(id, recursive)) early.pop_back();  // it began meanwhile
}

void RunningWork::cancel_now(TaskId id, bool recursive) {
  std::lock_guard lock(mutex_);
  cancel_running(id, recursive);
}

bool RunningWork::runs(TaskId id) {
  std::lock_guard lock(mutex_);
  return any_slot([id](const CancelSlot& slot) { return slot.id() == id; });
}

void RunningWork::meet_early(CancelSlot& slot) {
  std::lock_guard lock(mutex_);
  if (all_) return slot.cancel(slot.id(), true);
  auto& [more, early, unmet] = rare();
  bool recursive = false;  // of several cancels, any
  const auto met = std::erase_if(early, [&](const Early& each) {
    if (each.id != slot.id()) return false;
    recursive |= each.recursive;
    return true;
  });
  if (met != 0) {
    slot.cancel(slot.id(), recursive);
  } else if (++unmet > kMaxUnmet) {
    early.clear();
    unmet = 0;
  }
  any_early_ = !early.empty();
}

}  // namespace manta::detail
