// A program that leaves the end of its runtimes and its journal to its statics, which go last. What Manta and RocksDB keep in statics of their own
// was made later and had gone before: the program crashed at its exit, or aborted in RocksDB. That it exits with 0 is the test.
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "runtime/async.hpp"
#include "runtime/generator.hpp"
#include "runtime/journal.hpp"
#include "runtime/promise.hpp"
#include "runtime/runtime.hpp"

namespace {

using namespace std::chrono_literals;

void work(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }
int slow(int x) { return std::this_thread::sleep_for(1ms), x; }

/// Goes last of all; what is below it is in it.
struct Folder {
  std::string path = [] {
    std::string name = std::filesystem::temp_directory_path() / "manta-exit-XXXXXX";
    if (!::mkdtemp(name.data())) std::_Exit(3);
    return name;
  }();
  ~Folder() { std::filesystem::remove_all(path); }
};

const Folder& folder() {
  static const Folder made;
  return made;
}

struct App {
  std::unique_ptr<manta::Journal> journal{};
  std::optional<manta::Runtime> rt{};
  std::vector<manta::ObjectRef<int>> refs{};
  ~App() {
    std::map<int, std::string> used;  // what has been freed is used again
    for (int i = 0; i < 300; ++i) used[i] = std::string(100, 'a');
    try {
      if (rt) rt->wait(refs, {.count = refs.size()});
    } catch (const manta::Error& e) {
      std::fprintf(stderr, "the wait of a static failed: %s\n", e.what());
      std::_Exit(2);
    }
    for (const auto& [number, text] : used)
      if (text != std::string(100, 'a')) std::_Exit(4);
  }
};

App& app() {
  static App made;
  return made;
}

manta::Runtime& singleton(const manta::RuntimeOptions& options) {
  static manta::Runtime rt = manta::Runtime::start(options);
  return rt;
}

template <class Action>
bool is_refused(const char* what, Action&& action) {
  try {
    action();
  } catch (const manta::RuntimeStopped&) {
    return true;
  }
  std::fprintf(stderr, "a fork could %s\n", what);
  return false;
}

bool ends_well(pid_t child) {
  int status = -1;
  for (int i = 0; i < 2000; ++i, std::this_thread::sleep_for(10ms))
    if (::waitpid(child, &status, WNOHANG) == child) {
      if (status != 0) std::fprintf(stderr, "the fork ended with status %d\n", status);
      return status == 0;
    }
  std::fprintf(stderr, "the fork did not end\n");
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  return false;
}

manta::Generator<int> count() {
  for (int i = 0;; ++i) co_yield i;
}
struct Maker {
  std::vector<manta::ObjectRef<int>> make(manta::Context& ctx, int count) {
    std::vector<manta::ObjectRef<int>> made;
    for (int i = 0; i < count; ++i) made.push_back(ctx.put(i));
    return made;
  }
};
/// Where the coroutine went on that waited for a promise.
struct Awaiting {
  manta::Async<int> wait(const std::vector<manta::ObjectRef<int>>& refs) {
    const auto promised = refs.front();
    int got = -1;
    try {
      got = co_await promised;
    } catch (const manta::Error&) {
    }
    if (::getpid() != driver) std::ofstream(folder().path + "/ran in the fork");
    co_return got;
  }
  static inline pid_t driver = 0;
};
struct Counter {
  int calls = 0;
  int add(int more) { return calls += more; }
  manta::Generator<int> count() {
    for (int i = 0;; ++i) co_yield i;
  }
};

/// A fork's child used the memory, the files and the statics of its parent: it overwrote objects that were being read, its records made the parent's
/// log unreadable, and it stood for ever at its exit, in a static of RocksDB's. (folder() is older than all stores: the child leaves it alone.)
int fork_and_go_on(manta::RuntimeOptions options) {
  static_cast<void>(manta::Journal::open(folder().path + "/closed").append(std::as_bytes(std::span("hello"))));
  auto journal = manta::Journal::open(folder().path + "/journal");
  for (int i = 0; i < 50; ++i) journal.append(std::as_bytes(std::span("hello")));
  options.workers = manta::Workers::kProcess;
  auto rt = manta::Runtime::start(options);
  std::vector<manta::ObjectRef<std::string>> refs;
  for (int i = 0; i < 40; ++i) refs.push_back(rt.put(std::string(4 << 20, static_cast<char>('a' + i % 26))));  // more than the arena holds
  static_cast<void>(rt.put(7, {.durable_name = "seven"}));
  // Whose destructors cancel, kill and call back.
  auto stream = rt.remote<count>();
  static_cast<void>(rt.get(*stream.next()));
  auto items = rt.actor<Counter>().spawn().call<&Counter::count>();
  static_cast<void>(rt.get(*items.next()));
  const manta::Promise<int> promised;
  rt.on_ready(promised.ref(), [](const auto&) {});
  if (const auto child = ::fork(); child != 0) {
    bool well = ends_well(child);
    const std::string record(300, 'x');
    for (int i = 0; i < 500; ++i) journal.append(std::as_bytes(std::span(record)));
    for (int i = 0; i < 40; ++i) well &= *rt.get_shared(refs[static_cast<std::size_t>(i)]) == std::string(4 << 20, static_cast<char>('a' + i % 26));
    journal.close();
    well &= manta::Journal::open(folder().path + "/journal").last() == 550;
    return well && rt.get(rt.remote<slow>(5), 30s) == 5 ? 0 : 6;
  }
  bool refused = is_refused("append to a journal", [&] { journal.append(std::as_bytes(std::span("from the fork"))); });
  for (const auto& ref : refs) refused &= is_refused("read an object", [&] { static_cast<void>(rt.get_shared(ref)); });
  refused &= is_refused("put an object", [&] { static_cast<void>(rt.put(std::string(4 << 20, '-'))); });
  refused &= is_refused("put a durable object", [&] { static_cast<void>(rt.put(8, {.durable_name = "eight"})); });
  refused &= is_refused("list the durable objects", [&] { static_cast<void>(rt.list_durable()); });
  refused &= is_refused("submit a task", [&] { rt.get(rt.remote<slow>(1), 5s); });
  return refused ? 0 : 7;
}

/// What other threads had locked at the fork, of a journal or of an actor's owner, its child waited for without an end; and calls, cancels and
/// callbacks of its were lost without a word.
int fork_while_busy(const manta::RuntimeOptions& options) {
  auto journal = manta::Journal::open(folder().path + "/journal", {.sync_each_append = true});
  auto rt = manta::Runtime::start(options);
  std::atomic<bool> stop{false};
  std::thread appends([&] { while (!stop) journal.append(std::as_bytes(std::span("hello"))); });
  std::thread calls([&] {
    auto counter = rt.actor<Counter>().spawn();
    while (!stop) rt.get(counter.call<&Counter::add>(1));
  });
  auto maker = rt.actor<Maker>({.isolation = manta::own_process}).spawn();
  std::thread borrows([&] { while (!stop) rt.get(maker.call<&Maker::make>(200)); });
  auto awaiting = rt.actor<Awaiting>().spawn();
  const manta::Promise<int> never;
  const auto pending = rt.remote<slow>(never.ref()), done = rt.put(1);
  bool well = true;
  for (int i = 0; i < 40 && well; ++i) {
    auto counter = rt.actor<Counter>().spawn();
    auto borrowed = rt.get(maker.call<&Maker::make>(50));
    auto promise = std::make_unique<manta::Promise<int>>();
    const auto awaited = awaiting.call<&Awaiting::wait>(std::vector{promise->ref()});
    const auto child = ::fork();
    if (child != 0) {
      well = ends_well(child);
      promise->set(i);
      well = well && rt.get(awaited, 30s) == i;
      continue;
    }
    borrowed.clear();
    promise.reset();
    bool refused = is_refused("read a journal", [&] { journal.for_each([](std::uint64_t, manta::Journal::Record) {}); });
    refused &= is_refused("append to a journal", [&] { journal.append(std::as_bytes(std::span("from the fork"))); });
    refused &= is_refused("call an actor", [&] { counter.call<&Counter::add>(1); });
    counter.kill(), rt.cancel(pending);  // do nothing, as destructors do both
    rt.on_ready(done, [](const auto&) {});
    refused &= is_refused("wait for a task", [&] { static_cast<void>(rt.wait(std::vector{pending}, {.timeout = 5s})); });
    refused &= is_refused("make a group", [&] { static_cast<void>(rt.placement_group({.bundles = {{.num_cpus = 1}}})); });
    { const auto gone = std::move(counter); }
    journal.close();
    ::_exit(refused ? 0 : 7);
  }
  stop = true;
  appends.join(), calls.join(), borrows.join();
  rt.cancel(pending);
  return well ? 0 : 6;
}

/// The promise's end in the fork woke a coroutine of the driver's, on a thread that the pool of the fork started.
int fork_while_awaited(manta::RuntimeOptions options) {
  options.num_cpus = manta::Amount(8);
  auto rt = manta::Runtime::start(options);
  auto awaiting = rt.actor<Awaiting>().spawn();
  bool well = true;
  for (int i = 0; i < 3; ++i) {
    auto promise = std::make_unique<manta::Promise<int>>();
    const auto awaited = awaiting.call<&Awaiting::wait>(std::vector{promise->ref()});
    std::this_thread::sleep_for(50ms);
    std::vector<manta::ObjectRef<void>> naps;
    for (int k = 0; k < 4; ++k) naps.push_back(rt.remote<work>(400));  // no thread is idle then, and more may be started
    std::this_thread::sleep_for(50ms);
    const auto child = ::fork();
    if (child == 0) {
      promise.reset();
      std::this_thread::sleep_for(150ms);
      ::_exit(0);
    }
    well &= ends_well(child);
    promise->set(i);
    well &= rt.get(awaited, 30s) == i;
    well &= rt.wait(naps, {.count = naps.size(), .timeout = 30s}).ready.size() == naps.size();
  }
  return well && !std::filesystem::exists(folder().path + "/ran in the fork") ? 0 : 8;
}

}  // namespace

