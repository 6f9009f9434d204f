#pragma once
// ArenaView: a worker's window on the arena of its node.
//
// The node hands over one descriptor per extent; attach maps it. Reading is free of copies and of calls to the node.
// Owned by the worker process; every operation is thread-safe. A span stays valid until its extent is detached or the view
// is destroyed; the caller keeps the object pinned at the node meanwhile.
#include <cstdint>
#include <map>
#include <shared_mutex>
#include <span>

#include "runtime/base/result.hpp"
#include "runtime/store/block.hpp"

namespace manta {

class ArenaView {
 public:
  ArenaView() = default;
  ~ArenaView();
  ArenaView(const ArenaView&) = delete;
  ArenaView& operator=(const ArenaView&) = delete;

  /// Maps `bytes` of the extent, for reading or for reading and writing; an extent may be attached once for each. Does not
  /// take the descriptor: close it afterwards. InvalidArgument when the descriptor is shorter than `bytes`, ResourceExhausted
  /// when the process has no address space for it, IoError when it cannot be mapped so.
  Result<void> attach(std::uint32_t extent, int fd, std::uint64_t bytes, bool writable);
  /// Unmaps the extent; spans into it die. Nothing happens when it is not attached.
  void detach(std::uint32_t extent);
  bool known(std::uint32_t extent, bool writable = false) const;

  /// The block's bytes. NotFound when the extent is not attached, ProtocolError when the block does not lie inside it.
  Result<ByteView> read(const Block& block) const;
  /// As read, for a block that this worker is creating; needs a writable attachment.
  Result<std::span<std::byte>> write(const Block& block) const;

 private:
  struct Mapping {
    std::byte* base{};
    std::uint64_t bytes{};
  };
  struct Extent {
    Mapping readable;
    Mapping writable;
  };
  Result<std::byte*> locate(const Block& block, bool writable) const;

  mutable std::shared_mutex mutex_;
  std::map<std::uint32_t, Extent> extents_;
};

}  // namespace manta
