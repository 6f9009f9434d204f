#pragma once
// ReferenceKeeper: refs and handles inside values, as they cross process borders. One per process; shared by all threads;
// never blocks. Decides by ReferenceTable who has to be told what; keeps what other processes refer to, makes the cells of
// what they own, and answers for the values of ours.
//
// Rules for its callers. Sending: `outgoing` comes before the message is sent, and the EncodedValue lives until it is.
// Receiving: `incoming` is called for each value of a message in the order of arrival, before anything else looks at it.
// What it then holds is given back when the last copy goes, whatever becomes of the message.
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <unordered_map>

#include "runtime/actors/lane.hpp"
#include "runtime/actors/pending_calls.hpp"
#include "runtime/actors/router.hpp"
#include "runtime/actors/store_access.hpp"
#include "runtime/engine.hpp"
#include "runtime/process/forks.hpp"

namespace manta::detail {

class ReferenceKeeper : public std::enable_shared_from_this<ReferenceKeeper> {
 public:
  /// This process's share in something that another process owns; its destructor gives it back.
  class Borrow {
   public:
    Borrow(std::weak_ptr<ReferenceKeeper> keeper, core::ReferenceId id) : keeper_(std::move(keeper)), id_(id) {}
    Borrow(const Borrow&) = delete;
    ~Borrow();
    core::ReferenceId id() const noexcept { return id_; }
    ProcessId owner() const noexcept { return maker_of(id_); }
    /// Of an actor with such a limit: this process's calls by all its handles, one after the other. Set by the first of their links.
    std::unique_ptr<PendingCalls> pending_calls{};

   private:
    friend class ReferenceKeeper;
    std::weak_ptr<ReferenceKeeper> keeper_;
    core::ReferenceId id_;
    const void* target_ = nullptr;  // of an object
  };
  /// Makes the link behind a handle to an actor of another process. The link keeps the borrow as long as it lives. Called
  /// with the keeper's lock held: must not call the keeper.
  using MakeActor = std::function<std::shared_ptr<ActorLink>(const wire::Reference& reference, std::shared_ptr<Borrow> borrow)>;

  ReferenceKeeper(ProcessId self, IdSource& ids, Router& router, StoreAccess& store, Lane& lane, std::uint64_t inline_bytes,
                  MakeActor make_actor = {});

  /// The value as a message to `to` carries it.
  wire::Value outgoing(const EncodedValue& value, ProcessId to) {
    wire::Value out{.bytes = value.bytes};
    if (value.stored) out.stored = {value.stored->id()}, out.stored_size = value.stored->size();
    if (value.references) out.references = give(*value.references, to);
    return out;
  }
  /// Before `outgoing`: whether it may go out. OwnerDied for bytes that went with the process that owned them; InvalidArgument or
  /// RuntimeStopped for handles to actors of another Runtime of this process.
  Result<void> check(const EncodedValue& value) const;
  void incoming(wire::Value& value, ProcessId from) {
    if (value.references) accept(*value.references, from);
  }
  void incoming(wire::Task& task, ProcessId from) {
    incoming(task.arguments, from);
    for (auto& ref : task.refs) incoming(ref, from);
  }
  void incoming(std::vector<wire::Task>& tasks, ProcessId from) {
    for (auto& task : tasks) incoming(task, from);
  }
  void incoming(std::vector<wire::Outcome>& outcomes, ProcessId from) {
    for (auto& outcome : outcomes) {
      if (auto* value = std::get_if<wire::Value>(&outcome.result)) incoming(*value, from);
      for (auto& value : outcome.more) incoming(value, from);
    }
  }
  /// What the refs of a value that has come are in this process.
  static SharedReferences of(const wire::Value& value) {
    if (!value.references) return nullptr;
    return std::static_pointer_cast<const References>(value.references->accepted);
  }

