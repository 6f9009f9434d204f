#pragma once
// Async<T>: the result type of a task or method that waits for refs without holding a thread.
//
//   manta::Async<int> Router::ask(manta::Context& ctx, int key) {
//     auto row = shard_.call<&Shard::read>(key);      // name the ref, then await it
//     co_return 2 * co_await row;                      // other calls of this actor run meanwhile
//   }
//
// A caller sees an ObjectRef<T>, as if the function returned T. `co_await ref` gives a copy of the value, `co_await manta::shared(ref)` the
// value itself as a std::shared_ptr<const T>, as get_shared does, which also what cannot be copied allows; or they throw the ref's error
// there. An Async of another function can be awaited too. The coroutine goes on where it began: in its actor, never beside
// another call of an actor that runs one at a time; what a method reads before a co_await may differ after it. Parameters,
// also `const T&` and Context&, live until its end. When it is cancelled, or its caller's process has died, a
// co_await of what is not there throws Cancelled. At kill its frame is destroyed where it waits.
//
// g++ 12 destroys a struct that is made by braces, or by default, within an expression that has a co_await twice: options too. It ends in
// `free(): invalid pointer`, or in wrong values. `co_await rt.task<f>({…}).remote(1)` is refused; what else is written so cannot be seen:
//
//   auto row = co_await inner(3, Row{1, "a"});                                        // wrong, as is (co_await inner(3, {.id = 1})).name
//   const Row first{1, "a"}; auto row = co_await inner(3, first);                     // right
//
// `co_return Row{1, "a"};` is right, and so is what has no co_await in its own expression.
#include <coroutine>
#include <exception>
#include <optional>

#include "runtime/argument.hpp"

namespace manta {

template <class T>
class Async;

namespace detail {
/// Refers to the ref, so that nothing is destroyed with it.
template <class T>
struct SharedRef {
  const ObjectRef<T>& ref;
};
}  // namespace detail

/// In a coroutine: `auto value = co_await manta::shared(ref);` gives a std::shared_ptr<const T> and copies nothing.
template <class T>
detail::SharedRef<T> shared(const ObjectRef<T>& ref) noexcept {
  static_assert(!std::is_void_v<T>, "manta: an ObjectRef<void> has no value to share: co_await ref.");
  return {ref};
}
template <class T>
detail::SharedRef<T> shared(ObjectRef<T>&& ref) noexcept {
  static_assert(sizeof(T*) == 0, "manta: co_await of a temporary ref is destroyed twice by g++ 12. Name it first: "
                                 "auto r = …; co_await manta::shared(r);");
  return {ref};
}

namespace detail {

/// Brings a coroutine back to its place when what it awaits is there. Outlives the coroutine.
class Resumer {
 public:
  virtual ~Resumer() = default;
  virtual void resume_when_settled(const std::shared_ptr<Cell>& cell, std::coroutine_handle<> coroutine) = 0;
};

template <class T>
struct RefAwaiter {
  std::shared_ptr<Cell> cell;
  Resumer* resumer;
  bool await_ready() const noexcept { return cell->settled(); }
  void await_suspend(std::coroutine_handle<> coroutine) const {
    resumer->resume_when_settled(std::shared_ptr<Cell>(cell), coroutine);  // a copy: this frame may go on before it returns
  }
  std::shared_ptr<const void> value() const {
    if (!cell->settled()) throw Cancelled("the coroutine that waits here has been cancelled, or its deadline has passed: let this exception pass");
    return cell->value();
  }
  T await_resume() const {
    static_assert(kCopyable<StoredType<T>>, "manta: co_await of a ref copies; for a move-only type write co_await manta::shared(ref), which gives a "
                                            "std::shared_ptr<const T>.");
    const auto found = value();
    if constexpr (!std::is_void_v<T>) return *static_cast<const T*>(found.get());
  }
};
template <class T>
struct SharedAwaiter : RefAwaiter<T> {
  std::shared_ptr<const T> await_resume() const { return std::static_pointer_cast<const T>(this->value()); }
};

class AsyncPromiseBase {
 public:
  struct Final {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> coroutine) const noexcept {
      return coroutine.promise().continuation_;
    }
    void await_resume() const noexcept {}
  };
  std::suspend_always initial_suspend() const noexcept { return {}; }
  Final final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { error_ = std::current_exception(); }

  template <class T>
  RefAwaiter<T> await_transform(const ObjectRef<T>& ref) const {
    if (!ref) throw InvalidArgument("co_await of an empty ObjectRef: assign one that remote, call or put returned");
    return {ref.cell(), resumer_};
  }
  template <class T>
  SharedAwaiter<T> await_transform(SharedRef<T> shared) const {
    return {await_transform(shared.ref)};
  }
  template <class T>
  RefAwaiter<T> await_transform(ObjectRef<T>&& ref) const {
    static_assert(sizeof(T*) == 0, "manta: co_await of a temporary ref is destroyed twice by g++ 12. Name it first: "
                                   "auto r = …; co_await r;");
    return {ref.cell(), resumer_};
  }
  template <class T>
  auto await_transform(Async<T>&& other);

