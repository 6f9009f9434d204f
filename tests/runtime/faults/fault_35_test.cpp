// Fault 35: cycles of references: actors that hold each other's handles, or their own, are never counted down to nothing. They
// live until kill or the end of the runtime, which runs their destructors. actor.hpp says so.
#include "../api/support.hpp"

namespace manta_test {
namespace {

class Node {
 public:
  Node() = default;
  explicit Node(std::string file) : file_(std::move(file)) {}
  ~Node() {
    if (!file_.empty()) append(file_, "gone\n");
  }
  void point_at(ActorHandle<Node> other) { other_ = std::move(other); }
  int hops(Context& ctx, int left) { return left == 0 ? 0 : 1 + ctx.get(other_.call<&Node::hops>(left - 1)); }

 private:
  std::string file_;
  ActorHandle<Node> other_;
};

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 35: actors that hold each other's handles live until the runtime ends, and then all go") {
    const Clean clean;
    for (auto where : {Isolation::kShared, own_process}) {
      Folder folder;
      const std::string file = folder / "log";
      {
        Runtime rt = Runtime::start(small_machine());  // no Machine: the cycles are there until it ends
        {
          auto self = rt.actor<Node>().spawn(file);
          rt.get(self.call<&Node::point_at>(self));
          auto a = rt.actor<Node>({.isolation = where}).spawn(file);
          auto b = rt.actor<Node>().spawn(file);
          rt.get(a.call<&Node::point_at>(b));
          rt.get(b.call<&Node::point_at>(a));
          CHECK(rt.get(a.call<&Node::hops>(1), 20s) == 1);
        }
        auto probe = rt.actor<Node>().spawn(file);
        rt.get(probe.call<&Node::point_at>(ActorHandle<Node>{}));
        probe = {};
        CHECK(eventually([&] { return content(file) == "gone\n"; }));  // the probe only: the cycles are still there
      }
      CHECK(content(file) == "gone\ngone\ngone\ngone\n");
    }
  }

  TEST_CASE("fault 35: kill breaks a cycle") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const std::string file = folder / "log";
    auto a = rt.actor<Node>().spawn(file);
    {
      auto b = rt.actor<Node>().spawn(file);
      rt.get(a.call<&Node::point_at>(b));
      rt.get(b.call<&Node::point_at>(a));
    }
    a.kill();
    CHECK(eventually([&] { return content(file) == "gone\ngone\n"; }));
  }
}

}  // namespace manta_test
