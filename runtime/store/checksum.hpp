#pragma once
// XXH3-64, the checksum of bytes that leave memory (https://github.com/Cyan4973/xxHash).
#include <cstdint>
#include <memory>

#include "runtime/store/block.hpp"

namespace manta {

std::uint64_t checksum_of(ByteView bytes) noexcept;

/// The same over bytes that come piece by piece. One thread.
class LocalChecksum {
 public:
  LocalChecksum();
  ~LocalChecksum();
  LocalChecksum(const LocalChecksum&) = delete;
  LocalChecksum& operator=(const LocalChecksum&) = delete;
  void add(ByteView bytes) noexcept;
  std::uint64_t value() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace manta