int main(int argc, char** argv) {
  Awaiting::driver = ::getpid();
  manta::Runtime::enter_worker_mode(argc, argv);
  manta::RuntimeOptions options{.num_cpus = manta::Amount(2), .arena_bytes = 64u << 20, .durable_dir = folder().path + "/durable"};
  const std::string how = argc > 1 ? argv[1] : "";
  if (how == "journal") {
    app().journal = std::make_unique<manta::Journal>(manta::Journal::open(folder().path + "/journal"));
    app().journal->append(std::as_bytes(std::span("hello")));
  } else if (how == "app") {
    app().rt.emplace(manta::Runtime::start(options));
    for (int i = 0; i < 100; ++i) app().refs.push_back(app().rt->remote<slow>(i));
    static_cast<void>(app().rt->wait(app().refs, {.count = 1}));
  } else if (how == "singleton") {
    auto& rt = singleton(options);
    rt.get(rt.remote<work>(1));
    static_cast<void>(rt.put(7, {.durable_name = "x"}));
    for (int i = 0; i < 2; ++i) static_cast<void>(rt.remote<work>(100));
  } else if (how == "fork") {
    return fork_and_go_on(options);
  } else if (how == "forks") {
    return fork_while_busy(options);
  } else if (how == "awaited") {
    return fork_while_awaited(options);
  } else {
    return 5;
  }
  return 0;
}
