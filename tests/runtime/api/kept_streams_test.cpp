// A stream that an actor keeps from one call to the next: it is the actor's, not that of the call which happened to ask for its items.
#include <optional>

#include "support.hpp"

namespace manta_test {
namespace {

Generator<int> gated(std::string gate, int n) {
  for (int i = 0; i < n; ++i) {
    if (i == 3) pass(gate, 0);
    co_yield i;
  }
}

struct Source {
  Generator<int> gated(std::string gate, int n) {
    for (int i = 0; i < n; ++i) {
      if (i == 3) pass(gate, 0);
      co_yield i;
    }
  }
};

class Loader {
 public:
  void open(Context& ctx, const std::string& gate) { stream_.emplace(ctx.task<manta_test::gated>({.max_unread = 4}).remote(gate, 40)); }
  void open_of(const ActorHandle<Source>& source, const std::string& gate) { stream_.emplace(source.options({.max_unread = 4}).call<&Source::gated>(gate, 40)); }
  std::vector<int> take(Context& ctx, int n) {
    std::vector<int> taken;
    for (int i = 0; i < n; ++i) {
      auto item = stream_->next();
      if (!item) break;
      taken.push_back(ctx.get(*item));
    }
    return taken;
  }

 private:
  std::optional<RefStream<int>> stream_;
};

}  // namespace

TEST_SUITE("runtime/api/kept_streams") {
  // The items that the call had asked for were cancelled with it, and so the stream ended for all later ones, in silence.
  TEST_CASE("a stream that an actor keeps goes on when a call that read it is cancelled, or past its deadline") {
    Machine machine;
    auto& rt = machine.rt;
    for (const Isolation where : {Isolation::kShared, own_process})
      for (const bool of_actor : {false, true})
        for (const bool cancelled : {false, true}) {
          CAPTURE(of_actor);
          CAPTURE(cancelled);
          Gate gate;
          auto source = rt.actor<Source>({.num_cpus = 0}).spawn();
          auto loader = rt.actor<Loader>({.num_cpus = 0, .isolation = where}).spawn();
          of_actor ? rt.get(loader.call<&Loader::open_of>(source, gate.path())) : rt.get(loader.call<&Loader::open>(gate.path()));
          CHECK(rt.get(loader.call<&Loader::take>(3), 60s) == std::vector{0, 1, 2});
          if (cancelled) {
            const auto taken = loader.call<&Loader::take>(10);
            CHECK_THROWS_AS(rt.get(taken, 300ms), Timeout);
            rt.cancel(taken);
            CHECK_THROWS_AS(rt.get(taken, 30s), Cancelled);
          } else {
            CHECK_THROWS_AS(rt.get(loader.options({.deadline = 300ms}).call<&Loader::take>(10), 30s), Timeout);
          }
          CHECK(rt.get(loader.call<&Loader::take>(0), 60s).empty());  // by then the other call has been told, and has ended
          gate.open();
          const auto rest = rt.get(loader.call<&Loader::take>(10), 30s);
          CHECK(rest == std::vector{3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
        }
  }
}

}  // namespace manta_test
