#include "runtime/store/memory_limits.hpp"

#include <doctest/doctest.h>

#include "tests/runtime/store/store_fixtures.hpp"

using namespace manta::test;

namespace {

void place(const TemporaryDirectory& root, const std::string& path, const std::string& content) {
  std::filesystem::create_directories(std::filesystem::path(root / path).parent_path());
  write_file(root / path, content);
}

}  // namespace

TEST_SUITE("runtime/store") {
  TEST_CASE("the tightest cgroup of all ancestors gives the headroom, and droppable cache counts as free") {
    TemporaryDirectory root;
    place(root, "proc/meminfo", "MemTotal:  9000 kB\nMemAvailable:    1000 kB\n");
    place(root, "proc/self/cgroup", "0::/job/step\n");
    place(root, "sys/fs/cgroup/job/memory.max", "500000\n");
    place(root, "sys/fs/cgroup/job/memory.current", "400000\n");
    place(root, "sys/fs/cgroup/job/memory.stat", "anon 1\ninactive_file 150000\n");
    place(root, "sys/fs/cgroup/job/step/memory.max", "max\n");
    place(root, "sys/fs/cgroup/job/step/memory.current", "400000\n");
    const auto limits = manta::read_memory_limits(root.path());
    CHECK(limits.available_bytes == 1'024'000);
    CHECK(limits.cgroup_headroom_bytes == 250'000);
    CHECK(limits.smaller() == 250'000);
    const auto use = manta::read_memory_use(root.path());
    CHECK(use.used_bytes == 8'192'000);  // the machine is fuller than the cgroup
    CHECK(use.total_bytes == 9'216'000);
    place(root, "proc/meminfo", "MemTotal:  9000 kB\nMemAvailable:    6000 kB\n");
    CHECK(manta::read_memory_use(root.path()).used_bytes == 250'000);
    CHECK(manta::read_memory_use(root.path()).total_bytes == 500'000);
  }

  TEST_CASE("a cgroup of version 1 is read, and one over its limit has no headroom") {
    TemporaryDirectory root;
    place(root, "proc/self/cgroup", "5:cpu:/x\n4:memory:/docker/abc\n");
    place(root, "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "1000\n");
    place(root, "sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "2000\n");
    CHECK(manta::read_memory_limits(root.path()).cgroup_headroom_bytes == 0);
  }

  // Workers that read a data set twice were ended one after another, though the kernel was never short of memory.
  TEST_CASE("a cgroup that is full of cache, read once or more often, is not full") {
    TemporaryDirectory root;
    place(root, "proc/self/cgroup", "0::/job\n");
    place(root, "sys/fs/cgroup/job/memory.max", "500000\n");
    place(root, "sys/fs/cgroup/job/memory.current", "490000\n");
    place(root, "sys/fs/cgroup/job/memory.stat", "anon 40000\nfile 450000\nshmem 10000\ninactive_anon 9\nactive_anon 31000\ninactive_file 20000\nactive_file 420000\n");
    CHECK(manta::read_memory_limits(root.path()).cgroup_headroom_bytes == 450'000);
    CHECK(manta::read_memory_use(root.path()).used_bytes == 50'000);
    TemporaryDirectory old;
    place(old, "proc/self/cgroup", "4:memory:/job\n");
    place(old, "sys/fs/cgroup/memory/job/memory.limit_in_bytes", "500000\n");
    place(old, "sys/fs/cgroup/memory/job/memory.usage_in_bytes", "490000\n");
    place(old, "sys/fs/cgroup/memory/job/memory.stat", "inactive_file 1\nactive_file 2\ntotal_inactive_file 20000\ntotal_active_file 420000\n");
    CHECK(manta::read_memory_limits(old.path()).cgroup_headroom_bytes == 450'000);
  }

  TEST_CASE("what cannot be read counts as unlimited") {
    TemporaryDirectory root;
    CHECK(manta::read_memory_limits(root.path()).smaller() == UINT64_MAX);
    CHECK(manta::read_memory_use(root.path()).share() == 0);
  }
}
