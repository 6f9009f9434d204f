// Values whose own save or load throws, or which do not write the same twice, wherever the runtime turns values into bytes. The story: the exception
// of the user's came out of put and remote bare, and of a tuple's results those that were placed already stayed in the arena for ever.
#include <stdexcept>

#include "support.hpp"

namespace manta_test {
namespace {

/// Its load throws when it is told to.
struct Sealed {
  bool closed = false;
  Buffer content{};
  template <class Archive>
  void save(Archive& archive) const {
    archive(closed, content);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(closed, content);
    if (closed) throw std::runtime_error("the seal holds");
  }
};
int open_seal(const Sealed&) { return 1; }
struct Post {
  int open(Sealed) { return 2; }
};

enum class How { kFine, kThrows, kThrowsAnInt, kThrowsLate, kGrows, kShrinks };

/// Its save does as told: kThrowsLate only when it writes, after its ref and its bytes have been written.
struct Brittle {
  How how = How::kFine;
  Buffer bytes{};
  ObjectRef<int> ref{};
  template <class Archive>
  void save(Archive& archive) const {
    static thread_local int passes = 0;  // first one counts, then one writes
    const bool writes = ++passes % 2 == 0;
    if (how == How::kThrows || how == How::kThrowsAnInt) passes = 0;
    if (how == How::kThrows) throw std::runtime_error("the glass is cracked");
    if (how == How::kThrowsAnInt) throw 1;
    archive(how, bytes, ref);
    if (how == How::kThrowsLate && writes) throw std::logic_error("the glass broke on its way");
    if (how == How::kGrows && writes) archive(1);
    if (how == How::kShrinks && !writes) archive(1);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(how, bytes, ref);
  }
};

Brittle brittle(How how, std::size_t size = 0) { return {how, Buffer::copy(std::vector<std::byte>(size)), {}}; }
constexpr std::size_t kLarge = 1 << 20;  // goes by the arena
const TaskOptions kAlone{.max_retries = 3, .isolation = own_process};

int count_bytes(const Brittle& value) { return static_cast<int>(value.bytes.size()); }
Brittle make(const std::string& log, How how, std::size_t size) {
  append(log, "ran;");
  return brittle(how, size);
}
std::tuple<Buffer, Brittle, Buffer> make_three(How how, std::size_t size) {
  const auto large = Buffer::copy(std::vector<std::byte>(kLarge));
  return {large, brittle(how, size), large};
}
/// With the ref that came inside a value, so that it was not looked at before.
int look_inside(Context& ctx, const std::vector<ObjectRef<Brittle>>& refs) { return count_bytes(ctx.get(refs.at(0))); }
Brittle later(const std::string& gate, How how) {
  pass(gate, 0);
  return brittle(how);
}
Generator<Brittle> two_items(How second) {
  co_yield brittle(How::kFine);
  co_yield brittle(second);
}

struct Cabinet {
  Cabinet() = default;
  explicit Cabinet(const Brittle&) {}
  int calls = 0;
  int put(const Brittle&) { return ++calls; }
  Brittle take(How how, std::size_t size) {
    ++calls;
    return brittle(how, size);
  }
  int count() { return calls; }
};

void says_what_broke(const ErrorInfo& error, const std::string& where) {
  const auto text = error.to_string();
  CHECK_MESSAGE(contains(text, "Brittle"), text);
  CHECK_MESSAGE(contains(text, "std::runtime_error: the glass is cracked"), text);
  CHECK_MESSAGE(contains(text, "Mend that"), text);
  CHECK_MESSAGE(contains(text, where), text);
}

}  // namespace

TEST_SUITE("runtime/api") {
  TEST_CASE("a value whose save throws is not put: the caller hears the type and the reason, and nothing stays") {
    if (!in_processes()) return;  // on threads it stays what it is
    Machine machine;
    auto& rt = machine.rt;
    const ObjectRef<int> inner = rt.put(5);
    says_what_broke(error_of<TaskError>([&] { rt.put(brittle(How::kThrows)); }), "");
    const auto number = error_of<TaskError>([&] { rt.put(brittle(How::kThrowsAnInt)); });
    CHECK_MESSAGE(contains(number.message, "threw int"), number.message);
    for (const auto size : {std::size_t{0}, kLarge}) {
      auto late = brittle(How::kThrowsLate, size);
      late.ref = inner;
      CHECK(error_of<TaskError>([&] { rt.put(late); }).remote_type == "std::logic_error");
      for (const auto how : {How::kGrows, How::kShrinks}) {
        const auto error = error_of<InvalidArgument>([&] { rt.put(brittle(how, size)); });
        CHECK_MESSAGE(contains(error.message, "the same each time"), error.message);
      }
    }
    CHECK(rt.stats().arena_bytes == 0);
    CHECK(rt.get_shared(rt.put(brittle(How::kFine, kLarge)))->bytes.size() == kLarge);
  }

  TEST_CASE("a durable object whose save throws leaves what was there before") {
    Folder folder;
    auto options = small_machine();
    options.durable_dir = folder / "durable";
    Machine machine(options);
    auto& rt = machine.rt;
    rt.put(std::string("before"), {.durable_name = "x"});
    says_what_broke(error_of<TaskError>([&] { rt.put(brittle(How::kThrows), {.durable_name = "x", .type_tag = "brittle"}); }), "");
    CHECK_THROWS_AS(rt.put(brittle(How::kThrowsLate, kLarge), {.durable_name = "x", .type_tag = "brittle"}), TaskError);
    CHECK(rt.get(rt.find_durable<std::string>("x")) == "before");
  }

  TEST_CASE("an argument whose save throws is refused where the task is submitted, and the next one is taken") {
    Machine machine;
    auto& rt = machine.rt;
    auto counting = rt.task<count_bytes>(kAlone);
    says_what_broke(error_of<TaskError>([&] { counting.remote(brittle(How::kThrows)); }), "the arguments of");
    const auto inner = rt.put(5);
    for (const auto size : {std::size_t{0}, kLarge}) {
      auto late = brittle(How::kThrowsLate, size);
      late.ref = inner;
      CHECK_THROWS_AS(counting.remote(late), TaskError);
      CHECK_THROWS_AS(counting.remote(brittle(How::kGrows, size)), InvalidArgument);
      CHECK_THROWS_AS(counting.remote(brittle(How::kShrinks, size)), InvalidArgument);
    }
    CHECK(rt.stats().unfinished == 0);
    CHECK(rt.get(counting.remote(brittle(How::kFine, kLarge))) == static_cast<int>(kLarge));
  }

  // The story: by value it was InvalidArgument, as if another function's arguments had come.
  TEST_CASE("an argument whose load throws fails the task with what it threw, by value as by ref") {
    Machine machine;
    auto& rt = machine.rt;
    auto opening = rt.task<open_seal>(kAlone);
    auto post = rt.actor<Post>({.isolation = own_process}).spawn();
    const auto says = [](const ErrorInfo& error) {
      const auto text = error.to_string();
      CHECK_MESSAGE(contains(text, "load or serialize"), text);
      CHECK_MESSAGE(contains(text, "TaskError(std::runtime_error): the seal holds"), text);
    };
    const auto by_value = error_of<TaskError>([&] { rt.get(opening.remote(Sealed{true}), 60s); });
    says(by_value);
    CHECK(by_value.remote_type == "std::runtime_error");
    CHECK_MESSAGE(contains(by_value.message, "open_seal"), by_value.message);
    says(error_of<TaskError>([&] { rt.get(post.call<&Post::open>(Sealed{true}), 60s); }));
    // Of a small object it was the task's own error, which retry_on makes it run again for.
    for (const std::size_t size : {std::size_t{0}, kLarge}) {
      if (!in_processes()) break;  // else put keeps the object itself
      const auto object = rt.put(Sealed{true, Buffer::copy(std::vector<std::byte>(size))});
      auto again = kAlone;
      again.retry_on = retry_on_all;
      const auto error = error_of<TaskError>([&] { rt.get(rt.task<open_seal>(again).remote(object), 60s); });
      CHECK_MESSAGE(contains(error.to_string(), "the seal holds"), error.to_string());
      CHECK_MESSAGE(!contains(error.to_string(), "attempt"), error.to_string());
      CHECK(error.did_not_run);
    }
    const auto kept = rt.put(Sealed{false});
    CHECK(rt.get(opening.remote(Sealed{false}), 60s) == 1);
    CHECK(rt.get(opening.remote(kept), 60s) == 1);
    CHECK(rt.get(post.call<&Post::open>(Sealed{false}), 60s) == 2);
  }

  TEST_CASE("an object whose save throws fails what needs it in another process, at the submit or when it is there") {
    if (in_processes()) return;  // there it is no object
    Machine machine;
    auto& rt = machine.rt;
    const auto ref = rt.put(brittle(How::kThrows));
    says_what_broke(error_of<TaskError>([&] { rt.task<count_bytes>(kAlone).remote(ref); }), "object argument 1");
    CHECK(rt.get(rt.remote<count_bytes>(ref)) == 0);  // a thread takes it as it is
    Gate gate;
    const auto late = rt.remote<later>(gate.path(), How::kThrows);
    const auto waits = rt.task<count_bytes>(kAlone).remote(late);
    gate.open();
    says_what_broke(error_of<TaskError>([&] { rt.get(waits, 60s); }), "object argument 1");
    says_what_broke(error_of<TaskError>([&] { rt.get(rt.task<look_inside>(kAlone).remote(std::vector{ref}), 60s); }), "look_inside");
  }

  TEST_CASE("a result whose save throws fails the task, which is not run again for it") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const auto log = folder / "log";
    const TaskOptions stubborn{.max_retries = -1, .retry_on = retry_on<std::exception>, .isolation = own_process};
    const auto ref = rt.task<make>(stubborn).remote(log, How::kThrows, 0);
    says_what_broke(error_of<TaskError>([&] { rt.get_shared(ref, 60s); }), "make #");
    CHECK(content(log) == "ran;");
    for (const auto how : {How::kThrowsAnInt, How::kThrowsLate})
      CHECK_THROWS_AS(rt.get_shared(rt.task<make>(kAlone).remote(log, how, kLarge), 60s), TaskError);
    for (const auto how : {How::kGrows, How::kShrinks})
      CHECK_THROWS_AS(rt.get_shared(rt.task<make>(kAlone).remote(log, how, kLarge), 60s), InvalidArgument);
    CHECK(content(log) == "ran;ran;ran;ran;ran;");
    CHECK(rt.get_shared(rt.task<make>(kAlone).remote(log, How::kFine, kLarge), 60s)->bytes.size() == kLarge);
  }

