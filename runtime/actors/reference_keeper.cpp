#include "runtime/actors/reference_keeper.hpp"

#include <algorithm>

#include "runtime/actors/rebuildable.hpp"

namespace manta::detail {

namespace {

std::string name_of(core::ReferenceId id) {
  return "object " + std::to_string(id & 0xffffffffffull) + " of process " + std::to_string(maker_of(id));
}

ErrorInfo owner_died(core::ReferenceId id) {
  return {.code = ErrorCode::kOwnerDied,
          .message = "the process that made it has ended, and the value with it: make the object again",
          .where = name_of(id)};
}

ErrorInfo stopped(core::ReferenceId id) {
  return {.code = ErrorCode::kRuntimeStopped, .message = "the runtime has been shut down, and with it the process that made it", .where = name_of(id)};
}

/// A handle that cannot be lent by this process's runtime, as it is another one's.
Result<void> check_actor(const ActorLink& link, const Engine& engine) {
  const auto refused = [&](ErrorCode code, const std::string& why) {
    return ErrorInfo{.code = code, .message = "the handle to " + link.description() + " cannot go to another process: " + why};
  };
  try {
    if (link.engine().get() == &engine) return {};
  } catch (const RuntimeStopped&) {
    return refused(ErrorCode::kRuntimeStopped, "its Runtime has been shut down");
  }
  return refused(ErrorCode::kInvalidArgument, "it belongs to another Runtime of this program: pass handles of the same Runtime only");
}

ErrorInfo let_go(core::ReferenceId id) {
  return {.code = ErrorCode::kObjectLost, .message = "its owner does not know it any more", .where = name_of(id)};
}

}  // namespace

/// The cell of an object that another process owns: asks for the value when somebody looks.
class ReferenceKeeper::BorrowedCell final : public Cell {
 public:
  BorrowedCell(std::weak_ptr<ReferenceKeeper> keeper, core::ReferenceId id)
      : Cell(type_ops<Unknown>(), [](Cell& cell) { static_cast<BorrowedCell&>(cell).fetch(); }), borrow(std::move(keeper), id) {}
  void fetch() {
    if (auto keeper = borrow.keeper_.lock())
      keeper->fetch(*this);
    else
      set_error(std::make_shared<const ErrorInfo>(stopped(borrow.id())));
  }
  Borrow borrow;
};

/// Bytes in the store that go when the object's owner does; when they are lost, the owner is asked to make them again.
class ReferenceKeeper::BorrowedStored final : public StoredObject, public Rebuildable {
 public:
  BorrowedStored(std::shared_ptr<StoredObject> bytes, std::weak_ptr<ReferenceKeeper> keeper, core::ReferenceId id)
      : bytes_(std::move(bytes)), keeper_(std::move(keeper)), id_(id) {}
  std::uint64_t id() const noexcept override { return bytes()->id(); }
  std::uint64_t size() const noexcept override { return bytes()->size(); }
  const StoreAccess* home() const noexcept override { return bytes()->home(); }
  core::ReferenceId of() const noexcept { return id_; }
  Result<Buffer> open(Deadline deadline) override {
    while (true) {
      const auto now = bytes();
      auto opened = now->open(deadline);
      if (opened) return opened;
      const auto keeper = keeper_.lock();
      if (!keeper) return stopped(id_);
      if (keeper->is_gone(maker_of(id_))) return keeper->owner_gone(id_);
      if (opened.error().code != ErrorCode::kObjectLost) return opened;
      auto made = keeper->ask_to_rebuild(id_, ObjectId{now->id()});
      if (!made) return made.error();
      if (!keeper->await_rebuilt(**made, deadline)) return not_made_again_in_time();
      if (auto adopted = adopt(**made); !adopted) return adopted.error();
    }
  }
  Result<std::shared_ptr<Cell>> rebuild(std::uint64_t lost) override {
    const auto keeper = keeper_.lock();
    if (!keeper) return stopped(id_);
    return keeper->ask_to_rebuild(id_, ObjectId{lost});
  }
  Result<void> adopt(Cell& made) override {
    if (made.failed()) return *made.error();
    auto bytes = made.stored();
    if (!bytes) return ErrorInfo{.code = ErrorCode::kObjectLost, .message = "its owner made another value of it", .where = name_of(id_)};
    std::lock_guard lock(mutex_);
    bytes_.swap(bytes);  // the lost one goes without the lock
    return {};
  }

