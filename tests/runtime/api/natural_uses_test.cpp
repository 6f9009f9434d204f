// What a program writes without a thought compiles and does what it says: move-only values, literals, calls of void methods, amounts
// next to nothing, loops of coroutines.
#include <string_view>

#include "runtime/actor_pool.hpp"
#include "runtime/promise.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

using Boxes = std::vector<std::unique_ptr<int>>;

int sum_of(Boxes boxes) {
  int sum = 0;
  for (const auto& each : boxes) sum += *each;
  return sum;
}
int named_sum(std::map<std::string, std::unique_ptr<int>> named) {
  int sum = 0;
  for (const auto& [name, each] : named) sum += *each;
  return sum;
}
std::size_t length(std::string text) { return text.size(); }

/// Can be copied, and not assigned.
struct Fixed {
  explicit Fixed(int value = 0) : value_(value) {}
  Fixed(const Fixed&) = default;
  Fixed& operator=(const Fixed&) = delete;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(value_);
  }
  int value_;
};
Fixed next_to(Fixed fixed) { return Fixed(fixed.value_ + 1); }
struct Tag {};
struct OtherTag {};
Tag tagged(Tag, const std::vector<OtherTag>& more) {
  if (more.size() != 3) throw std::length_error("not three");
  return {};
}
double sum_of_array(const std::array<double, 0>& none, std::array<int, 2> two) { return two[0] + two[1] + static_cast<double>(none.size()); }
std::array<double, 0> no_array() { return {}; }

struct Keeper {
  Keeper(std::unique_ptr<int> box, Boxes more) : box_(std::move(box)), more_(std::move(more)) {}
  int sum() const { return *box_ + sum_of_all(); }
  int sum_of_all() const {
    int sum = 0;
    for (const auto& each : more_) sum += *each;
    return sum;
  }
  std::unique_ptr<int> box_;
  Boxes more_;
};
/// Looks at what cannot be copied, so that it can be given it again.
struct Looker {
  explicit Looker(const std::unique_ptr<int>& box) : value(*box) {}
  int get() const { return value; }
  int die() { std::_Exit(3); }
  int value;
};

Boxes boxes(int count) {
  Boxes made;
  for (int i = 1; i <= count; ++i) made.push_back(std::make_unique<int>(i));
  return made;
}

struct Diary {
  explicit Diary(std::string file) : file_(std::move(file)) {}
  void note(int x) { append(file_, std::to_string(x) + "\n"); }
  std::string file_;
};

/// Methods for an object that has a name, which an actor's has.
struct Qualified {
  int value = 0;
  int set(int x) & { return value = x; }
  int get() const& { return value; }
  int add(Context&, int x) & noexcept { return value += x; }
  int twice() const& noexcept { return 2 * value; }
};

/// Results that are const, as some write them.
const std::string constant_name() { return "a name"; }
const std::tuple<int, std::string> constant_pair() { return {1, "one"}; }
struct Constants {
  const std::string name() const { return "an actor's name"; }
  Async<const std::string> later() { co_return "later"; }
  Generator<const std::string> names() { co_yield "first"; }
};
Generator<const std::string> constant_names() { co_yield "first"; }

/// What a generator gives of a struct.
struct Row {
  int id = 0;
  std::string text{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(id, text);
  }
};
struct Source {
  operator Row() const { return {4, "converted"}; }
};
Row make_row() { return {3, "returned, and too long for what a string holds in itself"}; }
Generator<Row> rows() {
  const Row first{1, "copied, and too long for what a string holds in itself"};
  Row second{2, "moved, and too long for what a string holds in itself"};
  co_yield first;
  co_yield std::move(second);
  co_yield make_row();
  co_yield Source();
}
struct Point {
  int x = 0, y = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(x, y);
  }
};
Generator<Point> points() {
  co_yield {.x = 1, .y = 2};
  co_yield {};
}

/// Neither travels, nor does what holds it.
class Closed {
 public:
  explicit Closed(int x) : x_(x) {}
  int x_;
};
static_assert(detail::kTravels<std::map<std::string, std::vector<std::variant<int, std::optional<Row>>>>>);
static_assert(!detail::kTravels<Closed> && !detail::kTravels<std::vector<Closed>> && !detail::kTravels<std::variant<int, Closed>>);
static_assert(!detail::kTravels<std::map<int, std::pair<Closed, int>>> && !detail::kTravels<std::optional<std::vector<Closed>>>);

/// A value that another call brings, and a call that waits for it without one.
struct Door {
  Async<int> pass() {
    auto opened = opened_.ref();
    co_await opened;
    co_return 7;
  }
  bool open() { return opened_.set(); }
  Promise<void> opened_;
};

