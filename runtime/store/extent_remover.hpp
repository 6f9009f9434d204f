#pragma once
// ExtentRemover: gives extents back to the system that nobody uses any more. Of a file of many gibibytes that takes the disk
// seconds, and who frees an object may hold locks that everybody needs: such files go on a thread of the remover's own, which starts
// with the first of them. Owned by the arena; thread-safe. The destructor waits until all is gone.
//
//   ExtentRemover remover;
//   remover.remove_later({.fd = fd, .base = base, .bytes = 1 << 30});
//   remover.wait();  // for who needs the space
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace manta {

/// A mapped file or memfd with its descriptor, all of which the remover takes.
struct MappedExtent {
  int fd{-1};
  std::byte* base{};
  const std::byte* readable{};
  std::uint64_t bytes{};
};

/// Unmaps and closes; a mapping may be null.
void unmap_extent(const MappedExtent& extent) noexcept;
/// Gives it back at once. A worker may still have it mapped; its pages go all the same.
void remove_extent(const MappedExtent& extent) noexcept;

class ExtentRemover {
 public:
  ExtentRemover() = default;
  ~ExtentRemover();
  ExtentRemover(const ExtentRemover&) = delete;
  ExtentRemover& operator=(const ExtentRemover&) = delete;

  /// Does not wait for the disk, except when the system gives no thread.
  void remove_later(const MappedExtent& extent);
  /// Whether something is not gone yet.
  bool busy() const;
  /// Until all is gone that had been given before the call.
  void wait();

 private:
  void run();

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable gone_;
  std::vector<MappedExtent> extents_;
  std::uint64_t given_{};
  std::uint64_t removed_{};
  bool ending_{};
  std::thread thread_;
};

}  // namespace manta
