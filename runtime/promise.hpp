#pragma once
// Promise<T>: a ref whose value the program gives by itself, instead of a task. For coroutines that wait for something that
// another call of their actor brings:
//
//   manta::Async<int> Desk::next() {
//     waiting_.emplace_back();
//     auto turn = waiting_.back().ref();
//     co_return co_await turn;                    // until another call does waiting_.front().set(7)
//   }
//
// Promise<void> brings no value: set(). Copies share one value. Thread-safe. A promise whose last copy goes unset fails its ref with ObjectLost.
#include "runtime/object_ref.hpp"

namespace manta {

template <class T>
class Promise {
 public:
  Promise() : state_(std::make_shared<State>()) {}

  ObjectRef<T> ref() const { return ObjectRef<T>(state_->cell); }
  /// False when it was set or failed before: the first one counts.
  bool set(detail::StoredType<T> value) const
    requires(!std::is_void_v<T>)
  {
    return state_->cell->set_value(std::make_shared<const T>(std::move(value)));
  }
  /// Of a Promise<void>.
  bool set() const
    requires(std::is_void_v<T>)
  {
    return state_->cell->set_value(std::make_shared<const detail::Void>());
  }
  bool fail(ErrorInfo error) const { return state_->cell->set_error(std::make_shared<const ErrorInfo>(std::move(error))); }

 private:
  struct State {
    ~State() {
      if (cell->settled()) return;
      cell->set_error(std::make_shared<const ErrorInfo>(
          ErrorInfo{.code = ErrorCode::kObjectLost, .message = "the promise of this value went without setting it"}));
    }
    std::shared_ptr<detail::Cell> cell = std::make_shared<detail::Cell>(detail::type_ops<detail::StoredType<T>>());
  };
  std::shared_ptr<State> state_;
};

}  // namespace manta
