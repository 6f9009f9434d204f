#include "runtime/core/actor_directory.hpp"

#include <doctest/doctest.h>

namespace manta::core {
namespace {

constexpr ActorId of_process(ProcessId process, std::uint64_t number) { return {(std::uint64_t{process} << 40) + number}; }

}  // namespace

TEST_SUITE("runtime/core/actor_directory") {
  TEST_CASE("a name belongs to one actor until that one releases it") {
    ActorDirectory directory;
    const auto first = of_process(0, 1), second = of_process(3, 1);
    CHECK_FALSE(directory.claim("clicks", {first, {1, 2, "Counter"}}));
    const auto* holder = directory.claim("clicks", {second, {1, 2, "Counter"}});
    REQUIRE(holder);
    CHECK(holder->actor == first);
    directory.release("clicks", second);
    CHECK(directory.find("clicks")->actor == first);
    directory.release("clicks", first);
    CHECK_FALSE(directory.find("clicks"));
    directory.release("clicks", first);
    CHECK_FALSE(directory.claim("clicks", {second, {}}));
    CHECK(directory.size() == 1);
  }

  TEST_CASE("the names of a process that has ended are free; the others stay") {
    ActorDirectory directory;
    directory.claim("b", {of_process(0, 1), {}});
    directory.claim("a", {of_process(7, 1), {}});
    directory.claim("c", {of_process(7, 2), {}});
    CHECK(directory.names(2) == std::vector<std::string>{"a", "b"});
    directory.drop_owner(7);
    CHECK(directory.names(10) == std::vector<std::string>{"b"});
  }

  TEST_CASE("a class is told by its key, not by its name") {
    CHECK(ActorClass{1, 2, "A"} == ActorClass{1, 2, "B"});
    CHECK_FALSE(ActorClass{1, 2, "A"} == ActorClass{1, 3, "A"});
  }
}

}  // namespace manta::core