  /// Destroys the coroutines that this one waits in, the innermost first, one after another: each owns the next, so that a chain which is
  /// destroyed from the outside takes stack for all of it.
  void destroy_awaited() noexcept {
    auto* last = this;
    while (last->awaited_) last = last->awaited_;
    while (last != this) {
      auto* outer = last->awaiting_;
      outer->awaited_ = nullptr;
      outer->destroy_one_(outer->awaiter_);
      last = outer;
    }
  }

  std::coroutine_handle<> continuation_{std::noop_coroutine()};  // whoever awaits this one
  AsyncPromiseBase* awaiting_ = nullptr;                         // likewise, where that is a coroutine
  AsyncPromiseBase* awaited_ = nullptr;                          // the one that it waits in; owned by `awaiter_`, in its frame
  void* awaiter_ = nullptr;
  void (*destroy_one_)(void* awaiter) noexcept = nullptr;
  Resumer* resumer_ = nullptr;
  int depth_ = 0;  // of coroutines that await this one
  std::exception_ptr error_{};
};

template <class T>
class AsyncPromise : public AsyncPromiseBase {
 public:
  Async<T> get_return_object();
  template <class U = T>  // of `co_return {a, b};` too
    requires std::is_convertible_v<U&&, T>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  T take() {
    if (error_) std::rethrow_exception(error_);
    return std::move(*value_);
  }

 private:
  std::optional<T> value_{};
};
template <>
class AsyncPromise<void> : public AsyncPromiseBase {
 public:
  Async<void> get_return_object();
  void return_void() const noexcept {}
  void take() const {
    if (error_) std::rethrow_exception(error_);
  }
};

}  // namespace detail

/// Owns its coroutine, which begins when the runtime runs it or another Async awaits it.
template <class T>
class [[nodiscard]] Async {
 public:
  using promise_type = detail::AsyncPromise<T>;
  using value_type = T;

  Async(Async&& other) noexcept : coroutine_(std::exchange(other.coroutine_, {})) {}
  Async& operator=(Async&& other) noexcept {
    std::swap(coroutine_, other.coroutine_);
    return *this;
  }
  ~Async() {
    if (!coroutine_) return;
    coroutine_.promise().destroy_awaited();
    coroutine_.destroy();
  }

  /// Internal.
  explicit Async(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}
  std::coroutine_handle<promise_type> coroutine() const noexcept { return coroutine_; }

 private:
  std::coroutine_handle<promise_type> coroutine_;
};

namespace detail {

template <class T>
Async<T> AsyncPromise<T>::get_return_object() {
  return Async<T>(std::coroutine_handle<AsyncPromise>::from_promise(*this));
}
inline Async<void> AsyncPromise<void>::get_return_object() {
  return Async<void>(std::coroutine_handle<AsyncPromise>::from_promise(*this));
}

/// Runs the awaited coroutine up to its first wait, on the stack of the one that awaits it: one that does not wait at all costs no
/// suspension, and a loop of those no stack in a build without optimisation, where a transfer from coroutine to coroutine is a
/// call that does not return. Where they are nested deeply it is begun by such a transfer, so as not to fill the stack.
template <class T>
struct AsyncAwaiter {
  static constexpr int kDeepest = 200;
  Async<T> awaited;
  AsyncPromiseBase& awaiting;
  bool await_ready() const {
    auto& promise = awaited.coroutine().promise();
    promise.resumer_ = awaiting.resumer_;
    promise.depth_ = awaiting.depth_ + 1;
    if (promise.depth_ > kDeepest) return false;
    awaited.coroutine().resume();
    return awaited.coroutine().done();
  }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> coroutine) noexcept {
    auto& promise = awaited.coroutine().promise();
    promise.continuation_ = coroutine;
    promise.awaiting_ = &awaiting;
    awaiting.awaited_ = &promise;
    awaiting.awaiter_ = this;
    awaiting.destroy_one_ = [](void* self) noexcept { const auto ended = std::move(static_cast<AsyncAwaiter*>(self)->awaited); };
    if (promise.depth_ > kDeepest) return awaited.coroutine();
    return std::noop_coroutine();
  }
  T await_resume() const {
    awaiting.awaited_ = nullptr;
    return awaited.coroutine().promise().take();
  }
};

template <class T>
auto AsyncPromiseBase::await_transform(Async<T>&& other) {
  if (!other.coroutine()) throw InvalidArgument("co_await of an Async that was moved from, or awaited before: each can be awaited once");
  return AsyncAwaiter<T>{std::move(other), *this};
}

template <class R>
struct IsAsync : std::false_type {};
template <class T>
struct IsAsync<Async<T>> : std::true_type {};

/// What the caller of a function that returns R gets.
template <class R>
struct PlainResultOf {
  using type = R;
};
template <class T>
struct PlainResultOf<Async<T>> {
  using type = T;
};

class TaskRecord;

/// The coroutine of one invocation, its type forgotten.
class Coroutine {
 public:
  virtual ~Coroutine() = default;
  virtual std::coroutine_handle<> start(Resumer& resumer) noexcept = 0;
  virtual bool done() const noexcept = 0;
  /// When done: moves the result into the cells, or throws what the coroutine threw.
  virtual void settle(Cell& out, TaskRecord& record) = 0;
  std::vector<std::shared_ptr<const void>> arguments{};  ///< shared values that its parameters refer to
};

}  // namespace detail

}  // namespace manta
