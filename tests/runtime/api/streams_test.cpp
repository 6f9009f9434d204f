// Several results: tuples of refs, and streams of a generator's items.
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "support.hpp"

namespace manta_test {
namespace {

std::tuple<int, std::string> split(int x) { return {x, std::to_string(x)}; }
std::tuple<std::string, std::vector<double>, int> large(std::size_t size) { return {std::string(size, 'a'), std::vector<double>(size, 0.5), 7}; }
std::tuple<int, int> fail_both(const std::string& text) { throw std::runtime_error(text); }
std::tuple<int, int> wait_both(Context& ctx, const std::string& file) {
  append(file, "running;");
  eventually([&] { return ctx.cancelled(); }, 60s);
  return {1, 2};
}
int square(int x) { return x * x; }
std::size_t length(const std::string& text) { return text.size(); }

struct Pairs {
  int calls = 0;
  std::tuple<int, std::string> next(int by) { return {calls += by, "call"}; }
};

Generator<int> count(int n) {
  for (int i = 0; i < n; ++i) co_yield i;
}
Generator<std::vector<double>> blocks(int n, std::size_t size) {
  for (int i = 0; i < n; ++i) co_yield std::vector<double>(size, i);
}
Generator<int> squares(Context& ctx, const std::vector<int>& numbers) {
  for (int x : numbers) co_yield ctx.get(ctx.remote<square>(x));
}
Generator<int> fail_after(int n, const std::string& text) {
  for (int i = 0; i < n; ++i) co_yield i;
  throw std::runtime_error(text);
}
Generator<int> leave(Context& ctx) {
  co_yield 1;
  ctx.exit_actor();
  co_yield 2;
}
/// Writes down how far it has come; and that it has been destroyed.
struct Note {
  std::string file;
  ~Note() {
    if (fs::exists(fs::path(file).parent_path())) append(file, "end;");
  }
};
Generator<int> noted(std::string file, int n) {
  Note note{file};
  for (int i = 0; i < n; ++i) {
    append(file, std::to_string(i) + ";");
    co_yield i;
  }
}
Generator<int> waits(Context& ctx, const std::string& gate, std::string file) {
  co_yield 1;
  append(file, "waiting;");
  try {
    ctx.get(ctx.remote<pass>(gate, 1));
  } catch (const Cancelled&) {
    append(file, "cancelled;");
    throw;
  }
  co_yield 2;
}
/// Looks at its context when it is destroyed.
struct Farewell {
  Context& ctx;
  std::string file;
  ~Farewell() { append(file, ctx.cancelled() ? "cancelled;" : ctx.name() + ";"); }
};
Generator<int> say_farewell(Context& ctx, std::string file) {
  Farewell farewell{ctx, file};
  for (int i = 0;; ++i) {
    append(file, std::to_string(i) + ";");
    co_yield i;
  }
}
int no_number() { throw std::runtime_error("no number"); }

Generator<int> dies_at(Context& ctx, int n, int deadly) {
  for (int i = 0; i < n; ++i) {
    if (i == deadly && ctx.attempt() == 1) ::kill(::getpid(), SIGKILL);
    co_yield 10 * i;
  }
}

Generator<int> always_dies() {
  ::kill(::getpid(), SIGKILL);
  co_yield 1;
}

Generator<ObjectRef<int>> objects(Context& ctx, int n, bool fail) {
  for (int i = 0; i < n; ++i) co_yield ctx.put(i);
  if (fail) throw std::runtime_error("broken");
}

}  // namespace

TEST_SUITE("runtime/api/several results") {
  TEST_CASE("a function that returns a tuple gives a ref for each element, each of use alone") {
    Machine machine;
    auto& rt = machine.rt;
    auto [number, text] = rt.remote<split>(12);
    CHECK(rt.get(rt.remote<square>(number)) == 144);
    CHECK(rt.get(rt.remote<length>(text)) == 2);
    CHECK(rt.get(text) == "12");
    auto [a, b, c] = rt.task<large>({.name = "large"}).remote(300'000u);
    CHECK(rt.get(c) == 7);
    CHECK(rt.get(rt.remote<length>(a)) == 300'000);
    CHECK(rt.get_shared(b)->size() == 300'000);
    ObjectRef<std::string> only;
    {
      auto both = rt.task<split>({.isolation = own_process}).remote(345);
      only = std::get<1>(both);
    }
    CHECK(rt.get(only) == "345");
    auto actor = rt.actor<Pairs>().spawn();
    auto [calls, name] = actor.call<&Pairs::next>(3);
    CHECK(rt.get(name) == "call");
    CHECK(rt.get(calls) == 3);
  }

  TEST_CASE("an error fails all results of a tuple, so does a cancel of one") {
    Machine machine;
    auto& rt = machine.rt;
    auto [a, b] = rt.remote<fail_both>("why");
    CHECK(error_of<TaskError>([&] { rt.get(b); }).message == "why");
    CHECK(error_of<TaskError>([&] { rt.get(a); }).message == "why");
    Folder folder;
    auto [c, d] = rt.remote<wait_both>(folder / "log");
    CHECK(eventually([&] { return content(folder / "log") == "running;"; }));
    rt.cancel(d);
    CHECK_THROWS_AS(rt.get(d, 20s), Cancelled);
    CHECK_THROWS_AS(rt.get(c, 20s), Cancelled);
  }
}

TEST_SUITE("runtime/api/streams") {
  TEST_CASE("a generator's items come in order, as refs that are arguments like any other; large ones too") {
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    int next = 0;
    for (auto& item : rt.remote<count>(300)) {
      CHECK(rt.get(rt.remote<square>(item)) == next * next);
      ++next;
    }
    CHECK(next == 300);
    auto none = rt.remote<count>(0);
    CHECK_FALSE(none.next());
    CHECK_FALSE(none.next());
    int block = 0;
    for (auto& item : rt.task<blocks>({.max_unread = 2}).remote(5, 50'000u)) CHECK(rt.get_shared(item)->back() == block++);
    CHECK(block == 5);
    std::vector<int> seen;
    for (auto& item : rt.remote<squares>(rt.put(std::vector{3, 4, 5}))) seen.push_back(rt.get(item));
    CHECK(seen == std::vector{9, 16, 25});
  }

  TEST_CASE("items are there while the generator runs; it is ahead of its reader by the bound, and holds no CPU then") {
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    Folder folder;
    auto stream = rt.task<noted>({.max_unread = 3}).remote((folder / "log").string(), 1000);
    CHECK(eventually([&] { return content(folder / "log") == "0;1;2;" && rt.available_resources() == rt.total_resources(); }));
    CHECK(rt.get(*stream.next()) == 0);
    CHECK(eventually([&] { return content(folder / "log") == "0;1;2;3;"; }));
    CHECK(rt.get(rt.remote<square>(4)) == 16);
    CHECK(rt.get(*stream.next(20s)) == 1);
  }

  TEST_CASE("a stream that is dropped stops its generator: where it is suspended, and where it waits") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    ObjectRef<int> kept;
    {
      auto stream = rt.task<noted>({.max_unread = 4}).remote((folder / "log").string(), 1'000'000);
      kept = *stream.next();
      CHECK(eventually([&] { return content(folder / "log") == "0;1;2;3;4;"; }));
    }
    CHECK(eventually([&] { return content(folder / "log") == "0;1;2;3;4;end;"; }));
    CHECK(rt.get(kept) == 0);
    Gate gate;
    {
      auto stream = rt.remote<waits>(gate.path(), (folder / "waits").string());
      CHECK(rt.get(*stream.next()) == 1);
      CHECK(eventually([&] { return content(folder / "waits") == "waiting;"; }));
      CHECK_THROWS_AS(stream.next(5ms), Timeout);
      CHECK(contains(stream.explain(), "runs it in "));
      const auto late = error_of<Timeout>([&] { stream.next(150ms); }).to_string();
      CHECK_MESSAGE((contains(late, "explain says") && contains(late, "runs it in ")), late);
      stream.stop();
      CHECK(stream.explain() == "the stream has ended");
    }
    CHECK(eventually([&] { return content(folder / "waits") == "waiting;cancelled;"; }));
    gate.open();
  }

  // The Context was one of the call that made the last item, on that call's stack.
  TEST_CASE("what a suspended generator's frame destroys may look at its context") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    for (int round = 0; round < 3; ++round) {
      const std::string file = folder / std::to_string(round);
      {
        auto stream = rt.task<say_farewell>({.max_unread = 1}).remote(file);
        CHECK(rt.get(*stream.next(30s)) == 0);
        CHECK(eventually([&] { return content(file) == "0;1;" && rt.available_resources() == rt.total_resources(); }));
      }
      CHECK(eventually([&] { return content(file).size() > 4; }));
      CHECK_MESSAGE(contains(content(file), "0;1;"), content(file));
      CHECK_MESSAGE(contains(content(file), "say_farewell"), content(file));
    }
  }

  TEST_CASE("an exception is the last item, as a ref that fails") {
    Machine machine;
    auto& rt = machine.rt;
    auto stream = rt.task<fail_after>({.name = "reader"}).remote(2, "broken");
    CHECK(rt.get(*stream.next()) == 0);
    CHECK(rt.get(*stream.next()) == 1);
    auto last = stream.next();
    REQUIRE(last);
    const auto error = error_of<TaskError>([&] { rt.get(*last); });
    CHECK(error.message == "broken");
    CHECK(error.remote_type == "std::runtime_error");
    CHECK_MESSAGE(contains(error.where, "fail_after"), error.where);
    CHECK_FALSE(stream.next());
  }

  TEST_CASE("a generator whose worker dies starts again and skips what it gave") {
    Machine machine;
    auto& rt = machine.rt;
    std::vector<int> seen;
    for (auto& item : rt.task<dies_at>({.isolation = own_process}).remote(20, 7)) seen.push_back(rt.get(item));
    REQUIRE(seen.size() == 20);
    for (int i = 0; i < 20; ++i) CHECK(seen[static_cast<std::size_t>(i)] == 10 * i);
    auto fragile = rt.task<dies_at>({.max_retries = 0, .isolation = own_process}).remote(20, 0);
    auto lost = fragile.next();
    REQUIRE(lost);
    const auto error = error_of<WorkerCrashed>([&] { rt.get(*lost); }).to_string();
    CHECK_MESSAGE((contains(error, "dies_at") && contains(error, "in its only attempt")), error);
    CHECK_FALSE(fragile.next());
    auto unlucky = rt.task<always_dies>({.name = "unlucky", .max_retries = 1, .isolation = own_process}).remote();
    const auto last = error_of<WorkerCrashed>([&] { rt.get(*unlucky.next()); }).to_string();
    CHECK_MESSAGE((contains(last, "unlucky") && contains(last, "in each of 2 attempts")), last);
  }

  TEST_CASE("a generator task fails as a task does: with why its group was removed, or why its argument failed") {
    Machine machine;
    auto& rt = machine.rt;
    auto group = rt.placement_group({.bundles = {{.num_cpus = 1}}});
    auto stream = rt.task<dies_at>({.placement = group.bundle(0), .max_unread = 2}).remote(1000, -1);
    CHECK(rt.get(*stream.next()) == 0);
    rt.remove(group);
    const auto error = error_of<Cancelled>([&] {
      while (auto item = stream.next()) rt.get(*item);
    });
    CHECK_MESSAGE(contains(error.message, "removed"), error.message);
    auto broken = rt.remote<no_number>();
    auto never = rt.remote<dies_at>(broken, -1);
    auto first = never.next();
    REQUIRE(first);
    const auto why = error_of<TaskError>([&] { rt.get(*first); });
    CHECK_MESSAGE(contains(why.message, "it did not run: object argument 1 failed"), why.message);
    CHECK_MESSAGE(!contains(why.to_string(), "actor"), why.to_string());
    CHECK_FALSE(never.next());
  }

  // The end killed the generator's process, and with it what its items refer to.
  TEST_CASE("what a generator's items refer to outlives its end, in a process of its own and after an error too") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto place : {Isolation::kShared, own_process})
      for (const bool fail : {false, true}) {
        std::vector<ObjectRef<int>> inner;
        int failures = 0;
        for (auto& item : rt.task<objects>({.isolation = place}).remote(20, fail)) {
          if (auto ref = rt.try_get(item); ref.ok())
            inner.push_back(*ref);
          else
            ++failures;
        }
        CHECK(failures == (fail ? 1 : 0));
        REQUIRE(inner.size() == 20);
        for (int i = 0; i < 3; ++i) rt.get(rt.task<square>({.isolation = own_process}).remote(i));  // a kill would have come meanwhile
        for (int i = 0; i < 20; ++i) CHECK(rt.get(inner[static_cast<std::size_t>(i)], 30s) == i);
      }
  }

  TEST_CASE("options that mean nothing for a stream are refused") {
    Machine machine;
    auto& rt = machine.rt;
    CHECK_THROWS_AS(rt.task<count>({.deadline = 1s}).remote(1), InvalidArgument);
    CHECK_THROWS_AS(rt.task<count>({.retry_on = retry_on_all}).remote(1), InvalidArgument);
    CHECK_THROWS_AS(rt.task<count>({.max_unread = 0}).remote(1), InvalidArgument);
    CHECK_THROWS_AS(rt.task<count>({.max_unread = 1'000'001}).remote(1), InvalidArgument);  // all of them were asked for, before anything came
  }

  TEST_CASE("a stream that outlives its runtime harms nobody") {
    Runtime rt = Runtime::start(small_machine());
    auto stream = rt.remote<count>(1'000'000);
    CHECK(rt.get(*stream.next()) == 0);
    rt.shutdown();
    CHECK_THROWS_AS(
        for (int i = 0; i < 100; ++i) {
          auto item = stream.next(20s);
          if (item) rt.get(*item);
        },
        Error);
  }

  TEST_CASE("exit_actor in a generator that is a task is refused, as in any task") {
    Machine machine;
    auto& rt = machine.rt;
    auto stream = rt.remote<leave>();
    CHECK(rt.get(*stream.next(30s), 30s) == 1);
    const auto last = stream.next(30s);
    REQUIRE(last);
    CHECK(contains(error_of<TaskError>([&] { rt.get(*last, 30s); }).to_string(), "exit_actor"));
  }
}

}  // namespace manta_test