 private:
  std::shared_ptr<StoredObject> bytes() const {
    std::lock_guard lock(mutex_);
    return bytes_;
  }
  mutable std::mutex mutex_;  // guards bytes_
  std::shared_ptr<StoredObject> bytes_;
  std::weak_ptr<ReferenceKeeper> keeper_;
  core::ReferenceId id_;
};

class ReferenceKeeper::FetchWaiter final : public Cell::Waiter {
 public:
  FetchWaiter(std::weak_ptr<ReferenceKeeper> keeper, ProcessId to, core::ReferenceId id, std::weak_ptr<Cell> cell)
      : keeper_(std::move(keeper)), to_(to), id_(id), cell_(std::move(cell)) {}
  void settled() override {
    auto keeper = keeper_.lock();
    auto cell = cell_.lock();
    if (!keeper || !cell || keeper->in_fork()) return;
    keeper->fetch_over(to_, id_);
    keeper->answer_when_encoded(to_, id_, std::move(cell));
  }
  /// Its process does not ask any more.
  void forget() {
    if (const auto cell = cell_.lock(); cell && !cell->settled()) cell->forget(whose());
  }

 private:
  std::weak_ptr<ReferenceKeeper> keeper_;
  ProcessId to_;
  core::ReferenceId id_;
  std::weak_ptr<Cell> cell_;
};

ReferenceKeeper::Borrow::~Borrow() {
  if (auto keeper = keeper_.lock()) keeper->returned(*this);
}

ReferenceKeeper::ReferenceKeeper(ProcessId self, IdSource& ids, Router& router, StoreAccess& store, Lane& lane,
                                 std::uint64_t inline_bytes, MakeActor make_actor)
    : self_(self), ids_(ids), router_(router), store_(store), lane_(lane), inline_bytes_(inline_bytes),
      make_actor_(std::move(make_actor)), table_(self) {}

Result<void> ReferenceKeeper::check(const EncodedValue& value) const {
  const auto* borrowed = dynamic_cast<const BorrowedStored*>(value.stored.get());
  if (borrowed && is_gone(maker_of(borrowed->of()))) return owner_gone(borrowed->of());
  const auto engine = value.references ? router_.engine() : nullptr;
  if (!engine) return {};
  for (const auto& each : *value.references) {
    if (each.kind != ReferenceKind::kActor) continue;
    if (auto ours = check_actor(*static_cast<const ActorLink*>(each.target.get()), *engine); !ours) return ours;
  }
  return {};
}

/// An actor's link knows its id. Where it lay, something else may lie while calls still rely on its borrow.
core::ReferenceId ReferenceKeeper::id_for(const Reference& reference) {
  if (reference.kind == ReferenceKind::kActor) return static_cast<ActorLink*>(reference.target.get())->id();
  if (const auto it = ids_of_.find(reference.target.get()); it != ids_of_.end() && !table_.is_gone(maker_of(it->second)))
    return it->second;
  // Ours and never lent yet; or left by a process that has died: whoever gets it now gets what we know of it.
  return ids_.next<ObjectId>().value;
}

std::shared_ptr<wire::ValueReferences> ReferenceKeeper::give(const References& references, ProcessId to) {
  auto out = std::make_shared<wire::ValueReferences>();
  out->list.reserve(references.size());
  core::ReferenceEffects effects;
  Targets unused;
  std::lock_guard lock(mutex_);
  for (const auto& each : references) {
    const auto id = id_for(each);
    table_.give(id, to, effects);
    if (maker_of(id) == self_ && table_.lent(id) && lent_.try_emplace(id, Lent{each.kind, each.target}).second && each.kind != ReferenceKind::kActor)
      ids_of_[each.target.get()] = id;
    out->list.push_back({.id = id, .kind = static_cast<std::uint8_t>(each.kind)});
    if (each.kind != ReferenceKind::kActor) continue;
    const auto& link = *static_cast<const ActorLink*>(each.target.get());
    auto rules = link.rules();
    auto& reference = out->list.back();
    reference.name = link.description();
    reference.max_pending_calls = rules.max_pending_calls;
    reference.serial = rules.serial;
    reference.groups = std::move(rules.groups);
  }
  perform(effects, unused);
  return out;
}

std::shared_ptr<void> ReferenceKeeper::borrowed(const wire::Reference& reference) {
  auto& entry = borrowed_[reference.id];
  if (auto target = entry.target.lock()) return target;
  entry.kind = static_cast<ReferenceKind>(reference.kind);
  std::shared_ptr<void> target;
  if (reference.kind == static_cast<std::uint8_t>(ReferenceKind::kObject)) {
    auto cell = std::make_shared<BorrowedCell>(weak_from_this(), reference.id);
    cell->borrow.target_ = cell.get();
    entry.borrow = &cell->borrow;
    ids_of_[cell.get()] = reference.id;
    target = std::shared_ptr<Cell>(std::move(cell));
  } else if (make_actor_) {
    auto borrow = entry.of_actor.lock();  // its link has gone, but not all calls that rely on it: what it keeps is kept by one
    if (!borrow) entry.of_actor = borrow = std::make_shared<Borrow>(weak_from_this(), reference.id);
    auto link = make_actor_(reference, borrow);
    entry.borrow = borrow.get();
    target = std::move(link);
  }
  entry.target = target;
  return target;
}

void ReferenceKeeper::accept(wire::ValueReferences& references, ProcessId from) {
  auto accepted = std::make_shared<References>();
  accepted->reserve(references.list.size());
  std::vector<std::pair<std::shared_ptr<Cell>, ErrorInfo>> failed;
  {
    std::lock_guard lock(mutex_);
    for (const auto& each : references.list) {
      const auto kind = static_cast<ReferenceKind>(each.kind);
      if (table_.accept(each.id, from)) {
        auto target = borrowed(each);
        const auto known = borrowed_[each.id].kind;  // of one that is here already; the sender may be wrong
        accepted->push_back({known, std::move(target)});
        if (known == ReferenceKind::kObject && table_.is_gone(maker_of(each.id)))
          failed.emplace_back(std::static_pointer_cast<Cell>(accepted->back().target), owner_died(each.id));
      } else if (const auto it = lent_.find(each.id); it != lent_.end()) {
        accepted->push_back({it->second.kind, it->second.target});
      } else if (kind == ReferenceKind::kObject) {
        auto cell = std::make_shared<Cell>(type_ops<Unknown>());
        failed.emplace_back(cell, let_go(each.id));
        accepted->push_back({kind, std::move(cell)});
      } else {
        accepted->push_back({kind, nullptr});
      }
    }
  }
  for (auto& [cell, error] : failed) cell->set_error(std::make_shared<const ErrorInfo>(std::move(error)));
  references.accepted = std::shared_ptr<const References>(std::move(accepted));
}

void ReferenceKeeper::perform(core::ReferenceEffects& effects, Targets& unused) {
  for (auto id : effects.released) {
    const auto it = lent_.find(id);
    if (it == lent_.end()) continue;
    ids_of_.erase(it->second.target.get());
    unused.push_back(std::move(it->second.target));
    lent_.erase(it);
    for (auto fetch = fetches_.lower_bound({id, ProcessId{}}); fetch != fetches_.end() && fetch->first.first == id;)
      fetch = forget_fetch(fetch, unused);
  }
  if (closed_ || effects.sends.empty()) return;
  std::stable_sort(effects.sends.begin(), effects.sends.end(), [](const auto& a, const auto& b) { return a.to < b.to; });
  for (std::size_t i = 0; i < effects.sends.size();) {
    const auto to = effects.sends[i].to;
    wire::ReferenceUpdates updates;
    for (; i < effects.sends.size() && effects.sends[i].to == to; ++i) updates.list.push_back(effects.sends[i].update);
    router_.send(to, std::move(updates));
  }
}

void ReferenceKeeper::returned(const Borrow& borrow) {
  if (in_fork()) return;
  core::ReferenceEffects effects;
  Targets unused;
  std::lock_guard lock(mutex_);
  if (const auto known = ids_of_.find(borrow.target_); known != ids_of_.end() && known->second == borrow.id())
    ids_of_.erase(known);
  const auto it = borrowed_.find(borrow.id());
  if (it == borrowed_.end() || it->second.borrow != &borrow) return;  // a ref came while the last one went: its cell took over
  borrowed_.erase(it);
  table_.dropped(borrow.id(), effects);
  perform(effects, unused);
}

void ReferenceKeeper::deliver(ProcessId from, const wire::ReferenceUpdates& updates) {
  Targets unused;  // destroyed without the lock: what they hold may come back here
  {
    core::ReferenceEffects effects;
    std::lock_guard lock(mutex_);
    for (const auto& update : updates.list) table_.deliver(from, update, effects);
    perform(effects, unused);
  }
  for (const auto& update : updates.list)
    if (update.operation == core::ReferenceOperation::kFetch)
      serve_fetch(from, update.id);
    else if (update.operation == core::ReferenceOperation::kRebuild)
      serve_rebuild(from, update.id, ObjectId{static_cast<std::uint64_t>(update.units)});
}

void ReferenceKeeper::process_gone(ProcessId process) {
  Targets unused;
  std::vector<std::pair<std::shared_ptr<Cell>, core::ReferenceId>> orphans;
  {
    core::ReferenceEffects effects;
    std::lock_guard lock(mutex_);
    table_.process_gone(process, effects);
    for (auto fetch = fetches_.begin(); fetch != fetches_.end();)
      fetch = fetch->first.second == process ? forget_fetch(fetch, unused) : std::next(fetch);
    for (auto id : effects.orphaned) {
      auto target = borrowed_[id].target.lock();
      if (target && borrowed_[id].kind == ReferenceKind::kObject)
        orphans.emplace_back(std::static_pointer_cast<Cell>(std::move(target)), id);
      else
        unused.push_back(std::move(target));
    }
    perform(effects, unused);
  }
  for (auto& [cell, id] : orphans) cell->set_error(std::make_shared<const ErrorInfo>(owner_gone(id)));
  auto rebuilding = owner_gone({});
  rebuilding.where.clear();
  if (!ending_) rebuilding.message = "the process that made it has ended while it made it again: make the object again";
  for (auto& cell : take_rebuilds([process](core::ReferenceId id) { return maker_of(id) == process; }))
    cell->set_error(std::make_shared<const ErrorInfo>(rebuilding));
}

void ReferenceKeeper::fetch(BorrowedCell& cell) {
  const auto id = cell.borrow.id();
  {
    std::lock_guard lock(mutex_);
    if (!closed_ && !table_.is_gone(maker_of(id)))
      return router_.send(maker_of(id), wire::ReferenceUpdates{{{core::ReferenceOperation::kFetch, id, 0, 0}}});
  }
  cell.set_error(std::make_shared<const ErrorInfo>(owner_gone(id)));
}

ErrorInfo ReferenceKeeper::owner_gone(core::ReferenceId id) const { return ending_ ? stopped(id) : owner_died(id); }

void ReferenceKeeper::serve_fetch(ProcessId to, core::ReferenceId id) {
  std::shared_ptr<Cell> cell;
  std::shared_ptr<FetchWaiter> waiter;
  {
    std::lock_guard lock(mutex_);
    if (closed_ || table_.is_gone(to)) return;  // it asked, and then ended: nothing would ever take its waiter back
    const auto it = lent_.find(id);
    if (it != lent_.end() && it->second.kind == ReferenceKind::kObject) cell = std::static_pointer_cast<Cell>(it->second.target);
    if (cell) {
      waiter = std::make_shared<FetchWaiter>(weak_from_this(), to, id, cell);
      if (!fetches_.emplace(std::pair(id, to), waiter).second) return;  // one answer serves all who ask there
    }
  }
  if (!cell) return router_.send(to, wire::ObjectSettled{{.id = {id}, .result = let_go(id)}});
  cell->on_settled(waiter);
  {
    std::lock_guard lock(mutex_);
    const auto it = fetches_.find({id, to});
    if (it != fetches_.end() && it->second == waiter) return;
  }
  waiter->forget();  // it was taken back before the cell knew it
}

void ReferenceKeeper::fetch_over(ProcessId to, core::ReferenceId id) {
  std::lock_guard lock(mutex_);
  fetches_.erase({id, to});
}

/// It is taken back when `unused` goes: a cell's lock is not taken under this one.
ReferenceKeeper::Fetches::iterator ReferenceKeeper::forget_fetch(Fetches::iterator fetch, Targets& unused) {
  auto waiter = fetch->second;
  unused.emplace_back(waiter.get(), [waiter](void*) { waiter->forget(); });
  return fetches_.erase(fetch);
}

void ReferenceKeeper::answer_when_encoded(ProcessId to, core::ReferenceId id, std::shared_ptr<Cell> cell) {
  {
    std::lock_guard lock(mutex_);
    if (closed_ || table_.is_gone(to)) return;
  }
  if (!cell->needs_encoding(inline_bytes_, &store_)) return answer(to, id, *cell);
  lane_.post([self = shared_from_this(), to, id, cell = std::move(cell)] { self->answer(to, id, *cell); });
}

void ReferenceKeeper::answer(ProcessId to, core::ReferenceId id, Cell& cell) {
  if (is_gone(to)) return;
  if (cell.failed()) return router_.send(to, wire::ObjectSettled{{.id = {id}, .result = *cell.error()}});
  Result<EncodedValue> encoded = [&]() -> Result<EncodedValue> {
    try {
      return cell.encoded(inline_bytes_, [this](std::uint64_t size, const StoreAccess::Fill& fill) {
        return store_.place(size, fill, self_);
      }, &store_);
    } catch (...) {  // a serialise function of the user's
      return current_exception_info();
    }
  }();
  if (encoded)
    if (auto checked = check(*encoded); !checked) encoded = checked.error();
  if (!encoded) return router_.send(to, wire::ObjectSettled{{.id = {id}, .result = encoded.error()}});
  router_.send(to, wire::ObjectSettled{{.id = {id}, .result = outgoing(*encoded, to)}});
}

void ReferenceKeeper::deliver(ProcessId from, wire::ObjectSettled settled) {
  auto* value = std::get_if<wire::Value>(&settled.outcome.result);
  if (value) incoming(*value, from);
  const auto id = settled.outcome.id.value;
  if (maker_of(id) != from) return;
  std::shared_ptr<void> target;
  {
    std::lock_guard lock(mutex_);
    const auto it = borrowed_.find(id);
    if (it != borrowed_.end() && it->second.kind == ReferenceKind::kObject) target = it->second.target.lock();
  }
  auto settle = [&](Cell& cell, std::shared_ptr<StoredObject> stored) {
    if (auto* error = std::get_if<ErrorInfo>(&settled.outcome.result))
      cell.set_error(std::make_shared<const ErrorInfo>(*error));
    else if (value && value->stored)
      cell.set_stored(std::move(stored), of(*value));
    else if (value)
      cell.set_bytes(value->bytes, of(*value));
  };
  const auto bytes = value && value->stored ? store_.borrowed(value->stored, value->stored_size) : nullptr;
  for (auto& cell : take_rebuilds([id](core::ReferenceId each) { return each == id; })) settle(*cell, bytes);
  if (auto* cell = static_cast<Cell*>(target.get()))  // else nobody waits any more
    settle(*cell, bytes ? std::make_shared<BorrowedStored>(bytes, weak_from_this(), id) : nullptr);
}

std::shared_ptr<void> ReferenceKeeper::lent(core::ReferenceId id) const {
  std::lock_guard lock(mutex_);
  const auto it = lent_.find(id);
  return it == lent_.end() ? nullptr : it->second.target;
}

std::shared_ptr<Cell> ReferenceKeeper::lent_object(core::ReferenceId id) const {
  std::lock_guard lock(mutex_);
  const auto it = lent_.find(id);
  return it == lent_.end() || it->second.kind != ReferenceKind::kObject ? nullptr : std::static_pointer_cast<Cell>(it->second.target);
}

core::ReferenceId ReferenceKeeper::id_of(const Cell& cell) const {
  std::lock_guard lock(mutex_);
  const auto it = ids_of_.find(&cell);
  return it == ids_of_.end() ? 0 : it->second;
}

bool ReferenceKeeper::is_gone(ProcessId process) const {
  std::lock_guard lock(mutex_);
  return table_.is_gone(process);
}

ReferenceKeeper::Counts ReferenceKeeper::counts() const {
  std::lock_guard lock(mutex_);
  return {lent_.size(), borrowed_.size()};
}

void ReferenceKeeper::close() {
  begin_end();
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  for (auto& cell : take_rebuilds([](core::ReferenceId) { return true; }))
    cell->set_error(std::make_shared<const ErrorInfo>(ErrorInfo{.code = ErrorCode::kRuntimeStopped, .message = "the runtime has been shut down"}));
}

}  // namespace manta::detail
