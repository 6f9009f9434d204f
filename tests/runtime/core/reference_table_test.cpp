#include "runtime/core/reference_table.hpp"

#include <doctest/doctest.h>

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <tuple>

namespace manta::core {
namespace {

constexpr ReferenceId object_of(ProcessId process, std::uint64_t n = 1) { return (std::uint64_t{process} << 40) + n; }

std::vector<std::pair<ProcessId, ReferenceUpdate>> take(ReferenceEffects& effects) {
  std::vector<std::pair<ProcessId, ReferenceUpdate>> sent;
  for (const auto& each : effects.sends) sent.emplace_back(each.to, each.update);
  effects.sends.clear();
  return sent;
}

/// What is on its way: a value with a ref inside, an update, or word that a process has ended.
struct Packet {
  ProcessId from = 0;
  ReferenceId value = 0;
  std::optional<ReferenceUpdate> update{};
  ProcessId gone = ~0u;
};

/// Processes that hand refs around at random. The model knows where every ref really is; what it demands after each step:
/// nobody has a ref to an object that its owner has let go.
class World {
 public:
  static constexpr ProcessId kProcesses = 5;
  /// `star`: all goes through one relay, and processes die; else each pair has a link of its own, and nobody dies.
  World(unsigned seed, bool star) : random_(seed), star_(star) {
    for (ProcessId p = 0; p < kProcesses; ++p) tables_.emplace_back(p);
  }

  void step() {
    const auto action = below(star_ ? 101 : 100);
    if (action < 12)
      make();
    else if (action < 32)
      pass_on();
    else if (action < 50)
      drop();
    else if (action < 100)
      move();
    else if (dead_.size() + 2 < kProcesses)
      kill(below(kProcesses));
    check_nothing_lost();
  }

  /// Everybody drops everything, and all messages arrive.
  void settle() {
    while (true) {
      for (ProcessId p = 0; p < kProcesses; ++p)
        while (!dead_.contains(p) && !held_[p].empty()) drop_one(p, *held_[p].begin());
      if (!move()) break;
      check_nothing_lost();
    }
    for (ProcessId p = 0; p < kProcesses; ++p) {
      if (dead_.contains(p)) continue;
      REQUIRE(tables_[p].lent_count() == 0);
      REQUIRE(tables_[p].borrowed_count() == 0);
    }
    for (auto id : exported_) REQUIRE(dead_.contains(maker_of(id)));
  }

 private:
  std::size_t below(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }

  void post(ProcessId from, ProcessId to, Packet packet) {
    packet.from = from;
    star_ ? out_[from].push_back({to, packet}) : links_[{from, to}].push_back(packet);
  }
  void perform(ProcessId self, ReferenceEffects& effects) {
    for (const auto& [to, update] : take(effects)) post(self, to, {.update = update});
    for (auto id : effects.released) REQUIRE(exported_.erase(id) == 1);
  }
  void give(ProcessId from, ReferenceId id) {
    const auto to = static_cast<ProcessId>(below(kProcesses));
    if (to == from) return;
    ReferenceEffects effects;
    tables_[from].give(id, to, effects);
    if (maker_of(id) == from && tables_[from].lent(id)) exported_.insert(id);
    perform(from, effects);
    post(from, to, {.value = id});
  }
  void make() {
    const auto p = static_cast<ProcessId>(below(kProcesses));
    if (!dead_.contains(p)) give(p, object_of(p, 1 + below(3)));
  }
  std::optional<std::pair<ProcessId, ReferenceId>> any_held() {
    std::vector<std::pair<ProcessId, ReferenceId>> all;
    for (const auto& [p, ids] : held_)
      for (auto id : ids) all.emplace_back(p, id);
    if (all.empty()) return std::nullopt;
    return all[below(all.size())];
  }
  void pass_on() {
    if (const auto held = any_held()) give(held->first, held->second);
  }
  void drop() {
    if (const auto held = any_held()) drop_one(held->first, held->second);
  }
  void drop_one(ProcessId p, ReferenceId id) {
    held_[p].erase(id);
    ReferenceEffects effects;
    tables_[p].dropped(id, effects);
    perform(p, effects);
  }

