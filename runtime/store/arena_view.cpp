#include "runtime/store/arena_view.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <mutex>

namespace manta {

namespace {

void unmap(std::byte* base, std::uint64_t bytes) {
  if (base) ::munmap(base, bytes);
}

/// Whether all its pages are there: of a file they would be read from the disk, and those to be written be made twice.
bool lies_in_memory(int fd) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  return seals >= 0 && (seals & F_SEAL_SHRINK);
}

}  // namespace

ArenaView::~ArenaView() {
  for (auto& [id, extent] : extents_) {
    unmap(extent.readable.base, extent.readable.bytes);
    unmap(extent.writable.base, extent.writable.bytes);
  }
}

Result<void> ArenaView::attach(std::uint32_t extent, int fd, std::uint64_t bytes, bool writable) {
  struct stat info {};
  if (::fstat(fd, &info) != 0 || static_cast<std::uint64_t>(info.st_size) < bytes || bytes == 0) {
    return ErrorInfo{.code = ErrorCode::kInvalidArgument,
                     .message = fmt::format("extent {} of the object arena does not have {} bytes", extent, bytes)};
  }
  std::unique_lock lock(mutex_);
  if (const auto found = extents_.find(extent); found != extents_.end()) {
    if ((writable ? found->second.writable : found->second.readable).base) return {};
  }
  const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  void* base = ::mmap(nullptr, bytes, protection, MAP_SHARED | (lies_in_memory(fd) ? MAP_POPULATE : 0), fd, 0);
  if (base == MAP_FAILED) {
    const bool memory = errno == ENOMEM;
    return ErrorInfo{.code = memory ? ErrorCode::kResourceExhausted : ErrorCode::kIoError,
                     .message = fmt::format("cannot map {} bytes, extent {} of the object arena, for {}: {}{}", bytes, extent,
                                            writable ? "writing" : "reading", std::strerror(errno),
                                            memory ? "; raise the limit of this process's address space (ulimit -v)" : "")};
  }
  ::madvise(base, bytes, MADV_DONTDUMP);
  Extent& entry = extents_[extent];
  (writable ? entry.writable : entry.readable) = {.base = static_cast<std::byte*>(base), .bytes = bytes};
  return {};
}

void ArenaView::detach(std::uint32_t extent) {
  std::unique_lock lock(mutex_);
  const auto found = extents_.find(extent);
  if (found == extents_.end()) return;
  unmap(found->second.readable.base, found->second.readable.bytes);
  unmap(found->second.writable.base, found->second.writable.bytes);
  extents_.erase(found);
}

bool ArenaView::known(std::uint32_t extent, bool writable) const {
  std::shared_lock lock(mutex_);
  const auto found = extents_.find(extent);
  return found != extents_.end() && (found->second.writable.base || (!writable && found->second.readable.base));
}

Result<ByteView> ArenaView::read(const Block& block) const {
  auto base = locate(block, false);
  if (!base) return base.error();
  return ByteView{*base, block.size};
}

Result<std::span<std::byte>> ArenaView::write(const Block& block) const {
  auto base = locate(block, true);
  if (!base) return base.error();
  return std::span<std::byte>{*base, block.size};
}

Result<std::byte*> ArenaView::locate(const Block& block, bool writable) const {
  std::shared_lock lock(mutex_);
  const auto found = extents_.find(block.extent);
  const Mapping none{};
  const Extent* extent = found == extents_.end() ? nullptr : &found->second;
  const Mapping& mapping = !extent                               ? none
                           : writable || !extent->readable.base ? extent->writable
                                                                 : extent->readable;
  if (!mapping.base) {
    return ErrorInfo{.code = ErrorCode::kNotFound,
                     .message = fmt::format("extent {} of the object arena is not attached here for {}", block.extent,
                                            writable ? "writing" : "reading")};
  }
  if (block.offset > mapping.bytes || block.size > mapping.bytes - block.offset) {
    return ErrorInfo{.code = ErrorCode::kProtocolError,
                     .message = fmt::format("a block of {} bytes at {} does not lie in extent {} of {} bytes", block.size,
                                            block.offset, block.extent, mapping.bytes)};
  }
  return mapping.base + block.offset;
}

}  // namespace manta
