// Fault 40: limits of the system reached while the program runs: descriptors, threads, folders that are not there. What needs more
// is refused in words, what there is goes on, and when the limit is lifted all is as before.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <numeric>
#include <optional>
#include <thread>

#include "../api/support.hpp"
#include "runtime/base/log.hpp"

namespace {
std::atomic<int> g_threads_left{-1};  ///< -1: no limit

[[maybe_unused]] bool takes_a_thread() {
  int left = g_threads_left;
  while (left > 0 && !g_threads_left.compare_exchange_weak(left, left - 1)) {
  }
  return left != 0;
}
}  // namespace

#ifndef MANTA_SANITIZED  // which has a pthread_create of its own
/// Stands before the C library's, so that a test can be at the limit of threads (root has none).
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*begin)(void*), void* argument) noexcept {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto create = reinterpret_cast<Create>(::dlsym(RTLD_NEXT, "pthread_create"));
  return takes_a_thread() ? create(thread, attributes, begin, argument) : EAGAIN;
}
#endif

namespace manta_test {
namespace {

int twice(int x) { return 2 * x; }
[[maybe_unused]] int child_of(Context& ctx, int x) { return ctx.get(ctx.remote<twice>(x)); }
struct Steady {
  int calls = 0;
  int call() { return ++calls; }
};

/// Lowers the limit of descriptors so that none is left, until it goes out of scope.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const int next = ::dup(0);  // the lowest that is free
    ::close(next);
    const rlimit none{static_cast<rlim_t>(next), before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

struct NoThreads {
  explicit NoThreads(int but = 0) { g_threads_left = but; }
  ~NoThreads() { g_threads_left = -1; }
};

/// An actor that can be left without a descriptor.
struct Crowded {
  bool crowd() {
    const int next = ::dup(0);
    ::close(next);
    const rlimit none{static_cast<rlim_t>(next), static_cast<rlim_t>(next)};
    return ::setrlimit(RLIMIT_NOFILE, &none) == 0;
  }
  std::size_t size(const std::string& text) { return text.size(); }
};

/// An actor whose address space can be bounded: what is in use and some more.
struct Narrow {
  bool narrow() {
    std::uint64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlimit limit{pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) + (24u << 20), RLIM_INFINITY};
    return ::setrlimit(RLIMIT_AS, &limit) == 0;
  }
  bool lift() {
    const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
    return ::setrlimit(RLIMIT_AS, &none) == 0;
  }
  std::size_t size(const std::string& text) { return text.size(); }
};

[[maybe_unused]] std::string made(const std::string& file) {
  append(file, "made;");
  return std::string(1 << 20, 'r');
}

void print_to_both() {
  std::fputs("to stdout\n", stdout), std::fflush(stdout);
  std::fputs("to stderr\n", stderr), std::fflush(stderr);
}
void print_much() {
  for (int i = 0; i < 1000; ++i) std::puts(std::string(100, 'x').c_str());
}
void print_a_line() { std::puts("the last line"); }
std::uint64_t sum(const std::vector<std::uint8_t>& bytes) { return std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{0}); }
bool is_whole(const std::string& text) { return text == std::string(1 << 20, 'x'); }

}  // namespace

/// 0: what a driver without standard streams keeps is as it was put, whatever is printed.
int run_without_streams() {
  for (int stream = 0; stream <= 2; ++stream) ::close(stream);
  auto rt = Runtime::start(small_machine());
  const auto object = rt.put(std::string(1 << 20, 'x'));
  for (int i = 0; i < 10; ++i) {
    rt.get(rt.remote<print_to_both>(), 30s);
    rt.get(rt.task<print_to_both>({.isolation = own_process}).remote(), 30s);
    std::this_thread::sleep_for(30ms);  // what is printed in a process comes here by a pipe
    if (!rt.get(rt.task<is_whole>({.isolation = own_process}).remote(object), 30s) || !is_whole(rt.get(object))) return 1;
  }
  return 0;
}

