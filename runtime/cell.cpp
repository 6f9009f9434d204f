#include "runtime/cell.hpp"

#include <algorithm>

#include "runtime/base/log.hpp"
#include "runtime/base/spin.hpp"
#include "runtime/control_section.hpp"

namespace manta::detail {

namespace {

/// What was ended on purpose is no news.
bool was_wanted(const ErrorInfo& error) {
  const ErrorInfo* root = &error;
  while (root->cause) root = root->cause.get();
  return root->code == ErrorCode::kCancelled || root->code == ErrorCode::kRuntimeStopped || root->code == ErrorCode::kActorDied;
}

/// Lets a few messages through in each period, and counts the others.
class LogLimit {
 public:
  /// -1: not this one; else how many were left out before it.
  int admit() {
    std::lock_guard lock(mutex_);
    const auto now = SteadyClock::now();
    if (now - begin_ > kPeriod) begin_ = now, count_ = 0;
    if (++count_ > kMessages) return ++left_out_, -1;
    return std::exchange(left_out_, 0);
  }

 private:
  static constexpr std::chrono::seconds kPeriod{10};
  static constexpr int kMessages = 20;
  std::mutex mutex_;
  SteadyClock::time_point begin_{};
  int count_ = 0, left_out_ = 0;
};

thread_local ValueBin* t_bin = nullptr;  // of a thread that must not run the program's code

}  // namespace

ControlSection::ControlSection(ValueBin& bin) noexcept : before_(std::exchange(t_bin, &bin)) {}
ControlSection::~ControlSection() { t_bin = before_; }
ValueBin* ControlSection::bin() noexcept { return t_bin; }

void log_unseen_failure(const ErrorInfo& error) noexcept {
  try {
    if (was_wanted(error)) return;
    static LogLimit limit;
    const int left_out = limit.admit();
    if (left_out < 0) return;
    log(LogLevel::kWarning, "a failure that nobody has asked for: " + error.to_string() +
                                (left_out ? " (and " + std::to_string(left_out) + " more before it)" : ""));
  } catch (...) {  // it is the log's loss
  }
}

/// Goes with the last of the cells.
class Cell::FailureGroup {
 public:
  explicit FailureGroup(std::shared_ptr<const ErrorInfo> error) : error_(std::move(error)) {}
  FailureGroup(const FailureGroup&) = delete;
  ~FailureGroup() {
    if (!seen_) log_unseen_failure(*error_);
  }
  void see() noexcept { seen_ = true; }

