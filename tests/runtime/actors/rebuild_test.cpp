// A lost result is made again once, whoever asks for it and when: two borrowers at once, one that asks late for a copy that was lost
// before the present one, one whose request meets a plan that fails.
#include <doctest/doctest.h>

#include "runtime/actors/lineage.hpp"
#include "tests/runtime/actors/quiet_process.hpp"

namespace manta::detail {
namespace {

int twice(int x) { return 2 * x; }

constexpr ProcessId kSelf = 3, kPeer = 7, kOther = 8;

struct Fixture {
  /// A result in the store, as its owner keeps it.
  std::shared_ptr<RecoverableObject> stored(std::uint64_t id, const std::shared_ptr<Recipe>& recipe) {
    return std::make_shared<RecoverableObject>(store->owned({id}, 8), recipe);
  }
  std::shared_ptr<Recipe> recipe_of(std::vector<std::shared_ptr<Cell>> refs = {}) {
    OwnedTask task;
    auto record = std::make_shared<FunctionRecord<twice>>();
    record->fill(4);
    OutputArchive count;
    record->encode_arguments(count);
    auto [bytes, target] = Buffer::allocate(count.size());
    OutputArchive archive(target);
    record->encode_arguments(archive);
    record->refs = std::move(refs);
    task.record = record;
    task.options = std::make_shared<const TaskOptions>(TaskOptions{.max_retries = 3});
    task.need_encoded().arguments.bytes = bytes;
    return lineage->remember(task);
  }
  void ask(ProcessId from, core::ReferenceId id, std::uint64_t lost) {
    keeper->deliver(from, wire::ReferenceUpdates{{{core::ReferenceOperation::kRebuild, id, 0, static_cast<std::int64_t>(lost)}}});
  }
  /// The store's ids of what has been answered since the last time.
  std::vector<std::uint64_t> answers(ProcessId to) {
    std::vector<std::uint64_t> ids;
    for (const auto& each : router.take<wire::ObjectSettled>(to)) {
      const auto* value = std::get_if<wire::Value>(&each.outcome.result);
      ids.push_back(value ? value->stored.value : 0);
    }
    return ids;
  }

  IdSource ids{kSelf};
  WritingRouter router{kSelf};
  std::shared_ptr<EmptyStore> store = std::make_shared<EmptyStore>(kSelf);
  Lane lane{1};
  std::vector<std::shared_ptr<OwnedTask>> made{};
  std::shared_ptr<Lineage> lineage = std::make_shared<Lineage>(
      1 << 20, Lineage::Hooks{.submit = [this](std::shared_ptr<OwnedTask> task) { made.push_back(std::move(task)); }, .wait = [](Cell&) {}});
  std::shared_ptr<ReferenceKeeper> keeper = std::make_shared<ReferenceKeeper>(kSelf, ids, router, *store, lane, 100'000);
};

}  // namespace

TEST_SUITE("runtime/actors/rebuild") {
  TEST_CASE("two borrowers that lost the same copy get the one that is made again, and who asks late gets it at once") {
    Fixture f;
    const auto recipe = f.recipe_of();
    REQUIRE(recipe);
    auto cell = std::make_shared<Cell>(type_ops<int>());
    cell->set_stored(f.stored(1, recipe));
    EncodedValue value{.bytes = Buffer::copy({}), .references = std::make_shared<const References>(References{{ReferenceKind::kObject, cell}})};
    const auto id = f.keeper->outgoing(value, kPeer).references->list[0].id;
    static_cast<void>(f.keeper->outgoing(value, kOther));
    f.ask(kPeer, id, 1);
    f.ask(kOther, id, 1);
    REQUIRE(f.made.size() == 1);
    CHECK(f.answers(kPeer).empty());
    f.made[0]->record->result->set_stored(f.stored(2, recipe));
    CHECK(f.answers(kPeer) == std::vector<std::uint64_t>{2});
    CHECK(f.answers(kOther) == std::vector<std::uint64_t>{2});
    f.ask(kOther, id, 1);  // it had not heard of the answer yet
    CHECK(f.answers(kOther) == std::vector<std::uint64_t>{2});
    CHECK(f.made.size() == 1);
    f.ask(kPeer, id, 2);
    CHECK(f.made.size() == 2);
  }

  TEST_CASE("arguments that cannot be read fail who waits, with no lock held as they are read") {
    Fixture f;
    const auto recipe = f.recipe_of();
    recipe->arguments = Buffer::copy({});
    const auto object = f.stored(1, recipe);
    const auto cell = object->rebuild(1).value();
    REQUIRE(cell->failed());
    CHECK(cell->error()->code == ErrorCode::kObjectLost);
    CHECK(cell->error()->message.find("arguments cannot be read") != std::string::npos);
    CHECK(f.made.empty());
    CHECK_FALSE(object->rebuild(1).value() == cell);  // it is tried again
  }

  // One argument was planned, the other could not be: whoever had found the first one's cell meanwhile waited for ever.
  TEST_CASE("what a plan that fails was to make again is failed, not left") {
    Fixture f;
    const auto ancestor = f.recipe_of();
    auto kept = std::make_shared<Cell>(type_ops<int>());
    kept->set_stored(f.stored(1, ancestor));
    auto put = std::make_shared<Cell>(type_ops<int>());
    put->set_stored(f.store->owned({2}, 8));
    const auto recipe = f.recipe_of({kept, put});
    const auto object = f.stored(3, recipe);
    kept.reset();
    put.reset();
    const auto result = object->rebuild(3);
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().code == ErrorCode::kObjectLost);
    CHECK(f.made.empty());
    const auto current = ancestor->current.lock();
    CHECK((!current || current->failed()));
  }
}

}  // namespace manta::detail
