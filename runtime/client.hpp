#pragma once
// Client: everything a program may ask of the runtime. `Runtime` (in main) and `Context` (in a task or method) are
// Clients: library code takes a `manta::Client&` and works in both. Thread-safe. Valid as long as the runtime.
#include <string_view>

#include "runtime/actor.hpp"
#include "runtime/as_completed.hpp"
#include "runtime/placement_group.hpp"
#include "runtime/task.hpp"
#include "runtime/type_tag.hpp"

namespace manta {

template <class T>
struct WaitResult {
  std::vector<ObjectRef<T>> ready;    ///< in the order given; includes failed ones; may hold more than was asked for
  std::vector<ObjectRef<T>> pending;
};

namespace detail {
/// Of several refs to T.
template <class T>
using ValuesOf = std::conditional_t<std::is_void_v<T>, void, std::vector<T>>;
/// What is kept of a T that is put: of a literal a string.
template <class T>
using PutType = std::conditional_t<std::is_same_v<std::decay_t<T>, const char*>, std::string, std::decay_t<T>>;
}  // namespace detail

class Client {
 public:
  // Tasks and actors.
  /// Runs f(args…) on a worker with default options; returns at once: see TaskBuilder::remote.
  template <auto F, class... Args>
  auto remote(Args&&... args) {
    return detail::submit_task<F>(engine_, nullptr, std::forward<Args>(args)...);
  }
  /// Refuses a closure, and a function or method as an argument, with a message.
  template <class Closure, class... Args>
    requires std::is_class_v<std::decay_t<Closure>> || std::is_function_v<std::remove_pointer_t<std::decay_t<Closure>>> ||
             std::is_member_pointer_v<std::decay_t<Closure>>
  void remote(Closure&&, Args&&...) {
    static_assert(sizeof(std::decay_t<Closure>) == 0, "manta: name the function as a template argument, remote<f>(args…); what a closure captures, "
                                        "pass as arguments.");
  }
  template <auto F>
  TaskBuilder<F> task(TaskOptions options = {}) {
    return TaskBuilder<F>(engine_, std::move(options));
  }
  template <class T>
  ActorBuilder<T> actor(ActorOptions options = {}) {
    return ActorBuilder<T>(engine_, std::move(options));
  }
  /// The named actor of this machine, whichever process spawned it. Throws NotFound, which lists the names, or InvalidArgument when it is
  /// of another class. Waits for the node and the actor's owner, up to two minutes (Timeout) while that serialises its arguments.
  template <class T>
  ActorHandle<T> find_actor(const std::string& name) {
    return ActorHandle<T>(engine_->find_actor(name, detail::ActorType<T>::entry()));
  }

  // Objects.

  /// Makes an object of a value, of a literal a std::string. With a durable name, which a type tag needs, it is on disk, synced, at return.
  template <class T>
  ObjectRef<detail::PutType<T>> put(T&& value) {
    return put(std::forward<T>(value), PutOptions());  // no default argument: GCC 12 destroys it wrongly in `co_yield ctx.put(x)`
  }
  template <class T>
  ObjectRef<detail::PutType<T>> put(T&& value, const PutOptions& options) {
    using Value = detail::PutType<T>;
    static_assert(detail::kTravels<Value>, "manta: this type, or a type that it holds, cannot be serialised: give it a cereal `serialize`.");
    static_assert(std::is_constructible_v<Value, T&&> && (detail::kCopyable<Value> || !std::is_lvalue_reference_v<T>),
                  "manta: put copies the value, or takes it from what std::move gives: this type cannot be copied, so std::move it; where it cannot be "
                  "moved either, give it a move constructor, or put a std::unique_ptr to it.");
    if (options.durable_name.empty() && !options.type_tag.empty()) throw InvalidArgument("a type_tag without a durable_name: give the name too");
    auto cell = make_pooled<detail::Cell>(detail::type_ops<Value>());
    cell->set_value(make_pooled<const Value>(std::forward<T>(value)));
    engine_->put(*cell, options, std::string(TypeTag<Value>::value));
    return ObjectRef<Value>(std::move(cell));
  }
  /// The object that this or an earlier run put under a durable name. Throws NotFound, InvalidArgument for another type
  /// tag, StorageCorruption.
  template <class T>
  ObjectRef<T> find_durable(const std::string& name, const std::string& type_tag = std::string(TypeTag<T>::value)) {
    return ObjectRef<T>(engine_->find_durable(detail::type_ops<T>(), name, type_tag));
  }
  /// False when there was none.
  bool remove_durable(const std::string& name) { return engine_->remove_durable(name); }
  std::vector<std::string> list_durable(const std::string& prefix = {}) { return engine_->list_durable(prefix); }

