// A lost result is made again once, whoever asks for it and when: two borrowers at once, one that asks late for a copy that was lost
// before the present one, one whose request meets a plan that fails.
#include <doctest/doctest.h>

#include "runtime/actors/lineage.hpp"
#include "tests/runtime/actors/quiet_process.hpp"

namespace manta::detail {
namespace {

int twice(int x) { return 2 * x; }
int plus(int x, int y) { return x + y; }

constexpr ProcessId kSelf = 3, kPeer = 7, kOther = 8;

struct Fixture {
  /// A result in the store, as its owner keeps it.
  std::shared_ptr<RecoverableObject> stored(std::uint64_t id, const std::shared_ptr<Recipe>& recipe) {
    return std::make_shared<RecoverableObject>(store->owned({id}, 8), recipe);
  }
  std::shared_ptr<Recipe> recipe_of(std::vector<std::shared_ptr<Cell>> refs = {}) { return recipe_of(std::move(refs), *lineage); }
  static std::shared_ptr<Recipe> recipe_of(std::vector<std::shared_ptr<Cell>> refs, Lineage& book) {
    const auto ref = [&refs](std::size_t i) { return ObjectRef<int>(refs.at(i)); };
    switch (refs.size()) {
      case 0: return recipe_by<twice>(book, 4);
      case 1: return recipe_by<twice>(book, ref(0));
      default: return recipe_by<plus>(book, ref(0), ref(1));
    }
  }
  template <auto F, class... Args>
  static std::shared_ptr<Recipe> recipe_by(Lineage& book, Args... arguments) {
    OwnedTask task;
    auto record = std::make_shared<FunctionRecord<F>>();
    record->fill(arguments...);
    OutputArchive count;
    record->encode_arguments(count);
    auto [bytes, target] = Buffer::allocate(count.size());
    OutputArchive archive(target);
    record->encode_arguments(archive);
    task.record = record;
    task.options = std::make_shared<const TaskOptions>(TaskOptions{.max_retries = 3});
    task.need_encoded().arguments.bytes = bytes;
    return book.remember(task);
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
      1 << 20, Lineage::Hooks{.submit = [this](std::shared_ptr<OwnedTask> task) { made.push_back(std::move(task)); }, .wait = [](Cell&, Deadline) { return true; }});
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
    const auto current = ancestor->outputs[0].current.lock();
    CHECK((!current || current->failed()));
  }

  // Each plan that failed counted as a rebuild of the ancestors that it had got to, and after three of them those could not be made again.
  TEST_CASE("a plan that fails uses up nobody's retries") {
    Fixture f;
    const auto ancestor = f.recipe_of();
    auto kept = std::make_shared<Cell>(type_ops<int>());
    kept->set_stored(f.stored(1, ancestor));
    auto put = std::make_shared<Cell>(type_ops<int>());
    put->set_stored(f.store->owned({2}, 8));
    const auto doomed = f.stored(3, f.recipe_of({kept, put})), other = f.stored(4, f.recipe_of({kept}));
    kept.reset();
    put.reset();
    for (int i = 0; i < 5; ++i) CHECK_FALSE(doomed->rebuild(3).ok());
    CHECK(f.made.empty());
    const auto again = other->rebuild(4);
    REQUIRE_MESSAGE(again.ok(), again.error().to_string());
    CHECK(f.made.size() == 2);
    CHECK(ancestor->rebuilds == 1);
  }

  TEST_CASE("an ancestor of two arguments is made once, before both") {
    Fixture f;
    auto root = std::make_shared<Cell>(type_ops<int>());
    root->set_stored(f.stored(1, f.recipe_of()));
    std::vector<std::shared_ptr<Cell>> middle;
    for (int i = 0; i < 2; ++i) {
      middle.push_back(std::make_shared<Cell>(type_ops<int>()));
      middle.back()->set_stored(f.stored(2 + i, f.recipe_of({root})));
    }
    const auto object = f.stored(4, f.recipe_of(middle));
    root.reset();
    middle.clear();
    REQUIRE(object->rebuild(4).ok());
    REQUIRE(f.made.size() == 4);
    CHECK(f.made[1]->record->refs[0] == f.made[0]->record->result);
    CHECK(f.made[2]->record->refs[0] == f.made[0]->record->result);
    CHECK(f.made[3]->record->refs[0] == f.made[1]->record->result);
    CHECK(f.made[3]->record->refs[1] == f.made[2]->record->result);
  }

  // x = f(x), over and over: planning and letting go went as deep into the stack as the chain was long.
  TEST_CASE("a chain of 100,000 results, each made of the one before, is made again from its beginning, and let go") {
    Fixture f;
    const auto book = std::make_shared<Lineage>(std::uint64_t{1} << 30, Lineage::Hooks{.submit = [&](std::shared_ptr<OwnedTask> task) { f.made.push_back(std::move(task)); }});
    constexpr std::size_t kLength = 100'000;
    auto last = std::make_shared<Cell>(type_ops<int>());
    last->set_stored(f.stored(1, Fixture::recipe_of({}, *book)));
    for (std::size_t i = 1; i < kLength; ++i) {
      auto next = std::make_shared<Cell>(type_ops<int>());
      next->set_stored(f.stored(i + 1, Fixture::recipe_of({last}, *book)));
      last = std::move(next);
    }
    const auto object = std::dynamic_pointer_cast<RecoverableObject>(stored_in(*last));
    REQUIRE(object);
    const auto made = object->rebuild(kLength);
    REQUIRE(made.ok());
    REQUIRE(f.made.size() == kLength);
    CHECK(f.made[0]->record->refs.empty());
    CHECK(f.made[kLength - 1]->record->refs[0] == f.made[kLength - 2]->record->result);
    CHECK(*made == f.made[kLength - 1]->record->result);
    while (!f.made.empty()) f.made.pop_back();
    last.reset();
    CHECK(book->bytes() > kLength);
    SUBCASE("by its last ref") {}
    SUBCASE("with its beginning released, its error has a bounded text") {
      auto put = std::make_shared<Cell>(type_ops<int>());
      put->set_stored(f.store->owned({2}, 8));
      auto cell = std::make_shared<Cell>(type_ops<int>());
      cell->set_stored(f.stored(1, Fixture::recipe_of({put}, *book)));
      put.reset();
      for (std::uint64_t i = 1; i < kLength; ++i) {
        auto next = std::make_shared<Cell>(type_ops<int>());
        next->set_stored(f.stored(i + 1, Fixture::recipe_of({cell}, *book)));
        cell = std::move(next);
      }
      const auto lost = std::dynamic_pointer_cast<RecoverableObject>(stored_in(*cell))->rebuild(kLength);
      REQUIRE_FALSE(lost.ok());
      CHECK(lost.error().to_string().size() < 10'000);
      CHECK(lost.error().to_string().find("was put") != std::string::npos);
    }
  }
}

}  // namespace manta::detail
