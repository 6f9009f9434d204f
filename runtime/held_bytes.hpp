#pragma once
// What a value holds beside its own size, in bytes, about: for limits on what waits in memory. By the sizes of strings, Buffers, Arrays and
// the standard containers; of all other types nothing is known, and nothing is computed. Does not serialise and cannot throw; takes
// time only for containers of what holds something itself, in proportion to their elements. Internal.
#include <array>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "runtime/array.hpp"

namespace manta::detail {

template <class T>
struct HeldBytes {
  static constexpr bool kAny = false;
  static constexpr std::uint64_t of(const T&) noexcept { return 0; }
};
template <class T>
inline constexpr bool kHoldsBytes = HeldBytes<std::remove_cv_t<T>>::kAny;
template <class T>
constexpr std::uint64_t held_bytes(const T& value) noexcept {
  return HeldBytes<T>::of(value);
}

template <class C, class... More>
struct HeldBytes<std::basic_string<C, More...>> {
  static constexpr bool kAny = true;
  static std::uint64_t of(const std::basic_string<C, More...>& text) noexcept {
    const auto bytes = text.capacity() * sizeof(C);
    return bytes > sizeof text ? bytes : 0;  // a short one lies in the string itself
  }
};

/// What others hold too is in memory without this one.
template <>
struct HeldBytes<Buffer> {
  static constexpr bool kAny = true;
  static std::uint64_t of(const Buffer& buffer) noexcept { return buffer.owner().use_count() == 1 ? buffer.size() : 0; }
};
template <Number T>
struct HeldBytes<Array<T>> {
  static constexpr bool kAny = true;
  static std::uint64_t of(const Array<T>& array) noexcept { return held_bytes(array.buffer()); }
};

template <class A, class B>
struct HeldBytes<std::pair<A, B>> {
  static constexpr bool kAny = kHoldsBytes<A> || kHoldsBytes<B>;
  static std::uint64_t of(const std::pair<A, B>& pair) noexcept { return held_bytes(pair.first) + held_bytes(pair.second); }
};
template <class... T>
struct HeldBytes<std::tuple<T...>> {
  static constexpr bool kAny = (kHoldsBytes<T> || ...);
  static std::uint64_t of(const std::tuple<T...>& tuple) noexcept {
    return std::apply([](const auto&... each) { return (std::uint64_t{0} + ... + held_bytes(each)); }, tuple);
  }
};
template <class T>
struct HeldBytes<std::optional<T>> {
  static constexpr bool kAny = kHoldsBytes<T>;
  static std::uint64_t of(const std::optional<T>& value) noexcept { return value ? held_bytes(*value) : 0; }
};

/// `each_bytes`: what an element takes beside what it holds itself.
template <class C>
std::uint64_t held_by_elements(const C& all, std::uint64_t each_bytes) noexcept {
  auto bytes = all.size() * each_bytes;
  if constexpr (kHoldsBytes<typename C::value_type>)
    for (const auto& each : all) bytes += held_bytes(each);
  return bytes;
}
template <class T, std::size_t N>
struct HeldBytes<std::array<T, N>> {
  static constexpr bool kAny = kHoldsBytes<T>;
  static std::uint64_t of(const std::array<T, N>& all) noexcept { return held_by_elements(all, 0); }
};
template <class C, std::size_t kLinks>
struct HeldByContainer {
  static constexpr bool kAny = true;
  static std::uint64_t of(const C& all) noexcept { return held_by_elements(all, sizeof(typename C::value_type) + kLinks); }
};
inline constexpr std::size_t kNodeLinks = 4 * sizeof(void*);  // of an element that is allocated by itself
template <class... A>
struct HeldBytes<std::vector<A...>> : HeldByContainer<std::vector<A...>, 0> {};
template <class... A>
struct HeldBytes<std::vector<bool, A...>> {
  static constexpr bool kAny = true;
  static std::uint64_t of(const std::vector<bool, A...>& bits) noexcept { return bits.size() / 8; }
};
template <class... A>
struct HeldBytes<std::deque<A...>> : HeldByContainer<std::deque<A...>, 0> {};
template <class... A>
struct HeldBytes<std::list<A...>> : HeldByContainer<std::list<A...>, kNodeLinks> {};
template <class... A>
struct HeldBytes<std::set<A...>> : HeldByContainer<std::set<A...>, kNodeLinks> {};
template <class... A>
struct HeldBytes<std::multiset<A...>> : HeldByContainer<std::multiset<A...>, kNodeLinks> {};
template <class... A>
struct HeldBytes<std::map<A...>> : HeldByContainer<std::map<A...>, kNodeLinks> {};
template <class... A>
struct HeldBytes<std::multimap<A...>> : HeldByContainer<std::multimap<A...>, kNodeLinks> {};
template <class... A>
struct HeldBytes<std::unordered_set<A...>> : HeldByContainer<std::unordered_set<A...>, kNodeLinks> {};
template <class... A>
struct HeldBytes<std::unordered_multiset<A...>> : HeldByContainer<std::unordered_multiset<A...>, kNodeLinks> {};
template <class... A>
struct HeldBytes<std::unordered_map<A...>> : HeldByContainer<std::unordered_map<A...>, kNodeLinks> {};
template <class... A>
struct HeldBytes<std::unordered_multimap<A...>> : HeldByContainer<std::unordered_multimap<A...>, kNodeLinks> {};

}  // namespace manta::detail
