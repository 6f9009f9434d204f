// Refs inside values: they stay refs, are counted in every process that has them, and what they refer to goes with the last.
#include <unistd.h>

#include <csignal>
#include <numeric>

#include "support.hpp"

namespace manta_test {
namespace {

using Ints = std::vector<ObjectRef<int>>;

struct Album {
  std::string name{};
  Ints pages{};
  ObjectRef<Buffer> cover{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(name, pages, cover);
  }
};

int plus(int a, int b) { return a + b; }
int fail(int) { throw std::runtime_error("on purpose"); }
int read_one(Context& ctx, const ObjectRef<int>& ref) { return ctx.get(ref); }
int sum_of(Context& ctx, const Ints& refs) {
  const auto values = ctx.get(refs);
  return std::accumulate(values.begin(), values.end(), 0);
}
/// Takes refs out of a value and passes them to other tasks: as arguments, and inside another value.
int pass_on(Context& ctx, const Ints& refs) {
  return ctx.get(ctx.remote<plus>(refs.at(0), refs.at(1))) + ctx.get(ctx.task<sum_of>({.isolation = own_process}).remote(refs));
}
Album look(Context& ctx, Album album) {
  album.name += " " + std::to_string(ctx.get(album.cover).size());
  album.cover = {};
  return album;
}
ObjectRef<int> make_here(Context& ctx, int value) { return ctx.put(value); }
std::size_t holes(const Ints& refs) {
  std::size_t count = 0;
  for (const auto& ref : refs) count += !ref;
  return count;
}
/// More refs than an inline value has room for.
std::pair<Buffer, Ints> wrap(const Ints& refs, std::size_t size) { return {Buffer::allocate(size).first, refs}; }

struct Holder {
  Ints kept{};
  std::size_t keep(const Ints& refs) { return kept.insert(kept.end(), refs.begin(), refs.end()), kept.size(); }
  int sum(Context& ctx) { return sum_of(ctx, kept); }
  Ints give() const { return kept; }
  void drop() { kept.clear(); }
  ObjectRef<int> make(Context& ctx, int value) const { return ctx.put(value); }
  ObjectRef<Buffer> make_large(Context& ctx) const { return ctx.put(Buffer::copy(std::vector<std::byte>(300'000, std::byte{7}))); }
  int pid() const { return ::getpid(); }
};

/// Gone, and all that it held.
bool freed(const std::weak_ptr<detail::Cell>& cell) {
  return eventually([&] { return cell.expired(); });
}

/// Made with a ref, a ref to nothing, and a value.
struct Reader {
  Reader(Context& ctx, ObjectRef<int> number, ObjectRef<void> begun, int add) : ref(std::move(number)), sum(add) {
    ctx.get(std::vector{std::move(begun)});
  }
  int read(Context& ctx) { return sum + ctx.get(ref); }
  ObjectRef<int> ref;
  int sum;
};
/// Takes either: the value it is.
struct Either {
  explicit Either(int) {}
  explicit Either(ObjectRef<int>) : was_value(false) {}
  bool value() const { return was_value; }
  bool was_value = true;
};
struct Weighed {
  explicit Weighed(const Buffer& buffer) : size(buffer.size()) {}
  std::size_t weight() const { return size; }
  std::size_t size;
};
void wait_at(const std::string& gate) { pass(gate, 0); }
void fail_at_once() { throw std::runtime_error("on purpose"); }

const Isolation kPlaces[]{Isolation::kShared, own_process};

}  // namespace

TEST_SUITE("runtime/api/refs") {
  TEST_CASE("a ref inside a value, or for a parameter that is one, stays a ref") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto place : kPlaces) {
      auto one = rt.put(1), two = rt.remote<plus>(one, 1);
      CHECK(rt.get(rt.task<read_one>({.isolation = place}).remote(two)) == 2);
      CHECK(rt.get(rt.task<sum_of>({.isolation = place}).remote(Ints{one, two, one})) == 4);
      CHECK(rt.get(rt.task<holes>({.isolation = place}).remote(Ints{one, {}, two, {}})) == 2);
      Album album{.name = "a", .pages = {one, two}, .cover = rt.put(Buffer::copy(std::vector<std::byte>(300'000)))};
      const auto back = rt.get(rt.task<look>({.isolation = place}).remote(album));
      CHECK(back.name == "a 300000");
      CHECK(back.pages == Ints{one, two});  // home again, they are the same objects
      CHECK_FALSE(back.cover);
    }
  }

  TEST_CASE("a constructor that takes a ref gets it, before the value is there; others get the value") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto place : kPlaces) {
      Gate gate, begun;
      begun.open();
      const auto late = rt.task<pass>({.num_cpus = 0}).remote(gate.path(), 5);
      auto reader = rt.actor<Reader>({.isolation = place}).spawn(late, rt.remote<wait_at>(begun.path()), rt.put(1));
      const auto read = reader.call<&Reader::read>();
      CHECK_FALSE(late.ready());
      gate.open();
      CHECK(rt.get(read) == 6);
      CHECK(rt.get(rt.actor<Either>({.isolation = place}).spawn(rt.put(1)).call<&Either::value>()));
    }
  }

  TEST_CASE("what a constructor was given is freed once it has run, unless the actor may be constructed again") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto place : kPlaces)
      for (const int restarts : {0, 1}) {
        auto given = rt.put(Buffer::copy(std::vector<std::byte>(300'000)));
        const std::weak_ptr<detail::Cell> cell = given.cell();
        auto actor = rt.actor<Weighed>({.max_restarts = restarts, .isolation = place}).spawn(std::exchange(given, {}));
        CHECK(rt.get(actor.call<&Weighed::weight>()) == 300'000);
        if (restarts)
          CHECK_FALSE(cell.expired());
        else
          CHECK(freed(cell));
        actor.kill();
        CHECK(freed(cell));  // though there is a handle still
      }
  }

  TEST_CASE("get of many refs to nothing waits for all, and throws the first failure") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    std::vector<ObjectRef<void>> refs{rt.task<wait_at>({.num_cpus = 0}).remote(gate.path())};
    CHECK_THROWS_AS(rt.get(refs, 1ms), Timeout);
    refs.push_back(rt.remote<fail_at_once>());
    CHECK(contains(error_of<TaskError>([&] { rt.get(refs); }).to_string(), "on purpose"));
    refs.pop_back();
    gate.open();
    rt.get(refs);
    CHECK(refs[0].ready());
    static_assert(std::is_void_v<decltype(rt.get(refs))>);
    rt.get(std::vector<ObjectRef<void>>{});
  }

  TEST_CASE("a borrowed ref is passed on, as an argument and inside a value, and goes back") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto place : kPlaces) {
      Ints refs{rt.put(20), rt.put(1)};
      CHECK(rt.get(rt.task<pass_on>({.isolation = place}).remote(refs)) == 42);
    }
  }

  TEST_CASE("a ref may travel before its value is there, and a failure comes the same way") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto place : kPlaces) {
      Gate gate;
      auto late = rt.task<pass>({.num_cpus = 0}).remote(gate.path(), 5);
      auto sum = rt.task<sum_of>({.isolation = place}).remote(Ints{late, rt.put(1)});
      CHECK_FALSE(sum.ready());
      gate.open();
      CHECK(rt.get(sum) == 6);
      auto failed = rt.remote<fail>(0);
      const auto error = error_of<TaskError>([&] { rt.get(rt.task<read_one>({.isolation = place}).remote(failed)); });
      CHECK(contains(error.to_string(), "on purpose"));
    }
  }

