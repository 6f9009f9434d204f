#pragma once
// Actors: an object of the user's class that lives in one place and runs its methods one at a time, in the order in which
// they were called.
//
//   auto counter = rt.actor<Counter>({.name = "clicks", .max_restarts = 3}).spawn();
//   ObjectRef<int> five = counter.call<&Counter::add>(5);
//
// The class needs no base and no registration. Its destructor runs when the last handle goes (after the calls that were
// made), at kill(), and when the runtime ends.
//
// A handle is an argument and a result like any value, also inside one and across processes; the actor lives until the
// last handle anywhere has gone, those of a process that dies too. An actor that holds a handle to itself, or two that
// hold each other's, live until kill() or the end of the runtime. With a name it is found from everywhere:
//
//   auto clicks = ctx.find_actor<Counter>("clicks");
//
// Several calls at once, each on a thread: `.max_concurrency = 8`, or groups of methods with limits of their own:
//
//   auto disk = rt.actor<Disk>({.concurrency_groups = {{"read", 4}, {"write", 1}}})
//                   .in_group<&Disk::read>("read").in_group<&Disk::write>("write").spawn();
//
// Calls then begin in order, but do not wait for one another. The class must be thread-safe.
//
// A method that waits for a call of its own actor, or A's for one of B where B's waits for one of A, would wait for ever when actors run one
// call at a time: it throws DeadlockDetected, which says the cycle, as a rule within a second. Await such a call in a coroutine (Async), or
// return its ref. Such cycles are found where a method waits without a timeout for calls that its own process has made, all of which it needs: by
// `get` of one ref or several, `wait` for all, `as_completed` for the last one, `next` of a stream. A `get` with a timeout throws Timeout, which
// says who waits for whom. Not found are cycles through a task on a worker of its own, a co_await, an actor that runs several calls at once, or
// a ref that came from another process, and waits for some of several: they last until somebody cancels, and the log tells of each wait after 30 s.
#include "runtime/engine.hpp"
#include "runtime/generator.hpp"

namespace manta {

namespace detail {

template <class T, auto Method, class... Args>
auto open_stream(const std::shared_ptr<ActorLink>& link, std::shared_ptr<const CallOptions> options, Args&&... args);  // ref_stream.hpp

/// A ref to the result, a tuple of refs, or a stream, as the method's result type says.
template <class T, auto Method, class... Args>
auto call_method(const std::shared_ptr<ActorLink>& link, std::shared_ptr<const CallOptions> options, Args&&... args) {
  using Result = typename Signature<decltype(Method)>::Result;
  if constexpr (IsGenerator<Result>::value) {
    return open_stream<T, Method>(link, std::move(options), std::forward<Args>(args)...);
  } else {
    auto record = make_record<MethodRecord<T, Method>>(std::forward<Args>(args)...);
    auto refs = ResultsOf<Result>::refs(*record);
    link->call(std::move(record), std::move(options));
    return refs;
  }
}

template <class T, auto M>
class StreamItemRecord;
template <class T, auto M, class Parameters>
class StreamOpenRecord;
template <class T, auto M>
class StreamCloseRecord;

/// Calls `use` with the entry of each function that stands for the method.
template <class T, auto Method, class Use>
void for_each_entry(Use&& use) {
  auto one = [&]<class Record>(std::type_identity<Record>) {
    (void)Registration<Record>::done;
    use(Registration<Record>::entry);
  };
  if constexpr (IsGenerator<typename Signature<decltype(Method)>::Result>::value) {
    one(std::type_identity<StreamOpenRecord<T, Method, typename Signature<decltype(Method)>::Parameters>>{});
    one(std::type_identity<StreamItemRecord<T, Method>>{});
    one(std::type_identity<StreamCloseRecord<T, Method>>{});
  } else {
    one(std::type_identity<MethodRecord<T, Method>>{});
  }
}

}  // namespace detail

/// One call, or several, with options of their own: what ActorHandle::options gives. Keeps the actor alive.
template <class T>
class CallBuilder {
 public:
  CallBuilder(std::shared_ptr<detail::ActorLink> link, CallOptions options)
      : link_(std::move(link)), options_(std::make_shared<const CallOptions>(std::move(options))) {}

  /// As ActorHandle::call. Throws InvalidArgument for options that the actor cannot serve.
  template <auto Method, class... Args>
  auto call(Args&&... args) const {
    return detail::call_method<T, Method>(link_, options_, std::forward<Args>(args)...);
  }

 private:
  std::shared_ptr<detail::ActorLink> link_;
  std::shared_ptr<const CallOptions> options_;
};

/// A handle to an actor. Copies share it; each operation is thread-safe. An empty handle allows only assignment and bool.
template <class T>
class ActorHandle {
 public:
  ActorHandle() = default;
  explicit ActorHandle(std::shared_ptr<detail::ActorLink> link) : link_(std::move(link)) {}
  explicit operator bool() const noexcept { return link_ != nullptr; }

