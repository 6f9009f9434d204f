// A task that nobody has begun is run by the thread that waits for it: what that must not change.
#include <atomic>
#include <cstring>

#include "support.hpp"

namespace manta_test {
namespace {

/// Runs it often enough that it is known to be short.
template <auto F, class... Args>
void warm_up(Client& client, Args... args) {
  for (int i = 0; i < 20; ++i) client.get(client.remote<F>(args...));
}
int threads_now() { return static_cast<int>(count_entries("/proc/self/task")); }
/// `depth` tasks, each of which waits for the next one; the threads of the last one's process.
int nest(Context& ctx, int depth) { return depth == 0 ? threads_now() : ctx.get(ctx.remote<nest>(depth - 1)); }
int nest_with_much_on_the_stack(Context& ctx, int depth) {
  volatile char room[64 * 1024];
  room[0] = 1;
  room[sizeof room - 1] = 1;
  return depth == 0 ? 0 : ctx.get(ctx.remote<nest_with_much_on_the_stack>(depth - 1)) + room[0];
}
int fib(Context& ctx, int n) {
  if (n < 2) return n;
  auto one = ctx.remote<fib>(n - 1);
  auto two = ctx.remote<fib>(n - 2);
  return ctx.get(one) + ctx.get(two);
}
int fib_of_many(Context& ctx, int n) {
  if (n < 2) return n;
  int sum = 0;
  for (int x : ctx.get(std::vector{ctx.remote<fib_of_many>(n - 1), ctx.remote<fib_of_many>(n - 2)})) sum += x;
  return sum;
}

std::size_t this_thread(int) { return std::hash<std::thread::id>{}(std::this_thread::get_id()); }
bool on_my_thread(Context& ctx) { return ctx.get(ctx.remote<this_thread>(0)) == this_thread(0); }
bool on_my_thread_with(Context& ctx, double cpus, double disks) {
  auto child = ctx.task<this_thread>({.num_cpus = Amount(cpus), .resources = {{"disk", Amount(disks)}}}).remote(0);
  return ctx.get(child) == this_thread(0);
}
std::string about_me(Context& ctx) {
  return ctx.name() + " " + ctx.num_cpus().to_string() + " " + std::to_string(ctx.attempt()) + " " + std::to_string(ctx.gpu_ids().size());
}
std::string about_both(Context& ctx) {
  auto child = ctx.task<about_me>({.name = "child", .num_cpus = 0.5}).remote();
  const auto inner = ctx.get(child);
  return inner + ", " + about_me(ctx);
}
std::string leave_actor(Context& ctx) {
  try {
    ctx.exit_actor();
  } catch (const InvalidArgument&) {
    return "refused";
  }
  return "let go";
}
struct Holder {
  std::string ask(Context& ctx) { return ctx.get(ctx.remote<leave_actor>()); }
  int total = 0;
  int count() { return ++total; }
};

int fail_or_pass(const std::string& gate, int x) {
  if (x < 0) throw std::runtime_error("negative");
  return gate.empty() ? x : pass(gate, x);
}
/// What was known to be short takes long this time, and what is wanted before it fails.
std::string failure_before_slow(Context& ctx, const std::string& gate) {
  warm_up<fail_or_pass>(ctx, std::string(), 1);
  auto fails = ctx.remote<fail_or_pass>(std::string(), -1);
  auto slow = ctx.remote<fail_or_pass>(gate, 1);
  try {
    ctx.get(std::vector{fails, slow});
  } catch (const TaskError&) {
    return slow.ready() ? "waited for the slow one" : "failed at once";
  }
  return "no error";
}

int fail_until(const std::string& file, int attempts) {
  append(file, "x");
  if (static_cast<int>(content(file).size()) < attempts) throw std::runtime_error("not yet");
  return attempts;
}
int retried(Context& ctx, const std::string& file) {
  return ctx.get(ctx.task<fail_until>({.retry_on = retry_on_all}).remote(file, 3));
}
int failed(Context& ctx, const std::string& file) { return ctx.get(ctx.remote<fail_until>(file, 3)); }

/// Short when there is no file, which makes the runtime know it as short.
int until_told(Context& ctx, const std::string& file) {
  if (file.empty()) return 0;
  append(file, "running;");
  eventually([&] { return ctx.cancelled(); }, 60s);
  append(file, ctx.cancelled() ? "told;" : "not told;");
  return 1;
}
int cancel_my_child(Context& ctx, const std::string& file) {
  auto child = ctx.remote<until_told>(file);
  std::thread other([&] {
    eventually([&] { return contains(content(file), "running;"); }, 20s);
    ctx.cancel(child);
  });
  const auto got = ctx.try_get(child);
  other.join();
  return got ? 0 : static_cast<int>(got.error().code);
}
int wait_briefly(Context& ctx, const std::string& gate) {
  auto child = ctx.remote<pass>(gate, 7);
  try {
    return ctx.get(child, 50ms);
  } catch (const Timeout&) {
    return -1;
  }
}
/// Waits for what it cannot run itself: on one CPU that needs the CPU which this one's waiting parent holds.
int wait_for_disk(Context& ctx) { return static_cast<int>(ctx.get(ctx.task<pass>({.resources = {{"disk", 1}}}).remote(std::string(), 5))); }
int parent_of_waiter(Context& ctx) { return ctx.get(ctx.remote<wait_for_disk>()); }
int drop_child(Context& ctx, const std::string& file) {
  auto child = ctx.remote<until_told>(file);
  ctx.cancel(child);
  return ctx.try_get(child) ? 0 : 1;
}

}  // namespace

TEST_SUITE("runtime/api/joining") {
  TEST_CASE("a thousand nested tasks on one CPU need few threads, also when all of them are long and known") {
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    for (int round = 0; round < 2; ++round) CHECK(rt.get(rt.remote<nest>(1000), 60s) < 150);
  }

  TEST_CASE("nested tasks that fill the stack go on on another one") {
    Machine machine(small_machine(1));
    CHECK(machine.rt.get(machine.rt.remote<nest_with_much_on_the_stack>(300), 60s) == 300);
  }

  TEST_CASE("trees of tasks give the right sum on one, two and four CPUs, waited for one by one and together") {
    for (double cpus : {1.0, 2.0, 4.0}) {
      Machine machine(small_machine(cpus));
      CHECK(machine.rt.get(machine.rt.remote<fib>(14), 60s) == 377);
      CHECK(machine.rt.get(machine.rt.remote<fib_of_many>(10), 60s) == 55);
    }
  }

  TEST_CASE("who waits runs the task itself, unless that needs more than the waiting one holds") {
    auto options = small_machine(1);
    options.resources.set("disk", 1);
    Machine machine(options);
    auto& rt = machine.rt;
    CHECK_FALSE(rt.get(rt.remote<on_my_thread>()));  // nobody knows yet that it is short
    warm_up<this_thread>(rt, 0);
    const auto ever = [](auto&& once) {  // on a busy machine a short task may look long for a while
      for (int i = 0; i < 200; ++i)
        if (once()) return true;
      return false;
    };
    CHECK(ever([&] { return rt.get(rt.remote<on_my_thread>()); }) == !in_processes());
    CHECK(ever([&] { return rt.get(rt.remote<on_my_thread_with>(0.5, 0.0)); }) == !in_processes());
    CHECK_FALSE(rt.get(rt.remote<on_my_thread_with>(1.0, 1.0)));
    CHECK_FALSE(rt.get(rt.task<on_my_thread>({.num_cpus = 0.5}).remote()));  // its child asks for a whole one
  }

  TEST_CASE("a task that runs inside another one has its own name, CPUs and attempt") {
    Machine machine;
    auto& rt = machine.rt;
    warm_up<about_me>(rt);
    warm_up<leave_actor>(rt);
    CHECK(rt.get(rt.task<about_both>({.name = "parent", .num_cpus = 2}).remote()) == "child 0.5 1 0, parent 2 1 0");
    auto holder = rt.actor<Holder>({.num_cpus = 1}).spawn();
    CHECK(rt.get(holder.call<&Holder::ask>()) == "refused");
    CHECK(rt.get(holder.call<&Holder::count>()) == 1);
  }

  TEST_CASE("an error of the inner task is its own, and is retried as its options say") {
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    Folder folder;
    warm_up<fail_until>(rt, folder / "warm", 0);
    CHECK(rt.get(rt.remote<retried>(folder / "retried"), 20s) == 3);
    CHECK(content(folder / "retried") == "xxx");
    const auto error = error_of<TaskError>([&] { rt.get(rt.remote<failed>(folder / "failed"), 20s); });
    REQUIRE(error.cause);
    CHECK(contains(error.cause->where, "fail_until"));
    CHECK(content(folder / "failed") == "x");
  }

  // All that was awaited was run first, one after another, and only then looked at.
  TEST_CASE("a get of several in a task ends at the first failure, before it runs the next one itself") {
    // On one CPU nobody else begins them. In processes others run both, and which of them first is not said: there is a CPU for each.
    Machine machine(small_machine(in_processes() ? 3 : 1));
    Gate gate;
    CHECK(machine.rt.get(machine.rt.remote<failure_before_slow>(gate.path()), 90s) == "failed at once");
    gate.open();
  }

  TEST_CASE("a task that is cancelled while who waits for it runs it is told, and the wait ends with Cancelled") {
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    Folder folder;
    warm_up<until_told>(rt, std::string());
    CHECK(rt.get(rt.remote<cancel_my_child>(folder / "child"), 30s) == static_cast<int>(ErrorCode::kCancelled));
    CHECK(eventually([&] { return content(folder / "child") == "running;told;"; }));
    CHECK(rt.get(rt.remote<drop_child>(folder / "dropped"), 30s) == 1);
    CHECK_FALSE(contains(content(folder / "dropped"), "not told;"));
  }

  TEST_CASE("a get with a timeout ends in time, however long the task takes") {
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    Gate gate;
    warm_up<pass>(rt, std::string(), 1);
    CHECK(rt.get(rt.remote<wait_briefly>(gate.path()), 20s) == -1);
    gate.open();
  }

  TEST_CASE("a wait inside an inner task lends the CPU that the outer one holds") {
    auto options = small_machine(1);
    options.resources.set("disk", 1);
    Machine machine(options);
    warm_up<wait_for_disk>(machine.rt);
    CHECK(machine.rt.get(machine.rt.remote<parent_of_waiter>(), 20s) == 5);
  }
}

}  // namespace manta_test