  /// One message goes one hop; false when there is none.
  bool move() {
    std::vector<std::deque<std::pair<ProcessId, Packet>>*> sockets;
    for (auto& [p, queue] : out_)
      if (!queue.empty()) sockets.push_back(&queue);
    std::vector<std::pair<ProcessId, std::deque<Packet>*>> arriving;
    for (auto& [p, queue] : in_)
      if (!queue.empty()) arriving.emplace_back(p, &queue);
    for (auto& [pair, queue] : links_)
      if (!queue.empty()) arriving.emplace_back(pair.second, &queue);
    if (sockets.empty() && arriving.empty()) return false;
    const auto which = below(sockets.size() + arriving.size());
    if (which < sockets.size()) {
      relay(*sockets[which]);
    } else {
      const auto [to, queue] = arriving[which - sockets.size()];
      const auto packet = queue->front();
      queue->pop_front();
      arrive(to, packet);
    }
    return true;
  }
  void relay(std::deque<std::pair<ProcessId, Packet>>& socket) {
    const auto [to, packet] = socket.front();
    socket.pop_front();
    if (!dead_.contains(to)) in_[to].push_back(packet);
  }
  void arrive(ProcessId to, const Packet& packet) {
    ReferenceEffects effects;
    if (packet.gone != ~0u) {
      tables_[to].process_gone(packet.gone, effects);
    } else if (packet.update) {
      tables_[to].deliver(packet.from, *packet.update, effects);
    } else if (tables_[to].accept(packet.value, packet.from)) {
      held_[to].insert(packet.value);
    } else {
      REQUIRE(exported_.contains(packet.value));  // home again, and still there
    }
    perform(to, effects);
  }

  /// A process dies at any instant: what it had sent last may never have left it.
  void kill(std::size_t who) {
    const auto p = static_cast<ProcessId>(who);
    if (!dead_.insert(p).second) return;
    auto& socket = out_[p];
    socket.resize(below(socket.size() + 1));
    while (!socket.empty()) relay(socket);
    in_[p].clear();
    held_[p].clear();
    for (ProcessId q = 0; q < kProcesses; ++q)
      if (!dead_.contains(q)) in_[q].push_back({.from = p, .gone = p});
  }

  void check_nothing_lost() {
    const auto alive = [&](ReferenceId id, ProcessId holder) {
      if (dead_.contains(maker_of(id)) || dead_.contains(holder)) return;
      REQUIRE(exported_.contains(id));
    };
    for (const auto& [p, ids] : held_)
      for (auto id : ids) alive(id, p);
    for (const auto& [p, queue] : in_)
      for (const auto& packet : queue)
        if (packet.value) alive(packet.value, p);
    for (const auto& [p, queue] : out_)
      for (const auto& [to, packet] : queue)
        if (packet.value) alive(packet.value, to);
    for (const auto& [pair, queue] : links_)
      for (const auto& packet : queue)
        if (packet.value) alive(packet.value, pair.second);
  }

