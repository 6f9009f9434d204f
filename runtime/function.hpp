#pragma once
// Functions, methods and constructors named as template arguments, made callable on bytes. Internal.
//
// Naming `f` in `remote<f>` instantiates an invoker and registers it when the program starts, so every process that runs
// the same executable can call it. Its identity is a key made of the module's build id and the invoker's address within
// that module: names are for messages only (two static functions in two files may share one).
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "runtime/argument.hpp"
#include "runtime/function_registry.hpp"
#include "runtime/in_task.hpp"
#include "runtime/results.hpp"
#include "runtime/signature.hpp"

namespace manta::detail {

/// The arguments of one invocation, and moving them over the wire. Shared by functions, methods and constructors.
template <class Derived, class... P>
class RecordBase : public TaskRecord {
 public:
  RecordBase() = default;

  template <class... Args>
  void fill(Args&&... args) {
    static_assert(sizeof...(Args) == sizeof...(P), "manta: wrong number of arguments for the remote function.");
    fill_from(std::index_sequence_for<P...>{}, std::forward<Args>(args)...);
  }

  static std::shared_ptr<TaskRecord> decode(InputArchive& archive, std::vector<std::shared_ptr<Cell>> refs) {
    (void)Registration<Derived>::done;
    auto record = make_pooled<Derived>();
    record->function = &Registration<Derived>::entry;
    record->refs = std::move(refs);
    std::size_t taken = 0;
    std::apply([&](auto&... slot) { (slot.decode(archive, record->refs, taken), ...); }, record->slots_);
    if (archive.left() != 0) throw ProtocolError("the arguments of " + Derived::name() + " have bytes too many");
    if (taken != record->refs.size()) throw ProtocolError("with the arguments of " + Derived::name() + " came objects that none of them refers to");
    return record;
  }

  void encode_arguments(OutputArchive& archive) const override {
    std::apply([&](const auto&... slot) { (slot.encode(archive), ...); }, slots_);
  }
  std::uint64_t argument_bytes() const noexcept override {
    return std::apply([](const auto&... slot) { return (std::uint64_t{0} + ... + slot.bytes()); }, slots_);
  }
  bool releases_quickly() const noexcept override {
    return std::apply([](const auto&... slot) { return (true && ... && slot.releases_quickly()); }, slots_);
  }
  void release_arguments() noexcept override {
    std::apply([](auto&... slot) { (slot.release(), ...); }, slots_);
    refs.clear();
  }

 protected:
  /// Calls `f` with the arguments as the parameters want them; shared ones are kept alive in `keep`, or until it returns.
  template <class F>
  decltype(auto) with_arguments(F&& f, std::vector<std::shared_ptr<const void>>* keep = nullptr) {
    return with_arguments_at(std::index_sequence_for<P...>{}, std::forward<F>(f), keep);
  }

  /// The first argument; null for a ref.
  const auto* first_value() const noexcept { return std::get<0>(slots_).value(); }

 private:
  template <std::size_t... I, class... Args>
  void fill_from(std::index_sequence<I...>, Args&&... args) {
    function = &Registration<Derived>::entry;
    (fill_one(std::get<I>(slots_), std::forward<Args>(args)), ...);
  }
  template <class T, class Arg>
  void fill_one(ArgumentSlot<T>& slot, Arg&& argument) {
    if constexpr (CheckArgument<T, Arg>::value) slot.fill(std::forward<Arg>(argument), refs);
  }
  template <std::size_t... I, class F>
  decltype(auto) with_arguments_at(std::index_sequence<I...>, F&& f, std::vector<std::shared_ptr<const void>>* keep) {
    if (keep) {
      keep->resize(sizeof...(P));
      return f(std::get<I>(slots_).template get<P>(refs, (*keep)[I])...);
    }
    [[maybe_unused]] std::shared_ptr<const void> held[sizeof...(P) + 1];
    return f(std::get<I>(slots_).template get<P>(refs, held[I])...);
  }
  std::tuple<ArgumentSlot<std::decay_t<P>>...> slots_;
};

/// The value is handed out last: its caller may end the actor, or drop the stream, at once.
template <class Call>
void settle_with(Cell& out, TaskRecord& record, Call&& call) {
  using R = std::remove_cv_t<decltype(call())>;
  if constexpr (std::is_void_v<R>) {
    call();
    result_is_made();
    out.set_value(no_value());
  } else if constexpr (ResultsOf<R>::kMany) {
    auto values = call();
    result_is_made();
    ResultsOf<R>::settle(out, *record.more, std::move(values));
  } else {
    auto value = make_pooled<const std::decay_t<R>>(call());
    result_is_made();
    out.set_value(std::move(value));
  }
}

template <class T>
class CoroutineOf final : public Coroutine {
 public:
  std::coroutine_handle<> start(Resumer& resumer) noexcept override {
    async->coroutine().promise().resumer_ = &resumer;
    return async->coroutine();
  }
  bool done() const noexcept override { return async->coroutine().done(); }
  void settle(Cell& out, TaskRecord& record) override {
    settle_with(out, record, [this] { return async->coroutine().promise().take(); });
  }
  std::optional<Async<T>> async{};
};

/// What FunctionRecord and MethodRecord share: to run a function, or to begin one that is a coroutine. `Derived` has
/// `invoke(instance, context, use, keep)`, which gives `use` a call of the function with its arguments.
template <class Derived, class Returned, class... P>
class InvokingRecord : public RecordBase<Derived, P...> {
 public:
  void run(ActorObject* instance, Context& context, Cell& out) override {
    if constexpr (IsAsync<Returned>::value)
      MANTA_CHECK(!"a coroutine is begun, not run");
    else
      derived().invoke(instance, context, [&](auto&& call) { settle_with(out, *this, call); }, nullptr);
  }
  static constexpr bool kAsynchronous = IsAsync<Returned>::value;
  bool asynchronous() const noexcept override { return kAsynchronous; }
  std::unique_ptr<Coroutine> begin(ActorObject* instance, Context& context) override {
    if constexpr (IsAsync<Returned>::value) {
      auto made = std::make_unique<CoroutineOf<typename Returned::value_type>>();
      derived().invoke(instance, context, [&](auto&& call) { made->async.emplace(call()); }, &made->arguments);
      if (!made->async->coroutine()) throw InvalidArgument("an Async was returned that had been moved from, or awaited");
      return made;
    } else {
      return TaskRecord::begin(instance, context);
    }
  }