  void deliver(ProcessId from, const wire::ReferenceUpdates& updates);
  void deliver(ProcessId from, wire::ObjectSettled settled);
  void process_gone(ProcessId process);
  /// What others refer to by this id: an ActorLink or a Cell of ours; null when there is none.
  std::shared_ptr<void> lent(core::ReferenceId id) const;
  std::shared_ptr<Cell> lent_object(core::ReferenceId id) const;
  bool is_gone(ProcessId process) const;
  /// The runtime ends: owners that go from now on go with it, and refs to what is theirs say so.
  void begin_end() { ending_ = true; }
  /// By which other processes know it; 0: none does, so this one owns it.
  core::ReferenceId id_of(const Cell& cell) const;
  struct Counts {
    std::size_t lent = 0;      ///< objects and actors of ours that others refer to
    std::size_t borrowed = 0;  ///< others', that we refer to
  };
  Counts counts() const;
  /// From now on nothing is sent.
  void close();

 private:
  class BorrowedCell;
  class BorrowedStored;
  class FetchWaiter;
  class RebuildWaiter;
  struct Lent {
    ReferenceKind kind{};
    std::shared_ptr<void> target{};
  };
  struct Borrowed {
    ReferenceKind kind{};
    std::weak_ptr<void> target{};
    const Borrow* borrow = nullptr;
    std::weak_ptr<Borrow> of_actor{};  ///< outlives the target while calls rely on it
  };
  using Targets = std::vector<std::shared_ptr<void>>;
  /// Processes that wait for values of ours, each once however often it asks, with what was left at the cell for them.
  using Fetches = std::map<std::pair<core::ReferenceId, ProcessId>, std::shared_ptr<FetchWaiter>>;

  std::shared_ptr<wire::ValueReferences> give(const References& references, ProcessId to);
  void accept(wire::ValueReferences& references, ProcessId from);
  // With the lock held. What they put into `unused` is destroyed after it was let go.
  core::ReferenceId id_for(const Reference& reference);
  std::shared_ptr<void> borrowed(const wire::Reference& reference);
  void perform(core::ReferenceEffects& effects, Targets& unused);

  void returned(const Borrow& borrow);
  void fetch(BorrowedCell& cell);
  void serve_fetch(ProcessId to, core::ReferenceId id);
  void fetch_over(ProcessId to, core::ReferenceId id);
  Fetches::iterator forget_fetch(Fetches::iterator fetch, Targets& unused);  // with the lock held; gives the next
  void answer_when_encoded(ProcessId to, core::ReferenceId id, std::shared_ptr<Cell> cell);
  void answer(ProcessId to, core::ReferenceId id, Cell& cell);
  ErrorInfo owner_gone(core::ReferenceId id) const;
  // reference_rebuild.cpp
  Result<std::shared_ptr<Cell>> ask_to_rebuild(core::ReferenceId id, ObjectId lost);
  bool await_rebuilt(Cell& cell, Deadline deadline);
  void serve_rebuild(ProcessId to, core::ReferenceId id, ObjectId lost);
  std::vector<std::shared_ptr<Cell>> take_rebuilds(const std::function<bool(core::ReferenceId)>& which);

  bool in_fork() const { return forks_ != count_forks(); }  ///< of the process that it belongs to, whose threads may hold its lock

  const int forks_ = count_forks();
  const ProcessId self_;
  IdSource& ids_;
  Router& router_;
  StoreAccess& store_;
  Lane& lane_;
  const std::uint64_t inline_bytes_;
  const MakeActor make_actor_;
  mutable std::mutex mutex_;  // guards what follows; messages are sent under it, so that they leave in the order of the table
  core::ReferenceTable table_;
  std::unordered_map<core::ReferenceId, Lent> lent_;
  std::unordered_map<core::ReferenceId, Borrowed> borrowed_;
  std::unordered_map<const void*, core::ReferenceId> ids_of_;  ///< of the objects in both
  Fetches fetches_;
  std::map<core::ReferenceId, std::shared_ptr<Cell>> rebuilds_;  ///< asked for, for those who wait
  std::atomic<bool> ending_{false};
  bool closed_ = false;
};

}  // namespace manta::detail