  /// Waits for the value and copies it. Throws the task's error, DeadlockDetected (actor.hpp), or Timeout; the task goes on after a Timeout. Of
  /// 100 ms and more that one says what the ref waits for, as far as this process knows, and may be up to 100 ms late for it.
  template <class T>
  T get(const ObjectRef<T>& ref) {
    return take(ref, {});
  }
  template <class T, class Rep, class Period>
  T get(const ObjectRef<T>& ref, std::chrono::duration<Rep, Period> timeout) {
    return take(ref, detail::deadline_in(timeout));
  }
  /// All values, in the order given, a ref given twice twice; fails at the first failure without waiting for the rest. Of
  /// ObjectRef<void> nothing: it waits for all.
  template <class T>
  detail::ValuesOf<T> get(const std::vector<ObjectRef<T>>& refs) {
    return take_all(refs, {});
  }
  template <class T, class Rep, class Period>
  detail::ValuesOf<T> get(const std::vector<ObjectRef<T>>& refs, std::chrono::duration<Rep, Period> timeout) {
    return take_all(refs, detail::deadline_in(timeout));
  }
  /// The value itself, shared, not copied. Keep the pointer while the value is used: `for (auto& x : *rt.get_shared(ref))` reads what is
  /// gone, as C++20 destroys the temporary before the loop; name it first.
  template <class T>
  std::shared_ptr<const T> get_shared(const ObjectRef<T>& ref, Deadline deadline = {}) {
    await(ref, deadline);
    return std::static_pointer_cast<const T>(ref.cell()->value(deadline));
  }
  template <class T, class Rep, class Period>
  std::shared_ptr<const T> get_shared(const ObjectRef<T>& ref, std::chrono::duration<Rep, Period> timeout) {
    return get_shared(ref, detail::deadline_in(timeout));
  }
  /// The value or the error, instead of throwing.
  template <class T>
  Result<detail::StoredType<T>> try_get(const ObjectRef<T>& ref, Deadline deadline = {}) {
    static_assert(detail::kCopyable<detail::StoredType<T>>, "manta: try_get copies; for a move-only type use get_shared.");
    try {
      return detail::StoredType<T>(*std::static_pointer_cast<const detail::StoredType<T>>(settled(ref, deadline)));
    } catch (const Error& e) {
      return e.info();
    }
  }
  template <class T, class Rep, class Period>
  Result<detail::StoredType<T>> try_get(const ObjectRef<T>& ref, std::chrono::duration<Rep, Period> timeout) {
    return try_get(ref, detail::deadline_in(timeout));
  }
  /// Splits refs into ready and pending once `count` are ready or the time is over. A ref given twice is InvalidArgument,
  /// so is a count of more than there are; no refs at all give none. To take many one at a time, as_completed is made for it; here std::move them.
  template <class T>
  WaitResult<T> wait(std::vector<ObjectRef<T>> refs, const WaitOptions& options = {}) {
    await_some(cells_of(refs), options);
    WaitResult<T> result;
    result.ready.reserve(refs.size());
    for (auto& ref : refs) (ref.ready() ? result.ready : result.pending).push_back(std::move(ref));
    return result;
  }
  /// The refs in the order in which they finish, for a range-for; see as_completed.hpp.
  template <class T>
  Completions<T> as_completed(std::vector<ObjectRef<T>> refs) {
    return Completions<T>(engine_, std::move(refs));
  }
  /// Calls `callback(ref)` once, when the value or the error is there: callback(const ObjectRef<T>&), which may get it. All
  /// callbacks of a process run on one thread of the runtime, one after another in the order in which refs finish, also
  /// when the ref has finished before; so a callback that blocks delays the others. An exception of it is logged. After shutdown(), of a
  /// ref that is ready, it is called at once, by this thread.
  template <class T, class F>
  void on_ready(const ObjectRef<T>& ref, F callback) {
    auto kept = std::make_shared<F>(std::move(callback));  // one that cannot be copied too
    notify(need(ref), [ref, kept = std::move(kept)] { (*kept)(std::as_const(ref)); });
  }

  /// Nobody wants the value any more: the ref, unless it is ready, fails with Cancelled at once, and so does what takes it as an
  /// argument. Work that has not begun never does; work that runs sees Context::cancelled(), every wait of the runtime in it throws
  /// Cancelled, and so does each submit, call and spawn (not in destructors that run as an exception leaves: what they give back, they
  /// may); its CPUs stay taken until it returns. It is never retried. What it takes as arguments goes on. Of no effect for a ref of
  /// another Runtime of the program. Throws InvalidArgument for `force` on other work than a task in a process of its own, and for a ref
  /// that no task or call of this process makes.
  template <class T>
  void cancel(const ObjectRef<T>& ref, const CancelOptions& options = {}) {
    engine_->cancel(*need(ref), options);
  }

