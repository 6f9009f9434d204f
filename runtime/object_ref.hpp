#pragma once
// ObjectRef<T>: a handle to a value that exists or will exist: the result of a task, of a call, or of `put`.
//
// Copying a ref is cheap and shares the object; the object is freed when the last ref and the last task that takes it are
// gone. Get the value by `Runtime::get`, or pass the ref to another task: it is an argument like any other, and the task
// starts when the value is there. All operations are thread-safe for different refs to one object; one ref object is as
// thread-safe as an int. Refs stay in the process that made them: to hand a value to a task elsewhere, pass the ref
// itself as the argument, not inside another value.
#include <functional>

#include "runtime/cell.hpp"

namespace manta {

template <class T>
class ObjectRef {
 public:
  using value_type = T;

  /// Refers to nothing; only assignment and `bool` are allowed.
  ObjectRef() = default;

  explicit operator bool() const noexcept { return cell_ != nullptr; }
  /// True when `get` would not wait: the value, or the error that took its place, is there.
  bool ready() const noexcept { return cell_ && cell_->settled(); }
  /// True when ready and `get` would throw.
  bool failed() const noexcept { return cell_ && cell_->failed(); }
  /// The same object?
  bool operator==(const ObjectRef& other) const noexcept { return cell_ == other.cell_; }

  /// Internal: refers to a cell that holds a T.
  explicit ObjectRef(std::shared_ptr<detail::Cell> cell) noexcept : cell_(std::move(cell)) {}
  const std::shared_ptr<detail::Cell>& cell() const noexcept { return cell_; }

 private:
  std::shared_ptr<detail::Cell> cell_;
};

namespace detail {
template <class T>
struct IsObjectRef : std::false_type {};
template <class T>
struct IsObjectRef<ObjectRef<T>> : std::true_type {};

/// What a task stores when it returns void.
struct Void {
  template <class Archive>
  void serialize(Archive&) {}
};
template <class R>
using StoredType = std::conditional_t<std::is_void_v<R>, Void, std::decay_t<R>>;
}  // namespace detail

}  // namespace manta

template <class T>
struct std::hash<manta::ObjectRef<T>> {
  std::size_t operator()(const manta::ObjectRef<T>& ref) const noexcept {
    return std::hash<const void*>{}(ref.cell().get());
  }
};
