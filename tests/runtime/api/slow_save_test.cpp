// Values whose own save takes its time, and what it must not hold up. The story: the thread that turned such a value into bytes had its
// cell's lock until the node had answered where they go; when a second process asked for it meanwhile, the thread that was to
// read that answer slept on the lock, and the process answered nobody any more.
#include "runtime/promise.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

struct Slow {
  int number = 0;
  Buffer bytes{};
  template <class Archive>
  void save(Archive& archive) const {
    std::this_thread::sleep_for(50ms);
    archive(number, bytes);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(number, bytes);
  }
};

struct Desk {
  /// A value that is there, but has not been turned into bytes: it goes by the arena, as it is large.
  std::vector<ObjectRef<Slow>> keep(int number) {
    Promise<Slow> promise;
    promise.set({number, Buffer::copy(std::vector<std::byte>(1 << 20))});
    return {promise.ref()};
  }
  int say(int number) { return number; }
};

int read_at_once(Context& ctx, const std::vector<ObjectRef<Slow>>& kept, const std::string& log, const std::string& gate) {
  append(log, ".");
  pass(gate, 0);
  return ctx.get(kept.at(0)).number;
}

}  // namespace

TEST_SUITE("runtime/api/slow_save") {
  TEST_CASE("two processes that ask at once for a value that takes long to save both get it, and its process goes on") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    auto desk = rt.actor<Desk>({.num_cpus = 0, .isolation = own_process}).spawn();
    for (int round = 0; round < 2; ++round) {
      Gate gate;
      const auto log = folder / ("log" + std::to_string(round));
      const auto kept = desk.call<&Desk::keep>(round);
      std::vector<ObjectRef<int>> readers;
      for (int i = 0; i < 2; ++i)
        readers.push_back(rt.task<read_at_once>({.num_cpus = 0, .isolation = own_process}).remote(kept, log, gate.path()));
      REQUIRE(eventually([&] { return content(log).size() == 2; }));
      gate.open();
      for (const auto& reader : readers) {
        const auto number = rt.try_get(reader, 60s);
        const auto why = number.ok() ? "" : number.error().to_string();
        REQUIRE_MESSAGE(number.ok(), why);
        CHECK(*number == round);
      }
      const auto said = rt.try_get(desk.call<&Desk::say>(7), 60s);
      REQUIRE(said.ok());
      CHECK(*said == 7);
    }
  }
}

}  // namespace manta_test
