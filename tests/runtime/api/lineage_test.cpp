// Objects whose only copy is lost: made again by running what made them, or ObjectLost with the reason.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <optional>

#include "lossy_place.hpp"

namespace manta_test {
namespace {

Buffer next(const std::string& runs, const Buffer& before) {
  append(runs, ".");
  return filled(kMiB, value_of(before) + 1);
}
Buffer join(const std::string& runs, const Buffer& left, const Buffer& right) {
  append(runs, ".");
  return filled(kMiB, value_of(left) + value_of(right));
}

Buffer unless_broken(const std::string& runs, const std::string& broken) {
  const bool fails = fs::exists(broken);
  append(runs, ".");
  if (fails) throw std::runtime_error("the service is busy");
  return filled(kMiB, 9);
}

struct Maker {
  Buffer make(int value) { return filled(kMiB, value); }
};
struct Reader {
  int calls = 0;
  int read(const Buffer& buffer) { return 100 * ++calls + value_of(buffer); }
};
std::tuple<Buffer, Buffer> both(const std::string& runs, int value) {
  append(runs, ".");
  return {filled(kMiB, value), filled(kMiB, value + 1)};
}
Buffer of_large(const std::vector<std::byte>& large) { return filled(kMiB, static_cast<int>(large.size() % 100)); }
Buffer of_refs(Context& ctx, const std::vector<ObjectRef<int>>& refs) { return filled(kMiB, ctx.get(refs.at(0))); }
Buffer of_list(const Buffer& before, const std::vector<ObjectRef<Buffer>>& list) { return filled(kMiB, value_of(before) + static_cast<int>(list.size())); }
Generator<Buffer> items(int n) {
  for (int i = 0; i < n; ++i) co_yield filled(kMiB, i);
}
Generator<int> count_from(const Buffer& from, int n) {
  for (int i = 0; i < n; ++i) co_yield value_of(from) + i;
}
/// Keeps what it was given first, and reads it when it is asked.
struct Keeper {
  std::vector<ObjectRef<Buffer>> kept{};
  int keep(Context& ctx, const std::vector<ObjectRef<Buffer>>& refs) {
    kept = refs;
    return read(ctx);
  }
  int read(Context& ctx) { return value_of(*ctx.get_shared(kept.at(0))); }
  int take(const Buffer& buffer) { return value_of(buffer); }
  int hold(const std::string& gate) { return pass(gate, 1); }
  std::size_t measure(const std::vector<std::byte>& large) { return large.size(); }
};
/// Owns what it hands out.
struct Submitter {
  std::vector<ObjectRef<Buffer>> made{};
  std::vector<ObjectRef<Buffer>> submit(Context& ctx, const std::string& runs, int count) {
    for (int i = 0; i < count; ++i) made.push_back(ctx.remote<first>(runs, 10 + i));
    return made;
  }
};
/// Owns what it hands out. Keeps its CPU until all has been made, so that other processes make it.
std::vector<ObjectRef<Buffer>> made_elsewhere(Context& ctx, const std::string& runs, int count) {
  std::vector<ObjectRef<Buffer>> made;
  for (int i = 0; i < count; ++i) made.push_back(ctx.remote<first>(runs, 10 + i));
  eventually([&] { return content(runs).size() >= static_cast<std::size_t>(count); });
  return made;
}
std::vector<ObjectRef<Buffer>> both_made_elsewhere(Context& ctx, const std::string& runs) {
  auto [left, right] = ctx.remote<both>(runs, 20);
  eventually([&] { return !content(runs).empty(); });
  return {left, right};
}
struct Built {
  int value = 0;
  explicit Built(const Buffer& from) : value(value_of(from)) {}
  explicit Built(const std::vector<std::byte>& large) : value(static_cast<int>(large.size() % 100)) {}
  int get() { return value; }
  int pid() { return ::getpid(); }
};
/// Its load waits for the gate in the process that has set one: it is the program's, and may take a lock of it, say.
struct Key {
  static inline std::string gate{};
  static inline std::atomic<bool> begun{false};
  int value = 0;
  template <class Archive>
  void save(Archive& archive) const { archive(value); }
  template <class Archive>
  void load(Archive& archive) {
    archive(value);
    if (gate.empty()) return;
    begun = true;
    pass(gate, 0);
  }
};
Buffer by_key(const Key& key) { return filled(kMiB, key.value); }
int plain(int x) { return x; }
int read_one(const Buffer& buffer) { return value_of(buffer); }

/// Refs inside a value, read where they are borrowed.
std::vector<int> read_all(Context& ctx, const std::vector<ObjectRef<Buffer>>& refs) {
  std::vector<int> values;
  for (const auto& ref : refs) values.push_back(value_of(ctx.get(ref)));
  return values;
}
std::string read_in(Context& ctx, const std::vector<ObjectRef<Buffer>>& refs, int milliseconds) {
  ctx.wait(refs, {.count = refs.size()});  // it is there, as far as its owner knows
  const auto result = ctx.try_get(refs.at(0), std::chrono::milliseconds(milliseconds));
  return result.ok() ? "in time" : result.error().to_string();
}
std::string why_lost(Context& ctx, const std::vector<ObjectRef<Buffer>>& refs) {
  const auto result = ctx.try_get(refs.at(0));
  return result.ok() ? "not lost" : result.error().to_string();
}

}  // namespace

TEST_SUITE("runtime/api/lineage") {
  TEST_CASE("what a small argument refers to does not stay for the results' sake") {
    // Behaviour: the recipe of a result kept it, and with it every object of each round of a loop.
    const Clean clean;
    Place place;
    auto& rt = place.machine.rt;
    auto state = place.run<first>(3, place.file, 1);
    for (int i = 0; i < 5; ++i) {
      const auto parts = rt.put(std::vector{rt.put(filled(kMiB, i)), rt.put(filled(kMiB, i))});
      state = place.run<of_list>(3, state, parts);
      rt.wait(std::vector{state}, {.count = 1});
    }
    CHECK(eventually([&] { return rt.stats().stored_objects == 1; }));
    CHECK(value_of(rt.get(state)) == 11);
    place.lose_all();
    const auto why = error_of<ObjectLost>([&] { rt.get(state); }).to_string();
    CHECK_MESSAGE(contains(why, "holds refs"), why);
    const auto part = rt.put(filled(kMiB, 1));
    const auto parts = rt.put(std::vector{part});
    auto last = place.run<of_list>(3, place.run<first>(3, place.file, 1), parts);
    rt.wait(std::vector{last}, {.count = 1});
    place.lose_all();
    CHECK(value_of(rt.get(last)) == 2);  // as long as somebody has what it needs
  }

  TEST_CASE("fault 15: a result whose spilled copy is damaged is made again, for whoever asks") {
    const Clean clean;
    Place place;
    auto& rt = place.machine.rt;
    auto one = place.run<first>(3, place.file, 7), two = place.run<first>(3, place.file, 8);
    rt.wait(std::vector{one, two}, {.count = 2});
    place.lose_all();
    CHECK(value_of(rt.get(one)) == 7);
    CHECK(rt.get(rt.task<value_of>({.isolation = own_process}).remote(two)) == 8);  // found out where it is read
    CHECK(place.runs() == 4);
    CHECK(value_of(rt.get(two)) == 8);
    CHECK(rt.get(rt.task<value_of>({.isolation = own_process}).remote(one)) == 7);
    CHECK(place.runs() == 4);
  }

  // All its attempts were over at once.
  TEST_CASE("what is made again waits between its attempts as it did at first") {
    Place place;
    auto& rt = place.machine.rt;
    TaskOptions patient{.max_retries = 3, .retry_on = retry_on_all, .backoff = {.initial = 300ms}};
    if (!in_processes()) patient.isolation = own_process;
    const std::string broken = place.file + ".broken";
    const auto one = rt.task<unless_broken>(patient).remote(place.file, broken);
    rt.wait(std::vector{one});
    place.lose_all();
    append(broken, "x");
    std::thread repair([&] {
      eventually([&] { return place.runs() > 1; });
      std::this_thread::sleep_for(100ms);
      fs::remove(broken);
    });
    CHECK(value_of(rt.get(one, 60s)) == 9);
    repair.join();
    CHECK(place.runs() >= 3);
  }

  TEST_CASE("an argument of an actor's call that is lost is made again, and the call runs once") {
    Place place;
    auto& rt = place.machine.rt;
    auto reader = rt.actor<Reader>({.isolation = own_process}).spawn();
    auto one = place.run<first>(3, place.file, 7);
    rt.wait(std::vector{one});
    place.lose_all();
    CHECK(rt.get(reader.call<&Reader::read>(one), 60s) == 107);
    CHECK(rt.get(reader.call<&Reader::read>(one), 60s) == 207);
    CHECK(place.runs() == 2);
  }

  TEST_CASE("a ref in another process to a lost result has its owner make it again; to a lost value it says why not") {
    Place place;
    auto& rt = place.machine.rt;
    const TaskOptions alone{.isolation = own_process};
    std::vector refs{place.run<first>(3, place.file, 7), place.run<first>(3, place.file, 8)};
    rt.wait(refs, {.count = 2});
    place.lose_all();
    CHECK(rt.get(rt.task<read_all>(alone).remote(refs), 60s) == std::vector{7, 8});
    CHECK(place.runs() == 4);
    CHECK(rt.get(rt.task<read_all>(alone).remote(refs), 60s) == std::vector{7, 8});
    CHECK(place.runs() == 4);
    CHECK(value_of(rt.get(refs[0])) == 7);
    refs.clear();
    auto maker = rt.actor<Maker>({.isolation = own_process}).spawn();  // a result of a call has no lineage
    std::vector lost{maker.call<&Maker::make>(9)};
    rt.wait(lost, {.count = 1});
    place.lose_all();
    const auto why = rt.get(rt.task<why_lost>(alone).remote(lost), 60s);
    CHECK_MESSAGE(contains(why, "ObjectLost"), why);
    CHECK_MESSAGE(contains(why, "cannot be made again"), why);
  }

  // It was read in the owner's actor, or where the links are read: nothing else went on while it waited.
  TEST_CASE("an argument whose load waits, of a lost result that is made again, holds up nothing else") {
    Place place;
    auto& rt = place.machine.rt;
    const TaskOptions alone{.isolation = own_process};
    auto far = rt.actor<Maker>({.isolation = own_process}).spawn();
    CHECK(value_of(rt.get(far.call<&Maker::make>(1))) == 1);
    for (const bool by_borrower : {false, true}) {
      Gate gate;
      auto one = place.run<by_key>(3, Key{7});
      rt.wait(std::vector{one});
      place.lose_all();
      Key::begun = false;
      Key::gate = gate.path();
      std::optional<ObjectRef<int>> read;
      std::optional<ObjectRef<std::vector<int>>> read_all_of;
      by_borrower ? static_cast<void>(read_all_of = rt.task<read_all>(alone).remote(std::vector{one}))
                  : static_cast<void>(read = rt.task<read_one>(alone).remote(one));
      CHECK(eventually([] { return Key::begun.load(); }, 60s));
      CHECK(rt.get(rt.remote<plain>(1), 30s) == 1);
      CHECK(value_of(rt.get(far.call<&Maker::make>(2), 30s)) == 2);
      gate.open();
      CHECK((by_borrower ? rt.get(*read_all_of, 60s).at(0) : rt.get(*read, 60s)) == 7);
      Key::gate.clear();  // now that nobody reads it
    }
  }

  TEST_CASE("a chain of twenty is made again from its beginning, though only its end is left") {
    Place place;
    auto& rt = place.machine.rt;
    auto end = place.run<first>(3, place.file, 1);
    for (int i = 0; i < 19; ++i) end = place.run<next>(3, place.file, end);
    rt.wait(std::vector{end});
    CHECK(eventually([&] { return rt.stats().stored_objects == 1; }));  // the others are gone at once
    place.lose_all();
    CHECK(value_of(rt.get(end)) == 20);
    CHECK(place.runs() == 40);
    CHECK(eventually([&] { return rt.stats().stored_objects == 1; }));
    end = {};
    CHECK(eventually([&] { return rt.stats().lineage_bytes == 0; }));
  }

  TEST_CASE("an ancestor that two share is made again once") {
    Place place;
    auto& rt = place.machine.rt;
    auto root = place.run<first>(3, place.file, 1);
    auto end = place.run<join>(3, place.file, place.run<next>(3, place.file, root), place.run<next>(3, place.file, root));
    root = {};
    rt.wait(std::vector{end});
    place.lose_all();
    CHECK(value_of(rt.get(end)) == 4);
    CHECK(place.runs() == 8);
  }

  TEST_CASE("what an actor made, may not run again, or has no lineage left says ObjectLost and why") {
    for (const bool remembered : {true, false}) {
      Place place(remembered ? std::uint64_t{1} << 30 : 0);
      auto& rt = place.machine.rt;
      auto once = place.run<first>(0, place.file, 1), often = place.run<first>(3, place.file, 1);
      rt.wait(std::vector{once, often}, {.count = 2});
      place.lose_all();
      if (remembered) {
        CHECK(contains(error_of<ObjectLost>([&] { rt.get(once); }).message, "max_retries"));
        CHECK(once.failed());
        CHECK_MESSAGE(contains(rt.explain(once), "max_retries"), rt.explain(once));
        const auto lost = rt.task<value_of>({.isolation = own_process}).remote(once);
        CHECK(contains(error_of<ObjectLost>([&] { rt.get(lost); }).message, "max_retries"));
        CHECK(value_of(rt.get(often)) == 1);
        CHECK_FALSE(often.failed());
        CHECK(rt.explain(often) == "ready");
      } else {
        CHECK(contains(error_of<ObjectLost>([&] { rt.get(often); }).message, "lineage_bytes"));
      }
    }
    Place place;
    auto& rt = place.machine.rt;
    auto made = rt.actor<Maker>({.isolation = own_process}).spawn().call<&Maker::make>(3);
    rt.wait(std::vector{made});
    place.lose_all();
    CHECK(contains(error_of<ObjectLost>([&] { rt.get(made); }).message, "corrupt"));
  }

  TEST_CASE("a value that is in memory too survives the loss of its copy in the store; one that was put there says ObjectLost") {
    Place place;
    auto& rt = place.machine.rt;
    auto put = rt.put(filled(kMiB, 3));
    CHECK(rt.get(rt.task<value_of>({.isolation = own_process}).remote(put)) == 3);
    place.lose_all();
    if (in_processes()) {  // where workers are processes, what was put lies in the store alone
      CHECK_FALSE(put.failed());  // nobody has looked
      CHECK(contains(error_of<ObjectLost>([&] { rt.get(put); }).message, "corrupt"));
      CHECK(put.failed());
      CHECK_MESSAGE(contains(rt.explain(put), "failed: ObjectLost"), rt.explain(put));
      return;
    }
    CHECK(rt.get(rt.task<value_of>({.isolation = own_process}).remote(put)) == 3);
    CHECK(value_of(rt.get(put)) == 3);
  }

  // They had NotFound for ever: the place that they knew was empty since.
  TEST_CASE("what was made again is found by those who know its old place: a ref that is kept elsewhere, a call that waits at its actor") {
    Gate gate;
    Place place;
    auto& rt = place.machine.rt;
    auto keeper = rt.actor<Keeper>({.isolation = own_process}).spawn();
    auto one = place.run<first>(3, place.file, 7), two = place.run<first>(3, place.file, 8);
    CHECK(rt.get(keeper.call<&Keeper::keep>(std::vector{one})) == 7);
    rt.wait(std::vector{two});
    auto busy = keeper.call<&Keeper::hold>(gate.path());
    auto waiting = keeper.call<&Keeper::take>(two);
    place.lose_all();
    CHECK(value_of(rt.get(one)) == 7);
    CHECK(value_of(rt.get(two)) == 8);
    gate.open();
    CHECK(rt.get(busy) == 1);
    CHECK(rt.get(waiting, 60s) == 8);
    CHECK(rt.get(keeper.call<&Keeper::read>(), 60s) == 7);
    CHECK(place.runs() == 4);
  }

  TEST_CASE("an object of another process that is lost is made again there when it is an argument of a task or a call") {
    Place place;
    auto& rt = place.machine.rt;
    auto submitter = rt.actor<Submitter>({.isolation = own_process}).spawn();
    auto refs = rt.get(submitter.call<&Submitter::submit>(place.file, 4));
    rt.wait(refs, {.count = refs.size()});
    auto made_of_it = place.run<next>(3, place.file, refs[3]);
    rt.wait(std::vector{made_of_it});
    auto reader = rt.actor<Reader>({.isolation = own_process}).spawn();
    place.lose_all();
    CHECK(rt.get(rt.task<value_of>({.isolation = own_process}).remote(refs[0]), 60s) == 10);
    CHECK(rt.get(rt.remote<value_of>(refs[1]), 60s) == 11);
    CHECK(rt.get(reader.call<&Reader::read>(refs[2]), 60s) == 112);
    CHECK(value_of(rt.get(made_of_it, 60s)) == 14);
    CHECK(place.runs() == 10);
  }

  // The worker that owned them made them again itself, had them as they are and not in the store, and took that for another value.
  TEST_CASE("what a worker owns and has lost is made again, also when the worker itself makes it, for the driver and for other workers") {
    if (!in_processes()) return;
    Place place;
    auto& rt = place.machine.rt;
    auto refs = rt.get(rt.remote<made_elsewhere>(place.file, 6), 60s);
    rt.wait(refs, {.count = refs.size()});
    place.lose_all();
    for (int i = 0; i < 3; ++i) CHECK(value_of(rt.get(refs[static_cast<std::size_t>(i)], 60s)) == 10 + i);
    const TaskOptions alone{.isolation = own_process};
    CHECK(rt.get(rt.task<read_all>(alone).remote(refs), 60s) == std::vector{10, 11, 12, 13, 14, 15});
    CHECK(place.runs() == 12);
    CHECK(eventually([&] { return rt.stats().stored_objects == refs.size(); }));  // the lost ones have gone
    place.lose_all();
    CHECK(rt.get(rt.remote<read_all>(refs), 60s) == std::vector{10, 11, 12, 13, 14, 15});
    CHECK(rt.get(rt.task<value_of>(alone).remote(refs[5]), 60s) == 15);
    CHECK(place.runs() == 18);
  }

  TEST_CASE("the results of a tuple that a worker owns are made again together") {
    if (!in_processes()) return;
    Place place;
    auto& rt = place.machine.rt;
    auto refs = rt.get(rt.remote<both_made_elsewhere>(place.file), 60s);
    rt.wait(refs, {.count = refs.size()});
    place.lose_all();
    CHECK(value_of(rt.get(refs[1], 60s)) == 21);
    CHECK(value_of(rt.get(refs[0], 60s)) == 20);
    CHECK(place.runs() == 2);
  }

  TEST_CASE("a lost argument of a constructor or a stream is made again, also at a restart, and that is no restart") {
    Place place;
    auto& rt = place.machine.rt;
    const ActorOptions alone{.max_restarts = 1, .isolation = own_process};
    std::vector<ObjectRef<Buffer>> from;
    for (int i = 0; i < 3; ++i) from.push_back(place.run<first>(3, place.file, 10 + i));
    rt.wait(from, {.count = from.size()});
    auto old = rt.actor<Built>(alone).spawn(from[0]);
    const int pid = rt.get(old.call<&Built::pid>());
    place.lose_all();
    ::kill(pid, SIGKILL);
    CHECK(eventually([&] {
      const auto value = rt.try_get(old.call<&Built::get>());  // ActorUnavailable for those that were under way
      return value.ok() && value.value() == 10;
    }));
    CHECK(rt.get(old.call<&Built::pid>()) != pid);
    auto fresh = rt.actor<Built>({.isolation = own_process}).spawn(from[1]);
    CHECK(rt.get(fresh.call<&Built::get>(), 60s) == 11);
    auto stream = rt.task<count_from>({.isolation = own_process}).remote(from[2], 2);
    CHECK(rt.get(*stream.next(60s)) == 12);
    CHECK(rt.get(*stream.next(60s)) == 13);
    CHECK(place.runs() == 6);
  }

  TEST_CASE("a get keeps its timeout while the value is made again, which goes on, and is done once however often it is asked for") {
    Gate gate;
    Place place;
    auto& rt = place.machine.rt;
    std::vector one{place.run<slow_again>(3, place.file, gate.path(), 7)};
    rt.wait(one);
    place.lose_all();
    CHECK(contains(error_of<Timeout>([&] { rt.get(one[0], 100ms); }).message, "made again"));
    CHECK(rt.try_get(one[0], 0s).error().code == ErrorCode::kTimeout);
    error_of<Timeout>([&] { rt.get(one, 10ms); });
    error_of<Timeout>([&] { rt.get_shared(one[0], 10ms); });
    const auto elsewhere = rt.get(rt.task<read_in>({.isolation = own_process}).remote(one, 10), 60s);
    CHECK_MESSAGE(contains(elsewhere, "made again"), elsewhere);
    CHECK_MESSAGE(contains(elsewhere, "Timeout"), elsewhere);
    const auto said = rt.explain(one[0]);
    CHECK_MESSAGE((contains(said, "was lost, and is made again: task ") && contains(said, "slow_again")), said);
    const auto user = rt.task<read_one>({.name = "user", .isolation = own_process}).remote(one[0]);
    CHECK_MESSAGE(eventually([&] { return contains(rt.explain(user), "waits for its argument 1:") && contains(rt.explain(user), "made again"); }), rt.explain(user));
    gate.open();
    CHECK(rt.get(user, 60s) == 7);
    CHECK(eventually([&] { return rt.stats().unfinished == 0; }));  // nobody waits for it
    CHECK(value_of(rt.get(one[0], 60s)) == 7);
    CHECK(rt.get(rt.task<read_all>({.isolation = own_process}).remote(one), 60s) == std::vector{7});
    CHECK(place.runs() == 2);
  }

  TEST_CASE("the results of a tuple are made again together, and what was made of one of them") {
    Place place;
    auto& rt = place.machine.rt;
    auto [left, right] = rt.task<both>({.max_retries = 1, .isolation = own_process}).remote(place.file, 7);
    auto made_of_it = place.run<next>(3, place.file, right);
    rt.wait(std::vector{left, made_of_it}, {.count = 2});
    place.lose_all();
    CHECK(value_of(rt.get(right)) == 8);
    CHECK(value_of(rt.get(left)) == 7);
    CHECK(place.runs() == 3);
    CHECK(value_of(rt.get(made_of_it)) == 9);
    CHECK(place.runs() == 4);
  }

  TEST_CASE("a large argument by value that is lost before its call or constructor has it is stored again by who gave it") {
    Gate gate;
    Place place;
    auto& rt = place.machine.rt;
    auto built = rt.actor<Built>({.max_restarts = 1, .isolation = own_process}).spawn(std::vector<std::byte>(kMiB + 4));
    const int pid = rt.get(built.call<&Built::pid>());
    auto keeper = rt.actor<Keeper>({.isolation = own_process}).spawn();
    auto busy = keeper.call<&Keeper::hold>(gate.path());
    auto waiting = keeper.call<&Keeper::measure>(std::vector<std::byte>(kMiB + 1));
    place.lose_all();
    gate.open();
    CHECK(rt.get(waiting, 60s) == kMiB + 1);
    CHECK(rt.get(busy) == 1);
    ::kill(pid, SIGKILL);
    CHECK(eventually([&] {
      const auto value = rt.try_get(built.call<&Built::get>());
      return value.ok() && value.value() == static_cast<int>((kMiB + 4) % 100);
    }));
  }

  TEST_CASE("what is not made again says why: a large argument, refs inside an argument, an item of a stream") {
    Place place;
    auto& rt = place.machine.rt;
    const TaskOptions alone{.isolation = own_process};
    auto large = rt.task<of_large>(alone).remote(std::vector<std::byte>(kMiB));
    auto inside = rt.task<of_refs>(alone).remote(std::vector{rt.put(3)});
    auto stream = rt.task<items>(alone).remote(1);
    auto item = *stream.next(60s);
    CHECK_FALSE(stream.next(60s));
    rt.wait(std::vector{large, inside, item}, {.count = 3});
    place.lose_all();
    const std::vector<std::pair<ObjectRef<Buffer>, std::string>> reasons{{large, "by value"}, {inside, "inside an argument"}, {item, "stream"}};
    for (const auto& [ref, reason] : reasons) {
      CHECK(contains(error_of<ObjectLost>([&] { rt.get(ref); }).message, reason));
      CHECK(contains(error_of<ObjectLost>([&] { rt.get(rt.task<value_of>(alone).remote(ref)); }).message, reason));
      const auto elsewhere = rt.get(rt.task<why_lost>(alone).remote(std::vector{ref}), 60s);
      CHECK_MESSAGE(contains(elsewhere, reason), elsewhere);
    }
  }
}

}  // namespace manta_test
