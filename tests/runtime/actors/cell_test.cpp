// The cell by itself: what waits and what was forgotten, and values that come after an error took their place.
#include "runtime/cell.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

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