  std::mt19937 random_;
  const bool star_;
  std::vector<ReferenceTable> tables_{};
  std::map<ProcessId, std::set<ReferenceId>> held_{};
  std::set<ReferenceId> exported_{};
  std::set<ProcessId> dead_{};
  std::map<ProcessId, std::deque<std::pair<ProcessId, Packet>>> out_{};  ///< star: from a process to the relay
  std::map<ProcessId, std::deque<Packet>> in_{};                         ///< star: from the relay to a process
  std::map<std::pair<ProcessId, ProcessId>, std::deque<Packet>> links_{};
};

}  // namespace

TEST_SUITE("runtime/core/reference_table") {
  TEST_CASE("an object that its owner gave away is let go when the ref comes back") {
    ReferenceTable owner(0), borrower(1);
    ReferenceEffects effects;
    const auto id = object_of(0);
    owner.give(id, 1, effects);
    CHECK(effects.sends.empty());
    CHECK(owner.lent(id));
    CHECK(borrower.accept(id, 0));
    CHECK(borrower.accept(id, 0));  // two hand-overs
    owner.give(id, 1, effects);
    borrower.dropped(id, effects);
    const auto sent = take(effects);
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].second == ReferenceUpdate{ReferenceOperation::kReturn, id, 0, 2});
    owner.deliver(1, sent[0].second, effects);
    CHECK(effects.released == std::vector<ReferenceId>{id});
    CHECK(borrower.borrowed_count() == 0);
  }

  TEST_CASE("a ref that a borrower passes on is returned before its owner hears of it, and the object stays") {
    ReferenceTable owner(0), second(1), third(2);
    ReferenceEffects effects;
    const auto id = object_of(0);
    owner.give(id, 1, effects);
    second.accept(id, 0);
    second.give(id, 2, effects);
    const auto lend = take(effects);
    third.accept(id, 1);
    third.dropped(id, effects);
    owner.deliver(2, take(effects).at(0).second, effects);  // overtakes the lend
    CHECK(owner.lent(id));
    owner.deliver(1, lend.at(0).second, effects);
    CHECK(owner.lent(id));
    CHECK(effects.released.empty());
    second.dropped(id, effects);
    owner.deliver(1, take(effects).at(0).second, effects);
    CHECK(effects.released == std::vector<ReferenceId>{id});
  }

  TEST_CASE("a ref that goes home needs no word to anybody") {
    ReferenceTable owner(0), borrower(1);
    ReferenceEffects effects;
    owner.give(object_of(0), 1, effects);
    borrower.accept(object_of(0), 0);
    borrower.give(object_of(0), 0, effects);
    CHECK(effects.sends.empty());
    CHECK_FALSE(owner.accept(object_of(0), 1));
  }

  TEST_CASE("a borrower's death gives back what it had, and what came for it later") {
    ReferenceTable owner(0);
    ReferenceEffects effects;
    owner.give(object_of(0), 1, effects);
    owner.give(object_of(0), 2, effects);
    owner.process_gone(1, effects);
    CHECK(effects.released.empty());
    owner.deliver(2, {ReferenceOperation::kLend, object_of(0), 1, 1}, effects);  // to the dead one
    owner.deliver(2, {ReferenceOperation::kReturn, object_of(0), 0, 1}, effects);
    CHECK(effects.released == std::vector<ReferenceId>{object_of(0)});
  }

  TEST_CASE("what a dead process said that it would give is counted again, after its last message") {
    ReferenceTable owner(0), third(2);
    ReferenceEffects effects;
    const auto id = object_of(0);
    owner.give(id, 1, effects);
    owner.deliver(1, {ReferenceOperation::kLend, id, 2, 1}, effects);  // and died before the ref itself left it
    owner.process_gone(1, effects);
    const auto asked = take(effects);
    REQUIRE(asked.size() == 1);
    CHECK(asked[0].first == 2);
    third.deliver(0, asked[0].second, effects);
    CHECK(effects.sends.empty());  // it does not know yet that nothing more will come
    third.process_gone(1, effects);
    const auto answer = take(effects);
    REQUIRE(answer.size() == 1);
    owner.deliver(2, answer[0].second, effects);
    CHECK(effects.released == std::vector<ReferenceId>{id});
  }

  TEST_CASE("a borrower learns that the owner is gone") {
    ReferenceTable borrower(1);
    ReferenceEffects effects;
    borrower.accept(object_of(2), 2);
    borrower.accept(object_of(3), 2);
    borrower.process_gone(2, effects);
    CHECK(effects.orphaned == std::vector<ReferenceId>{object_of(2)});
    CHECK(borrower.is_gone(2));
    borrower.dropped(object_of(2), effects);
    CHECK(effects.sends.empty());
  }

  TEST_CASE("whatever is handed around in whatever order: nothing is let go too early, and in the end all is") {
    for (const bool star : {false, true})
      for (unsigned seed = 1; seed <= 400; ++seed) {
        CAPTURE(seed);
        CAPTURE(star);
        World world(seed, star);
        for (int i = 0; i < 400; ++i) world.step();
        world.settle();
      }
  }
}

}  // namespace manta::core
