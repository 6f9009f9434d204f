// The cell by itself: what waits and what was forgotten, and values that come after an error took their place.
#include "runtime/cell.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <semaphore>
#include <stdexcept>
#include <thread>

#include "runtime/control_section.hpp"
#include "runtime/object_ref.hpp"

namespace manta::detail {
namespace {

struct Counting final : Cell::Waiter {
  void settled() override { ++calls; }
  int calls = 0;
};
struct Late final : Cell::LateTaker {
  void came_late(std::shared_ptr<Cell> value) override {
    ++calls;
    cell = std::move(value);
  }
  std::atomic<int> calls{0};
  std::shared_ptr<Cell> cell{};
};

std::shared_ptr<const int> number(int x) { return std::make_shared<const int>(x); }
std::shared_ptr<const ErrorInfo> cancelled() {
  return std::make_shared<const ErrorInfo>(ErrorInfo{.code = ErrorCode::kCancelled, .message = "cancelled"});
}
struct Value {
  std::vector<std::vector<int>> numbers{};
  template <class Archive>
  void serialize(Archive& archive) { archive(numbers); }
};
/// A place in the store: its size is all that is known of it.
struct Placed final : StoredObject {
  explicit Placed(std::uint64_t bytes) : bytes(bytes) {}
  std::uint64_t id() const noexcept override { return number; }
  std::uint64_t size() const noexcept override { return bytes; }
  Result<Buffer> open(Deadline) override { return ErrorInfo{.code = ErrorCode::kObjectLost}; }
  const std::uint64_t bytes;
  std::uint64_t number = 17;
};
Result<std::shared_ptr<StoredObject>> place(std::uint64_t size) { return std::shared_ptr<StoredObject>(std::make_shared<Placed>(size)); }

/// Where somebody is held up until the test is over.
struct HoldUp {
  std::binary_semaphore arrived{0}, go_on{0};
  void pass() {
    arrived.release();
    go_on.acquire();
  }
};
HoldUp* reading = nullptr;
struct SlowToRead {
  int x = 0;
  template <class Archive>
  void save(Archive& archive) const {
    archive(x);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(x);
    if (auto* at = std::exchange(reading, nullptr)) at->pass();
  }
};

/// True when it is done while somebody else is held up; if not, its future waits for it in its destructor.
bool is_done(const std::future<void>& others) { return others.wait_for(std::chrono::seconds(20)) == std::future_status::ready; }

int value_of(Cell& cell) { return *std::static_pointer_cast<const int>(cell.value()); }

}  // namespace

TEST_SUITE("runtime/cell") {
  TEST_CASE("who waits is called once; who was forgotten is not, and nothing of it is left") {
    auto cell = std::make_shared<Cell>(type_ops<int>());
    CHECK(cell->waiters() == 0);
    auto first = std::make_shared<Counting>(), second = std::make_shared<Counting>(), third = std::make_shared<Counting>();
    for (const auto& each : {first, second, third, second}) cell->on_settled(each);
    CHECK(cell->waiters() == 4);
    cell->forget(second->whose());
    CHECK(cell->waiters() == 2);
    CHECK(second.use_count() == 1);
    cell->set_value(number(1));
    CHECK(cell->waiters() == 0);
    CHECK(first->calls == 1);
    CHECK(second->calls == 0);
    CHECK(third->calls == 1);
    cell->forget(first->whose());
    cell->on_settled(second);
    CHECK(second->calls == 1);
  }

  // A waiter may hold what comes back to the cell when it goes.
  TEST_CASE("what is forgotten is destroyed without the cell's lock") {
    struct Nosy final : Cell::Waiter {
      explicit Nosy(Cell& of) : cell(of) {}
      ~Nosy() override { CHECK(cell.waiters() == 0); }  // hung
      void settled() override {}
      Cell& cell;
    };
    Cell cell(type_ops<int>());
    auto waiter = std::make_shared<Nosy>(cell);
    const void* whose = waiter->whose();
    cell.on_settled(std::move(waiter));
    cell.forget(whose);
  }

  TEST_CASE("a value that comes after the error goes to who takes what is late, once; other seconds to nobody") {
    for (const bool bytes : {false, true}) {
      Cell cell(type_ops<int>());
      auto late = std::make_shared<Late>();
      cell.on_late(late);
      CHECK(cell.set_error(cancelled()));
      CHECK_FALSE(cell.set_error(cancelled()));
      CHECK(late->calls == 0);
      if (bytes)
        CHECK_FALSE(cell.set_bytes(encode(7)));
      else
        CHECK_FALSE(cell.set_value(number(7)));
      CHECK_FALSE(cell.set_value(number(8)));
      CHECK(late->calls == 1);
      CHECK(value_of(*late->cell) == 7);
      CHECK(cell.failed());
    }
    Cell cell(type_ops<int>());
    auto late = std::make_shared<Late>();
    cell.on_late(late);
    CHECK(cell.set_value(number(1)));
    CHECK_FALSE(cell.set_value(number(2)));
    CHECK_FALSE(cell.set_error(cancelled()));
    CHECK(late->calls == 0);
  }

  // The story: the thread that reads a worker's links asked needs_encoding and slept on the lock, while whoever had it waited in
  // `encoded` for the store's answer, which that thread was to read.
  TEST_CASE("who turns a value into bytes and waits for the store holds up only those who want the bytes") {
    Cell of_value(type_ops<int>()), of_bytes(type_ops<int>());
    of_value.set_value(number(7));
    of_bytes.set_bytes(encode(7));
    for (Cell* cell : {&of_value, &of_bytes}) {
      HoldUp store;
      std::atomic<int> placed{0};
      const auto slowly = [&](std::uint64_t size, const auto&) {
        if (++placed == 1) store.pass();
        return place(size);
      };
      auto first = std::async(std::launch::async, [&] { return cell->encoded(0, slowly); });
      store.arrived.acquire();
      const auto waiter = std::make_shared<Counting>();
      const auto others = std::async(std::launch::async, [&] {
        CHECK(cell->needs_encoding(0));
        CHECK(cell->stored() == nullptr);
        CHECK_FALSE(cell->forget_stored(17));
        cell->on_settled(waiter);
        CHECK(cell->waiters() == 0);
        cell->forget(waiter->whose());
        CHECK(value_of(*cell) == 7);
      });
      CHECK(is_done(others));
      auto second = std::async(std::launch::async, [&] { return cell->encoded(0, slowly); });
      store.go_on.release();
      const auto made = first.get(), same = second.get();
      REQUIRE(made);
      REQUIRE(same);
      CHECK(made->stored);
      CHECK(made->stored == same->stored);
      CHECK(cell->stored() == made->stored);
      CHECK(placed == 1);
      CHECK_FALSE(cell->needs_encoding(0));
      CHECK(waiter->calls == 1);
    }
  }

  TEST_CASE("a store that throws or refuses leaves the value to the next who wants the bytes, also to one who waits") {
    Cell cell(type_ops<int>());
    cell.set_value(number(7));
    HoldUp store;
    auto first = std::async(std::launch::async, [&] {
      return cell.encoded(0, [&](std::uint64_t, const auto&) -> Result<std::shared_ptr<StoredObject>> {
        store.pass();
        throw std::runtime_error("the store is on fire");
      });
    });
    store.arrived.acquire();
    auto second = std::async(std::launch::async, [&] { return cell.encoded(0, [](std::uint64_t size, const auto&) { return place(size); }); });
    CHECK(second.wait_for(std::chrono::milliseconds(20)) == std::future_status::timeout);
    store.go_on.release();
    CHECK_THROWS_AS(first.get(), std::runtime_error);
    const auto made = second.get();
    REQUIRE(made);
    CHECK(made->stored);

    REQUIRE(cell.forget_stored(17));
    const auto refused = cell.encoded(0, [](std::uint64_t, const auto&) -> Result<std::shared_ptr<StoredObject>> {
      return ErrorInfo{.code = ErrorCode::kObjectStoreFull};
    });
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kObjectStoreFull);
    CHECK(cell.needs_encoding(0));
    CHECK(cell.encoded(0, [](std::uint64_t size, const auto&) { return place(size); })->stored);
  }