 private:
  Derived& derived() { return static_cast<Derived&>(*this); }
};

template <auto F, class Parameters = typename Signature<decltype(callable<F>())>::Parameters>
class FunctionRecord;

template <auto F, class... P>
class FunctionRecord<F, TypeList<P...>> final
    : public InvokingRecord<FunctionRecord<F, TypeList<P...>>, typename Signature<decltype(callable<F>())>::Returned, P...> {
  using Sig = Signature<decltype(callable<F>())>;
  static_assert(check_no_method<Sig>());
  static_assert((check_parameter<P>() && ... && true));
  static_assert(ResultsOf<typename Sig::Result>::check());

 public:
  using Results = ResultsOf<typename Sig::Result>;
  using Result = typename Results::First;
  static std::string name() { return function_name<F>(); }

  template <class Use>
  void invoke(ActorObject*, Context& context, Use&& use, std::vector<std::shared_ptr<const void>>* keep) {
    (void)context;
    constexpr auto f = callable<F>();
    auto with = [&](auto&&... args) {
      use([&]() -> decltype(auto) {
        if constexpr (Sig::with_context)
          return f(context, std::forward<decltype(args)>(args)...);
        else
          return f(std::forward<decltype(args)>(args)...);
      });
    };
    this->with_arguments(with, keep);
  }
};

/// A method of T named as &Base::method works on a T.
template <class T, auto M, class Parameters = typename Signature<decltype(M)>::Parameters>
class MethodRecord;
template <class T, auto M, class... P>
class MethodRecord<T, M, TypeList<P...>> final
    : public InvokingRecord<MethodRecord<T, M, TypeList<P...>>, typename Signature<decltype(M)>::Returned, P...> {
  using Sig = Signature<decltype(M)>;
  static_assert((check_parameter<P>() && ... && true));
  static_assert(ResultsOf<typename Sig::Result>::check());
  static_assert(std::is_base_of_v<typename Sig::Class, T>, "manta: the method does not belong to this actor's class.");

 public:
  using Results = ResultsOf<typename Sig::Result>;
  using Result = typename Results::First;
  static std::string name() {
    if constexpr (requires { T::remote_name(); })
      return T::remote_name();
    else
      return function_name<M>();
  }

  template <class Use>
  void invoke(ActorObject* instance, Context& context, Use&& use, std::vector<std::shared_ptr<const void>>* keep) {
    (void)context;
    auto& object = *static_cast<T*>(ActorObject::of(instance, typeid(T)));
    auto with = [&](auto&&... args) {
      use([&]() -> decltype(auto) {
        if constexpr (Sig::with_context)
          return (object.*M)(context, std::forward<decltype(args)>(args)...);
        else
          return (object.*M)(std::forward<decltype(args)>(args)...);
      });
    };
    this->with_arguments(with, keep);
  }
};

/// Constructs an actor's object: T(args…), or T(Context&, args…) where there is such a constructor.
template <class T, class... P>
class ConstructorRecord final : public RecordBase<ConstructorRecord<T, P...>, P...> {
  static_assert((check_parameter<P>() && ... && true));

 public:
  using Results = ResultsOf<void>;
  using Result = Void;
  static std::string name() {
    if constexpr (requires { T::remote_name(); })
      return T::remote_name();
    else
      return demangle(typeid(T).name());
  }

  void run(ActorObject* instance, Context& context, Cell& out) override {
    (void)context;
    if (!instance || instance->type) ActorObject::throw_other_class(instance, typeid(T));
    this->with_arguments([&](auto&&... args) {
      auto& object = instance->object;
      if constexpr (std::is_constructible_v<T, Context&, decltype(args)...>)
        object = std::make_shared<T>(context, std::forward<decltype(args)>(args)...);
      else
        object = std::make_shared<T>(std::forward<decltype(args)>(args)...);
      instance->type = &typeid(T);
      settle_with(out, *this, [] {});
    });
  }
};

/// The record of the constructor that spawn<A>(arguments…) means.
template <class A, class Values>
struct ConstructorRecordOf;
template <class A, class... V>
struct ConstructorRecordOf<A, TypeList<V...>> {
  using type = std::conditional_t<kConstructs<A, AsShared<V>...>, ConstructorRecord<A, AsShared<V>...>, ConstructorRecord<A, AsMoved<V>...>>;
};

template <class Record, class... Args>
std::shared_ptr<TaskRecord> make_record(Args&&... args) {
  (void)Registration<Record>::done;
  auto record = make_pooled<Record>();
  record->fill(std::forward<Args>(args)...);
  record->result = make_pooled<Cell>(type_ops<typename Record::Result>());
  Record::Results::prepare(*record);
  return record;
}

}  // namespace manta::detail
