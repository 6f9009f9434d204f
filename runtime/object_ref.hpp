#pragma once
// ObjectRef<T>: a handle to a value that exists or will exist: the result of a task, of a call, or of `put`.
//
// Copying a ref is cheap and shares the object; the object is freed when the last ref and the last task that takes it are
// gone. Get the value by `Runtime::get`, or pass the ref to another task: it is an argument like any other, and the task
// starts when the value is there. All operations are thread-safe for different refs to one object; one ref object is as
// thread-safe as an int. A ref may be inside a value (a member, an element of a vector) and a parameter may be an
// ObjectRef<T>: there it stays a ref, and is counted in every process that has it. The object lives in the process that
// made it, which answers when the value is looked at; when that process dies, refs elsewhere fail with OwnerDied.
//
// A value whose only copy, on disk, is damaged is made again by running its task, at most max_retries times; whoever needs it waits,
// as long as its timeout says. That is not so of `put` values, results of actors and items of streams, and results of tasks that had a
// large argument by value or refs inside an argument: they fail with ObjectLost, which says why. Put such an argument and pass its ref.
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
  bool ready() const {
    if (!cell_ || cell_->settled()) return cell_ != nullptr;
    cell_->demand();
    return false;
  }
  /// True when ready and `get` would throw. That a value has been lost since it was there only a `get` in this process finds out: from
  /// then on this is true, unless it is made again after all.
  bool failed() const noexcept { return cell_ && (cell_->failed() || cell_->lost()); }
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

template <class T>
void CEREAL_SAVE_FUNCTION_NAME(OutputArchive& archive, const ObjectRef<T>& ref) {
  archive.reference(detail::ReferenceKind::kObject, ref.cell());
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(InputArchive& archive, ObjectRef<T>& ref) {
  auto cell = std::static_pointer_cast<detail::Cell>(archive.reference(detail::ReferenceKind::kObject));
  if (cell && !cell->use_ops(detail::type_ops<detail::StoredType<T>>()))
    throw ProtocolError("a serialised value is damaged: it holds a reference to an object of another type");
  ref = ObjectRef<T>(std::move(cell));
}

}  // namespace manta

template <class T>
struct std::hash<manta::ObjectRef<T>> {
  std::size_t operator()(const manta::ObjectRef<T>& ref) const noexcept {
    return std::hash<const void*>{}(ref.cell().get());
  }
};
