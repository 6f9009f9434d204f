#pragma once
// Processes that hand refs around, and a model that knows where every ref really is.
#include <doctest/doctest.h>

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "runtime/core/reference_table.hpp"

namespace manta::core {

inline constexpr ReferenceId object_of(ProcessId process, std::uint64_t n = 1) { return (std::uint64_t{process} << 40) + n; }

inline std::vector<std::pair<ProcessId, ReferenceUpdate>> take(ReferenceEffects& effects) {
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

/// What it demands after each step: nobody has a ref to an object that its owner has let go.
class World {
 public:
  static constexpr ProcessId kProcesses = 5;
  /// `choose(n)` says what happens next: a number below n. `star`: all goes through one relay, and processes die; else each
  /// pair has a link of its own, and nobody dies.
  World(std::function<std::size_t(std::size_t)> choose, bool star) : choose_(std::move(choose)), star_(star) {
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
  std::size_t below(std::size_t n) { return choose_(n); }

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

  const std::function<std::size_t(std::size_t)> choose_;
  const bool star_;
  std::vector<ReferenceTable> tables_{};
  std::map<ProcessId, std::set<ReferenceId>> held_{};
  std::set<ReferenceId> exported_{};
  std::set<ProcessId> dead_{};
  std::map<ProcessId, std::deque<std::pair<ProcessId, Packet>>> out_{};  ///< star: from a process to the relay
  std::map<ProcessId, std::deque<Packet>> in_{};                         ///< star: from the relay to a process
  std::map<std::pair<ProcessId, ProcessId>, std::deque<Packet>> links_{};
};

}  // namespace manta::core
