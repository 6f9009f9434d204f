// Generators that are methods of actors.
#include <unistd.h>

#include <atomic>
#include <csignal>

#include "runtime/promise.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

/// Writes down that it has ended.
struct Trace {
  std::string file;
  ~Trace() { append(file, "end;"); }
};

/// Looks at its context when it is destroyed.
struct Farewell {
  Context& ctx;
  std::string file;
  ~Farewell() { append(file, ctx.cancelled() ? "cancelled;" : ctx.name() + ";"); }
};

/// Waits at a gate as it is read.
struct SlowToRead {
  inline static std::atomic<int> alive = 0;
  explicit SlowToRead(std::string g = {}) : gate(std::move(g)) { ++alive; }
  SlowToRead(const SlowToRead& other) : gate(other.gate) { ++alive; }
  SlowToRead& operator=(const SlowToRead&) = default;
  ~SlowToRead() { --alive; }
  std::string gate;
  template <class Archive>
  void save(Archive& archive) const {
    archive(gate);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(gate);
    append(gate + ".reached", "x");
    pass(gate, 0);
  }
};

class Feed {
 public:
  explicit Feed(int base = 0) : base_(base) {}
  Generator<int> count(int n) {
    for (int i = 0; i < n; ++i) co_yield base_ + i;
  }
  Generator<int> traced(std::string file, int n) {
    Trace trace{file};
    for (int i = 0; i < n; ++i) {
      append(file, std::to_string(i) + ";");
      co_yield i;
    }
  }
  Generator<std::vector<double>> blocks(int n, std::size_t size) const {
    for (int i = 0; i < n; ++i) co_yield std::vector<double>(size, i);
  }
  Generator<std::string> words(Context& ctx, const std::vector<std::string>& words) {
    for (const auto& word : words) co_yield ctx.name() + ":" + word;
  }
  Generator<int> fail_after(int n, const std::string& text) {
    for (int i = 0; i < n; ++i) co_yield i;
    throw std::runtime_error(text);
  }
  Generator<int> until_cancelled(Context& ctx, std::string file) {
    Trace trace{file};
    co_yield 1;
    append(file, "running;");
    eventually([&] { return ctx.cancelled(); }, 60s);
    co_yield 2;
  }
  Generator<int> gated(std::string gate) {
    pass(gate, 0);
    co_yield 1;
    co_yield 2;
  }
  Generator<int> say_farewell(Context& ctx, std::string file) {
    Farewell farewell{ctx, file};
    for (int i = 0;; ++i) {
      append(file, std::to_string(i) + ";");
      co_yield i;
    }
  }
  Generator<int> keep(SlowToRead what) {
    for (int i = 0;; ++i) co_yield i + static_cast<int>(what.gate.size());
  }
  int kept() { return SlowToRead::alive; }
  /// No coroutine: waits before there is one.
  Generator<int> count_when_there(Context& ctx, const std::vector<ObjectRef<int>>& n, const std::string& reached) {
    append(reached, "x");
    return count(ctx.get(n.front()));
  }
  Generator<int> leave(Context& ctx) {
    co_yield 1;
    ctx.exit_actor();
    co_yield 2;
  }
  int wait_at(const std::string& gate) const { return pass(gate, 1); }
  int set_base(int base) { return base_ = base; }
  int pid() { return ::getpid(); }

 private:
  int base_;
};

std::vector<int> all_of(Runtime& rt, RefStream<int> stream) {
  std::vector<int> items;
  for (auto& item : stream) items.push_back(rt.get(item, 30s));
  return items;
}
std::vector<int> read_in_task(Context& ctx, ActorHandle<Feed> feed, int n) {
  std::vector<int> items;
  for (auto& item : feed.call<&Feed::count>(n)) items.push_back(ctx.get(item));
  return items;
}
int read_first(Context& ctx, ActorHandle<Feed> feed, const std::string& gate) {
  auto stream = feed.call<&Feed::keep>(SlowToRead(gate));
  return ctx.get(*stream.next());
}
int late(const std::string& gate, int n) { return pass(gate, n); }
int read_when_there(Context& ctx, ActorHandle<Feed> feed, const std::vector<ObjectRef<int>>& n, const std::string& reached) {
  auto stream = feed.call<&Feed::count_when_there>(n, reached);
  return ctx.get(*stream.next());
}
int read_late(Context& ctx, ActorHandle<Feed> feed, const std::vector<ObjectRef<int>>& n, const std::string& reached) {
  auto stream = feed.call<&Feed::count>(n.front());
  append(reached, "x");
  return ctx.get(*stream.next());
}

}  // namespace