/// 0: what a driver keeps whose streams were closed while it ran is as it was put, whatever is printed: the next files took their numbers.
int run_closed_streams() {
  for (int stream : {STDOUT_FILENO, STDERR_FILENO}) {
    auto rt = Runtime::start(small_machine());
    rt.get(rt.task<print_to_both>({.isolation = own_process}).remote(), 30s);
    ::close(stream);
    const std::vector<std::uint8_t> sevens(2 << 20, 7);  // the first object, for which memory is made
    const auto object = rt.put(sevens);
    const auto first = rt.task<sum>({.isolation = own_process}).remote(object);
    if (rt.get(first, 60s) != 7ull * sevens.size()) return 1;
    for (int i = 0; i < 5; ++i) rt.get(rt.task<print_to_both>({.isolation = own_process}).remote(), 30s);
    std::this_thread::sleep_for(100ms);  // what is printed in a process comes here by a pipe
    log(LogLevel::kError, "to a stream that is closed");
    if (rt.get(rt.task<sum>({.isolation = own_process}).remote(object), 60s) != 7ull * sevens.size()) return 2;
  }
  return 0;
}

/// 0: under a limit to the size of files (ulimit -f) an object that cannot be made is an error. Its signal ended the driver.
int run_small_files() {
  const rlimit small{1 << 20, 1 << 20};
  if (::setrlimit(RLIMIT_FSIZE, &small) != 0) return 2;
  auto rt = Runtime::start(small_machine());
  const std::vector<std::uint8_t> sevens(3 << 20, 7);
  try {
    if (rt.get(rt.task<sum>({.isolation = own_process}).remote(sevens), 60s) != 7ull * sevens.size()) return 1;
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kOutOfMemory && e.code() != ErrorCode::kOutOfDisk) return std::fputs(e.what(), stderr), 3;
  }
  return rt.get(rt.task<twice>({.isolation = own_process}).remote(2), 60s) == 4 ? 0 : 4;
}

int nap(int x) { return std::this_thread::sleep_for(2ms), x; }

/// 0: where there are descriptors for some worker processes only, these do the work of all that there might be.
int run_few_descriptors() {
  const rlimit few{28, 28};
  if (::setrlimit(RLIMIT_NOFILE, &few) != 0) return 2;
  auto options = small_machine();
  options.num_cpus = Amount(8);
  auto rt = Runtime::start(options);
  std::vector<ObjectRef<int>> refs;
  for (int i = 0; i < 600; ++i) refs.push_back(rt.remote<nap>(i));
  for (int i = 0; i < 600; ++i)
    if (rt.get(refs[static_cast<std::size_t>(i)], 60s) != i) return 1;
  return 0;
}

/// 0: what a task printed last is in its file, though the terminal took nothing until the runtime was at its end.
int run_slow_terminal(const std::string& file) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0 || ::dup2(ends[1], STDOUT_FILENO) < 0) return 2;
  std::thread reader;
  {
    auto rt = Runtime::start(small_machine());
    rt.get(rt.task<print_much>({.isolation = own_process}).remote(), 30s);
    rt.get(rt.task<print_a_line>({.isolation = own_process, .log_file = file, .echo_output = false}).remote(), 30s);
    reader = std::thread([fd = ends[0]] {
      std::this_thread::sleep_for(500ms);
      char some[4096];
      while (::read(fd, some, sizeof some) > 0) {
      }
    });
  }
  ::close(ends[1]), ::close(STDOUT_FILENO);
  reader.join();
  return content(file) == "the last line\n" ? 0 : 1;
}

