#pragma once
// Result<T>: a value or the ErrorInfo that says why there is none. Used at module borders inside Manta and by `try_get`.
//
//   Result<Block> block = arena.allocate(bytes);
//   if (!block) return block.error();
#include <optional>
#include <utility>
#include <variant>

#include "runtime/base/error.hpp"

namespace manta {

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(ErrorInfo error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  /// The value; throws the error when there is none.
  T& value() & { return need(), std::get<0>(state_); }
  const T& value() const& { return need(), std::get<0>(state_); }
  T value() && { return need(), std::get<0>(std::move(state_)); }  // by value: safe in a range-for
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  /// The error; requires !ok().
  const ErrorInfo& error() const { return std::get<1>(state_); }

 private:
  void need() const {
    if (!ok()) throw_error(std::get<1>(state_));
  }
  std::variant<T, ErrorInfo> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(ErrorInfo error) : error_(std::move(error)) {}
  bool ok() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return ok(); }
  /// Throws the error, if there is one.
  void value() const {
    if (error_) throw_error(*error_);
  }
  const ErrorInfo& error() const { return *error_; }

 private:
  std::optional<ErrorInfo> error_;
};

}  // namespace manta
