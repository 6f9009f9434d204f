// The durable objects of a node on a disk that is slow or fails. The stories: while the store was being opened all workers' messages
// waited; and after an error of the disk the next use was told that this program itself has the store open.
#include "runtime/actors/node_durables.hpp"

#include <doctest/doctest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <future>

#include "tests/runtime/store/store_fixtures.hpp"

namespace {

using namespace std::chrono_literals;

/// Syncing a file of this kind waits until it may go on.
struct SlowSync {
  std::atomic<bool> waits{false};
  std::atomic<int> waiting{0};
  void pass() {
    if (!waits) return;
    ++waiting;
    waits.wait(true);
  }
  void open() {
    waits = false;
    waits.notify_all();
  }
};
SlowSync manifests, tables;
std::atomic<bool> logs_fail{false};

template <class Condition>
void await(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + 30s;
  while (!condition() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(1ms);
  REQUIRE(condition());
}

}  // namespace

/// Instead of the C library's, for RocksDB too.
extern "C" int fdatasync(int fd) {
  std::error_code ignored;
  const auto name = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), ignored).filename().string();
  if (logs_fail && name.ends_with(".log")) return errno = EIO, -1;
  if (name.starts_with("MANIFEST-")) manifests.pass();
  if (name.starts_with("load-")) tables.pass();
  return static_cast<int>(::syscall(SYS_fdatasync, fd));
}

using namespace manta;
using namespace manta::detail;

namespace {

struct Fixture {
  test::TemporaryDirectory directory;
  std::atomic<int> replies{0};
  NodeDurables durables{directory / "d", nullptr, 100 << 20, [this](ProcessId, const wire::DurableReply&) { ++replies; }};

  static wire::DurableRequest put_of(const std::string& name, std::size_t size) {
    auto [buffer, target] = Buffer::allocate(size);
    std::fill(target.begin(), target.end(), std::byte{7});
    wire::DurableRequest request{.operation = wire::DurableOperation::kPut, .name = name, .type_tag = "t"};
    request.value.bytes = std::move(buffer);
    return request;
  }
};

}  // namespace

TEST_SUITE("runtime/actors/node_durables") {
  TEST_CASE("while the store is being opened a worker's request is taken at once") {
    Fixture node;
    manifests.waits = true;
    auto list = std::async(std::launch::async, [&] { return node.durables.list(""); });
    await([] { return manifests.waiting > 0; });
    auto serve = std::async(std::launch::async, [&] { node.durables.serve(kNodeProcess, Fixture::put_of("v", 10)); });
    CHECK(serve.wait_for(20s) == std::future_status::ready);
    CHECK(node.replies == 0);
    manifests.open();
    CHECK(list.get().empty());
    serve.get();
    await([&] { return node.replies == 1; });
    CHECK(node.durables.list("") == std::vector<std::string>{"v"});
  }

  TEST_CASE("a large durable value is not kept a second time, as bytes, with its ref") {
    Fixture node;
    for (const std::size_t size : {std::size_t{1000}, std::size_t{1} << 20}) {
      const auto value = std::make_shared<const std::vector<int>>(size, 7);
      Cell cell(type_ops<std::vector<int>>());
      cell.set_value(value);
      node.durables.put(cell, "numbers", "t");
      CHECK(cell.sent().has_value() == (size == 1000));
      const auto found = node.durables.find(type_ops<std::vector<int>>(), "numbers", "t");
      CHECK(*std::static_pointer_cast<const std::vector<int>>(found->value()) == *value);
    }
  }

  TEST_CASE("after an error of the disk the next use waits for those who still use the old store, and opens it anew") {
    Fixture node;
    CHECK(node.durables.list("").empty());
    tables.waits = true;
    node.durables.serve(kNodeProcess, Fixture::put_of("large", 9 << 20));
    await([] { return tables.waiting > 0; });
    logs_fail = true;
    node.durables.serve(kNodeProcess, Fixture::put_of("small", 10));
    await([&] { return node.replies == 1; });
    logs_fail = false;
    auto list = std::async(std::launch::async, [&] { return node.durables.list(""); });
    CHECK(list.wait_for(200ms) == std::future_status::timeout);  // without the wait it fails at once
    tables.open();
    CHECK_NOTHROW(list.get());
    await([&] { return node.replies == 2; });
    node.durables.serve(kNodeProcess, Fixture::put_of("again", 10));
    await([&] { return node.replies == 3; });
    const auto names = node.durables.list("");
    CHECK(std::count(names.begin(), names.end(), "again") == 1);
  }
}
