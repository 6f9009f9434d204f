// Handles to actors that travel, and actors that are found by name.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "runtime/queue.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

class Counter {
 public:
  Counter() = default;
  explicit Counter(std::string file) : file_(std::move(file)) {}
  ~Counter() {
    if (!file_.empty()) append(file_, "gone\n");
  }
  int add(int by) { return total_ += by; }
  int pid() const { return ::getpid(); }
  int wait_at(const std::string& gate) const { return pass(gate, 1); }
  void note(int x) { seen_.push_back(x); }
  std::vector<int> seen() const { return seen_; }
  int die_once(Context& ctx) {
    if (ctx.attempt() == 1) ::raise(SIGKILL);
    return 1;
  }

 private:
  std::string file_;
  int total_ = 0;
  std::vector<int> seen_;
};

struct Other {
  int one() { return 1; }
};

struct Team {
  ActorHandle<Counter> first;
  std::vector<ActorHandle<Counter>> others;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(first, others);
  }
};

template <class E, class F>
std::string refused(F&& f) {
  try {
    f();
    return "taken;";
  } catch (const E&) {
    return "refused;";
  }
}
/// Makes more calls than it may, and such as cannot be; says what became of them.
std::string overstep(Client& client, const ActorHandle<Counter>& counter) {
  Gate gate;
  auto bad = [&](CallOptions options) { return refused<InvalidArgument>([&] { counter.options(options).call<&Counter::add>(1); }); };
  std::string told = bad({.concurrency_group = "none"}) + bad({.max_retries = -2}) + bad({.deadline = -1s});
  const auto held = counter.call<&Counter::wait_at>(gate.path());
  const auto next = counter.call<&Counter::pid>();
  told += refused<ResourceExhausted>([&] { counter.call<&Counter::add>(1); });
  gate.open();
  client.get(held);
  client.get(next);
  return told + refused<ResourceExhausted>([&] { client.get(counter.call<&Counter::add>(1)); });
}
std::string overstep_there(Context& ctx, ActorHandle<Counter> counter) { return overstep(ctx, counter); }
std::string overstep_by_name(Context& ctx, const std::string& name) { return overstep(ctx, ctx.find_actor<Counter>(name)); }

/// Keeps a handle in its process.
class Holder {
 public:
  void keep(ActorHandle<Counter> counter) { kept_ = std::move(counter); }
  int add(Context& ctx, int by) { return ctx.get(kept_.call<&Counter::add>(by)); }
  ActorHandle<Counter> give() const { return kept_; }
  void drop() { kept_ = {}; }
  int pid() const { return ::getpid(); }

 private:
  ActorHandle<Counter> kept_;
};

int add_by(Context& ctx, ActorHandle<Counter> counter, int by) { return ctx.get(counter.call<&Counter::add>(by)); }
int add_all(Context& ctx, const Team& team) {
  int sum = ctx.get(team.first.call<&Counter::add>(1));
  for (const auto& each : team.others) sum += ctx.get(each.call<&Counter::add>(1));
  return sum;
}
ActorHandle<Counter> pass_on(ActorHandle<Counter> counter) { return counter; }
ActorHandle<Counter> make_counter(Context& ctx, const std::string& file) { return ctx.actor<Counter>().spawn(file); }
void note_many(Context& ctx, ActorHandle<Counter> counter, int from, int count) {
  ObjectRef<void> last;
  for (int i = 0; i < count; ++i) last = counter.call<&Counter::note>(from + i);
  ctx.get(last);
}
int die_with(Context& ctx, ActorHandle<Counter> counter) { return ctx.get(counter.call<&Counter::die_once>()); }
void kill_it(ActorHandle<Counter> counter) { counter.kill(); }
int add_to_named(Context& ctx, const std::string& name, int by) {
  return ctx.get(ctx.find_actor<Counter>(name).call<&Counter::add>(by));
}
int add_or_make(Context& ctx, const std::string& name, int by) {
  return ctx.get(ctx.actor<Counter>({.name = name, .get_if_exists = true}).spawn().call<&Counter::add>(by));
}
std::string failure_of_finding(Context& ctx, const std::string& name) {
  try {
    ctx.find_actor<Other>(name);
    return "found";
  } catch (const Error& e) {
    return e.info().to_string();
  }
}
int hold_named(Context& ctx, const std::string& name, const std::string& log, const std::string& gate) {
  auto counter = ctx.actor<Counter>({.name = name}).spawn();
  ctx.get(counter.call<&Counter::add>(5));
  append(log, std::to_string(::getpid()) + "\n");
  return pass(gate, 1);
}
void produce(Context& ctx, Queue<int> queue, int from, int count) {
  for (int i = 0; i < count; ++i) queue.put(ctx, from + i);
}
long consume(Context& ctx, Queue<int> queue, int count) {
  long sum = 0;
  for (int i = 0; i < count; ++i) sum += queue.get(ctx);
  return sum;
}

