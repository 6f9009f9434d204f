// Objects of a process that has died, once their refs are passed on.
#include <unistd.h>

#include <csignal>

#include "support.hpp"

namespace manta_test {

namespace {

using Refs = std::vector<ObjectRef<Buffer>>;

int size_of(const Buffer& buffer) { return static_cast<int>(buffer.size()); }
std::string look(Context& ctx, const Refs& refs) {
  const auto result = ctx.try_get(refs.at(0));
  return result.ok() ? "there" : result.error().to_string();
}

struct Holder {
  Refs kept{};
  Refs make(Context& ctx) { return {ctx.put(Buffer::copy(std::vector<std::byte>(200'000)))}; }
  std::string keep(Context& ctx, const Refs& refs) { return kept = refs, look(ctx, kept); }
  std::string look_again(Context& ctx) { return look(ctx, kept); }
  Refs give() const { return kept; }
  int pid() const { return ::getpid(); }
};

}  // namespace

TEST_SUITE("runtime/api/dead owner") {
  TEST_CASE("a ref to what a dead process owned says OwnerDied wherever it is passed on to") {
    // The story: who passed it on had become its owner, and sent the place of bytes that had gone: NotFound, "no such object".
    Machine machine;
    auto& rt = machine.rt;
    auto owner = rt.actor<Holder>({.isolation = own_process}).spawn(), other = rt.actor<Holder>({.isolation = own_process}).spawn();
    const auto refs = rt.get(owner.call<&Holder::make>());
    CHECK(rt.get(refs[0]).size() == 200'000);
    CHECK(rt.get(other.call<&Holder::keep>(refs)) == "there");
    const int pid = rt.get(owner.call<&Holder::pid>());
    ::kill(pid, SIGKILL);
    CHECK(eventually([&] {
      const auto here = rt.try_get(refs[0]);
      return !here.ok() && here.error().code == ErrorCode::kOwnerDied && contains(rt.get(other.call<&Holder::look_again>()), "OwnerDied");
    }));
    const auto error = error_of<OwnerDied>([&] { rt.get(rt.task<size_of>({.isolation = own_process}).remote(refs[0])); });
    CHECK_MESSAGE(contains(error.to_string(), "make the object again"), error.to_string());
    const auto inside = rt.get(rt.task<look>({.isolation = own_process}).remote(refs));
    CHECK_MESSAGE(contains(inside, "OwnerDied"), inside);
    const auto given = rt.get(other.call<&Holder::give>());
    CHECK_THROWS_AS(rt.get(given[0]), OwnerDied);
    CHECK_THROWS_AS(rt.get(rt.task<size_of>({.isolation = own_process}).remote(given[0])), OwnerDied);
  }
}

}  // namespace manta_test
