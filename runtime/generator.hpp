#pragma once
// Generator<T>: the result type of a task or method that gives many values, one after another. RefStream<T>: what its caller gets.
//
//   manta::Generator<Batch> read(std::string path) {           // a coroutine
//     for (auto& part : open(path)) co_yield decode(part);
//   }
//   for (auto& batch : rt.task<read>({.max_unread = 8}).remote(path)) losses.push_back(rt.remote<step>(batch));
//
// Each item is an ObjectRef<T>, ready while the generator still runs. The generator runs ahead of its reader by at most
// TaskOptions::max_unread items; then it is suspended and holds no thread and no CPU, though it keeps its GPUs and custom
// resources. When it goes on it takes its CPUs back without waiting for them, so of generators that go on at the same time more may
// run than there are CPUs. It ends when it returns, when it throws (a last item that fails with its error), and when the stream is
// dropped: then what it waits for throws Cancelled, and at its next co_yield it is destroyed. When its worker dies it starts again as
// a task does, by max_retries and backoff, up to TaskPoisoned, and skips what it gave before: so it must give the same items each time.
//
// g++ 12 destroys a struct that is made by braces, or by default, within an expression that has a co_yield twice: options too. It ends in
// `free(): invalid pointer`, or in wrong values. Name what is yielded first:
//
//   co_yield ctx.get(ctx.task<f>({.max_retries = 3}).remote(x));                     // wrong, as are co_yield ctx.put(x, {.durable_name = "x"});
//                                                                                    // co_yield Row{1, "a"}; co_yield {.id = 1}; (braces alone are refused)
//   auto item = ctx.get(ctx.task<f>({.max_retries = 3}).remote(x)); co_yield item;   // right
#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "runtime/object_ref.hpp"

namespace manta {

namespace detail {
/// Whether g++ 12 destroys what braces alone make of it twice, in a coroutine that goes on after that expression.
template <class T>
inline constexpr bool kBracesBreak = std::is_aggregate_v<T> && !std::is_trivially_destructible_v<T>;
}  // namespace detail

/// Owned by the runtime where it runs; of use only as a result type. Movable; one thread at a time.
template <class T>
class [[nodiscard]] Generator {
 public:
  static_assert(!std::is_reference_v<T> && !std::is_void_v<T>, "manta: a Generator gives values: Generator<T> with an object type T.");
  struct promise_type {
    Generator get_return_object() { return Generator(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_always final_suspend() const noexcept { return {}; }
    std::suspend_always yield_value(T value)
      requires(!detail::kBracesBreak<T>)
    {
      return give(std::move(value));
    }
    template <class U>
      requires(detail::kBracesBreak<T> && std::is_convertible_v<U &&, T>)
    std::suspend_always yield_value(U&& value) {
      return give(std::forward<U>(value));
    }
    /// Of braces: whatever else converts to a T prefers the one above.
    std::suspend_always yield_value(const volatile T&&)
      requires detail::kBracesBreak<T>
    {
      static_assert(!detail::kBracesBreak<T>, "manta: what `co_yield {…}` makes of a struct or an array is destroyed twice by g++ 12. Name it first: T item{…}; co_yield item;");
      return {};
    }
    void return_void() const noexcept {}
    void unhandled_exception() { error = std::current_exception(); }
    void await_transform() = delete;  // a generator gives, it does not co_await: get what it needs by its Context

    template <class U>
    std::suspend_always give(U&& value) {
      item.emplace(std::forward<U>(value));
      return {};
    }
    std::optional<T> item{};
    std::exception_ptr error{};
  };

  Generator(Generator&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Generator& operator=(Generator&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Generator() {
    if (handle_) handle_.destroy();
  }

  /// Runs up to the next co_yield and gives its value; none when it has returned. Throws what it threw, once.
  std::optional<T> next() {
    if (!handle_ || handle_.done()) return std::nullopt;
    handle_.promise().item.reset();
    handle_.resume();
    if (auto error = std::exchange(handle_.promise().error, {})) std::rethrow_exception(error);
    return std::exchange(handle_.promise().item, std::nullopt);
  }

 private:
  explicit Generator(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

namespace detail {
template <class T>
struct IsGenerator : std::false_type {};
template <class T>
struct IsGenerator<Generator<T>> : std::true_type {
  using Item = std::remove_cv_t<T>;
};
}  // namespace detail

}  // namespace manta