  TEST_CASE("an object lives as long as an actor elsewhere keeps a ref to it, and no longer") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto place : kPlaces) {
      auto holder = rt.actor<Holder>({.isolation = place}).spawn();
      auto ref = rt.put(7);
      const std::weak_ptr<detail::Cell> cell = ref.cell();
      rt.get(holder.call<&Holder::keep>(Ints{ref, ref}));
      ref = {};
      CHECK(rt.get(holder.call<&Holder::sum>()) == 14);
      CHECK_FALSE(cell.expired());
      auto back = rt.get(holder.call<&Holder::give>());
      CHECK(back.at(0).cell() == cell.lock());
      rt.get(holder.call<&Holder::drop>());
      CHECK(rt.get(back.at(1)) == 7);
      CHECK_FALSE(cell.expired());
      back.clear();
      CHECK(freed(cell));
    }
  }

  TEST_CASE("refs go from one actor to another, and their first holder dies") {
    Machine machine;
    auto& rt = machine.rt;
    auto first = rt.actor<Holder>({.isolation = own_process}).spawn();
    auto second = rt.actor<Holder>({.isolation = own_process}).spawn();
    auto ref = rt.put(7);
    const std::weak_ptr<detail::Cell> cell = ref.cell();
    rt.get(first.call<&Holder::keep>(Ints{ref}));
    ref = {};
    rt.get(second.call<&Holder::keep>(first.call<&Holder::give>()));
    ::kill(rt.get(first.call<&Holder::pid>()), SIGKILL);
    CHECK(rt.get(second.call<&Holder::sum>()) == 7);
    CHECK_FALSE(cell.expired());
    second.kill();
    CHECK(freed(cell));
  }

