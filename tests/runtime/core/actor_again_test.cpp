// An actor is placed once more: one whose constructor could not begin, and one that is a generator task, by the rules for tasks. And its
// calls are sent once more: those that come back as an argument was lost.
#include "runtime/core/actor_table.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <numeric>
#include <random>

namespace manta::core {
namespace {

constexpr ActorId kActor{1};

struct Table {
  explicit Table(ActorTable::Limits limits = {.max_restarts = 1}) { actors.create(kActor, limits, 0, effects); }
  ActorEffects take() { return std::exchange(effects, {}); }
  void grant(std::uint64_t lease) {
    actors.lease_granted(kActor, {lease}, effects);
    CHECK(take().create.size() == 1);
  }
  /// Granted, constructed, its process lost.
  ActorEffects lose(std::uint64_t lease, ProcessLoss loss) {
    grant(lease);
    actors.created(kActor, {lease}, effects);
    take();
    actors.lease_lost({lease}, effects, loss);
    return take();
  }
  ActorTable actors{};
  ActorEffects effects{};
};

/// Alive, with calls that were sent.
struct Sent : Table {
  explicit Sent(std::size_t count, ActorTable::Limits limits = {.max_restarts = 1, .max_task_retries = 1}) : Table(limits) {
    for (std::size_t i = 0; i < count; ++i) call();
    live(1);
  }
  CallNode& call() {
    nodes.push_back(std::make_unique<CallNode>(CallNode{.id = {nodes.size() + 1}, .actor = kActor}));
    actors.call(*nodes.back(), effects);
    return *nodes.back();
  }
  std::vector<std::uint64_t> live(std::uint64_t lease) {
    actors.lease_granted(kActor, {lease}, effects);
    actors.created(kActor, {lease}, effects);
    return sent();
  }
  CallNode& at(std::size_t number) { return *nodes.at(number - 1); }
  /// Its argument is lost, and is being made again.
  void lose(std::size_t number, std::uint32_t losses) {
    actors.came_back(at(number), losses);
    at(number).unresolved = 1;
    CHECK(actors.again(at(number), effects));
  }
  void come_back(std::size_t number, std::uint32_t losses) {
    actors.came_back(at(number), losses);
    CHECK(actors.again(at(number), effects));
  }
  /// The numbers of what is sent.
  std::vector<std::uint64_t> sent() {
    std::vector<std::uint64_t> numbers;
    for (const auto& send : take().sends) numbers.push_back(send.call->id.value);
    return numbers;
  }
  std::vector<std::unique_ptr<CallNode>> nodes{};
};
using Numbers = std::vector<std::uint64_t>;

/// A place that runs one call at a time and does with a lost argument what HostedActor does, and the caller; what they tell each other
/// takes its time.
class Course {
 public:
  explicit Course(unsigned seed) : random_(seed) { live(); }
  void run() {
    for (int i = 0; i < 300; ++i) step(random_() % 7);
    for (int i = 0; i < 100'000 && ended_ < calls_.size(); ++i) step(1 + random_() % 4);
    REQUIRE(ended_ == calls_.size());
  }

 private:
  struct Call : CallNode {
    unsigned to_lose = 0;
    bool ended = false;
  };
  enum class How : std::uint8_t { kEnded, kLost, kUnstarted };
  struct Way {
    Call* call;
    std::uint32_t losses;
    How how = How::kEnded;
  };

  void step(unsigned what) {
    switch (what) {
      case 0: make(); break;
      case 1: if (!going_.empty()) queue_.push_back(going_.front()), going_.pop_front(); break;
      case 2: if (!queue_.empty()) begin_next(); break;
      case 3: if (!coming_.empty()) hear(); break;
      case 4: settle_argument(); break;
      case 5: if (random_() % 8 == 0 && !calls_.empty()) cancel(*calls_[random_() % calls_.size()]); break;
      case 6: if (random_() % 30 == 0) die(); break;
    }
    perform();
  }
  void make() {
    auto call = std::make_unique<Call>();
    call->id = {calls_.size() + 1};
    call->actor = kActor;
    call->unresolved = random_() % 6 == 0;
    call->to_lose = random_() % 5 == 0 ? 1 + random_() % 2 : 0;
    calls_.push_back(std::move(call));
    table_.actors.call(*calls_.back(), table_.effects);
  }
  void begin_next() {
    const auto next = queue_.front();
    queue_.pop_front();
    auto* call = next.call;
    if (next.losses != losses_) return coming_.push_back({call, losses_, How::kUnstarted});
    if (call->to_lose == 0) {
      REQUIRE(call->id.value > last_);
      last_ = call->id.value;
      return coming_.push_back({call, 0});
    }
    --call->to_lose;
    coming_.push_back({call, ++losses_, How::kLost});
    for (const auto& each : queue_) coming_.push_back({each.call, losses_, How::kUnstarted});
    queue_.clear();
  }
  void hear() {
    const auto heard = coming_.front();
    coming_.pop_front();
    auto& call = *heard.call;
    if (heard.how != How::kEnded) table_.actors.came_back(call, heard.losses);
    const bool recovers = heard.how == How::kUnstarted || (heard.how == How::kLost && random_() % 4 != 0);
    if (!recovers || call.unwanted) return finish(call);
    call.unresolved = heard.how == How::kLost && random_() % 4 != 0;
    REQUIRE(table_.actors.again(call, table_.effects));
  }
  void finish(Call& call) {
    table_.actors.finished(call, table_.effects);
    end(call);
  }
  void end(Call& call) {
    REQUIRE_FALSE(std::exchange(call.ended, true));
    ++ended_;
  }
  void settle_argument() {
    const auto late = std::find_if(calls_.begin(), calls_.end(), [](const auto& each) { return each->unresolved && !each->ended; });
    if (late != calls_.end()) table_.actors.argument_ready(**late, table_.effects);
  }
  /// One that has not begun there is told at once, ahead of those that come back.
  void cancel(Call& call) {
    if (call.ended || call.unwanted) return;
    if (table_.actors.cancel(call, table_.effects)) return end(call);
    const auto queued = std::find_if(queue_.begin(), queue_.end(), [&call](const Way& each) { return each.call == &call; });
    if (queued == queue_.end()) return;
    queue_.erase(queued);
    coming_.push_front({&call, 0});
  }
  void die() {
    going_.clear(), queue_.clear(), coming_.clear();
    last_ = 0, losses_ = 0;
    table_.actors.lease_lost({lease_}, table_.effects);
    live();
  }
  void live() {
    table_.actors.lease_granted(kActor, {++lease_}, table_.effects);
    table_.actors.created(kActor, {lease_}, table_.effects);
  }
  void perform() {
    const auto effects = table_.take();
    for (const auto& failure : effects.failures) end(static_cast<Call&>(*failure.call));
    for (const auto& send : effects.sends) going_.push_back({static_cast<Call*>(send.call), send.call->losses});
  }

  std::mt19937 random_;
  Table table_{{.max_restarts = -1, .max_task_retries = -1}};
  std::vector<std::unique_ptr<Call>> calls_{};
  std::deque<Way> going_{}, queue_{}, coming_{};
  std::uint64_t lease_ = 0, last_ = 0;
  std::uint32_t losses_ = 0;
  std::size_t ended_ = 0;
};

}  // namespace

TEST_SUITE("runtime/core/actor_again") {
  TEST_CASE("an actor whose constructor ends its process twice in a row waits before the next, longer each time") {
    Table table({.max_restarts = -1});
    const auto dies_starting = [&](std::uint64_t lease) {
      table.grant(lease);
      table.actors.lease_lost({lease}, table.effects);
      return table.take();
    };
    CHECK(dies_starting(1).want == std::vector{kActor});  // the first: at once
    for (int death = 2; death <= 4; ++death) {
      const auto effects = dies_starting(static_cast<std::uint64_t>(death));
      CHECK(effects.want.empty());
      REQUIRE(effects.back_off.size() == 1);
      CHECK(effects.back_off[0].deaths == death - 1);
      CHECK(table.actors.pauses_after(kActor) == death);
      table.actors.restart_due(kActor, table.effects);
      CHECK(table.actors.pauses_after(kActor) == 0);
      CHECK(table.take().want == std::vector{kActor});
    }
    CHECK(table.lose(5, {}).want == std::vector{kActor});  // it had been constructed: at once
    CHECK(dies_starting(6).want == std::vector{kActor});
    CHECK(dies_starting(7).back_off.size() == 1);
    table.actors.kill(kActor, table.effects);  // within the pause
    table.take();
    table.actors.restart_due(kActor, table.effects);
    CHECK(table.take().want.empty());
  }

  TEST_CASE("an actor whose constructor found its argument lost is placed again, which is no restart, once its place is empty and the argument there") {
    for (const bool argument_first : {true, false}) {
      Table table;
      CallNode call{.id = {1}, .actor = kActor};
      table.actors.call(call, table.effects);
      table.grant(1);
      CHECK_FALSE(table.actors.construct_again(kActor, {2}, true, table.effects));
      REQUIRE(table.actors.construct_again(kActor, {1}, true, table.effects));
      CHECK(table.actors.state(kActor) == ActorState::kWaitingForArguments);
      if (argument_first) table.actors.constructor_argument_ready(kActor, table.effects);
      CHECK(table.take().want.empty());
      table.actors.destroyed(kActor, table.effects);
      const auto emptied = table.take();
      CHECK(emptied.give_back == std::vector{LeaseId{1}});
      CHECK(emptied.want.size() == (argument_first ? 1 : 0));
      if (!argument_first) table.actors.constructor_argument_ready(kActor, table.effects);
      table.grant(2);
      table.actors.created(kActor, {2}, table.effects);
      const auto sends = table.take().sends;
      REQUIRE(sends.size() == 1);
      CHECK(sends[0].call == &call);
      CHECK(table.actors.may_restart(kActor));
    }
    Table gone;  // its worker dies before it says that the place is empty
    gone.grant(1);
    REQUIRE(gone.actors.construct_again(kActor, {1}, false, gone.effects));
    gone.actors.lease_lost({1}, gone.effects);
    CHECK(gone.take().want == std::vector{kActor});
    gone.grant(2);
    REQUIRE(gone.actors.construct_again(kActor, {2}, true, gone.effects));
    gone.actors.kill(kActor, gone.effects);
    gone.actors.dropped(kActor, gone.effects);
    CHECK(gone.take().destroy.empty());
    gone.actors.destroyed(kActor, gone.effects);
    const auto end = gone.take();
    CHECK(end.give_back == std::vector{LeaseId{2}});
    CHECK(end.forgotten == std::vector{kActor});
  }

  // It was restarted at once and without an end.
  TEST_CASE("a generator task that ends its processes by its own doing is poisoned with the third one; an actor is restarted") {
    for (const bool of_task : {true, false}) {
      Table table({.max_restarts = -1, .max_task_retries = -1, .of_task = of_task, .own_process = true});
      CallNode call{.id = {1}, .actor = kActor};
      table.actors.call(call, table.effects);
      CHECK(table.lose(1, {.own_doing = true}).want == std::vector{kActor});
      CHECK(table.lose(2, {}).want == std::vector{kActor});  // ended by somebody else
      CHECK(table.lose(3, {.own_doing = true}).want == std::vector{kActor});
      const auto end = table.lose(4, {.own_doing = true});
      CHECK(end.want.size() == (of_task ? 0 : 1));
      CHECK(end.failures.size() == (of_task ? 1 : 0));
      REQUIRE(end.poisoned.size() == (of_task ? 1 : 0));
      if (of_task) CHECK(end.poisoned[0].deaths == 3);
      CHECK(table.actors.state(kActor) == (of_task ? ActorState::kDead : ActorState::kRestarting));
    }
  }

  TEST_CASE("a generator task whose process others used too is not charged and has one of its own from then on, unless it runs at most once") {
    Table table({.max_restarts = 1, .max_task_retries = 1, .of_task = true});
    CallNode call{.id = {1}, .actor = kActor};
    table.actors.call(call, table.effects);
    const auto lost = table.lose(1, {.shared = true});
    CHECK(lost.isolate == std::vector{kActor});
    CHECK(lost.want == std::vector{kActor});
    CHECK(lost.failures.empty());
    CHECK(call.crashes == 0);
    CHECK(table.lose(2, {.shared = true}).isolate.empty());
    CHECK(call.crashes == 1);
    const auto end = table.lose(3, {});
    CHECK(end.failures.size() == 1);
    CHECK(end.poisoned.empty());
    Table shared({.max_restarts = 1, .of_task = true});
    shared.lose(1, {});
    CHECK(shared.actors.may_restart(kActor));  // in company; so what it is constructed from is still wanted
    CHECK(shared.lose(2, {.shared = true}).isolate.size() == 1);
    CHECK_FALSE(shared.actors.may_restart(kActor));
    Table once({.of_task = true});
    CHECK_FALSE(once.actors.may_restart(kActor));
    CHECK(once.lose(1, {.shared = true}).want.empty());
    CHECK(once.actors.state(kActor) == ActorState::kDead);
  }

  TEST_CASE("a generator task waits before its next place where it has a back-off, or was ended for memory") {
    Table table({.max_restarts = 3, .of_task = true, .backs_off = true, .own_process = true});
    auto lost = table.lose(1, {});
    CHECK(lost.want.empty());
    REQUIRE(lost.back_off.size() == 1);
    CHECK(lost.back_off[0].deaths == 1);
    table.actors.lease_granted(kActor, {9}, table.effects);  // of none that it asked for
    CHECK(table.take().give_back == std::vector{LeaseId{9}});
    table.actors.restart_due(kActor, table.effects);
    table.actors.restart_due(kActor, table.effects);
    CHECK(table.take().want == std::vector{kActor});
    CHECK(table.lose(2, {}).back_off.size() == 1);
    table.actors.kill(kActor, table.effects);
    table.actors.restart_due(kActor, table.effects);
    CHECK(table.take().want.empty());
    Table memory({.max_restarts = 1, .of_task = true});
    lost = memory.lose(1, {.shared = true, .for_memory = true});
    CHECK(lost.isolate.size() == 1);
    CHECK(lost.want.empty());
    REQUIRE(lost.back_off.size() == 1);
    CHECK(lost.back_off[0].deaths == 0);
    memory.actors.restart_due(kActor, memory.effects);
    CHECK(memory.take().want.size() == 1);
    CHECK(memory.lose(2, {.for_memory = true}).back_off.size() == 1);
  }

  // Those behind it ran; of two lost ones the second came back ahead of the first.
  TEST_CASE("calls that come back are sent again in their order, ahead of newer ones, once all that were sent behind the first are back") {
    Sent table(6);
    table.lose(2, 1);
    table.call();
    CHECK(table.actors.place_of(table.at(7), [](const CallNode&) { return true; }).ahead > 0);
    table.come_back(3, 1);
    CHECK_FALSE(table.actors.cancel(table.at(4), table.effects));
    table.actors.finished(table.at(4), table.effects);
    table.actors.argument_ready(table.at(2), table.effects);
    table.come_back(5, 1);
    CHECK(table.sent().empty());  // 6 is on its way yet; 1 had begun, and holds up nothing
    table.come_back(6, 1);
    CHECK(table.sent() == Numbers{2, 3, 5, 6, 7});
    CHECK(table.at(2).losses == 1);
    table.lose(3, 2);
    table.lose(5, 2);  // behind a lost one, where a host would give it back unread
    table.come_back(6, 2);
    table.come_back(7, 2);
    table.actors.argument_ready(table.at(5), table.effects);
    CHECK(table.sent().empty());
    table.actors.argument_ready(table.at(3), table.effects);
    CHECK(table.sent() == Numbers{3, 5, 6, 7});
    CHECK(table.at(7).losses == 2);
  }

  TEST_CASE("calls behind a lost one go on when that fails or is cancelled; newer ones wait until they are back") {
    for (const bool fails : {true, false}) {
      Sent table(3);
      if (fails) {
        table.actors.came_back(table.at(1), 1);
        table.actors.finished(table.at(1), table.effects);
      } else {
        table.lose(1, 1);
        CHECK(table.actors.cancel(table.at(1), table.effects));
      }
      table.call();
      table.come_back(2, 1);
      CHECK(table.sent().empty());
      table.come_back(3, 1);
      CHECK(table.sent() == Numbers{2, 3, 4});
      table.actors.dropped(kActor, table.effects);
      for (std::size_t i = 2; i <= 4; ++i) table.actors.finished(table.at(i), table.effects);
      CHECK(table.take().destroy.size() == 1);
    }
  }

  TEST_CASE("calls that are back and calls in flight go again in their order when the actor restarts; the new place has counted no loss") {
    Sent table(4);
    table.lose(1, 1);
    table.come_back(2, 1);
    table.call();
    table.actors.lease_lost({1}, table.effects);
    CHECK(table.take().failures.empty());
    CHECK(table.live(2).empty());
    table.actors.argument_ready(table.at(1), table.effects);
    CHECK(table.sent() == Numbers{1, 2, 3, 4, 5});
    CHECK(table.at(1).losses == 0);
    CHECK(table.at(1).crashes == 0);  // it was not there
    CHECK(table.at(3).crashes == 1);
    table.actors.kill(kActor, table.effects);
    CHECK(table.take().failures.size() == 5);
  }

  TEST_CASE("calls of an unordered actor that come back go again at once; one that is not in flight does not") {
    Sent table(3, {.unordered = true});
    table.lose(1, 1);
    table.come_back(2, 1);
    CHECK(table.sent() == Numbers{2});
    CHECK(table.at(2).losses == 1);
    table.actors.came_back(table.at(1), 7);
    CHECK_FALSE(table.actors.again(table.at(1), table.effects));
    table.actors.argument_ready(table.at(1), table.effects);
    CHECK(table.sent() == Numbers{1});
    CHECK(table.at(1).losses == 1);
  }

  TEST_CASE("calls that wait are taken out wherever they stand, were they sent before or not, and in whatever order their ids are") {
    std::mt19937 random(1);
    for (int round = 0; round < 100; ++round) {
      Sent table(8);
      table.actors.lease_lost({1}, table.effects);
      Numbers ids(12);
      std::iota(ids.begin(), ids.end(), 9);
      if (round % 2) std::shuffle(ids.begin(), ids.end(), random);  // as several threads make them
      for (const auto id : ids) {
        table.nodes.push_back(std::make_unique<CallNode>(CallNode{.id = {id}, .actor = kActor}));
        table.actors.call(*table.nodes.back(), table.effects);
      }
      Numbers left;
      std::vector<CallNode*> gone;
      for (const auto& node : table.nodes) random() % 2 ? left.push_back(node->id.value) : gone.push_back(node.get());
      std::shuffle(gone.begin(), gone.end(), random);
      for (auto* node : gone) REQUIRE(table.actors.cancel(*node, table.effects));
      REQUIRE(table.live(2) == left);
    }
  }

  TEST_CASE("whatever arguments are lost, and however late that is known, the calls of one caller run in their order, and each ends once") {
    for (unsigned seed = 0; seed < 500; ++seed) {
      CAPTURE(seed);
      Course(seed).run();
    }
  }
}

}  // namespace manta::core