  TEST_CASE("while a value is read from its bytes by the user's own code, nobody waits for that") {
    Cell cell(type_ops<SlowToRead>());
    cell.set_bytes(encode(SlowToRead{7}));
    HoldUp load;
    reading = &load;
    auto first = std::async(std::launch::async, [&] { return cell.value(); });
    load.arrived.acquire();
    std::shared_ptr<const void> other;
    const auto others = std::async(std::launch::async, [&] {
      CHECK_FALSE(cell.needs_encoding(1000));
      CHECK(cell.encoded(1000, [](std::uint64_t size, const auto&) { return place(size); })->bytes.size() > 0);
      other = cell.value();
    });
    CHECK(is_done(others));
    load.go_on.release();
    CHECK(first.get() == other);
    CHECK(cell.value() == other);
  }

  TEST_CASE("that its value is lost a cell knows once that has been found out, until another copy takes the place") {
    Cell cell(type_ops<int>());
    const auto placed = std::make_shared<Placed>(8);
    cell.set_stored(placed);
    CHECK_FALSE(cell.lost());
    CHECK_THROWS_AS(cell.value(), ObjectLost);
    REQUIRE(cell.lost());
    CHECK(cell.lost()->code == ErrorCode::kObjectLost);
    CHECK_FALSE(cell.failed());
    placed->number = 18;
    CHECK_FALSE(cell.lost());
  }

