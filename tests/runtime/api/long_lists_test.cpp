// Objects that refer to each other, in lists as long as memory.
#include "support.hpp"

namespace manta_test {

namespace {

constexpr int kLong = 200'000;  // more than a stack of 8 MiB has frames for

struct Node {
  int value = 0;
  ObjectRef<Node> next{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(value, next);
  }
};

ObjectRef<Node> make_list(Client& client, int length) {
  ObjectRef<Node> head;
  for (int i = 0; i < length; ++i) head = client.put(Node{i, head});
  return head;
}

struct Keeper {
  ObjectRef<Node> head{};
  int make(Context& ctx, int length) { return head = make_list(ctx, length), ctx.get(head).value; }
  int drop() { return head = {}, 1; }
};

/// A value whose destructor tells.
struct Told {
  explicit Told(int number = 0) : value(number) {}
  ~Told() { destroyed += value != 0; }
  Told(const Told&) = default;
  Told& operator=(const Told&) = default;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(value, next);
  }
  static inline std::atomic<int> destroyed{0};
  int value;
  std::vector<ObjectRef<Told>> next{};
};

}  // namespace

TEST_SUITE("runtime/api/long lists") {
  TEST_CASE("a list of 200,000 objects goes when its head does, in the driver and in an actor of a process of its own") {
    // The story: each object was destroyed inside the one before, and the stack ended.
    Machine machine;
    auto& rt = machine.rt;
    auto head = make_list(rt, kLong);
    CHECK(rt.get(head).value == kLong - 1);
    head = {};
    for (const auto isolation : {Isolation::kShared, own_process}) {
      auto keeper = rt.actor<Keeper>({.isolation = isolation}).spawn();
      CHECK(rt.get(keeper.call<&Keeper::make>(kLong)) == kLong - 1);
      CHECK(rt.get(keeper.call<&Keeper::drop>()) == 1);
      CHECK(rt.get(keeper.call<&Keeper::drop>()) == 1);  // it lives
    }
  }

  TEST_CASE("what an object refers to has gone when the drop of its last ref returns") {
    if (in_processes()) return;  // a put makes bytes of it there, and the value goes at once
    Machine machine;
    auto& rt = machine.rt;
    Told root(1);
    for (int i = 0; i < 100; ++i) {
      Told branch(1);
      for (int j = 0; j < 10; ++j) branch.next.push_back(rt.put(Told(1)));
      root.next.push_back(rt.put(std::move(branch)));
    }
    auto ref = rt.put(std::move(root));
    root.next.clear();
    Told::destroyed = 0;
    ref = {};
    CHECK(Told::destroyed == 1 + 100 + 1000);
  }
}

}  // namespace manta_test