TEST_SUITE("runtime/faults") {
  TEST_CASE("what processes have printed is written before the runtime ends, also behind a terminal that was slow") {
    const Clean clean;
    Folder folder;
    CHECK(SubProgram("slow-terminal", {folder / "log"}).wait() == 0);
  }

  TEST_CASE("fault 40: what a driver without stdin, stdout and stderr prints is written into none of its files") {
    const Clean clean;
    CHECK(SubProgram("without-streams", {}).wait() == 0);
  }

#ifndef MANTA_SANITIZED  // whose shadow memory is address space as well
  // It was taken for the loss of the object: whole results were made again, and a call with a large argument went round for ever.
  TEST_CASE("fault 40: a worker that has no address space left for an object says so, nothing is lost, and goes on when there is") {
    auto options = small_machine();
    options.arena_bytes = 256u << 20;
    Machine machine(options);
    Folder folder;
    auto& rt = machine.rt;
    auto actor = rt.actor<Narrow>({.isolation = own_process}).spawn();
    const auto put = rt.put(std::string(1 << 20, 'p'));
    const auto result = rt.task<made>({.isolation = own_process}).remote(folder / "log");
    CHECK(rt.get(result, 30s).size() == 1u << 20);
    REQUIRE(rt.get(actor.call<&Narrow::narrow>(), 30s));
    const auto refused = [&](const auto& argument) {
      const auto error = error_of<ResourceExhausted>([&] { rt.get(actor.call<&Narrow::size>(argument), 30s); });
      CHECK_MESSAGE(contains(error.to_string(), "ulimit -v"), error.to_string());
    };
    for (int i = 0; i < 2; ++i) refused(std::string(1 << 20, 'a')), refused(put), refused(result);
    REQUIRE(rt.get(actor.call<&Narrow::lift>(), 30s));
    CHECK(rt.get(actor.call<&Narrow::size>(std::string(1 << 20, 'a')), 30s) == 1u << 20);
    CHECK(rt.get(actor.call<&Narrow::size>(put), 30s) == 1u << 20);
    CHECK(rt.get(actor.call<&Narrow::size>(result), 30s) == 1u << 20);
    CHECK(content(folder / "log") == "made;");
  }
#endif

#ifndef MANTA_SANITIZED
  TEST_CASE("fault 40: a worker without a descriptor for an object's memory says what to raise as it ends") {
    Machine machine;
    Folder folder;
    auto& rt = machine.rt;
    auto actor = rt.actor<Crowded>({.isolation = own_process, .log_file = folder / "log", .echo_output = false}).spawn();
    REQUIRE(rt.get(actor.call<&Crowded::crowd>(), 30s));
    CHECK_THROWS_AS(rt.get(actor.call<&Crowded::size>(std::string(1 << 20, 'a')), 30s), ActorDied);
    CHECK(eventually([&] { return contains(content(folder / "log"), "ulimit -n"); }));
  }
#endif

#ifndef MANTA_SANITIZED  // UBSan looks whether memory can be read by a pipe; without descriptors it takes each new type for a wrong one
  // What they printed came into the first object.
  TEST_CASE("fault 40: what is printed after a driver has closed stdout and stderr is written into none of its files") {
    const Clean clean;
    SubProgram driver("closed-streams", {});
    CHECK(driver.wait() == 0);
  }

  TEST_CASE("fault 40: under a limit to the size of files an object that cannot be made is an error") {
    const Clean clean;
    SubProgram driver("small-files", {});
    CHECK(driver.wait() == 0);
  }

  // Each process that could not be made used up a task, at the speed at which they failed.
  TEST_CASE("fault 40: with descriptors for a few shared worker processes these do all tasks") {
    if (!in_processes()) return;
    const Clean clean;
    SubProgram driver("few-descriptors", {});
    CHECK(driver.wait() == 0);
  }

  // RocksDB let go of threads that it had started when one more could not be: the program was ended.
  TEST_CASE("fault 40: without threads left a first durable object is refused, and kept when there are") {
    for (int left = 0; left < 5; ++left) {  // it wants to see five at once
      Folder folder;
      auto options = small_machine();
      options.durable_dir = folder.path;
      Machine machine(options);
      auto& rt = machine.rt;
      {
        NoThreads none(left);
        try {
          static_cast<void>(rt.put(7, {.durable_name = "seven"}));
        } catch (const ResourceExhausted& e) {
          CHECK_MESSAGE(contains(e.what(), "threads"), e.what());
        }
      }
      static_cast<void>(rt.put(8, {.durable_name = "eight"}));
      CHECK(rt.get(rt.find_durable<int>("eight")) == 8);
    }
  }

  TEST_CASE("fault 40: without a descriptor left a new process is refused with what to raise, what runs goes on") {
    Machine machine;
    auto& rt = machine.rt;
    const TaskOptions alone{.isolation = own_process};
    auto steady = rt.actor<Steady>({.isolation = own_process}).spawn();
    CHECK(rt.get(steady.call<&Steady::call>(), 30s) == 1);
    CHECK(rt.get(rt.remote<child_of>(1), 30s) == 2);
    {
      NoDescriptors none;
      const auto error = error_of<ResourceExhausted>([&] { rt.get(rt.task<twice>(alone).remote(2), 30s); });
      CHECK_MESSAGE(contains(error.to_string(), "ulimit -n"), error.to_string());
      CHECK(rt.get(steady.call<&Steady::call>(), 30s) == 2);
      CHECK(rt.get(rt.remote<child_of>(3), 30s) == 6);
    }
    CHECK(rt.get(rt.task<twice>(alone).remote(4), 30s) == 8);
  }

  TEST_CASE("fault 40: without a thread left a runtime does not start, and says so") {
    const Clean clean;
    NoThreads none;
    const auto error = error_of<ResourceExhausted>([&] { Runtime::start(small_machine()); });
    CHECK_MESSAGE(contains(error.message, "ulimit -u"), error.message);
  }

  TEST_CASE("fault 40: with fewer threads left than a runtime begins with, it does not start, and says so") {
    const Clean clean;
    int started = 0;
    for (int left = 1; left < 20; ++left) {
      std::optional<Runtime> rt;
      std::string why;
      {
        NoThreads none(left);
        try {
          rt.emplace(Runtime::start(small_machine()));
        } catch (const ResourceExhausted& error) {
          why = error.what();
        }
      }
      if (!rt) CHECK_MESSAGE(contains(why, "ulimit -u"), why);
      if (rt) CHECK(rt->get(rt->remote<twice>(left), 30s) == 2 * left);
      started += rt.has_value();
    }
    CHECK(started > 0);
    CHECK(started < 19);
  }

  TEST_CASE("fault 40: without a thread left a first process is refused with what to raise, and is made when there are") {
    Machine machine;
    auto& rt = machine.rt;
    const TaskOptions alone{.isolation = own_process};
    {
      NoThreads none;
      const auto error = error_of<ResourceExhausted>([&] { rt.get(rt.task<twice>(alone).remote(2), 30s); });
      CHECK_MESSAGE(contains(error.to_string(), "ulimit -u"), error.to_string());
    }
    CHECK(rt.get(rt.task<twice>(alone).remote(4), 30s) == 8);
  }

  TEST_CASE("fault 40: without a thread left what runs goes on, back-off and deadlines too, and all is done when there are threads") {
    Machine machine;
    auto& rt = machine.rt;
    auto steady = rt.actor<Steady>({.isolation = own_process}).spawn();
    CHECK(rt.get(steady.call<&Steady::call>(), 30s) == 1);
    CHECK(rt.get(rt.remote<child_of>(1), 30s) == 2);
    std::vector<ObjectRef<int>> waiting;
    {
      NoThreads none;
      for (int i = 0; i < 20; ++i) waiting.push_back(rt.task<child_of>({.deadline = 60s}).remote(i));
      CHECK(rt.get(steady.call<&Steady::call>(), 30s) == 2);
      CHECK(rt.get(rt.task<twice>({.num_cpus = 0, .isolation = own_process}).remote(4), 30s) == 8);  // the CPUs wait for threads
    }
    for (int i = 0; i < 20; ++i) CHECK(rt.get(waiting[static_cast<std::size_t>(i)], 60s) == 2 * i);
  }
#endif

  TEST_CASE("fault 40: a folder for logs that cannot be is a warning, one for durable objects an error of what is put there") {
    Folder folder;
    const std::string file = folder / "file";
    append(file, "no folder");
    auto options = small_machine();
    options.log_dir = file;
    options.durable_dir = fs::path(file) / "durable";
    Machine machine(options);
    auto& rt = machine.rt;
    CHECK(rt.get(rt.task<twice>({.isolation = own_process}).remote(1), 30s) == 2);
    const auto error = error_of<Error>([&] { rt.put(1, {.durable_name = "x"}); });
    CHECK_MESSAGE(error.code == ErrorCode::kIoError, error.to_string());
    CHECK_MESSAGE(contains(error.to_string(), options.durable_dir.string()), error.to_string());
    CHECK(rt.get(rt.put(2)) == 2);
    CHECK(content(file) == "no folder");
  }
}

}  // namespace manta_test