  TEST_CASE("of several results one whose save throws fails all, and what was placed of the others is free again") {
    Machine machine;
    auto& rt = machine.rt;
    for (const auto size : {std::size_t{0}, kLarge}) {
      const auto [first, second, third] = rt.task<make_three>(kAlone).remote(How::kThrowsLate, size);
      CHECK_THROWS_AS(rt.get_shared(first, 60s), TaskError);
      CHECK_THROWS_AS(rt.get_shared(second, 60s), TaskError);
      CHECK_THROWS_AS(rt.get_shared(third, 60s), TaskError);
      CHECK(eventually([&] { return rt.stats().arena_bytes == 0; }));
    }
  }

  TEST_CASE("an actor whose arguments or results cannot be sent lives on, and one that cannot be made leaves its name free") {
    Machine machine;
    auto& rt = machine.rt;
    const ActorOptions options{.name = "cabinet", .isolation = own_process};
    says_what_broke(error_of<TaskError>([&] { rt.actor<Cabinet>(options).spawn(brittle(How::kThrows)); }), "the arguments of");
    CHECK_THROWS_AS(rt.actor<Cabinet>(options).spawn(brittle(How::kThrowsLate, kLarge)), TaskError);
    CHECK(rt.stats().actors == 0);
    auto cabinet = rt.actor<Cabinet>(options).spawn();
    says_what_broke(error_of<TaskError>([&] { cabinet.call<&Cabinet::put>(brittle(How::kThrows)); }), "the arguments of");
    says_what_broke(error_of<TaskError>([&] { rt.get_shared(cabinet.call<&Cabinet::take>(How::kThrows, 0), 60s); }), "take #");
    CHECK_THROWS_AS(rt.get_shared(cabinet.call<&Cabinet::take>(How::kThrowsLate, kLarge), 60s), TaskError);
    CHECK(rt.get(cabinet.call<&Cabinet::count>(), 60s) == 2);
  }

  TEST_CASE("a stream whose item cannot be sent fails at that item") {
    Machine machine;
    auto& rt = machine.rt;
    auto stream = rt.task<two_items>({.isolation = own_process}).remote(How::kThrows);
    auto first = stream.next();
    REQUIRE(first);
    CHECK(rt.get_shared(*first, 60s)->bytes.empty());
    says_what_broke(error_of<TaskError>([&] {
                      while (auto item = stream.next()) rt.get_shared(*item, 60s);
                    }), "");
  }
}

}  // namespace manta_test