Async<int> one(int x) { co_return x; }
Async<int> sum_up(int n) {
  int sum = 0;
  for (int i = 0; i < n; ++i) sum += co_await one(1);
  co_return sum;
}
Async<int> nested(int depth) {
  if (depth == 0) co_return 0;
  co_return 1 + co_await nested(depth - 1);
}
/// At the bottom of each descent waits for a task; every level goes on when that is done.
int later(int x) { return x; }
Async<int> waiting_below(Context& ctx, int depth) {
  if (depth > 0) co_return 1 + co_await waiting_below(ctx, depth - 1);
  auto part = ctx.remote<later>(5);
  co_return co_await part;
}
Async<int> descents(Context& ctx, int count, int depth) {
  int sum = 0;
  for (int i = 0; i < count; ++i) sum += co_await waiting_below(ctx, depth);
  co_return sum;
}
Async<int> failing(int x) {
  if (x < 0) throw std::domain_error("negative");
  co_return x;
}
Async<int> catching_at_once() {
  try {
    co_return co_await failing(-1);
  } catch (const std::domain_error&) {
  }
  co_return co_await failing(3);
}

std::size_t gpus_of(Context& ctx) { return ctx.gpu_ids().size(); }
void look_for_runtime() { Runtime::current(); }

}  // namespace