constexpr Isolation kBoth[] = {Isolation::kShared, own_process};

}  // namespace

TEST_SUITE("runtime/api/handles") {
  TEST_CASE("a handle is an argument, part of a value, and a result, in any process") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto home : kBoth)
      for (auto where : kBoth) {
        auto counter = rt.actor<Counter>({.isolation = home}).spawn();
        auto second = rt.actor<Counter>().spawn();
        CHECK(rt.get(rt.task<add_by>({.isolation = where}).remote(counter, 5)) == 5);
        CHECK(rt.get(rt.task<add_all>({.isolation = where}).remote(Team{counter, {second, counter}})) == 6 + 1 + 7);
        auto same = rt.get(rt.task<pass_on>({.isolation = where}).remote(counter));
        CHECK(same == counter);
        CHECK_FALSE(same == second);
        CHECK(rt.get(same.call<&Counter::add>(1)) == 8);
        auto stored = rt.put(Team{counter, {}});
        CHECK(rt.get(rt.task<add_all>({.isolation = where}).remote(stored)) == 9);
        auto holder = rt.actor<Holder>({.isolation = where}).spawn();
        rt.get(holder.call<&Holder::keep>(same));
        CHECK(rt.get(holder.call<&Holder::add>(1)) == 10);
        CHECK(rt.get(rt.get(holder.call<&Holder::give>()).call<&Counter::add>(1)) == 11);
      }
  }

  // Handles that had travelled to another process knew no options: nothing was refused there.
  TEST_CASE("a handle refuses what its actor's options do not allow, in any process and by name") {
    Machine machine;
    auto& rt = machine.rt;
    auto counter = rt.actor<Counter>({.name = "limited", .max_pending_calls = 2}).spawn();
    const std::string expected = "refused;refused;refused;refused;taken;";
    CHECK(overstep(rt, counter) == expected);
    for (auto place : {Isolation::kShared, own_process}) {
      CHECK(rt.get(rt.task<overstep_there>({.isolation = place}).remote(counter), 60s) == expected);
      CHECK(rt.get(rt.task<overstep_by_name>({.isolation = place}).remote("limited"), 60s) == expected);
    }
  }

  TEST_CASE("a task spawns an actor and returns its handle") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const std::string file = folder / "log";
    auto counter = rt.get(rt.remote<make_counter>(file));
    CHECK(rt.get(counter.call<&Counter::add>(3)) == 3);
    CHECK(rt.get(rt.remote<add_by>(counter, 4)) == 7);
    CHECK(rt.get(rt.task<add_by>({.isolation = own_process}).remote(counter, 4)) == 11);
    CHECK(content(file).empty());
    counter = {};
    CHECK(eventually([&] { return content(file) == "gone\n"; }));
  }

  TEST_CASE("the destructor runs when the last handle anywhere goes, also with the process that had it") {
    for (auto home : kBoth)
      for (bool crash : {false, true}) {
        Machine machine;
        auto& rt = machine.rt;
        Folder folder;
        const std::string file = folder / "log";
        auto holder = rt.actor<Holder>({.isolation = own_process}).spawn();
        {
          auto counter = rt.actor<Counter>({.isolation = home}).spawn(file);
          rt.get(holder.call<&Holder::keep>(counter));
        }
        CHECK(rt.get(holder.call<&Holder::add>(2)) == 2);
        CHECK(rt.get(holder.call<&Holder::add>(2)) == 4);
        CHECK(content(file).empty());
        if (crash)
          ::kill(rt.get(holder.call<&Holder::pid>()), SIGKILL);
        else
          rt.get(holder.call<&Holder::drop>());
        CHECK(eventually([&] { return content(file) == "gone\n"; }));
      }
  }

  TEST_CASE("each caller's calls run in its order, whichever process it is in") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto home : kBoth) {
      auto counter = rt.actor<Counter>({.isolation = home}).spawn();
      std::vector<ObjectRef<void>> done;
      for (int caller = 0; caller < 3; ++caller)
        done.push_back(rt.task<note_many>({.isolation = caller == 2 ? own_process : Isolation::kShared}).remote(counter, 1000 * caller, 300));
      for (int i = 0; i < 300; ++i) counter.call<&Counter::note>(3000 + i);
      for (auto& each : done) rt.get(each);
      const auto seen = rt.get(counter.call<&Counter::seen>());
      REQUIRE(seen.size() == 1200);
      int next[4]{0, 1000, 2000, 3000};
      for (int x : seen) REQUIRE(x == next[x / 1000]++);
    }
  }

  TEST_CASE("calls from elsewhere follow an actor to its new process, with retries or a clear error") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : kBoth) {
      auto bold = rt.actor<Counter>({.max_restarts = 1, .max_task_retries = 1, .isolation = own_process}).spawn();
      CHECK(rt.get(rt.task<die_with>({.isolation = where}).remote(bold), 30s) == 1);
      CHECK(rt.get(rt.task<add_by>({.isolation = where}).remote(bold, 2), 30s) == 2);
      auto careful = rt.actor<Counter>({.max_restarts = 1, .isolation = own_process}).spawn();
      auto error = error_of<TaskError>([&] { rt.get(rt.task<die_with>({.isolation = where}).remote(careful), 30s); });
      CHECK_MESSAGE(contains(error.to_string(), "ActorUnavailable"), error.to_string());
      error = error_of<TaskError>([&] { rt.get(rt.task<die_with>({.isolation = where}).remote(careful), 30s); });
      CHECK_MESSAGE(contains(error.to_string(), "ActorDied"), error.to_string());
      CHECK(contains(error.to_string(), "signal 9"));
    }
  }

  TEST_CASE("kill through a handle that travelled") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : kBoth) {
      Folder folder;
      const std::string file = folder / "log";
      auto counter = rt.actor<Counter>({.max_restarts = 3}).spawn(file);
      rt.get(counter.call<&Counter::add>(1));
      rt.get(rt.task<kill_it>({.isolation = where}).remote(counter));
      CHECK(eventually([&] { return content(file) == "gone\n"; }));
      CHECK_THROWS_AS(rt.get(counter.call<&Counter::add>(1), 20s), ActorDied);
      CHECK(contains(error_of<TaskError>([&] { rt.get(rt.task<add_by>({.isolation = where}).remote(counter, 1), 20s); }).to_string(), "ActorDied"));
    }
  }

  TEST_CASE("a queue serves producers and consumers of several processes") {
    Machine machine;
    auto& rt = machine.rt;
    Queue<int> queue(rt, 10);
    auto consumer = rt.task<consume>({.isolation = own_process}).remote(queue, 400);
    std::vector<ObjectRef<void>> producers;
    for (int i = 0; i < 4; ++i)
      producers.push_back(rt.task<produce>({.isolation = i % 2 ? own_process : Isolation::kShared}).remote(queue, 100 * i, 100));
    CHECK(rt.get(consumer, 60s) == 399 * 400 / 2);
    for (auto& each : producers) rt.get(each, 20s);
  }
}

