// When the name of an actor is free again, and that kill() is before what the same caller does afterwards; what becomes of those that
// look for an actor whose arguments are just being serialised.
#include <atomic>
#include <future>
#include <stdexcept>

#include "support.hpp"

namespace manta_test {
namespace {

struct Log {
  int add(int x) { return sum_ += x; }
  int wait_at(const std::string& gate) { return pass(gate, 1); }
  int leave(Context& ctx) {
    ctx.exit_actor();
    return 0;
  }
  int sum_ = 0;
};
struct Maker {
  ActorHandle<Log> make(Context& ctx, const std::string& name) { return ctx.actor<Log>({.name = name}).spawn(); }
};

/// Spawns, uses and lets go of an actor of one name, again and again.
int reuse(Client& client, const std::string& name, int times, bool kill, Isolation isolation = Isolation::kShared) {
  int right = 0;
  for (int i = 0; i < times; ++i) {
    auto actor = client.actor<Log>({.name = name, .isolation = isolation}).spawn();
    right += client.get(actor.template call<&Log::add>(1));
    if (kill) actor.kill();
  }
  return right;
}
int reuse_in_task(Context& ctx, const std::string& name, int times, bool kill) { return reuse(ctx, name, times, kill); }

/// Spawns when it has been cancelled.
int spawn_too_late(Context& ctx, const std::string& name, const std::string& notes) {
  append(notes, "begun\n");
  while (!ctx.cancelled()) std::this_thread::sleep_for(1ms);
  try {
    ctx.actor<Log>({.name = name}).spawn();
  } catch (const Cancelled&) {
  }
  append(notes, "over\n");
  return 0;
}

/// Is serialised when the gate is open; `fails`: and then cannot be.
struct Held {
  std::string gate, notes;
  bool fails = false;
  template <class Archive>
  void save(Archive& archive) const {
    append(notes, "saved\n");
    pass(gate, 0);
    if (fails) throw std::runtime_error("it is lost");
    archive(gate, notes, fails);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(gate, notes, fails);
  }
};
struct Made {
  Made() = default;
  explicit Made(const Held&) {}
  int one() { return 1; }
};
ActorHandle<Made> make(Client& client, const Held& held) { return client.actor<Made>({.name = "made", .isolation = own_process}).spawn(held); }
ActorHandle<Made> make_in_task(Context& ctx, const std::string& gate, const std::string& notes, bool fails) {
  return make(ctx, {gate, notes, fails});
}
ActorHandle<Made> find(Client& client, bool or_make) {
  return or_make ? client.actor<Made>({.name = "made", .get_if_exists = true, .isolation = own_process}).spawn() : client.find_actor<Made>("made");
}
int find_in_task(Context& ctx, const std::string& notes, bool or_make) {
  append(notes, "looks\n");
  try {
    return ctx.get(find(ctx, or_make).call<&Made::one>());
  } catch (const Cancelled&) {
    append(notes, "cancelled\n");
    throw;
  }
}
std::size_t count_of(const std::string& word, const std::string& notes) {
  std::size_t count = 0;
  for (auto at = notes.find(word); at != std::string::npos; at = notes.find(word, at + 1)) ++count;
  return count;
}

/// Spawns the actor "made" in another thread, or in a task in a process of its own, as soon as the gate is open; once its arguments are
/// being saved this returns.
std::future<ActorHandle<Made>> begin_to_make(Runtime& rt, bool in_task, const Held& held) {
  auto making = std::async(std::launch::async, [&rt, in_task, held] {
    if (!in_task) return make(rt, held);
    const auto task = rt.task<make_in_task>({.num_cpus = 0, .max_retries = 0, .isolation = own_process});
    return rt.get(task.remote(held.gate, held.notes, held.fails));
  });
  CHECK(eventually([&] { return contains(content(held.notes), "saved"); }));
  return making;
}

}  // namespace

TEST_SUITE("runtime/api/names") {
  TEST_CASE("a name is free when the last handle has gone, and when kill has returned") {
    Machine machine;
    auto& rt = machine.rt;
    for (const bool kill : {false, true}) {
      CHECK(reuse(rt, "loop", 100, kill) == 100);
      CHECK(rt.get(rt.remote<reuse_in_task>("loop", 50, kill)) == 50);
      CHECK(reuse(rt, "own", 3, kill, own_process) == 3);
    }
  }

  TEST_CASE("a name is free for a killed actor whose method still runs") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto first = rt.actor<Log>({.name = "busy"}).spawn();
    auto call = first.call<&Log::wait_at>(gate.path());
    first.kill();
    auto second = rt.actor<Log>({.name = "busy"}).spawn();
    CHECK(rt.get(second.call<&Log::add>(3)) == 3);
    error_of<ActorDied>([&] { rt.get(call); });
    gate.open();
    CHECK(rt.find_actor<Log>("busy") == second);
    error_of<InvalidArgument>([&] { rt.actor<Log>({.name = "busy"}).spawn(); });
  }

