// A failure that nobody asks for is logged, once; one that somebody has seen, or that was wanted, is not.
#include <unistd.h>

#include <iostream>

#include "support.hpp"

namespace manta_test {
namespace {

int fail(const std::string& text) { throw std::runtime_error(text); }
int take(int x) { return x; }
std::tuple<int, int> fail_both(const std::string& text) { throw std::runtime_error(text); }
Generator<int> fail_third() {
  co_yield 1;
  co_yield 2;
  throw std::runtime_error("seen-in-stream");
}
struct Clerk {
  int fail(const std::string& text) { throw std::runtime_error(text); }
  int wait_at(const std::string& gate) { return pass(gate, 1); }
};

struct Broken {
  Broken(const std::string& file, const std::string& text) {
    append(file, text);
    throw std::runtime_error(text);
  }
  int one() { return 1; }
};

template <class T>
void settle(const ObjectRef<T>& ref) {
  eventually([&] { return ref.ready(); }, 30s);
}

}  // namespace

/// Failures seen and unseen; its log goes to stdout.
int run_unseen() {
  ::dup2(1, 2);
  Gate gate;
  Folder folder;
  {
    auto rt = Runtime::start(small_machine());
    auto clerk = rt.actor<Clerk>().spawn();
    settle(rt.remote<fail>("unseen-task"));
    settle(clerk.call<&Clerk::fail>("unseen-call"));
    clerk.call<&Clerk::fail>("unseen-at-all");  // no ref is ever kept
    try {
      rt.get(rt.remote<fail>("seen-by-get"));
    } catch (const TaskError&) {
    }
    rt.wait(std::vector{rt.remote<fail>("unseen-by-wait")});  // it does not say which have failed
    {
      auto ref = rt.remote<fail>("seen-by-asking");
      settle(ref);
      if (!ref.failed()) return 2;
    }
    settle(rt.remote<take>(rt.remote<fail>("unseen-at-the-end-of-a-chain")));
    auto [left, right] = rt.remote<fail_both>("seen-in-one-of-two");
    if (rt.try_get(right).ok()) return 3;
    {
      auto [first, second] = rt.remote<fail_both>("unseen-pair");
      settle(second);
    }
    auto spawn = [&](const char* text) { return rt.actor<Broken>().spawn((folder / "constructors").string(), text); };
    auto only_clerk = [&] { return eventually([&] { return rt.stats().leases == 1; }, 30s); };
    auto never_called = spawn("unseen-constructor-kept");
    if (!only_clerk()) return 7;
    {
      auto dropped = spawn("unseen-constructor-dropped");
      if (!eventually([&] { return content(folder / "constructors").find("dropped") != std::string::npos; }, 30s)) return 4;
      if (!only_clerk()) return 8;  // its owner knows of the failure
    }
    if (rt.try_get(spawn("known-constructor").call<&Broken::one>()).ok()) return 5;
    if (!eventually([&] { return content(folder / "constructors").find("kept") != std::string::npos; }, 30s)) return 6;
    for (auto& item : rt.remote<fail_third>()) static_cast<void>(rt.try_get(item));
    auto cancelled = rt.remote<pass>(gate.path(), 1);
    rt.cancel(cancelled);
    settle(cancelled);
    auto killed = rt.actor<Clerk>().spawn();
    auto call = killed.call<&Clerk::wait_at>(gate.path());
    killed.kill();
    settle(call);
    rt.task<pass>({.num_cpus = 4}).remote(gate.path(), 1);
    rt.task<pass>({.num_cpus = 4}).remote(gate.path(), 1);  // in line when the runtime ends
    gate.open();
    rt.get(clerk.call<&Clerk::wait_at>(gate.path()));
  }
  std::cout << "end" << std::endl;
  return 0;
}

TEST_SUITE("runtime/api/unseen") {
  TEST_CASE("a failure that nobody asks for is logged once with its error; one that was seen or wanted is not") {
    SubProgram program("unseen", {});
    std::string all;
    for (std::string line; (line = program.read_line()) != "end" && all.size() < 100'000;) all += line + "\n";
    CHECK(program.wait() == 0);
    auto count = [&](const std::string& part) {
      int found = 0;
      for (auto at = all.find(part); at != std::string::npos; at = all.find(part, at + 1)) ++found;
      return found;
    };
    for (const char* unseen : {"unseen-task", "unseen-call", "unseen-at-all", "unseen-pair", "unseen-constructor-kept", "unseen-constructor-dropped", "unseen-by-wait"}) CHECK_MESSAGE(count(unseen) == 1, unseen << " in: " << all);
    // Said with the last link of the chain, as its cause.
    CHECK_MESSAGE(count("unseen-at-the-end-of-a-chain") >= 1, all);
    CHECK_MESSAGE(count("a failure that nobody has asked for") == 8, all);
    for (const char* quiet : {"seen-by-get", "seen-by-asking", "seen-in-one-of-two", "seen-in-stream", "known-constructor", "end of stream",
                              "Cancelled", "RuntimeStopped", "kill()"})
      CHECK_MESSAGE(count(quiet) == 0, quiet << " in: " << all);
  }
}

}  // namespace manta_test
