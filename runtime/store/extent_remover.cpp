#include "runtime/store/extent_remover.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <system_error>
#include <utility>

namespace manta {

void unmap_extent(const MappedExtent& extent) noexcept {
  if (extent.base) ::munmap(extent.base, extent.bytes);
  if (extent.readable) ::munmap(const_cast<std::byte*>(extent.readable), extent.bytes);
  ::close(extent.fd);
}

/// A hole gives the pages back that a worker has mapped. A file system that cannot punch one has the file cut: nobody reads
/// there any more. (What was sealed against shrinking cannot be cut, but there holes are possible.)
void remove_extent(const MappedExtent& extent) noexcept {
  if (::fallocate(extent.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(extent.bytes)) != 0)
    static_cast<void>(!::ftruncate(extent.fd, 0));
  unmap_extent(extent);
}

ExtentRemover::~ExtentRemover() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  work_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void ExtentRemover::remove_later(const MappedExtent& extent) {
  std::unique_lock lock(mutex_);
  if (!thread_.joinable()) try {
      thread_ = std::thread([this] { run(); });
    } catch (const std::system_error&) {
      lock.unlock();
      return remove_extent(extent);
    }
  extents_.push_back(extent);
  ++given_;
  work_.notify_one();
}

bool ExtentRemover::busy() const {
  std::lock_guard lock(mutex_);
  return removed_ < given_;
}

void ExtentRemover::wait() {
  std::unique_lock lock(mutex_);
  gone_.wait(lock, [this, until = given_] { return removed_ >= until; });
}

void ExtentRemover::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [this] { return ending_ || !extents_.empty(); });
    if (extents_.empty()) return;
    const auto batch = std::exchange(extents_, {});
    lock.unlock();
    for (const auto& extent : batch) remove_extent(extent);
    lock.lock();
    removed_ += batch.size();
    gone_.notify_all();
  }
}

}  // namespace manta