  /// Calls a method; returns at once. Arguments as for tasks; calls run in order even when arguments come late, or are lost and made again
  /// (where several run at once, one whose argument is lost begins later than those behind it).
  /// The ref fails with TaskError (the method threw), ActorCreationFailed, ActorDied, or ActorUnavailable (the process
  /// died and is restarted; the call may have run). Throws ResourceExhausted when max_pending_calls are not finished.
  /// For a method that is a Generator<T> a RefStream<T> (ref_stream.hpp), each of whose items is a call.
  template <auto Method, class... Args>
  auto call(Args&&... args) const {
    need_link();
    return detail::call_method<T, Method>(link_, nullptr, std::forward<Args>(args)...);
  }
  /// For calls that want something of their own: `handle.options({.concurrency_group = "io"}).call<&C::read>(…)`.
  CallBuilder<T> options(CallOptions options) const {
    need_link();
    return CallBuilder<T>(link_, std::move(options));
  }

  /// Ends the actor now: calls that have not finished fail with ActorDied, one that threw meanwhile and would have been tried again with what it
  /// threw; no restart; its name is free; its destructor runs. A method that runs is
  /// told as by cancel, with the tasks and calls that it submitted, and the destructor runs once it has returned; in a process of the
  /// actor's own it is not: that is ended at once, without the destructor, as it also is when the destructor takes longer than 2 s.
  void kill() const {
    if (link_) link_->kill();
  }
  /// The same actor?
  bool operator==(const ActorHandle& other) const noexcept {
    return link_ == other.link_ || (link_ && other.link_ && link_->id() == other.link_->id());
  }

  /// Internal.
  const std::shared_ptr<detail::ActorLink>& link() const noexcept { return link_; }

 private:
  void need_link() const {
    if (!link_) throw InvalidArgument("call on an empty ActorHandle: assign one that spawn() returned");
  }
  std::shared_ptr<detail::ActorLink> link_;
};

template <class T>
void CEREAL_SAVE_FUNCTION_NAME(OutputArchive& archive, const ActorHandle<T>& handle) {
  archive.reference(detail::ReferenceKind::kActor, handle.link());
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(InputArchive& archive, ActorHandle<T>& handle) {
  handle = ActorHandle<T>(std::static_pointer_cast<detail::ActorLink>(archive.reference(detail::ReferenceKind::kActor)));
}

namespace detail {
/// What makes the classes of actors distinct; its registration is never called.
template <class T>
struct ActorType {
  using Results = ResultsOf<void>;
  using Result = Void;
  static std::string name() { return demangle(typeid(T).name()); }
  static std::shared_ptr<TaskRecord> decode(InputArchive&, std::vector<std::shared_ptr<Cell>>) {
    throw FunctionNotFound(name() + " is a class, not a function");
  }
  static const FunctionEntry& entry() {
    (void)Registration<ActorType>::done;
    return Registration<ActorType>::entry;
  }
};
}  // namespace detail

template <class T>
class ActorBuilder {
 public:
  ActorBuilder(std::shared_ptr<detail::Engine> engine, ActorOptions options)
      : engine_(std::move(engine)), options_(std::make_shared<const ActorOptions>(std::move(options))) {}

  /// Calls of this method run in the concurrency group of that name, unless a call says otherwise.
  template <auto Method>
  ActorBuilder in_group(std::string group) const {
    ActorOptions options = *options_;
    detail::for_each_entry<T, Method>([&](const detail::FunctionEntry& entry) { options.method_groups.emplace_back(&entry, group); });
    return ActorBuilder(engine_, std::move(options));
  }

  /// Constructs T(args…), or T(Context&, args…), where the options say; returns at once. For an ObjectRef among the arguments the
  /// constructor gets the value, which it waits for; where only an ObjectRef fits, the ref. A constructor that throws gives ActorCreationFailed to
  /// every call. With a name it asks the node and waits for the answer; a name that another actor has is InvalidArgument
  /// unless get_if_exists. One that is just being spawned is waited for, as by find_actor. Throws InvalidArgument or InfeasibleResources
  /// for options that can never work.
  template <class... Args>
  ActorHandle<T> spawn(Args&&... args) const {
    using Values = typename detail::ConstructorValues<T, detail::TypeList<>, std::decay_t<Args>...>::type;
    static_assert(!std::is_void_v<Values>, "manta: the actor's class has no constructor for these arguments, nor for what refs among them "
                                           "refer to.");
    auto record = detail::make_record<typename detail::ConstructorRecordOf<T, Values>::type>(std::forward<Args>(args)...);
    return ActorHandle<T>(engine_->spawn(std::move(record), options_, detail::ActorType<T>::entry()));
  }

 private:
  std::shared_ptr<detail::Engine> engine_;
  std::shared_ptr<const ActorOptions> options_;
};

}  // namespace manta