  /// What the ref waits for, in words: "ready", "failed: …" (also of a value that a get found lost), or where its task or call is and why,
  /// up the chain of arguments, in lines. Of what another process owns that one is asked, which may take up to 2 s; of another Runtime's
  /// ref only that it is one. A wait of more than 30 s (MANTA_EXPLAIN_AFTER_MS in the environment) logs it once. For people: the text may
  /// change.
  template <class T>
  std::string explain(const ObjectRef<T>& ref) {
    return engine_->explain(*need(ref));
  }

  // Placement groups: runtime/placement_group.hpp.

  /// Asks for a group; returns at once, before it has its resources. Throws InvalidArgument, also for a name that is taken,
  /// and InfeasibleResources for what the machine can never hold together.
  PlacementGroup placement_group(PlacementGroupOptions options);
  /// Has a value when the group has its resources; fails with Cancelled when it is removed.
  ObjectRef<void> ready(const PlacementGroup& group);
  /// Waits until the group has its resources; false when it has not in time. Throws Cancelled when it is removed.
  template <class Rep, class Period>
  bool wait(const PlacementGroup& group, std::chrono::duration<Rep, Period> timeout) {
    return wait_for(group, detail::deadline_in(timeout));
  }
  /// Ends what is in the group and gives its resources back, soon. Of no effect for one that is not there.
  void remove(const PlacementGroup& group);
  /// Throws NotFound.
  PlacementGroup find_placement_group(const std::string& name);
  std::vector<PlacementGroup> placement_groups();

  // Resources: {"CPU": …, "GPU": …, "memory": bytes, custom ones}.

  Resources total_resources() const { return engine_->total_resources(); }
  Resources available_resources() const { return engine_->available_resources(); }

  /// What is held right now; cheap. In a worker process: what is its own.
  RuntimeStats stats() const { return engine_->stats(); }

 protected:
  Client() = default;
  explicit Client(std::shared_ptr<detail::Engine> engine) : engine_(std::move(engine)) {}
  std::shared_ptr<detail::Engine> engine_;

 private:
  template <class T>
  static const std::shared_ptr<detail::Cell>& need(const ObjectRef<T>& ref) {
    if (!ref) throw InvalidArgument("an empty ObjectRef has no value: assign one that remote, call or put returned");
    return ref.cell();
  }
  template <class T>
  void await(const ObjectRef<T>& ref, Deadline deadline) {
    if (const auto& cell = need(ref); !cell->settled()) await_pending(cell, deadline);
  }
  template <class T>
  std::shared_ptr<const void> settled(const ObjectRef<T>& ref, Deadline deadline) {
    await(ref, deadline);
    return ref.cell()->value(deadline);
  }
  template <class T>
  T take(const ObjectRef<T>& ref, Deadline deadline) {
    await(ref, deadline);
    if constexpr (!std::is_void_v<T>) {
      static_assert(detail::kCopyable<T>, "manta: get copies; for a move-only type use get_shared.");
      if (const void* kept = ref.cell()->kept_value()) return *static_cast<const T*>(kept);
    }
    const auto value = ref.cell()->value(deadline);
    if constexpr (!std::is_void_v<T>) return *static_cast<const T*>(value.get());
  }
  template <class T>
  static std::vector<detail::Cell*> cells_of(const std::vector<ObjectRef<T>>& refs) {
    std::vector<detail::Cell*> cells;
    cells.reserve(refs.size());
    for (const auto& ref : refs) cells.push_back(need(ref).get());
    return cells;
  }
  template <class T>
  detail::ValuesOf<T> take_all(const std::vector<ObjectRef<T>>& refs, Deadline deadline) {
    await_all(cells_of(refs), deadline, [&refs](std::size_t i) { return refs[i].cell(); });
    if constexpr (!std::is_void_v<T>) {
      std::vector<T> values;
      values.reserve(refs.size());
      for (const auto& ref : refs) values.push_back(take(ref, deadline));
      return values;
    }
  }
  bool wait_for(const PlacementGroup& group, Deadline deadline);
  void await_some(const std::vector<detail::Cell*>& cells, const WaitOptions& options);
  void await_pending(const std::shared_ptr<detail::Cell>& cell, Deadline deadline);
  void await_all(const std::vector<detail::Cell*>& cells, Deadline deadline, const std::function<std::shared_ptr<detail::Cell>(std::size_t)>& shared);
  void notify(const std::shared_ptr<detail::Cell>& cell, std::function<void()> callback);
};

}  // namespace manta
