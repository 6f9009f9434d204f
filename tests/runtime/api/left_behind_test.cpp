// What is left at the end of a runtime: nothing of what only waits, and nothing that the next runtime of the program would miss.
#include <atomic>
#include <memory>

#include "runtime/promise.hpp"
#include "support.hpp"

namespace manta_test {

namespace {

std::atomic<int> g_frames{0};

/// Something of a user's on the stack, or in a frame.
struct Frame {
  explicit Frame(const std::string& log) {
    ++g_frames;
    append(log, "runs;");
  }
  ~Frame() { --g_frames; }
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;
};

using Refs = std::vector<ObjectRef<int>>;

Async<int> await_one(std::string log, Refs refs) {
  Frame frame(log);
  auto ref = refs[0];
  co_return co_await ref;
}
int get_one(Context& ctx, const std::string& log, const Refs& refs) {
  Frame frame(log);
  return ctx.get(refs[0]);
}
int just_get(Context& ctx, const Refs& refs) { return ctx.get(refs[0]); }
/// Runs the other task itself, which is known to be short.
int get_by_another(Context& ctx, const std::string& log, const Refs& refs) {
  Frame frame(log);
  return ctx.get(ctx.remote<just_get>(refs));
}
struct Patient {
  int get_by_another(Context& ctx, const std::string& log, const Refs& refs) { return manta_test::get_by_another(ctx, log, refs); }
  Async<int> await(std::string log, Refs refs) {
    Frame frame(log);
    auto ref = refs[0];
    co_return co_await ref;
  }
  int get(Context& ctx, const std::string& log, const Refs& refs) { return get_one(ctx, log, refs); }
};

RuntimeOptions hasty_machine() {
  auto options = small_machine();
  options.shutdown_timeout = 100ms;
  return options;
}

int sleep_on(const std::string& log) {
  append(log, "runs;");
  std::this_thread::sleep_for(20s);
  return 0;
}

}  // namespace

/// Ends a runtime while a task sleeps, or by a callback, and starts the next one: 0 when that one has the durable objects.
int run_left_behind(const std::vector<std::string>& args) {
  const auto& dir = args.at(0);
  auto options = hasty_machine();
  options.durable_dir = dir;
  auto first = std::make_unique<Runtime>(Runtime::start(options));
  first->put(7, {.durable_name = "x"});
  std::atomic<bool> over{false};
  if (args.at(1) == "callback") {
    first->on_ready(first->put(1), [&](const auto&) { first.reset(), over = true; });
    if (!eventually([&] { return over.load(); }, 30s)) return 2;
  } else {
    const auto log = dir + ".log";
    const auto running = first->remote<sleep_on>(log);
    if (!eventually([&] { return content(log) == "runs;"; }, 30s)) return 3;
    first.reset();
  }
  auto next = Runtime::start(options);
  return next.get(next.find_durable<int>("x"), 30s) == 7 && next.list_durable() == std::vector<std::string>{"x"} ? 0 : 1;
}

TEST_SUITE("runtime/api/left_behind") {
  // The engine, its threads and its descriptors stayed, once for each such runtime, and no destructor ran.
  TEST_CASE("what only waits, for what the runtime does not make, ends with the time for the end") {
    Promise<int> promise;
    const Refs never{promise.ref()};
    Folder folder;
    auto round = [&](int kind) {
      CAPTURE(kind);
      const std::string log = folder / std::to_string(kind);
      auto options = hasty_machine();
      options.num_cpus = 1;
      auto rt = Runtime::start(options);
      const auto actor = rt.actor<Patient>({.max_concurrency = kind == 4 || kind == 5 ? 2 : 1}).spawn();
      for (int i = 0; i < 10; ++i) CHECK(rt.get(rt.remote<just_get>(Refs{rt.put(1)})) == 1);
      ObjectRef<int> waits;
      if (kind == 0) waits = rt.remote<await_one>(log, never);
      if (kind == 1) waits = rt.remote<get_one>(log, never);
      if (kind == 2 || kind == 4) waits = actor.call<&Patient::await>(log, never);
      if (kind == 3 || kind == 5) waits = actor.call<&Patient::get>(log, never);
      if (kind == 6) waits = rt.remote<get_by_another>(log, never);
      if (kind == 7) waits = actor.call<&Patient::get_by_another>(log, never);
      CHECK(eventually([&] { return content(log) == "runs;"; }));
      if (kind > 5) std::this_thread::sleep_for(50ms);  // it has begun the other one
      rt.shutdown();
      CHECK(g_frames == 0);
      CHECK_THROWS_AS(rt.get(waits), RuntimeStopped);
      fs::remove(log);
    };
    round(0);
    const auto fds = count_entries("/proc/self/fd");
    const auto threads = count_entries("/proc/self/task");
    for (int kind = 0; kind < 8; ++kind) {
      round(kind);
      CHECK(count_entries("/proc/self/fd") == fds);
      CHECK(count_entries("/proc/self/task") == threads);
    }
  }

  // "… is in use by this program itself", for ever.
  TEST_CASE("a runtime that leaves code behind does not keep the durable objects from the next one") {
    for (const char* how : {"task", "callback"}) {
      CAPTURE(how);
      Folder folder;
      CHECK(run_sub_program("left-behind", {folder / "objects", how}) == 0);
    }
  }
}

}  // namespace manta_test
