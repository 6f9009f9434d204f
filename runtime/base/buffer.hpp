#pragma once
// Buffer: immutable bytes shared by reference. Inside a process a copy costs a counter; in another process on the same
// machine it is read in place from shared memory. The bytes start at a multiple of 64 whenever Manta laid them out.
//
//   Buffer b = Buffer::copy(std::as_bytes(std::span(samples)));
//   rt.remote<mean>(b);                 // double mean(const manta::Buffer& b) reads the same pages
//
// Thread-safe: all operations are const. The memory lives as long as the last Buffer that refers to it.
#include <cstddef>
#include <memory>
#include <span>

#include "runtime/base/copy.hpp"

namespace manta {

class Buffer {
 public:
  Buffer() = default;
  /// Shares bytes that `owner` keeps alive.
  Buffer(std::shared_ptr<const void> owner, std::span<const std::byte> bytes) : owner_(std::move(owner)), bytes_(bytes) {}

  /// A fresh, 64-byte aligned copy.
  static Buffer copy(std::span<const std::byte> bytes) {
    auto [buffer, target] = allocate(bytes.size());
    copy_bytes(target.data(), bytes.data(), bytes.size());
    return buffer;
  }

  /// Fresh, 64-byte aligned, uninitialised bytes: fill the span before you share the buffer.
  static std::pair<Buffer, std::span<std::byte>> allocate(std::size_t size) {
    if (size == 0) return {Buffer{}, {}};
    auto* raw = static_cast<std::byte*>(::operator new(size, std::align_val_t{64}));
    std::shared_ptr<const void> owner(raw, [](void* p) { ::operator delete(p, std::align_val_t{64}); });
    return {Buffer(std::move(owner), {raw, size}), {raw, size}};
  }

  const std::byte* data() const noexcept { return bytes_.data(); }
  std::size_t size() const noexcept { return bytes_.size(); }
  bool empty() const noexcept { return bytes_.empty(); }
  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  /// The bytes as numbers; requires a size that is a multiple of sizeof(T).
  template <class T>
  std::span<const T> as() const noexcept {
    return {reinterpret_cast<const T*>(bytes_.data()), bytes_.size() / sizeof(T)};
  }
  /// A part of the bytes that shares the memory.
  Buffer slice(std::size_t offset, std::size_t size) const { return Buffer(owner_, bytes_.subspan(offset, size)); }
  const std::shared_ptr<const void>& owner() const noexcept { return owner_; }

 private:
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> bytes_;
};

}  // namespace manta