TEST_SUITE("runtime/api/natural_uses") {
  TEST_CASE("a container of what cannot be copied is a parameter by value") {
    Machine machine;
    auto& rt = machine.rt;
    CHECK(rt.get(rt.remote<sum_of>(boxes(4))) == 10);
    std::map<std::string, std::unique_ptr<int>> named;
    named["a"] = std::make_unique<int>(3);
    CHECK(rt.get(rt.remote<named_sum>(std::move(named))) == 3);
    auto object = rt.put(boxes(2));
    CHECK(rt.get_shared(object)->size() == 2);
    CHECK(error_of<TaskError>([&] { rt.get(rt.remote<sum_of>(object)); }).remote_type == "manta::InvalidArgument");
  }

  TEST_CASE("a method may be qualified by & and const &") {
    Machine machine;
    auto actor = machine.rt.actor<Qualified>().spawn();
    CHECK(machine.rt.get(actor.call<&Qualified::set>(3)) == 3);
    CHECK(machine.rt.get(actor.call<&Qualified::add>(2)) == 5);
    CHECK(machine.rt.get(actor.call<&Qualified::get>()) == 5);
    CHECK(machine.rt.get(actor.call<&Qualified::twice>()) == 10);
  }

  TEST_CASE("an argument, a result and an object that cannot be assigned travel") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : {Isolation::kShared, own_process}) {
      CHECK(rt.get(rt.task<next_to>({.isolation = where}).remote(Fixed(4))).value_ == 5);
      const Fixed kept(6);
      CHECK(rt.get(rt.task<next_to>({.isolation = where}).remote(rt.task<next_to>({.isolation = where}).remote(kept))).value_ == 8);
      CHECK(rt.get(rt.task<next_to>({.isolation = where}).remote(rt.put(kept))).value_ == 7);
    }
  }

  TEST_CASE("a result that is declared const is a ref as any other") {
    Machine machine;
    auto& rt = machine.rt;
    const ObjectRef<std::string> name = rt.remote<constant_name>();
    CHECK(rt.get(rt.remote<length>(name)) == 6);
    CHECK(rt.get(std::vector{name, rt.put("another")}) == std::vector<std::string>{"a name", "another"});
    const auto [one, text] = rt.remote<constant_pair>();
    CHECK(rt.get(one) == 1);
    CHECK(rt.get(rt.remote<length>(text)) == 3);
    auto actor = rt.actor<Constants>().spawn();
    const ObjectRef<std::string> of_actor = actor.call<&Constants::name>();
    CHECK(rt.get(rt.remote<length>(of_actor)) == 15);
    const ObjectRef<std::string> later = actor.call<&Constants::later>();
    CHECK(rt.get(later) == "later");
    auto of_method = actor.call<&Constants::names>();
    const std::optional<ObjectRef<std::string>> item = of_method.next();
    CHECK(rt.get(rt.remote<length>(*item)) == 5);
    auto of_task = rt.remote<constant_names>();
    CHECK(rt.get(rt.remote<length>(*of_task.next())) == 5);
  }

  // co_yield {…} of a struct with a destructor, which g++ 12 breaks, does not compile.
  TEST_CASE("a generator of structs gives what has a name, what a function returned and what converts to one") {
    Machine machine;
    auto& rt = machine.rt;
    std::string texts;
    for (auto& each : rt.remote<rows>()) {
      const auto row = rt.get(each);
      texts += std::to_string(row.id) + row.text.substr(0, row.text.find(',')) + ";";
    }
    CHECK(texts == "1copied;2moved;3returned;4converted;");
    int sum = 0;
    for (auto& each : rt.remote<points>()) sum += rt.get(each).x + 10 * rt.get(each).y;
    CHECK(sum == 21);
  }

  TEST_CASE("structs without members and arrays of none are arguments, results and objects") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : {Isolation::kShared, own_process}) {
      rt.get(rt.task<tagged>({.isolation = where}).remote(Tag(), std::vector<OtherTag>(3)));
      rt.get(rt.task<tagged>({.isolation = where}).remote(rt.put(Tag()), rt.put(std::vector<OtherTag>(3))));
      CHECK(rt.get(rt.task<sum_of_array>({.isolation = where}).remote(std::array<double, 0>(), std::array<int, 2>{1, 2})) == 3);
      auto none = rt.task<no_array>({.isolation = where}).remote();
      CHECK(rt.get(none).empty());
      CHECK(rt.get(rt.task<sum_of_array>({.isolation = where}).remote(none, std::array<int, 2>{2, 2})) == 4);
      CHECK(rt.get(rt.task<sum_of_array>({.isolation = where}).remote(rt.put(std::array<double, 0>()), std::array<int, 2>{3, 2})) == 5);
    }
  }

  TEST_CASE("a constructor takes what cannot be copied") {
    Machine machine;
    auto& rt = machine.rt;
    auto keeper = rt.actor<Keeper>().spawn(std::make_unique<int>(30), boxes(2));
    CHECK(rt.get(keeper.call<&Keeper::sum>()) == 33);
  }

  TEST_CASE("a constructor that looks at what cannot be copied can do so again after a restart") {
    Machine machine;
    auto& rt = machine.rt;
    auto looker = rt.actor<Looker>({.max_restarts = 1, .isolation = own_process}).spawn(std::make_unique<int>(30));
    CHECK(rt.get(looker.call<&Looker::get>()) == 30);
    CHECK_THROWS_AS(rt.get(looker.call<&Looker::die>()), Error);
    CHECK(eventually([&] { return rt.try_get(looker.call<&Looker::get>()).ok(); }));
    CHECK(rt.get(looker.call<&Looker::get>()) == 30);
  }

  TEST_CASE("a literal that is put is a string, and a string_view fits a string parameter") {
    Machine machine;
    auto& rt = machine.rt;
    ObjectRef<std::string> literal = rt.put("literal");
    CHECK(rt.get(literal) == "literal");
    CHECK(rt.get(rt.remote<length>(literal)) == 7);
    CHECK(rt.get(rt.remote<length>(std::string_view("four").substr(1))) == 3);
  }

  TEST_CASE("a pool calls void methods") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const std::string file = folder / "notes";
    ActorPool<Diary, void> pool(rt, {rt.actor<Diary>().spawn(file), rt.actor<Diary>().spawn(file)});
    pool.map<&Diary::note>(std::vector{1, 2, 3});
    pool.map_unordered<&Diary::note>(std::vector{4});
    pool.submit<&Diary::note>(5);
    pool.get_next();
    CHECK_FALSE(pool.has_next());
    CHECK(content(file).size() == 10);
  }

  TEST_CASE("a promise of nothing lets those go on who wait for it") {
    Machine machine;
    auto& rt = machine.rt;
    auto door = rt.actor<Door>().spawn();
    auto through = door.call<&Door::pass>();
    CHECK(rt.get(door.call<&Door::open>()));
    CHECK(rt.get(through) == 7);
    CHECK_FALSE(rt.get(door.call<&Door::open>()));
    ObjectRef<void> unset = Promise<void>().ref();
    error_of<ObjectLost>([&] { rt.get(unset); });
  }

  TEST_CASE("a little of a resource is not none of it") {
    CHECK(Amount(0.00004).raw() == 1);
    CHECK(Amount(0.00006).raw() == 1);
    CHECK(Amount(1e-12).raw() == 0);  // what is left of 1 - 10 * 0.1
    CHECK(Amount(0.0).raw() == 0);
    Machine machine(small_machine(2, 1));
    CHECK(machine.rt.get(machine.rt.task<gpus_of>({.num_gpus = 0.00004}).remote()) == 1);
  }

  TEST_CASE("a loop that awaits coroutines, and coroutines that await each other, are as long as they like") {
    Machine machine;
    auto& rt = machine.rt;
    CHECK(rt.get(rt.remote<sum_up>(300'000)) == 300'000);
    CHECK(rt.get(rt.remote<nested>(1000)) == 1000);
    CHECK(rt.get(rt.remote<descents>(3, 500)) == 3 * 505);
    CHECK(rt.get(rt.remote<descents>(3, 5)) == 30);
    CHECK(rt.get(rt.remote<catching_at_once>()) == 3);
  }

  TEST_CASE("a runtime that was shut down is not the current one") {
    auto first = Runtime::start(small_machine());
    first.shutdown();
    CHECK_THROWS_AS(Runtime::current(), InvalidArgument);
    {
      Machine machine;
      CHECK(&Runtime::current() == &machine.rt);
    }
    first.shutdown();
    CHECK_THROWS_AS(Runtime::current(), InvalidArgument);
  }

  // It said "call manta::Runtime::start first", which would have started another runtime there.
  TEST_CASE("a task in a process of its own that looks for the current runtime is told to use its Context") {
    Machine machine;
    auto& rt = machine.rt;
    const auto error = error_of<TaskError>([&] { rt.get(rt.task<look_for_runtime>({.isolation = own_process}).remote()); });
    CHECK(error.remote_type == "manta::InvalidArgument");
    CHECK_MESSAGE(contains(error.message, "worker process"), error.message);
    CHECK_MESSAGE(contains(error.message, "Context"), error.message);
  }
}

}  // namespace manta_test
