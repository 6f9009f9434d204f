#pragma once
// One argument of a remote call: what may be given for a parameter, and where it is until the function runs. Internal.
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "runtime/held_bytes.hpp"
#include "runtime/object_ref.hpp"

namespace manta::detail {

/// Whether values of T can be copied. A container says so whatever its elements are; here they are asked too.
template <class T>
struct Copyable : std::is_copy_constructible<T> {};
template <class T>
inline constexpr bool kCopyable = Copyable<T>::value;
template <class T>
  requires requires { typename T::value_type; typename T::iterator; } && (!std::is_same_v<typename T::value_type, T>)
struct Copyable<T> : std::conjunction<std::is_copy_constructible<T>, Copyable<typename T::value_type>> {};
template <class A, class B>
struct Copyable<std::pair<A, B>> : std::conjunction<Copyable<A>, Copyable<B>> {};
template <class... T>
struct Copyable<std::tuple<T...>> : std::conjunction<Copyable<T>...> {};
template <class T>
struct Copyable<std::optional<T>> : Copyable<T> {};

/// Whether the value's destructor is the standard library's, and has little to do.
template <class T>
bool destroys_quickly(const T&) noexcept {
  return std::is_trivially_destructible_v<T>;
}
inline constexpr std::size_t kLittle = 64 * 1024;  // bytes: of more than 100 KiB or so the kernel takes the pages back
inline bool destroys_quickly(const std::string& value) noexcept { return value.capacity() <= kLittle; }
template <class T>
bool destroys_quickly(const std::vector<T>& value) noexcept {
  return std::is_trivially_destructible_v<T> && value.capacity() * sizeof(T) <= kLittle;
}

/// An argument: a value, or the cell it will come from.
template <class T>
class ArgumentSlot {
 public:
  template <class U>
    requires(std::is_convertible_v<U &&, T> || (std::is_same_v<T, std::string> && std::is_convertible_v<U &&, std::string_view>))
  void fill(U&& value, std::vector<std::shared_ptr<Cell>>&) {
    value_.emplace(std::forward<U>(value));
  }
  void fill(const ObjectRef<T>& ref, std::vector<std::shared_ptr<Cell>>& refs) {
    if (!ref) throw InvalidArgument("an empty ObjectRef was passed as an argument: give it a value first");
    ref_ = static_cast<std::int32_t>(refs.size());
    refs.push_back(ref.cell());
  }

  /// The argument for one call; a ref must be settled. `held` keeps a shared value alive during the call.
  template <class Parameter>
  decltype(auto) get(const std::vector<std::shared_ptr<Cell>>& refs, std::shared_ptr<const void>& held) {
    if constexpr (!kCopyable<T> && !std::is_reference_v<Parameter>) {
      if (ref_ >= 0) throw InvalidArgument("a move-only value cannot be taken out of an ObjectRef: take it by const T&");
      if (std::exchange(taken_, true))
        throw InvalidArgument("a move-only argument was used up by an earlier attempt: take it by const T&, or do without retry_on");
      return std::move(*value_);
    } else {
      if (ref_ >= 0) {
        held = refs[static_cast<std::size_t>(ref_)]->value();
        return *static_cast<const T*>(held.get());
      }
      return std::as_const(*value_);
    }
  }

  void encode(OutputArchive& archive) const {
    archive(ref_);
    if (ref_ < 0) write_value(archive, *value_);
  }
  /// `next`: the first of the refs that no slot before has taken. Each is of one slot, in their order, or a cell would be given two types.
  void decode(InputArchive& archive, const std::vector<std::shared_ptr<Cell>>& refs, std::size_t& next) {
    archive(ref_);
    if (ref_ == -1) return static_cast<void>(archive(value_.emplace()));
    if (next >= refs.size() || ref_ != static_cast<std::int32_t>(next)) throw ProtocolError("an argument refers to an object that was not sent");
    if (!refs[next++]->use_ops(type_ops<T>())) throw ProtocolError("an argument refers to an object of another type");
  }
  bool releases_quickly() const noexcept { return !value_ || destroys_quickly(*value_); }
  void release() noexcept { value_.reset(); }
  /// What it takes, about.
  std::uint64_t bytes() const noexcept {
    if constexpr (kHoldsBytes<T>) return sizeof *this + (value_ ? held_bytes(*value_) : 0);
    return sizeof *this;
  }
  /// Null for a ref.
  const T* value() const noexcept { return value_ ? &*value_ : nullptr; }

 private:
  std::optional<T> value_{};
  std::int32_t ref_ = -1;
  bool taken_ = false;
};

/// Names both types where an argument does not fit its parameter.
template <class Parameter, class Argument>
struct CheckArgument {
  static constexpr bool value = requires(ArgumentSlot<Parameter>& slot, std::vector<std::shared_ptr<Cell>>& refs) {
    slot.fill(std::declval<Argument>(), refs);
  };
  static_assert(value, "manta: an argument does not fit its parameter (CheckArgument<parameter, argument> in the compiler's notes). Give a value "
                       "that converts to the parameter's type, by std::move when it cannot be copied, or an ObjectRef of exactly that type.");
};

}  // namespace manta::detail
