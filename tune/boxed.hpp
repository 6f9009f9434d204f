#pragma once
// Boxed<T>: an optional value that lies elsewhere, so that it costs one pointer where it is rare. Copies copy the value.
#include <memory>
#include <optional>
#include <utility>

namespace manta::tune {

template <class T>
class Boxed {
 public:
  Boxed() = default;
  Boxed(std::optional<T> value) : value_(value ? std::make_unique<T>(std::move(*value)) : nullptr) {}
  Boxed(T value) : value_(std::make_unique<T>(std::move(value))) {}
  Boxed(const Boxed& other) : value_(other ? std::make_unique<T>(*other) : nullptr) {}
  Boxed(Boxed&&) noexcept = default;
  Boxed& operator=(Boxed other) noexcept { return value_.swap(other.value_), *this; }
  ~Boxed() = default;

  explicit operator bool() const noexcept { return value_ != nullptr; }
  T& operator*() noexcept { return *value_; }
  const T& operator*() const noexcept { return *value_; }
  T* operator->() noexcept { return value_.get(); }
  const T* operator->() const noexcept { return value_.get(); }
  T value_or(T other) const { return value_ ? *value_ : std::move(other); }
  std::optional<T> as_optional() const { return value_ ? std::optional<T>(*value_) : std::nullopt; }
  void reset() noexcept { value_.reset(); }
  bool operator==(const Boxed& other) const { return value_ && other.value_ ? *value_ == *other.value_ : value_ == other.value_; }

 private:
  std::unique_ptr<T> value_{};
};

}  // namespace manta::tune