  TEST_CASE("an actor that was killed is not found, whoever killed it") {
    Machine machine;
    auto& rt = machine.rt;
    auto maker = rt.actor<Maker>().spawn();
    for (int i = 0; i < 20; ++i) {
      const auto name = "n" + std::to_string(i);
      auto own = rt.actor<Log>({.name = "own " + name}).spawn();
      auto borrowed = rt.get(maker.call<&Maker::make>("their " + name));
      if (i % 2) rt.get(std::vector{own.call<&Log::add>(1), borrowed.call<&Log::add>(1)});
      own.kill();
      CHECK_THROWS_AS(rt.find_actor<Log>("own " + name), NotFound);
      borrowed.kill();
      CHECK_THROWS_AS(rt.find_actor<Log>("their " + name), NotFound);
    }
  }

  TEST_CASE("who sees that an actor has ended by itself may give its name to another one") {
    Machine machine;
    auto& rt = machine.rt;
    for (int i = 0; i < 20; ++i) {
      auto actor = rt.actor<Log>({.name = "leaves"}).spawn();
      rt.get(actor.call<&Log::leave>());
      CHECK_THROWS_AS(rt.get(actor.call<&Log::add>(1)), ActorDied);
    }
  }

  TEST_CASE("no call after kill is run, also through a handle of an actor that another process spawned") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto isolation : {Isolation::kShared, own_process}) {
      auto maker = rt.actor<Maker>({.isolation = isolation}).spawn();
      int ran = 0;
      for (int i = 0; i < 30; ++i) {
        auto actor = rt.get(maker.call<&Maker::make>(""));
        auto other = actor;
        if (i % 2) CHECK(rt.get(actor.call<&Log::add>(1)) == 1);
        actor.kill();
        ran += rt.try_get(other.call<&Log::add>(1)).ok();
        CHECK(rt.try_get(actor.call<&Log::add>(1)).error().code == ErrorCode::kActorDied);
      }
      CHECK(ran == 0);
    }
  }

  TEST_CASE("a call that runs when its actor is killed by another process fails there at once") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto maker = rt.actor<Maker>({.isolation = own_process}).spawn();
    auto actor = rt.get(maker.call<&Maker::make>(""));
    CHECK(rt.get(actor.call<&Log::add>(1)) == 1);
    auto call = actor.call<&Log::wait_at>(gate.path());
    actor.kill();
    CHECK(error_of<ActorDied>([&] { rt.get(call); }).message.find("kill()") != std::string::npos);
  }

  // A worker process whose cancelled task spawned an actor by name did not wait for the node's answer: the name was nobody's, for ever.
  TEST_CASE("a name is free when the work that was to spawn its actor has been cancelled") {
    Machine machine;
    auto& rt = machine.rt;
    const Folder folder;
    int round = 0;
    for (const auto isolation : {Isolation::kShared, own_process})
      for (const bool recursive : {false, true}) {
        const auto notes = folder / ("notes" + std::to_string(round));
        const auto name = "late" + std::to_string(round++);
        const auto late = rt.task<spawn_too_late>({.isolation = isolation}).remote(name, notes.string());
        REQUIRE(eventually([&] { return contains(content(notes), "begun"); }));
        rt.cancel(late, {.recursive = recursive});
        REQUIRE(eventually([&] { return contains(content(notes), "over"); }));
        auto actor = rt.actor<Log>({.name = name}).spawn();
        CHECK(rt.get(actor.call<&Log::add>(2), 30s) == 2);
        CHECK(rt.find_actor<Log>(name) == actor);
      }
  }

  // find_actor said that its last handle had gone; get_if_exists gave up after 5 s. Neither lent CPUs nor heard a cancel.
  TEST_CASE("who looks for an actor whose spawn is under way waits for it, lends its CPUs meanwhile and hears a cancel") {
    for (const bool in_task : {false, true}) {
      CAPTURE(in_task);
      Machine machine;
      auto& rt = machine.rt;
      const Folder folder;
      const auto notes = (folder / "notes").string(), saves = (folder / "saves").string();
      std::future<ActorHandle<Made>> making, found;
      Gate gate;
      making = begin_to_make(rt, in_task, {gate.path(), saves});
      found = std::async(std::launch::async, [&rt] { return find(rt, true); });
      std::vector<ObjectRef<int>> finders;
      for (const auto isolation : {Isolation::kShared, own_process})
        for (const bool or_make : {false, true}) finders.push_back(rt.task<find_in_task>({.isolation = isolation}).remote(notes, or_make));
      auto unwanted = rt.remote<find_in_task>(notes, false);  // begins when others have lent their CPUs
      CHECK(eventually([&] { return count_of("looks", content(notes)) == finders.size() + 1; }));
      CHECK(eventually([&] { return rt.available_resources() == rt.total_resources(); }));
      rt.cancel(unwanted);
      CHECK(eventually([&] { return count_of("cancelled", content(notes)) == 1; }));
      for (const auto& finder : finders) CHECK_FALSE(finder.ready());
      gate.open();
      const auto made = making.get();
      CHECK(found.get() == made);
      for (const auto& finder : finders) CHECK(rt.get(finder, 60s) == 1);
      CHECK(rt.find_actor<Made>("made") == made);
      error_of<InvalidArgument>([&] { make(rt, {}); });
    }
  }

  TEST_CASE("who waits for an actor that cannot be made finds none, or makes it") {
    for (const bool in_task : {false, true})
      for (const bool or_make : {false, true}) {
        CAPTURE(in_task);
        CAPTURE(or_make);
        Machine machine;
        auto& rt = machine.rt;
        const Folder folder;
        const auto notes = (folder / "notes").string(), saves = (folder / "saves").string();
        std::future<ActorHandle<Made>> making;
        Gate gate;
        making = begin_to_make(rt, in_task, {gate.path(), saves, true});
        std::vector<ObjectRef<int>> finders;
        for (const auto isolation : {Isolation::kShared, own_process})
          finders.push_back(rt.task<find_in_task>({.isolation = isolation}).remote(notes, or_make));
        CHECK(eventually([&] { return count_of("looks", content(notes)) == finders.size(); }));
        CHECK(eventually([&] { return rt.available_resources() == rt.total_resources(); }));
        gate.open();
        CHECK_THROWS_AS(making.get(), Error);
        for (const auto& finder : finders) {
          if (or_make) {
            CHECK(rt.get(finder, 60s) == 1);
            continue;
          }
          const auto error = error_of<TaskError>([&] { rt.get(finder, 60s); });
          CHECK(error.remote_type == "manta::NotFound");
          CHECK_MESSAGE(contains(error.message, "no actor is named"), error.message);
        }
      }
  }
}

}  // namespace manta_test