 private:
  const std::shared_ptr<const ErrorInfo> error_;
  std::atomic<bool> seen_{false};
};

void Cell::end_failed() noexcept {
  const bool seen = failure_known_.load(std::memory_order_relaxed) || producer_kind_ == Producer::kNone;
  if (rare_->together) {
    if (seen) rare_->together->see();
  } else if (!seen) {
    log_unseen_failure(*rare_->error);
  }
}

void Cell::fail_together(const std::vector<std::shared_ptr<Cell>>& others) {
  if (state_.load(std::memory_order_acquire) != kFailed) return;
  const auto error = rare_->error;  // a failed cell changes it no more
  const auto group = std::make_shared<FailureGroup>(error);
  auto join = [&group](Cell& cell) {
    std::lock_guard lock(cell.mutex_);
    cell.rare().together = group;
  };
  join(*this);
  for (const auto& other : others)
    if (other->set_error(error)) join(*other);
}

/// What it holds may hold refs, and what they refer to others, a list as long as memory: they go one after the other, not one inside
/// the other.
void Cell::let_go() noexcept {
  thread_local std::vector<std::shared_ptr<const void>>* going = nullptr;  // what the first of them on this thread lets go
  SharedReferences references = rare_ ? std::move(rare_->references) : nullptr;
  if (!references && !(value_ && ops().may_hold_refs)) return;
  if (t_bin) {
    if (value_) t_bin->take(std::move(value_));
    if (references) t_bin->take(std::move(references));
    return;
  }
  if (going) {
    if (value_) going->push_back(std::move(value_));
    if (references) going->push_back(std::move(references));
    return;
  }
  std::vector<std::shared_ptr<const void>> mine;
  going = &mine;
  value_.reset();
  references.reset();
  while (!mine.empty()) {
    const auto next = std::move(mine.back());
    mine.pop_back();
  }
  going = nullptr;
}

Cell::Cell(const TypeOps& ops, Fetch fetch) : to_fetch_(fetch != nullptr), ops_(&ops) {
  if (fetch) rare().fetch = fetch;
}

void Cell::fetch() {
  Fetch fetch = nullptr;
  {
    std::lock_guard lock(mutex_);
    if (to_fetch_.exchange(false)) fetch = rare_->fetch;
  }
  if (fetch) fetch(*this);
}

void Cell::publish(std::uint32_t state) noexcept {
  const auto before = state_.exchange(state, std::memory_order_acq_rel);
  if (to_fetch_.load(std::memory_order_relaxed)) to_fetch_.store(false, std::memory_order_relaxed);
  if (before & kSleepers) futex_wake_all(state_);
  if (before & kWaiters) call_waiters(state == kKept);
}

/// `unused`: the waiters are all that is in rare_.
void Cell::call_waiters(bool unused) noexcept {
  std::unique_ptr<Rare> rare;
  std::vector<std::shared_ptr<Waiter>> waiters;
  {
    std::lock_guard lock(mutex_);
    waiters.swap(rare_->waiters);
    if (unused && !rare_->fetch && !rare_->has_bytes && !rare_->stored) rare = std::move(rare_);
  }
  for (auto& waiter : waiters) waiter->settled();
}

/// False when it is settled.
bool Cell::announce(std::uint32_t bit) noexcept {
  auto seen = state_.load(std::memory_order_acquire);
  while (seen < kReady)
    if ((seen & bit) || state_.compare_exchange_weak(seen, seen | bit, std::memory_order_acq_rel, std::memory_order_acquire)) return true;
  return false;
}

void Cell::on_settled(std::shared_ptr<Waiter> waiter) {
  if (settled()) return waiter->settled();
  bool pending = false;
  {
    std::lock_guard lock(mutex_);
    if (!settled()) {
      rare().waiters.push_back(waiter);
      pending = announce(kWaiters);
      if (!pending) rare_->waiters.pop_back();  // settled just now
    }
  }
  if (pending) return demand();
  waiter->settled();
}

void Cell::forget(const void* whose) {
  std::vector<std::shared_ptr<Waiter>> gone;  // destroyed without the lock: they may be the last to know of what calls back here
  std::lock_guard lock(mutex_);
  if (!rare_) return;
  std::erase_if(rare_->waiters, [&](auto& each) { return each->whose() == whose && (gone.push_back(std::move(each)), true); });
}

std::size_t Cell::waiters() const {
  std::lock_guard lock(mutex_);
  return rare_ ? rare_->waiters.size() : 0;
}

void Cell::on_late(std::shared_ptr<LateTaker> taker) {
  std::lock_guard lock(mutex_);
  rare().late = std::move(taker);
}

/// Null unless it has failed and somebody wants what comes now.
std::shared_ptr<Cell::LateTaker> Cell::take_late_taker() noexcept {
  if (claimed_.load(std::memory_order_acquire) != Claim::kByError) return nullptr;
  std::lock_guard lock(mutex_);
  return rare_ ? std::exchange(rare_->late, nullptr) : nullptr;
}

/// A value for a cell that is settled: false.
template <class Set>
bool Cell::come_late(Set&& set) {
  const auto taker = take_late_taker();
  if (!taker) return false;
  auto late = make_pooled<Cell>(ops());
  set(*late);
  taker->came_late(std::move(late));
  return false;
}

bool Cell::set_value(std::shared_ptr<const void> value) {
  if (!claim(Claim::kByValue)) return come_late([&](Cell& late) { late.set_value(std::move(value)); });
  value_ = std::move(value);
  publish(kKept);
  return true;
}

bool Cell::set_bytes(Buffer bytes, SharedReferences references) {
  if (!claim(Claim::kByValue)) return come_late([&](Cell& late) { late.set_bytes(std::move(bytes), std::move(references)); });
  {
    std::lock_guard lock(mutex_);
    rare().bytes = std::move(bytes);
    rare().references = std::move(references);
    rare().has_bytes = true;
  }
  publish(kReady);
  return true;
}

bool Cell::set_stored(std::shared_ptr<StoredObject> stored, SharedReferences references) {
  if (!claim(Claim::kByValue)) return come_late([&](Cell& late) { late.set_stored(std::move(stored), std::move(references)); });
  {
    std::lock_guard lock(mutex_);
    rare().stored = std::move(stored);
    rare().references = std::move(references);
  }
  publish(kReady);
  return true;
}

bool Cell::set_error(std::shared_ptr<const ErrorInfo> error) {
  if (!claim(Claim::kByError)) return false;
  {
    std::lock_guard lock(mutex_);
    rare().error = std::move(error);
  }
  publish(kFailed);
  return true;
}

const std::shared_ptr<const ErrorInfo>& Cell::error() const noexcept {
  static const std::shared_ptr<const ErrorInfo> none;
  return failed() ? rare_->error : none;  // a failed cell changes no more
}

bool Cell::needs_encoding(std::uint64_t inline_limit, const StoreAccess* home) {
  std::lock_guard lock(mutex_);
  if (!settled() || failed()) return false;
  return !rare_ || (!stored_in(home) && !(rare_->has_bytes && rare_->bytes.size() <= inline_limit));
}

std::shared_ptr<StoredObject> Cell::stored_in(const StoreAccess* home) const {
  auto found = rare_ ? rare_->stored : nullptr;
  while (found && home && found->home() && found->home() != home) found = found->elsewhere_;
  return found;
}

std::optional<EncodedValue> Cell::sent() const {
  std::lock_guard lock(mutex_);
  return rare_ && rare_->has_bytes ? std::optional(EncodedValue{.bytes = rare_->bytes, .references = rare_->references}) : std::nullopt;
}

std::shared_ptr<StoredObject> Cell::stored() const {
  std::lock_guard lock(mutex_);
  return rare_ ? rare_->stored : nullptr;
}

Cell::Encoding::Encoding(Cell& cell, std::uint64_t inline_limit, const StoreAccess* home) : cell_(cell) {
  std::unique_lock lock(cell.mutex_);
  while (true) {
    const auto* rare = cell.rare_.get();
    if (auto stored = cell.stored_in(home))
      known = EncodedValue{.stored = std::move(stored), .references = rare->references};
    else if (rare && rare->has_bytes && rare->bytes.size() <= inline_limit)
      known = EncodedValue{.bytes = rare->bytes, .references = rare->references};
    if (known) {
      mine_ = false;
      return;
    }
    if (cell.encoding_.load(std::memory_order_relaxed) == kNobody) break;
    cell.encoding_.store(kAwaited, std::memory_order_relaxed);
    lock.unlock();
    futex_wait(cell.encoding_, kAwaited, std::nullopt);
    lock.lock();
  }
  cell.encoding_.store(kEncoding, std::memory_order_relaxed);
  if (cell.rare_ && cell.rare_->has_bytes)
    bytes = cell.rare_->bytes, references = cell.rare_->references;
  else if (cell.value_)
    value = cell.value_.get();
  else if (cell.rare_)
    elsewhere = cell.rare_->stored, references = cell.rare_->references;
}

Result<void> Cell::Encoding::read_elsewhere() {
  auto opened = elsewhere->open({});
  if (opened) {
    bytes = std::move(*opened);
    return {};
  }
  const auto& error = opened.error();
  if (error.code != ErrorCode::kObjectLost && error.code != ErrorCode::kRuntimeStopped) return error;
  return ErrorInfo{.code = ErrorCode::kRuntimeStopped,
                   .message = "the ref belongs to another Runtime, which has ended or lost its value: make the object again in this one",
                   .cause = std::make_shared<const ErrorInfo>(error)};
}

void Cell::end_encoding(const EncodedValue* made) {
  SharedReferences before;  // of a copy that was lost: they go without the lock
  bool awaited = false;
  {
    std::lock_guard lock(mutex_);
    if (made) {
      auto& to = rare();
      before = std::exchange(to.references, made->references);
      auto* place = &to.stored;
      while (*place) place = &(*place)->elsewhere_;
      *place = made->stored;
      if (!made->stored) to.bytes = made->bytes, to.has_bytes = true;
    }
    awaited = encoding_.load(std::memory_order_relaxed) == kAwaited;
    encoding_.store(kNobody, std::memory_order_relaxed);
  }
  if (awaited) futex_wake_all(encoding_);
}

bool Cell::forget_stored(std::uint64_t id) {
  std::shared_ptr<StoredObject> lost;
  std::lock_guard lock(mutex_);
  if (!rare_) return false;
  auto* place = &rare_->stored;
  while (*place && (*place)->id() != id) place = &(*place)->elsewhere_;
  const bool only_one = place == &rare_->stored && *place && !(*place)->elsewhere_;
  if (!*place || (only_one && !value_ && !rare_->has_bytes)) return false;
  lost.swap(*place);
  place->swap(lost->elsewhere_);
  return true;
}

bool Cell::use_ops(const TypeOps& ops) noexcept {
  const TypeOps* seen = &type_ops<Unknown>();
  return ops_.compare_exchange_strong(seen, &ops, std::memory_order_relaxed) || seen == &ops || *seen->type == *ops.type;
}

bool Cell::wait(Deadline deadline) noexcept {
  if (settled()) return true;
  demand();
  if (spin_until([this] { return settled(); })) return true;
  while (true) {
    if (!announce(kSleepers)) return true;
    const auto seen = state_.load(std::memory_order_acquire);
    if (seen < kReady && !futex_wait(state_, seen, deadline)) return settled();
  }
}

namespace {
constexpr std::size_t kLargeBytes = 1 << 20;

/// The value of the bytes. What the user's own code throws meanwhile becomes an error of the family: who gets a ref catches that.
std::shared_ptr<const void> decode_value(const TypeOps& ops, const Buffer& bytes, SharedReferences references) try {
  return ops.decode(bytes, std::move(references));
} catch (const Error&) {
  throw;
} catch (...) {
  throw_error({.code = ErrorCode::kTaskError,
               .message = "the value is there, but its load or serialize threw when it was read",
               .cause = std::make_shared<const ErrorInfo>(current_exception_info())});
}
}  // namespace

std::shared_ptr<const void> Cell::value(Deadline deadline) {
  MANTA_CHECK(settled());
  if (failed()) throw_error(*error());
  if (kept_value()) return value_;
  std::shared_ptr<const void> decoded;  // its destructor may be the user's: it runs without the lock
  std::unique_lock lock(mutex_);
  if (value_) return value_;
  auto references = rare().references;
  if (rare().has_bytes) {
    const auto bytes = rare().bytes;
    lock.unlock();  // load may be the user's
    decoded = decode_value(ops(), bytes, std::move(references));
    lock.lock();
    if (!value_) value_ = std::move(decoded);  // of two who read it at the same time the first one's counts
    const auto value = value_;
    if (rare().has_bytes && bytes.size() >= kLargeBytes && state_.load(std::memory_order_relaxed) == kReady) {  // it is not kept twice
      rare().bytes = {};
      rare().has_bytes = false;
      state_.store(kKept, std::memory_order_release);
    }
    return value;
  }
  if ((decoded = rare().decoded.lock())) return decoded;
  const auto stored = rare().stored;
  lock.unlock();  // reading back from disk may take long
  const auto read = stored->id();
  auto opened = stored->open(deadline);
  if (opened || stored->id() == read) note_loss(*stored, opened ? nullptr : &opened.error());  // else another copy took its place meanwhile
  decoded = decode_value(ops(), opened.value(), std::move(references));
  lock.lock();
  rare().decoded = decoded;
  return decoded;
}

/// `error`: of reading it; null when there was none.
void Cell::note_loss(const StoredObject& stored, const ErrorInfo* error) {
  const bool gone = error && (error->code == ErrorCode::kObjectLost || error->code == ErrorCode::kOwnerDied);
  auto loss = gone ? std::make_shared<const ErrorInfo>(*error) : nullptr;
  std::lock_guard lock(mutex_);
  rare().lost_id = loss ? stored.id() : 0;
  rare().error.swap(loss);
}

std::shared_ptr<const ErrorInfo> Cell::lost() const noexcept {
  if (state_.load(std::memory_order_acquire) != kReady) return nullptr;
  std::lock_guard lock(mutex_);
  if (!rare_ || !rare_->error || !rare_->stored || rare_->stored->id() != rare_->lost_id) return nullptr;
  return rare_->error;
}

void Cell::leave_to_store() {
  std::shared_ptr<const void> value;  // its destructor may be the user's: it runs without the lock
  {
    std::lock_guard lock(mutex_);
    if (!rare_ || !rare_->stored) return;
    rare_->decoded = value_;
    value.swap(value_);
    state_.store(kReady, std::memory_order_release);
  }
}

}  // namespace manta::detail