  TEST_CASE("references of two types to one object are refused, whether its type was known before or not") {
    // Behaviour: the last type counted, for the others too, which read the value as one of their own.
    const auto decoded = [](std::shared_ptr<Cell> cell) {
      const std::uint32_t places[] = {1, 1};
      return decode<std::pair<ObjectRef<std::string>, ObjectRef<int>>>(
          Buffer::copy(std::as_bytes(std::span(places))), std::make_shared<const References>(References{{ReferenceKind::kObject, std::move(cell)}}));
    };
    for (const TypeOps* ops : {&type_ops<Unknown>(), &type_ops<std::string>(), &type_ops<int>(), &type_ops<Void>()})
      CHECK_THROWS_AS(decoded(std::make_shared<Cell>(*ops)), ProtocolError);
    Cell cell(type_ops<Unknown>());
    CHECK(cell.use_ops(type_ops<int>()));
    CHECK(cell.use_ops(type_ops<int>()));
    CHECK_FALSE(cell.use_ops(type_ops<Void>()));
    CHECK(&cell.ops() == &type_ops<int>());
  }

  TEST_CASE("a large value that came as bytes is not kept twice once it has been read") {
    for (const std::size_t size : {std::size_t{1000}, std::size_t{1} << 20}) {
      const std::vector<int> value(size, 7);
      Cell cell(type_ops<std::vector<int>>());
      cell.set_bytes(encode(value));
      CHECK(cell.sent());
      std::vector<std::thread> readers;
      for (int i = 0; i < 4; ++i) readers.emplace_back([&] { CHECK(*std::static_pointer_cast<const std::vector<int>>(cell.value()) == value); });
      for (auto& reader : readers) reader.join();
      CHECK(cell.sent().has_value() == (size == 1000));
      CHECK((cell.kept_value() != nullptr) == (size != 1000));
      CHECK(decode<std::vector<int>>(cell.encoded(~std::uint64_t{0}, [](auto...) -> Result<std::shared_ptr<StoredObject>> { return ErrorInfo{}; }).value().bytes) == value);
    }
  }

  // Its destructor may be the program's.
  TEST_CASE("what a thread of the runtime's lets go of is destroyed elsewhere") {
    struct Taking final : ValueBin {
      void take(std::shared_ptr<const void> value) override { taken.push_back(std::move(value)); }
      std::vector<std::shared_ptr<const void>> taken{};
    } outer, inner;
    const auto let_go = [] {
      auto value = std::make_shared<const Value>();
      auto cell = std::make_shared<Cell>(type_ops<Value>());
      cell->set_value(value);
      std::make_shared<Cell>(type_ops<int>())->set_value(number(1));  // has none
      return std::weak_ptr<const Value>(value);
    };
    CHECK(let_go().expired());
    {
      const ControlSection section(outer);
      CHECK_FALSE(let_go().expired());
      {
        const ControlSection within(inner);
        CHECK_FALSE(let_go().expired());
      }
      CHECK(ControlSection::bin() == &outer);
    }
    CHECK(let_go().expired());
    CHECK(outer.taken.size() == 1);
    CHECK(inner.taken.size() == 1);
  }

  // There are very many of them.
  TEST_CASE("a cell is no larger than it has to be") { CHECK(sizeof(Cell) <= 56); }

  TEST_CASE("of a value and a cancel at the same moment, the value is in the cell or comes late") {
    int in_cell = 0, came_late = 0;
    for (int round = 0; round < 2000; ++round) {
      Cell cell(type_ops<int>());
      auto late = std::make_shared<Late>();
      cell.on_late(late);
      std::atomic<int> ready{0};
      auto meet = [&ready] {
        ++ready;
        while (ready < 2) std::this_thread::yield();
      };
      std::thread other([&] { meet(), cell.set_error(cancelled()); });
      meet();
      const bool set = cell.set_value(number(round));
      other.join();
      REQUIRE(set == !cell.failed());
      REQUIRE(late->calls == (set ? 0 : 1));
      REQUIRE(value_of(set ? cell : *late->cell) == round);
      set ? ++in_cell : ++came_late;
    }
    CHECK(in_cell + came_late == 2000);
  }
}

}  // namespace manta::detail
