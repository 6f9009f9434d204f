#include "runtime/actors/reference_keeper.hpp"

#include <doctest/doctest.h>

#include "tests/runtime/actors/quiet_process.hpp"

namespace manta::detail {
namespace {

constexpr ProcessId kSelf = 3, kPeer = 7;
constexpr core::ReferenceId kTheirs = (std::uint64_t{kPeer} << 40) + 1;

struct QuietLink final : ActorLink {
  explicit QuietLink(std::uint64_t id = kTheirs) : id_(id) {}
  void call(std::shared_ptr<TaskRecord>, std::shared_ptr<const CallOptions>) override {}
  void kill() override {}
  std::string description() const override { return "quiet"; }
  CallRules rules() const override { return {}; }
  std::uint64_t id() const noexcept override { return id_; }
  std::shared_ptr<Engine> engine() const override { return nullptr; }
  std::uint64_t id_;
};

struct Fixture {
  wire::Value with_reference(ReferenceKind kind) {
    wire::Value value;
    value.references = std::make_shared<wire::ValueReferences>();
    value.references->list.push_back({.id = kTheirs, .kind = static_cast<std::uint8_t>(kind)});
    keeper->incoming(value, kPeer);
    return value;
  }
  IdSource ids{kSelf};
  WritingRouter router{kSelf};
  EmptyStore store{kSelf};
  std::unique_ptr<Lane> lane = std::make_unique<Lane>(1);
  std::shared_ptr<ReferenceKeeper> keeper = std::make_shared<ReferenceKeeper>(kSelf, ids, router, store, *lane, 100'000);
};

}  // namespace

TEST_SUITE("runtime/actors/reference_keeper") {
  // A ref that came a second time under another kind made a handle to an actor out of a cell.
  TEST_CASE("what is known here as an object stays one, whatever kind a sender says it is") {
    Fixture f;
    const auto first = f.with_reference(ReferenceKind::kObject);
    const auto second = f.with_reference(ReferenceKind::kActor);
    REQUIRE(ReferenceKeeper::of(second)->size() == 1);
    CHECK(ReferenceKeeper::of(second)->at(0).kind == ReferenceKind::kObject);
    CHECK(ReferenceKeeper::of(second)->at(0).target == ReferenceKeeper::of(first)->at(0).target);
  }

  // The second one gave back all that was counted, what a call under way relied on too, and the actor went under it.
  TEST_CASE("a handle that comes a second time while calls rely on the first one, and goes unused, gives nothing back") {
    Fixture f;
    std::vector<std::shared_ptr<ReferenceKeeper::Borrow>> relied_on;
    f.keeper = std::make_shared<ReferenceKeeper>(kSelf, f.ids, f.router, f.store, *f.lane, 100'000,
                                                 [&](const wire::Reference&, std::shared_ptr<ReferenceKeeper::Borrow> borrow) {
                                                   relied_on.push_back(std::move(borrow));
                                                   return std::make_shared<QuietLink>();
                                                 });
    f.with_reference(ReferenceKind::kActor);  // the link goes at once, the call's share stays
    f.router.sent.clear();
    f.with_reference(ReferenceKind::kActor);
    REQUIRE(relied_on.size() == 2);
    relied_on.pop_back();
    CHECK(f.router.take<wire::ReferenceUpdates>(kPeer).empty());
    relied_on.clear();
    const auto returned = f.router.take<wire::ReferenceUpdates>(kPeer);
    REQUIRE(returned.size() == 1);
    REQUIRE(returned[0].list.size() == 1);
    CHECK(returned[0].list[0].operation == core::ReferenceOperation::kReturn);
    CHECK(returned[0].list[0].units == 2);
  }

  // Its place in memory still meant the other actor, whose methods then ran on this one's object.
  TEST_CASE("a link that comes to lie where one lay that calls rely on is another actor's") {
    for (const bool is_followed : {false, true}) {
      alignas(QuietLink) std::byte place[sizeof(QuietLink)];  // the keeper's table has what lies here as long as the fixture lives
      Fixture f;
      std::vector<std::shared_ptr<ReferenceKeeper::Borrow>> relied_on;
      const auto link_there = [&](std::uint64_t id) {
        return std::shared_ptr<QuietLink>(new (place) QuietLink(id), [](QuietLink* link) { link->~QuietLink(); });
      };
      f.keeper = std::make_shared<ReferenceKeeper>(kSelf, f.ids, f.router, f.store, *f.lane, 100'000,
                                                   [&](const wire::Reference&, std::shared_ptr<ReferenceKeeper::Borrow> borrow) {
                                                     relied_on.push_back(std::move(borrow));
                                                     return relied_on.size() == 1 ? link_there(kTheirs) : std::make_shared<QuietLink>();
                                                   });
      f.with_reference(ReferenceKind::kActor);
      const std::uint64_t ours = f.ids.next<ActorId>().value;
      wire::Value second;
      if (is_followed) second = f.with_reference(ReferenceKind::kActor);
      References references{{ReferenceKind::kActor, link_there(ours)}};
      EncodedValue value{.bytes = Buffer::copy({}), .references = std::make_shared<const References>(references)};
      CHECK(f.keeper->outgoing(value, kPeer).references->list.at(0).id == ours);
    }
  }

  TEST_CASE("an object that comes to lie where a link lay that calls rely on is lent as itself") {
    Fixture f;
    std::vector<std::shared_ptr<ReferenceKeeper::Borrow>> relied_on;
    constexpr std::size_t kSize = std::max(sizeof(QuietLink), sizeof(Cell));
    alignas(Cell) alignas(QuietLink) std::byte place[kSize];
    f.keeper = std::make_shared<ReferenceKeeper>(kSelf, f.ids, f.router, f.store, *f.lane, 100'000,
                                                 [&](const wire::Reference&, std::shared_ptr<ReferenceKeeper::Borrow> borrow) {
                                                   relied_on.push_back(std::move(borrow));
                                                   return std::shared_ptr<QuietLink>(new (place) QuietLink(kTheirs), [](QuietLink* link) { link->~QuietLink(); });
                                                 });
    f.with_reference(ReferenceKind::kActor);
    References references{{ReferenceKind::kObject, std::shared_ptr<Cell>(new (place) Cell(type_ops<int>()), [](Cell* cell) { cell->~Cell(); })}};
    EncodedValue value{.bytes = Buffer::copy({}), .references = std::make_shared<const References>(std::move(references))};
    CHECK(maker_of(f.keeper->outgoing(value, kPeer + 1).references->list.at(0).id) == kSelf);
    CHECK(f.keeper->counts().lent == 1);
    f.keeper->deliver(kPeer + 1, wire::ReferenceUpdates{{{core::ReferenceOperation::kReturn, f.keeper->id_of(static_cast<const Cell&>(*static_cast<Cell*>(value.references->at(0).target.get()))), kSelf, 1}}});
  }

  // The value of a promise that was set after the end of the runtime was to be encoded by a lane that was gone.
  TEST_CASE("a value that comes after the end is sent to nobody, and asks for no thread") {
    Fixture f;
    auto cell = std::make_shared<Cell>(type_ops<int>());
    References references{{ReferenceKind::kObject, cell}};
    EncodedValue value{.bytes = Buffer::copy({}), .references = std::make_shared<const References>(references)};
    const auto sent = f.keeper->outgoing(value, kPeer);
    REQUIRE(sent.references->list.size() == 1);
    const auto id = sent.references->list[0].id;
    f.keeper->deliver(kPeer, wire::ReferenceUpdates{{{core::ReferenceOperation::kFetch, id, 0, 0}}});
    f.keeper->close();
    f.lane.reset();
    f.router.sent.clear();
    cell->set_value(std::make_shared<const int>(5));
    CHECK(f.router.sent.empty());
  }

  // Each look of a borrower at a value that is not there left something with the cell, and each got an answer.
  TEST_CASE("a process that asks for a value again and again waits once, gets one answer, and is forgotten when it goes") {
    Fixture f;
    auto cell = std::make_shared<Cell>(type_ops<int>());
    References references{{ReferenceKind::kObject, cell}};
    EncodedValue value{.bytes = Buffer::copy({}), .references = std::make_shared<const References>(references)};
    const auto id = f.keeper->outgoing(value, kPeer).references->list[0].id;
    const auto fetch = wire::ReferenceUpdates{{{core::ReferenceOperation::kFetch, id, 0, 0}}};
    for (int i = 0; i < 100; ++i) f.keeper->deliver(kPeer, fetch);
    CHECK(cell->waiters() == 1);
    SUBCASE("it gets the value") {
      f.router.sent.clear();
      cell->set_bytes(encode(5));
      CHECK(f.router.take<wire::ObjectSettled>(kPeer).size() == 1);
      f.keeper->deliver(kPeer, fetch);  // of one that took the ref anew
      CHECK(f.router.take<wire::ObjectSettled>(kPeer).size() == 1);
    }
    SUBCASE("it gives its ref back") {
      f.keeper->deliver(kPeer, wire::ReferenceUpdates{{{core::ReferenceOperation::kReturn, id, kSelf, 1}}});
      CHECK(cell->waiters() == 0);
    }
    SUBCASE("it dies") {
      f.keeper->process_gone(kPeer);
      CHECK(cell->waiters() == 0);
    }
    SUBCASE("it dies, and its question is read after that") {
      constexpr ProcessId kOther = 9;  // has a ref too, so that the object is known still
      f.keeper->outgoing(value, kOther);
      f.keeper->process_gone(kPeer);
      f.router.sent.clear();
      f.keeper->deliver(kPeer, fetch);
      CHECK(cell->waiters() == 0);
      f.keeper->deliver(kOther, fetch);
      CHECK(cell->waiters() == 1);
      cell->set_bytes(encode(5));
      CHECK(f.router.take<wire::ObjectSettled>(kPeer).empty());
      CHECK(f.router.take<wire::ObjectSettled>(kOther).size() == 1);
    }
  }

  // Each object that was let go walked all that anybody waited for.
  TEST_CASE("letting one of many awaited objects go forgets those who wait for it, and no others") {
    Fixture f;
    constexpr std::size_t kCells = 3;
    constexpr ProcessId kOther = kPeer + 1;
    std::vector<std::shared_ptr<Cell>> cells;
    std::vector<core::ReferenceId> sent;
    for (std::size_t i = 0; i < kCells; ++i) {
      auto cell = cells.emplace_back(std::make_shared<Cell>(type_ops<int>()));
      References references{{ReferenceKind::kObject, cell}};
      EncodedValue value{.bytes = Buffer::copy({}), .references = std::make_shared<const References>(references)};
      for (const auto to : {kPeer, kOther}) {
        const auto id = f.keeper->outgoing(value, to).references->list[0].id;
        if (to == kPeer) sent.push_back(id);
        f.keeper->deliver(to, wire::ReferenceUpdates{{{core::ReferenceOperation::kFetch, id, 0, 0}}});
      }
    }
    for (const auto& cell : cells) CHECK(cell->waiters() == 2);
    for (const auto from : {kPeer, kOther})
      f.keeper->deliver(from, wire::ReferenceUpdates{{{core::ReferenceOperation::kReturn, sent[1], kSelf, 1}}});
    CHECK(cells[0]->waiters() == 2);
    CHECK(cells[1]->waiters() == 0);
    CHECK(cells[2]->waiters() == 2);
    f.keeper->process_gone(kOther);
    CHECK(cells[0]->waiters() == 1);
    CHECK(cells[2]->waiters() == 1);
  }
}

}  // namespace manta::detail
