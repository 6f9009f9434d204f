#pragma once
// Array<T>: immutable numbers shared by reference, the typed sister of Buffer. As an argument, a result or inside another
// value it is laid out aligned, and a process on the same machine reads it in place from shared memory: no copy, whatever
// its size. (A std::vector of numbers is copied once on each side.)
//
//   auto [samples, place] = manta::Array<float>::allocate(1 << 20);
//   fill(place);                                    // before the array is shared
//   rt.get(rt.remote<mean>(samples));               // double mean(const manta::Array<float>& x) { for (float v : x) … }
//
// Thread-safe: all operations are const. The memory lives as long as the last Array or Buffer that refers to it. Writing
// through a cast is a fault: in other processes the pages cannot be written.
#include <algorithm>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <vector>

#include "runtime/base/buffer.hpp"
#include "runtime/base/error.hpp"

namespace manta {

template <class T>
concept Number = std::is_arithmetic_v<T> && !std::is_same_v<T, bool> && std::is_same_v<T, std::remove_cv_t<T>>;

template <Number T>
class Array {
 public:
  using value_type = T;
  using const_iterator = const T*;

  Array() = default;
  /// Copies.
  explicit Array(std::span<const T> numbers) : buffer_(Buffer::copy(std::as_bytes(numbers))) {}
  explicit Array(const std::vector<T>& numbers) : Array(std::span<const T>(numbers)) {}
  Array(std::initializer_list<T> numbers) : Array(std::span<const T>(numbers.begin(), numbers.size())) {}
  /// Shares bytes. InvalidArgument when they are not whole numbers of T at an address where a T may lie.
  static Array share(Buffer bytes) {
    if (!fits(bytes))
      throw InvalidArgument(std::to_string(bytes.size()) + " bytes are not whole, aligned numbers of " + std::to_string(sizeof(T)) +
                            " bytes each");
    Array array;
    array.buffer_ = std::move(bytes);
    return array;
  }
  /// Fresh, uninitialised numbers: fill the span before you share the array. InvalidArgument when that many bytes cannot be.
  static std::pair<Array, std::span<T>> allocate(std::size_t count) {
    if (count > static_cast<std::size_t>(PTRDIFF_MAX) / sizeof(T))
      throw InvalidArgument("an array of " + std::to_string(count) + " numbers of " + std::to_string(sizeof(T)) + " bytes cannot be");
    auto [buffer, bytes] = Buffer::allocate(count * sizeof(T));
    return {share(std::move(buffer)), {reinterpret_cast<T*>(bytes.data()), count}};
  }

  std::size_t size() const noexcept { return buffer_.size() / sizeof(T); }
  bool empty() const noexcept { return buffer_.empty(); }
  const T* data() const noexcept { return reinterpret_cast<const T*>(buffer_.data()); }
  const T* begin() const noexcept { return data(); }
  const T* end() const noexcept { return data() + size(); }
  /// Requires index < size().
  const T& operator[](std::size_t index) const noexcept { return data()[index]; }
  std::span<const T> span() const noexcept { return {data(), size()}; }
  operator std::span<const T>() const noexcept { return span(); }
  std::vector<T> to_vector() const { return {begin(), end()}; }
  /// A part that shares the memory; requires first + count <= size().
  Array slice(std::size_t first, std::size_t count) const { return share(buffer_.slice(first * sizeof(T), count * sizeof(T))); }
  const Buffer& buffer() const noexcept { return buffer_; }
  /// As numbers compare: NaN differs from itself, -0.0 equals 0.0.
  bool operator==(const Array& other) const noexcept { return std::equal(begin(), end(), other.begin(), other.end()); }

  template <class Archive>
  void save(Archive& archive) const {
    archive(buffer_);
  }
  template <class Archive>
  void load(Archive& archive) {
    Buffer bytes;
    archive(bytes);
    if (bytes.size() % sizeof(T) != 0) throw ProtocolError("a serialised array is damaged: it ends within a number");
    buffer_ = fits(bytes) ? std::move(bytes) : Buffer::copy(bytes.bytes());  // small ones may lie anywhere in a message
  }

 private:
  static bool fits(const Buffer& bytes) noexcept {
    return bytes.size() % sizeof(T) == 0 && reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(T) == 0;
  }
  Buffer buffer_;
};

}  // namespace manta