  TEST_CASE("a process of its own stays as long as somebody refers to what it made") {
    Machine machine;
    auto& rt = machine.rt;
    auto made = rt.get(rt.task<make_here>({.isolation = own_process}).remote(5));
    CHECK(eventually([&] { return rt.stats().leases == 0; }));
    CHECK(rt.stats().borrowed_objects == 1);
    CHECK(rt.get(made) == 5);
    const auto processes = rt.stats().worker_processes;
    made = {};
    CHECK(eventually([&] { return rt.stats().worker_processes == processes - 1; }));
  }

  TEST_CASE("stats say who refers to what, and are back at zero") {
    Machine machine;
    auto& rt = machine.rt;
    {
      auto holder = rt.actor<Holder>({.isolation = own_process}).spawn();
      rt.get(holder.call<&Holder::keep>(Ints{rt.put(1), rt.put(2)}));
      auto borrowed = rt.get(holder.call<&Holder::make>(3));
      const auto stats = rt.stats();
      CHECK(stats.actors == 1);
      CHECK(stats.lent_objects == 2);
      CHECK(stats.borrowed_objects == 1);
      CHECK(stats.worker_processes >= 1);
      CHECK_FALSE(stats.idle());
      CHECK(contains(stats.to_string(), "actors 1"));
    }
    CHECK(eventually([&] { return rt.stats().idle(); }));
  }

  TEST_CASE("an object that a worker made lives there, and its refs say OwnerDied when the worker has died") {
    Machine machine;
    auto& rt = machine.rt;
    auto maker = rt.actor<Holder>({.isolation = own_process}).spawn();
    auto reader = rt.actor<Holder>({.isolation = own_process}).spawn();
    auto made = rt.get(maker.call<&Holder::make>(3)), unread = rt.get(maker.call<&Holder::make>(4));
    auto large = rt.get(maker.call<&Holder::make_large>()), unread_large = rt.get(maker.call<&Holder::make_large>());
    CHECK(rt.get(made) == 3);
    CHECK(rt.get(large).size() == 300'000);
    CHECK(rt.get(rt.remote<plus>(made, 1)) == 4);
    rt.wait(std::vector{unread_large});
    rt.get(reader.call<&Holder::keep>(Ints{made}));
    CHECK(rt.get(reader.call<&Holder::sum>()) == 3);
    ::kill(rt.get(maker.call<&Holder::pid>()), SIGKILL);
    CHECK(contains(error_of<OwnerDied>([&] { rt.get(unread); }).message, "make the object again"));
    CHECK(eventually([&] {  // its bytes go a moment later
      auto bytes = rt.try_get(unread_large);
      return !bytes && bytes.error().code == ErrorCode::kOwnerDied;
    }));
    CHECK(rt.get(made) == 3);  // it is here already
  }

  TEST_CASE("large values that hold refs keep what they refer to, in the arena and on disk") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto place : kPlaces) {
      std::vector<ObjectRef<std::pair<Buffer, Ints>>> wrapped;
      std::vector<std::weak_ptr<detail::Cell>> cells;
      for (int i = 0; i < 14; ++i) {
        auto ref = rt.put(i);
        cells.push_back(ref.cell());
        wrapped.push_back(rt.task<wrap>({.isolation = place}).remote(Ints{ref}, std::size_t{7} << 20));
      }
      rt.wait(wrapped, {.count = wrapped.size()});
      for (int i = 0; i < 14; ++i) {
        const auto index = static_cast<std::size_t>(i);
        CHECK(rt.get(rt.get_shared(wrapped[index])->second.at(0)) == i);
        wrapped[index] = {};
        CHECK(freed(cells[index]));
      }
    }
  }

  TEST_CASE("a durable object cannot hold refs") {
    Folder folder;
    auto options = small_machine();
    options.durable_dir = folder / "durable";
    Machine machine(options);
    auto& rt = machine.rt;
    const Ints refs{rt.put(1)};
    CHECK(contains(error_of<InvalidArgument>([&] { rt.put(refs, {.durable_name = "refs", .type_tag = "refs"}); }).message, "refs"));
    CHECK(rt.list_durable().empty());
    CHECK_THROWS_AS(encode(refs), InvalidArgument);
  }
}

}  // namespace manta_test