TEST_SUITE("runtime/api/method_streams") {
  TEST_CASE("a method that is a generator gives a stream of its actor's state, large items too, none at all, and by its context") {
    Machine machine;
    auto& rt = machine.rt;
    for (const auto isolation : {Isolation::kShared, Isolation::kOwnProcess}) {
      auto feed = rt.actor<Feed>({.label = "feed", .isolation = isolation}).spawn(10);
      CHECK(all_of(rt, feed.call<&Feed::count>(5)) == std::vector{10, 11, 12, 13, 14});
      CHECK(all_of(rt, feed.call<&Feed::count>(0)).empty());
      int number = 0;
      for (auto& block : feed.call<&Feed::blocks>(3, std::size_t{50'000})) {
        const auto values = rt.get(block, 30s);
        CHECK(values.size() == 50'000);
        CHECK(values.back() == number++);
      }
      CHECK(number == 3);
      std::string said;
      for (auto& word : feed.call<&Feed::words>(std::vector<std::string>{"a", "b"})) said += rt.get(word, 30s) + " ";
      CHECK(contains(said, ":a "));
      CHECK(contains(said, ":b "));
    }
  }

  TEST_CASE("other calls run between the items, and streams of one actor do not mix") {
    Machine machine;
    auto& rt = machine.rt;
    auto feed = rt.actor<Feed>().spawn(0);
    const CallOptions one_ahead{.max_unread = 1};
    auto first = feed.options(one_ahead).call<&Feed::count>(3);
    auto second = feed.options(one_ahead).call<&Feed::count>(3);
    CHECK(rt.get(*first.next(30s), 30s) == 0);
    CHECK(rt.get(*second.next(30s), 30s) == 0);
    CHECK(rt.get(feed.call<&Feed::set_base>(100), 30s) == 100);
    CHECK(rt.get(*first.next(30s), 30s) == 1);  // one was made ahead
    CHECK(rt.get(*first.next(30s), 30s) == 102);
    CHECK(rt.get(*second.next(30s), 30s) == 1);
    CHECK(rt.get(*second.next(30s), 30s) == 102);
    CHECK_FALSE(first.next(30s));
    CHECK_FALSE(second.next(30s));
  }

  TEST_CASE("it runs ahead of its reader by max_unread items, and dropping the stream ends it where it is") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const std::string file = folder / "trace";
    auto feed = rt.actor<Feed>({.isolation = own_process}).spawn();
    {
      auto stream = feed.options({.max_unread = 2}).call<&Feed::traced>(file, 1000);
      CHECK(rt.get(*stream.next(30s), 30s) == 0);
      CHECK(eventually([&] { return content(file) == "0;1;2;"; }, 30s));
      CHECK(rt.get(feed.call<&Feed::pid>(), 30s) > 0);  // behind the items that were asked for
      CHECK(content(file) == "0;1;2;");
    }
    CHECK(eventually([&] { return content(file) == "0;1;2;end;"; }, 30s));
    CHECK(rt.get(feed.call<&Feed::pid>(), 30s) > 0);
  }

  TEST_CASE("a generator that runs when its stream is dropped sees that it is cancelled") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const std::string file = folder / "trace";
    auto feed = rt.actor<Feed>().spawn();
    {
      auto stream = feed.call<&Feed::until_cancelled>(file);
      CHECK(rt.get(*stream.next(30s), 30s) == 1);
      CHECK(eventually([&] { return content(file) == "running;"; }, 30s));
    }
    CHECK(eventually([&] { return content(file) == "running;end;"; }, 30s));
    CHECK(rt.get(feed.call<&Feed::set_base>(3), 30s) == 3);
  }

  TEST_CASE("what it throws is its last item's error, and what fails before it begins its first one's") {
    Machine machine;
    auto& rt = machine.rt;
    auto feed = rt.actor<Feed>().spawn();
    auto stream = feed.call<&Feed::fail_after>(2, "no more");
    CHECK(rt.get(*stream.next(30s), 30s) == 0);
    CHECK(rt.get(*stream.next(30s), 30s) == 1);
    const auto last = stream.next(30s);
    REQUIRE(last);
    const auto error = error_of<TaskError>([&] { rt.get(*last, 30s); });
    CHECK(error.message == "no more");
    CHECK_FALSE(stream.next(30s));
    auto doomed = feed.call<&Feed::count>(rt.remote<[](int x) -> int { throw std::runtime_error("bad " + std::to_string(x)); }>(1));
    const auto first = doomed.next(30s);
    REQUIRE(first);
    const auto why = error_of<TaskError>([&] { rt.get(*first, 30s); });
    CHECK(contains(why.to_string(), "bad 1"));
    CHECK_FALSE(doomed.next(30s));
    CHECK(all_of(rt, feed.call<&Feed::count>(2)).size() == 2);
  }

  TEST_CASE("an unordered actor and one of many threads give the items in order, also when an argument comes late") {
    Machine machine;
    auto& rt = machine.rt;
    std::vector<int> expected(200);
    for (int i = 0; i < 200; ++i) expected[static_cast<std::size_t>(i)] = i;
    Gate gate;
    auto unordered = rt.actor<Feed>({.unordered = true}).spawn(0);
    auto stream = unordered.call<&Feed::count>(rt.remote<late>(gate.path(), 200));
    CHECK(rt.get(unordered.call<&Feed::set_base>(0), 30s) == 0);
    gate.open();
    CHECK(all_of(rt, std::move(stream)) == expected);
    auto threaded = rt.actor<Feed>({.max_concurrency = 4}).spawn(0);
    CHECK(all_of(rt, threaded.call<&Feed::count>(200)) == expected);
    auto grouped = rt.actor<Feed>({.concurrency_groups = {{"io", 2}}}).in_group<&Feed::count>("io").spawn(0);
    CHECK(all_of(rt, grouped.call<&Feed::count>(200)) == expected);
  }

  // Each of its items took one, and waited there for the one before it.
  TEST_CASE("a stream of an actor of several calls takes one of its threads, however many items are asked for") {
    Machine machine;
    auto& rt = machine.rt;
    for (const auto isolation : {Isolation::kShared, Isolation::kOwnProcess}) {
      Gate gate;
      auto feed = rt.actor<Feed>({.max_concurrency = 2, .isolation = isolation}).spawn(0);
      auto stream = feed.call<&Feed::gated>(gate.path());
      CHECK(rt.get(feed.call<&Feed::set_base>(7), 30s) == 7);
      CHECK(all_of(rt, feed.call<&Feed::count>(3)) == std::vector{7, 8, 9});
      {
        auto given_up = feed.call<&Feed::gated>(gate.path());  // takes the other one
      }
      gate.open();
      CHECK(all_of(rt, std::move(stream)) == std::vector{1, 2});
      CHECK(all_of(rt, feed.call<&Feed::count>(200)).size() == 200);
    }
  }

  TEST_CASE("four readers of an actor of several calls get all items in order, beside its other calls") {
    Machine machine;
    auto& rt = machine.rt;
    auto feed = rt.actor<Feed>({.max_concurrency = 3}).spawn(0);
    std::vector<std::vector<int>> read(4);
    std::vector<std::thread> readers;
    for (auto& items : read)
      readers.emplace_back([&] { items = all_of(rt, feed.options({.max_unread = 5}).call<&Feed::count>(100)); });
    int calls = 0;
    for (int i = 0; i < 100; ++i) calls += rt.get(feed.call<&Feed::pid>(), 60s) > 0;
    for (auto& reader : readers) reader.join();
    CHECK(calls == 100);
    std::vector<int> expected(100);
    for (int i = 0; i < 100; ++i) expected[static_cast<std::size_t>(i)] = i;
    for (const auto& items : read) CHECK(items == expected);
  }

  TEST_CASE("what a suspended generator's frame destroys may look at its context, when its stream goes and when its actor does") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    for (const int calls : {1, 2})
      for (const bool kill : {false, true}) {
        const std::string file = folder / (std::to_string(calls) + (kill ? "kill" : "drop"));
        auto feed = rt.actor<Feed>({.max_concurrency = calls}).spawn();
        {
          auto stream = feed.options({.max_unread = 1}).call<&Feed::say_farewell>(file);
          CHECK(rt.get(*stream.next(30s), 30s) == 0);
          CHECK(eventually([&] { return content(file) == "0;1;"; }));
          CHECK(rt.get(feed.call<&Feed::pid>(), 30s) > 0);  // another call has run in between
          if (kill) feed.kill();
        }
        CHECK(eventually([&] { return contains(content(file), "say_farewell"); }));
      }
  }

  TEST_CASE("exit_actor in a generator that is a method ends the actor after that item") {
    Machine machine;
    auto& rt = machine.rt;
    auto feed = rt.actor<Feed>().spawn();
    auto stream = feed.options({.max_unread = 3}).call<&Feed::leave>();
    CHECK(rt.get(*stream.next(30s), 30s) == 1);
    CHECK(rt.get(*stream.next(30s), 30s) == 2);
    const auto third = stream.next(30s);
    REQUIRE(third);
    CHECK_THROWS_AS(rt.get(*third, 30s), ActorDied);
  }

  TEST_CASE("a task that has a handle reads a stream too") {
    Machine machine;
    auto& rt = machine.rt;
    auto feed = rt.actor<Feed>({.isolation = own_process}).spawn(5);
    CHECK(rt.get(rt.remote<read_in_task>(feed, 100), 60s).back() == 104);
    CHECK(rt.get(rt.task<read_in_task>({.isolation = own_process}).remote(feed, 2), 60s) == std::vector{5, 6});
  }

  TEST_CASE("a stream that is being opened when the task that reads it is cancelled does not stay with the actor") {
    // Behaviour: the call that opens it was cancelled with the task, ran to its end all the same, and nobody could close what it had opened.
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto feed = rt.actor<Feed>({.isolation = own_process}).spawn();
    auto reader = rt.remote<read_first>(feed, gate.path());
    REQUIRE(eventually([&] { return fs::exists(gate.path() + ".reached"); }));
    rt.cancel(reader);
    CHECK_THROWS_AS(rt.get(reader, 30s), Cancelled);
    gate.open();
    CHECK(eventually([&] { return rt.get(feed.call<&Feed::kept>(), 30s) == 0; }, 30s));
  }

  TEST_CASE("what a stream waits for while it is opened does not hold up the actor when its reader is cancelled, or drops it") {
    // Behaviour: the call that opens it, which belongs to no task, could be cancelled by nobody.
    Promise<int> never;
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    int i = 0;
    const std::vector<ObjectRef<int>> n{never.ref()};
    for (const auto isolation : {Isolation::kShared, Isolation::kOwnProcess})
      for (const int calls : {1, 2}) {
        auto feed = rt.actor<Feed>({.max_concurrency = calls, .isolation = isolation}).spawn(7);
        const auto is_free = [&] { return rt.get(feed.call<&Feed::set_base>(7), 30s) == 7 && rt.get(feed.call<&Feed::set_base>(7), 30s) == 7; };
        const auto cancelled = [&](auto reader, const std::string& reached) {
          CHECK(eventually([&] { return fs::exists(reached); }));
          rt.cancel(reader);
          CHECK_THROWS_AS(rt.get(reader, 30s), Cancelled);
          CHECK(is_free());
        };
        auto reached = [&] { return folder / std::to_string(++i); };
        const auto first = reached(), second = reached(), third = reached();
        cancelled(rt.remote<read_late>(feed, n, first), first);
        cancelled(rt.remote<read_when_there>(feed, n, second), second);
        { auto dropped = feed.call<&Feed::count>(never.ref()); }
        CHECK(is_free());
        {
          auto dropped = feed.call<&Feed::count_when_there>(n, third);
          CHECK(eventually([&] { return fs::exists(third); }));
        }
        CHECK(is_free());
        CHECK(all_of(rt, feed.call<&Feed::count>(2)) == std::vector{7, 8});
      }
    CHECK(eventually([&] { return rt.stats().unfinished == 0; }));
  }

  TEST_CASE("a stream is closed in the concurrency group of its method") {
    // Behaviour: in the first one, so that it stayed open while calls of that took long.
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    for (const auto isolation : {Isolation::kShared, Isolation::kOwnProcess}) {
      Gate gate;
      const std::string file = folder / (isolation == Isolation::kShared ? "shared" : "own");
      auto feed = rt.actor<Feed>({.concurrency_groups = {{"slow", 1}, {"io", 1}}, .isolation = isolation}).in_group<&Feed::traced>("io").in_group<&Feed::wait_at>("slow").spawn();
      const auto slow = feed.call<&Feed::wait_at>(gate.path());
      {
        auto stream = feed.options({.max_unread = 1}).call<&Feed::traced>(file, 100);
        CHECK(rt.get(*stream.next(30s), 30s) == 0);
      }
      CHECK(eventually([&] { return content(file).ends_with("end;"); }));
      CHECK_FALSE(slow.ready());
    }
  }

  TEST_CASE("a stream ends with the process of its actor, and the restarted one has none") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    auto feed = rt.actor<Feed>({.max_restarts = 1, .max_task_retries = 3, .isolation = own_process}).spawn();
    auto stream = feed.options({.max_unread = 1}).call<&Feed::traced>(folder / "trace", 100);
    CHECK(rt.get(*stream.next(30s), 30s) == 0);
    ::kill(rt.get(feed.call<&Feed::pid>(), 30s), SIGKILL);
    std::string why;
    for (auto& item : stream)
      if (auto result = rt.try_get(item, 60s); !result.ok()) why = result.error().to_string();
    CHECK_MESSAGE(contains(why, "restarted"), why);
    CHECK(all_of(rt, feed.call<&Feed::count>(3)) == std::vector{0, 1, 2});
  }

  // The item had been taken off when asking for the one after it threw.
  TEST_CASE("no item is lost when a full line of pending calls lets none be asked for, and it goes on when there is room") {
    Machine machine;
    auto& rt = machine.rt;
    auto feed = rt.actor<Feed>({.max_pending_calls = 2}).spawn();
    Gate gate;
    auto stream = feed.options({.max_unread = 1}).call<&Feed::count>(3);
    std::vector<ObjectRef<int>> held;
    CHECK(eventually([&] {
      try {
        held.push_back(feed.call<&Feed::wait_at>(gate.path()));
      } catch (const ResourceExhausted&) {  // the opening and the first item are not done
      }
      return held.size() == 2;
    }));
    CHECK(rt.get(*stream.next(30s)) == 0);
    CHECK_THROWS_AS(stream.next(30s), ResourceExhausted);
    gate.open();
    rt.get(held);
    CHECK(rt.get(*stream.next(30s)) == 1);
    CHECK(rt.get(*stream.next(30s)) == 2);
    CHECK_FALSE(stream.next(30s));
  }

  // It threw, and told to get refs that nobody had.
  TEST_CASE("a stream asks for as many items ahead as max_pending_calls leaves it") {
    Machine machine;
    auto& rt = machine.rt;
    auto feed = rt.actor<Feed>({.max_pending_calls = 3}).spawn();
    auto stream = feed.call<&Feed::count>(200);
    int expected = 0;
    for (auto& item : stream) REQUIRE(rt.get(item, 30s) == expected++);
    CHECK(expected == 200);
  }

  TEST_CASE("options that mean nothing for a stream are refused, and a full line of pending calls leaves nothing open") {
    Machine machine;
    auto& rt = machine.rt;
    auto feed = rt.actor<Feed>({.max_pending_calls = 2}).spawn();
    CHECK_THROWS_AS(feed.options({.max_unread = 0}).call<&Feed::count>(1), InvalidArgument);
    CHECK_THROWS_AS(feed.options({.max_unread = 1'000'001}).call<&Feed::count>(1), InvalidArgument);
    CHECK_THROWS_AS(feed.options({.deadline = 1s}).call<&Feed::count>(1), InvalidArgument);
    CHECK_THROWS_AS(feed.options({.retry_on = retry_on_all}).call<&Feed::count>(1), InvalidArgument);
    Folder folder;
    Gate gate;
    auto held = rt.remote<late>(gate.path(), 1000);  // so that none of its calls can end before the last is made
    auto first = feed.call<&Feed::wait_at>(gate.path());
    const auto why = error_of<ResourceExhausted>([&] { feed.call<&Feed::traced>(folder / "trace", held); });  // its opening is the second
    CHECK_MESSAGE(contains(why.message, "each item that a stream waits for is a call"), why.message);
    gate.open();
    rt.get(first);
    CHECK(eventually([&] {
      try {
        return all_of(rt, feed.options({.max_unread = 1}).call<&Feed::count>(9)).size() == 9;
      } catch (const ResourceExhausted&) {  // what opened the first one is not done yet
        return false;
      }
    }, 30s));
    CHECK(eventually([&] { return !fs::exists(folder / "trace") || content(folder / "trace").ends_with("end;"); }, 30s));
  }
}

}  // namespace manta_test
