#pragma once
// Disks that misbehave: a full one, and one whose fsync fails.
#include <sys/mount.h>

#include <atomic>
#include <string>

#include "tests/runtime/api/support.hpp"

namespace manta_test {

/// A file system of `mib` MiB of its own, where this user may mount one; gone at the end.
class SmallDisk {
 public:
  /// `more`: options of its mount, like ",nr_inodes=9".
  SmallDisk(std::string path, int mib, const std::string& more = {}) : path_(std::move(path)) {
    fs::create_directory(path_);
    mounted_ = ::mount("none", path_.c_str(), "tmpfs", 0, ("size=" + std::to_string(mib) + "m" + more).c_str()) == 0;
    if (!mounted_) MESSAGE("skipped: mounting a small tmpfs is not permitted here");
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  explicit operator bool() const noexcept { return mounted_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
  bool mounted_ = false;
};

/// While it lives every fsync and fdatasync of this process fails with EIO.
class FailingSync {
 public:
  FailingSync();
  ~FailingSync();
  /// Syncs that failed, and those of a file whose sync had failed before, also after this object's end.
  static int failures();
  static int retries();
};

}  // namespace manta_test
