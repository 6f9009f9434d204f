// Fault 31: an exception in a task, also one that is no std::exception.
#include "../api/support.hpp"

namespace manta_test {
namespace {

int throw_int(const std::string& log) {
  append(log, "x");
  throw 1;
}
int throw_text(const std::string& log) {
  append(log, "x");
  throw std::out_of_range("beyond the end");
}
int add(int a, int b) { return a + b; }

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 31: TaskError with type and text, not tried again; what depends on it fails with the chain of causes") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    for (const auto isolation : {Isolation::kShared, Isolation::kOwnProcess}) {
      const auto log = folder / std::to_string(static_cast<int>(isolation));
      const auto number = rt.task<throw_int>({.isolation = isolation}).remote(log);
      const auto error = error_of<TaskError>([&] { rt.get(number); });
      CHECK(error.remote_type == "int");
      CHECK_FALSE(error.message.empty());
      const auto text = rt.task<throw_text>({.isolation = isolation}).remote(log);
      CHECK(error_of<TaskError>([&] { rt.get(text); }).remote_type == "std::out_of_range");
      const auto sum = rt.task<add>({.name = "sum"}).remote(rt.remote<add>(1, text), 2);
      const auto chained = error_of<TaskError>([&] { rt.get(sum); });
      CHECK(contains(chained.where, "sum"));
      REQUIRE(chained.cause);
      REQUIRE(chained.cause->cause);
      CHECK(chained.cause->cause->message == "beyond the end");
      CHECK(content(log) == "xx");
    }
    CHECK(rt.get(rt.remote<add>(1, 2)) == 3);
  }

  // Each link had its own line, two blanks deeper: 20,000 of them made 400 MB of text, and went by recursion.
  TEST_CASE("fault 31: a failure that goes through 20,000 tasks keeps the newest causes and the root, and says how many stood between") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    auto last = rt.remote<throw_text>(folder / "log");
    for (int i = 0; i < 20'000; ++i) last = rt.remote<add>(1, last);
    const auto error = error_of<TaskError>([&] { rt.get(last, 120s); });
    const auto text = error.to_string();
    CHECK(text.size() < 10'000);
    CHECK_MESSAGE(contains(text, "beyond the end"), text);
    CHECK_MESSAGE(contains(text, "more between"), text);
    int links = 0;
    for (const auto* link = &error; link; link = link->cause.get()) links += 1 + static_cast<int>(link->left_out);
    CHECK(links >= 20'001);
    CHECK(links < 20'010);
  }
}

}  // namespace manta_test
