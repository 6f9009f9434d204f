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
// Several calls at once, each on a thread: `.max_concurrency = 8`, or groups of methods with limits of their own:
//
//   auto disk = rt.actor<Disk>({.concurrency_groups = {{"read", 4}, {"write", 1}}})
//                   .in_group<&Disk::read>("read").in_group<&Disk::write>("write").spawn();
//
// Calls then begin in order, but do not wait for one another. The class must be thread-safe.
#include "runtime/engine.hpp"

namespace manta {

/// One call, or several, with options of their own: what ActorHandle::options gives. Keeps the actor alive.
template <class T>
class CallBuilder {
 public:
  CallBuilder(std::shared_ptr<detail::ActorLink> link, CallOptions options)
      : link_(std::move(link)), options_(std::make_shared<const CallOptions>(std::move(options))) {}

  /// As ActorHandle::call. Throws InvalidArgument for options that the actor cannot serve.
  template <auto Method, class... Args>
  auto call(Args&&... args) const {
    using Results = detail::ResultsOf<typename detail::Signature<decltype(Method)>::Result>;
    auto record = detail::make_record<detail::MethodRecord<T, Method>>(std::forward<Args>(args)...);
    auto refs = Results::refs(*record);
    link_->call(std::move(record), options_);
    return refs;
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

  /// Calls a method; returns at once. Arguments as for tasks; calls run in order even when arguments come late.
  /// The ref fails with TaskError (the method threw), ActorCreationFailed, ActorDied, or ActorUnavailable (the process
  /// died and is restarted; the call may have run). Throws ResourceExhausted when max_pending_calls are not finished.
  template <auto Method, class... Args>
  auto call(Args&&... args) const {
    using Results = detail::ResultsOf<typename detail::Signature<decltype(Method)>::Result>;
    need_link();
    auto record = detail::make_record<detail::MethodRecord<T, Method>>(std::forward<Args>(args)...);
    auto refs = Results::refs(*record);
    link_->call(std::move(record), nullptr);
    return refs;
  }
  /// For calls that want something of their own: `handle.options({.concurrency_group = "io"}).call<&C::read>(…)`.
  CallBuilder<T> options(CallOptions options) const {
    need_link();
    return CallBuilder<T>(link_, std::move(options));
  }

  /// Ends the actor now: calls that have not finished fail with ActorDied; no restart. Its process, if it has one of its
  /// own, is ended; a method that is running on a thread is let finish and its result is dropped.
  void kill() const {
    if (link_) link_->kill();
  }

 private:
  void need_link() const {
    if (!link_) throw InvalidArgument("call on an empty ActorHandle: assign one that spawn() returned");
  }
  std::shared_ptr<detail::ActorLink> link_;
};

template <class T>
class ActorBuilder {
 public:
  ActorBuilder(std::shared_ptr<detail::Engine> engine, ActorOptions options)
      : engine_(std::move(engine)), options_(std::make_shared<const ActorOptions>(std::move(options))) {}

  /// Calls of this method run in the concurrency group of that name, unless a call says otherwise.
  template <auto Method>
  ActorBuilder in_group(std::string group) const {
    using Record = detail::MethodRecord<T, Method>;
    (void)detail::Registration<Record>::done;
    ActorOptions options = *options_;
    options.method_groups.emplace_back(&detail::Registration<Record>::entry, std::move(group));
    return ActorBuilder(engine_, std::move(options));
  }

  /// Constructs T(args…) where the options say; returns at once. A constructor that throws gives ActorCreationFailed to
  /// every call. Throws InvalidArgument or InfeasibleResources for options that can never work.
  template <class... Args>
  ActorHandle<T> spawn(Args&&... args) const {
    auto record = detail::make_record<detail::ConstructorRecord<T, detail::ArgumentType<Args>...>>(std::forward<Args>(args)...);
    return ActorHandle<T>(engine_->spawn(std::move(record), options_));
  }

 private:
  std::shared_ptr<detail::Engine> engine_;
  std::shared_ptr<const ActorOptions> options_;
};

}  // namespace manta