TEST_SUITE("runtime/api/named_actors") {
  TEST_CASE("an actor is found by name from the driver, tasks and worker processes") {
    Machine machine;
    auto& rt = machine.rt;
    auto counter = rt.actor<Counter>({.name = "clicks"}).spawn();
    CHECK(rt.find_actor<Counter>("clicks") == counter);
    CHECK(rt.get(rt.find_actor<Counter>("clicks").call<&Counter::add>(1)) == 1);
    for (auto where : kBoth) {
      CHECK(rt.get(rt.task<add_to_named>({.isolation = where}).remote("clicks", 2), 20s) >= 3);
      const auto wrong = rt.get(rt.task<failure_of_finding>({.isolation = where}).remote("clicks"), 20s);
      CHECK_MESSAGE(contains(wrong, "InvalidArgument"), wrong);
      CHECK(contains(wrong, "Counter"));
      CHECK(contains(wrong, "Other"));
      const auto none = rt.get(rt.task<failure_of_finding>({.isolation = where}).remote("klicks"), 20s);
      CHECK_MESSAGE(contains(none, "NotFound"), none);
      CHECK(contains(none, "\"clicks\""));
    }
    CHECK_THROWS_AS(rt.find_actor<Other>("clicks"), InvalidArgument);
    CHECK(rt.get(counter.call<&Counter::add>(0)) == 5);
  }

  TEST_CASE("a name is one actor's until it ends; get_if_exists takes what is there") {
    Machine machine;
    auto& rt = machine.rt;
    auto counter = rt.actor<Counter>({.name = "one"}).spawn();
    CHECK(contains(error_of<InvalidArgument>([&] { rt.actor<Counter>({.name = "one"}).spawn(); }).message, "get_if_exists"));
    CHECK_THROWS_AS(rt.actor<Other>({.name = "one", .get_if_exists = true}).spawn(), InvalidArgument);
    CHECK_THROWS_AS(rt.actor<Other>({.get_if_exists = true}).spawn(), InvalidArgument);
    CHECK(rt.actor<Counter>({.name = "one", .get_if_exists = true}).spawn() == counter);
    CHECK(rt.get(rt.task<add_or_make>({.isolation = own_process}).remote("one", 7), 20s) == 7);
    CHECK(rt.get(rt.remote<add_or_make>("one", 1), 20s) == 8);
    counter = {};
    CHECK(eventually([&] {
      auto again = rt.actor<Counter>({.name = "one", .get_if_exists = true}).spawn();
      return rt.get(again.call<&Counter::add>(1), 20s) == 1;
    }));
    auto killed = rt.actor<Counter>({.name = "two"}).spawn();
    killed.kill();
    CHECK_THROWS_AS(rt.get(killed.call<&Counter::add>(1), 20s), ActorDied);
    auto after = rt.actor<Counter>({.name = "two", .get_if_exists = true}).spawn();
    CHECK(eventually([&] {
      after = rt.actor<Counter>({.name = "two", .get_if_exists = true}).spawn();
      return rt.try_get(after.call<&Counter::add>(1)).ok();
    }));
    auto labels = std::vector{rt.actor<Counter>({.label = "same"}).spawn(), rt.actor<Counter>({.label = "same"}).spawn()};
    CHECK(rt.get(labels[1].call<&Counter::add>(1)) == 1);
  }

  TEST_CASE("the names of a process that has ended are free again") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    Gate gate;
    const std::string log = folder / "log";
    auto held = rt.task<hold_named>({.max_retries = 0, .isolation = own_process}).remote("brief", log, gate.path());
    CHECK(eventually([&] { return !content(log).empty(); }, 20s));
    auto found = rt.find_actor<Counter>("brief");
    CHECK(rt.get(found.call<&Counter::add>(1), 20s) == 6);
    ::kill(std::stoi(content(log)), SIGKILL);
    CHECK_THROWS_AS(rt.get(held, 20s), WorkerCrashed);
    CHECK(eventually([&] { return !rt.try_get(found.call<&Counter::add>(1)).ok(); }));
    CHECK(eventually([&] {
      try {
        rt.find_actor<Counter>("brief");
        return false;
      } catch (const NotFound&) {
        return true;
      }
    }));
  }

  TEST_CASE("detached needs a cluster") {
    Machine machine;
    auto error = error_of<InvalidArgument>([&] { machine.rt.actor<Counter>({.name = "forever", .detached = true}).spawn(); });
    CHECK(contains(error.message, "cluster"));
    CHECK_THROWS_AS(machine.rt.find_actor<Counter>("forever"), NotFound);
  }
}

}  // namespace manta_test
