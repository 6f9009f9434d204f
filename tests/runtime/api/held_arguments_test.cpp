// Arguments whose destructors give something back, of work that is cancelled or killed: a call there threw Cancelled, out of a destructor.
#include "runtime/promise.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

class Lock {
 public:
  int give_back() { return ++given_back_; }
  int given_back() const { return given_back_; }

 private:
  int given_back_ = 0;
};

struct Held {
  ActorHandle<Lock> lock{};
  Held() = default;
  explicit Held(ActorHandle<Lock> taken) : lock(std::move(taken)) {}
  Held(Held&& other) noexcept : lock(std::exchange(other.lock, {})) {}
  Held& operator=(Held&& other) noexcept { return std::swap(lock, other.lock), *this; }
  ~Held() {
    if (lock) lock.call<&Lock::give_back>();
  }
  template <class Archive>
  void serialize(Archive& archive) { archive(lock); }
};
using Box = std::vector<ObjectRef<int>>;

int hold(Context& ctx, const Held&, const std::string& log, const Box& box) { return append(log, "x"), ctx.get(box.at(0)); }
Async<int> hold_waiting(Context&, Held, std::string log, Box box) {
  append(log, "x");
  auto ref = box.at(0);
  co_return co_await ref;
}
class Desk {
 public:
  int hold(Context& ctx, const Held& held, const std::string& log, const Box& box) { return manta_test::hold(ctx, held, log, box); }
  Async<int> hold_waiting(Context&, Held, std::string log, Box box) {
    append(log, "x");
    auto ref = box.at(0);
    co_return co_await ref;
  }
};

enum class Way { kTask, kWaitingTask, kCall, kWaitingCall };

ObjectRef<int> begin(Runtime& rt, Way way, const ActorHandle<Desk>& desk, const ActorHandle<Lock>& lock, const std::string& log, const Box& box) {
  switch (way) {
    case Way::kTask: return rt.remote<hold>(Held(lock), log, box);
    case Way::kWaitingTask: return rt.remote<hold_waiting>(Held(lock), log, box);
    case Way::kCall: return desk.call<&Desk::hold>(Held(lock), log, box);
    default: return desk.call<&Desk::hold_waiting>(Held(lock), log, box);
  }
}

}  // namespace

TEST_SUITE("runtime/api/held arguments") {
  TEST_CASE("what arguments of cancelled and killed work give back in their destructors arrives") {
    for (const auto way : {Way::kTask, Way::kWaitingTask, Way::kCall, Way::kWaitingCall})
      for (const bool kill : {false, true}) {
        const bool of_desk = way == Way::kCall || way == Way::kWaitingCall;
        if (kill && !of_desk) continue;
        CAPTURE(static_cast<int>(way));
        CAPTURE(kill);
        Machine machine;
        auto& rt = machine.rt;
        Folder folder;
        Promise<int> never;
        auto lock = rt.actor<Lock>().spawn();
        auto desk = rt.actor<Desk>().spawn();
        const auto log = folder / "log";
        const auto ref = begin(rt, way, desk, lock, log, Box{never.ref()});
        REQUIRE(eventually([&] { return content(log) == "x"; }, 30s));
        kill ? desk.kill() : rt.cancel(ref);
        CHECK_FALSE(rt.try_get(ref, 30s).ok());
        CHECK(eventually([&] { return rt.get(lock.call<&Lock::given_back>(), 30s) >= 1; }, 20s));
        never.set(1);
      }
  }
}

}  // namespace manta_test
