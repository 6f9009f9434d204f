// What looks at the end of a fault's case: it sees what is left, of each kind, and says so; and nothing once that has gone.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>

#include "../api/support.hpp"

namespace manta_test {
namespace {

/// What is there beyond `before` as soon as there is as much as `what` says, or at the end of a wait.
std::string seen(const Holdings& before, const std::string& what) {
  eventually([&] { return Holdings::now().beyond(before) == what; }, 10s);
  return Holdings::now().beyond(before);
}

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("descriptors, mappings, shared memory, child processes and threads that are left are named, and then no more") {
    const auto before = Holdings::now();
    CHECK(seen(before, "").empty());
    int pipe[2];
    REQUIRE(::pipe2(pipe, O_CLOEXEC) == 0);
    CHECK(seen(before, "2 x descriptor of pipe") == "2 x descriptor of pipe");
    ::close(pipe[0]), ::close(pipe[1]);

    const int memory = ::memfd_create("manta-left", MFD_CLOEXEC);
    REQUIRE(::ftruncate(memory, 4096) == 0);
    void* mapped = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, memory, 0);
    ::close(memory);
    CHECK(contains(seen(before, "1 x mapping of memfd:manta-left (deleted)"), "1 x mapping of memfd:manta-left"));
    ::munmap(mapped, 4096);

    const auto name = "manta-left-" + std::to_string(::getpid());
    append("/dev/shm/" + name, "x");
    CHECK(seen(before, "1 x /dev/shm/" + name) == "1 x /dev/shm/" + name);
    fs::remove("/dev/shm/" + name);

    const auto child = ::fork();
    if (child == 0) {
      ::pause();
      ::_exit(0);
    }
    CHECK(seen(before, "1 x child process") == "1 x child process");
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);

    std::atomic<bool> over{false};
    std::thread thread([&] { over.wait(false); });
    CHECK(seen(before, "1 x thread") == "1 x thread");
    over = true;
    over.notify_all();
    thread.join();
    CHECK(seen(before, "").empty());
  }
}

}  // namespace manta_test
