#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "runtime/process/reactor.hpp"

#include <doctest/doctest.h>
#include <sys/epoll.h>

#include <csignal>

#include "runtime/process/process_info.hpp"
#include "tests/runtime/process/test_support.hpp"

namespace {

using manta::Reactor;
using manta_test::Watched;
using Clock = std::chrono::steady_clock;

/// Runs the loop on this thread until the condition, which only it looks at; asks until it is lent.
bool borrow(Reactor& reactor, const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  bool ran = false, over = false;
  const auto look = [&] {
    if (!reactor.on_reactor_thread()) return over;
    ran = true;
    return over = condition();
  };
  while (!ran) {
    reactor.post([] {});
    static_cast<void>(reactor.run_until(look, Clock::now() + limit));
  }
  return over;
}

}  // namespace

TEST_SUITE("runtime/process") {
  TEST_CASE("posted functions run in order on the reactor's thread, all of them before stop returns") {
    auto reactor = std::move(Reactor::start("test").value());
    std::vector<int> order;
    bool on_thread = true;
    for (int i = 0; i < 1000; ++i)
      REQUIRE(reactor->post([&, i] {
        order.push_back(i);
        on_thread &= reactor->on_reactor_thread();
      }));
    reactor->stop();
    CHECK(order.size() == 1000);
    CHECK(std::is_sorted(order.begin(), order.end()));
    CHECK(on_thread);
    CHECK_FALSE(reactor->post([] {}));
    CHECK(reactor->add(0, EPOLLIN, {}).error().code == manta::ErrorCode::kRuntimeStopped);
  }

  TEST_CASE("timers run in the order of their times and not early") {
    auto reactor = std::move(Reactor::start("test").value());
    Watched<std::vector<int>> order;
    const auto begin = Clock::now();
    Watched<Clock::time_point> last;
    reactor->run_after(std::chrono::milliseconds(30), [&] {
      last.update([](auto& time) { time = Clock::now(); });
      order.update([](auto& o) { o.push_back(2); });
    });
    reactor->run_after(std::chrono::milliseconds(5), [&] { order.update([](auto& o) { o.push_back(1); }); });
    REQUIRE(order.wait([](const auto& o) { return o.size() == 2; }));
    CHECK((order.get() == std::vector{1, 2}));
    CHECK(last.get() - begin >= std::chrono::milliseconds(30));
  }

  TEST_CASE("a registration removed by its own callback is called no more, and its captures are dropped") {
    auto reactor = std::move(Reactor::start("test").value());
    auto pipe = manta::make_pipe().value();
    auto captured = std::make_shared<int>(0);
    std::atomic<Reactor::Token> token = 0;
    Watched<int> calls;
    token = reactor
                ->add(pipe.first.get(), EPOLLIN,
                      [&, captured](std::uint32_t) {
                        if (token == 0) return;  // level-triggered: comes again
                        reactor->remove(token);
                        calls.update([](int& n) { ++n; });
                      })
                .value();
    REQUIRE(::write(pipe.second.get(), "xx", 2) == 2);  // never read: it would be called for ever
    REQUIRE(calls.wait([](int n) { return n > 0; }));
    CHECK(manta_test::eventually([&] { return captured.use_count() == 1; }));
    reactor->stop();
    CHECK(calls.get() == 1);
  }

  TEST_CASE("stop drops what is registered and leaves no descriptor") {
    const std::size_t before = manta::open_descriptor_count();
    auto captured = std::make_shared<int>(0);
    {
      auto pipe = manta::make_pipe().value();
      auto reactor = std::move(Reactor::start("test").value());
      REQUIRE(reactor->add(pipe.first.get(), EPOLLIN, [captured](std::uint32_t) {}).ok());
      reactor->run_after(std::chrono::hours(1), [captured] {});
      reactor->stop();
      CHECK(captured.use_count() == 1);
    }
    CHECK(manta::open_descriptor_count() == before);
  }

  TEST_CASE("the reactor's thread takes no signals of the program's") {
    auto reactor = std::move(Reactor::start("test").value());
    Watched<int> blocked;
    reactor->post([&] {
      sigset_t set;
      ::pthread_sigmask(SIG_SETMASK, nullptr, &set);
      blocked.update([&](int& b) { b = ::sigismember(&set, SIGINT) + ::sigismember(&set, SIGTERM) + 1; });
    });
    REQUIRE(blocked.wait([](int b) { return b > 0; }));
    CHECK(blocked.get() == 3);
  }

  TEST_CASE("a thread that waits runs the loop itself once it is lent, and gives it back when it no longer waits") {
    auto reactor = std::move(Reactor::start("test", Reactor::Threads::kLent).value());
    const auto here = std::this_thread::get_id();
    CHECK(borrow(*reactor, [] { return true; }, std::chrono::seconds(1)));
    for (int i = 0; i < 100; ++i) {
      std::thread::id runner;
      bool done = false;
      REQUIRE(borrow(*reactor, [&] {
        if (runner == std::thread::id()) reactor->post([&] { runner = std::this_thread::get_id(), done = true; });
        return done;
      }, std::chrono::seconds(10)));
      REQUIRE(runner == here);
    }
    Watched<std::thread::id> later;
    REQUIRE(reactor->post([&] { later.update([](auto& id) { id = std::this_thread::get_id(); }); }));
    REQUIRE(later.wait([](auto id) { return id != std::thread::id(); }));  // nobody waits in it: its own thread is back
    CHECK(later.get() != here);
  }

  // Its own thread took it up again within nanoseconds, so that it was had by luck only, and each message woke two threads.
  TEST_CASE("a loop that a thread has asked for is there for it after the next round") {
    auto reactor = std::move(Reactor::start("test", Reactor::Threads::kLent).value());
    bool had = false;
    for (int ask = 0; ask < 100 && !had; ++ask) {
      static_cast<void>(reactor->run_until([&] { return had = had || reactor->on_reactor_thread(); }, Clock::now() + std::chrono::seconds(1)));
      Watched<bool> ran;
      REQUIRE(reactor->post([&] { ran.update([](bool& each) { each = true; }); }));
      REQUIRE(ran.wait([](bool each) { return each; }));
    }
    CHECK(had);
  }

  TEST_CASE("a wait in the loop ends at its deadline, and when another thread makes its condition true") {
    auto reactor = std::move(Reactor::start("test", Reactor::Threads::kLent).value());
    const auto begin = Clock::now();
    CHECK_FALSE(borrow(*reactor, [] { return false; }, std::chrono::milliseconds(20)));
    CHECK(Clock::now() - begin >= std::chrono::milliseconds(20));
    std::atomic<bool> waits = false, done = false;
    std::thread other([&] {
      while (!waits) std::this_thread::yield();
      done = true;
      reactor->nudge();
    });
    CHECK(borrow(*reactor, [&] { return waits = true, done.load(); }, std::chrono::seconds(10)));
    other.join();
  }

  TEST_CASE("a function after a round runs on the loop's thread; when it blocks, the other thread takes the loop over") {
    auto reactor = std::move(Reactor::start("test", Reactor::Threads::kTwo).value());
    std::atomic<bool> accepted = false, release = false, ended = false;
    std::thread::id reader, runner;
    sigset_t signals;
    ::sigfillset(&signals);
    std::atomic<int> offers = 0;
    const auto offer = [&] {
      reader = std::this_thread::get_id();
      const bool taken = reactor->run_after_round([&] {
        runner = std::this_thread::get_id();
        ::pthread_sigmask(SIG_BLOCK, nullptr, &signals);
        while (!release) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        ended = true;
      });
      if (taken) CHECK_FALSE(reactor->run_after_round([] {}));  // one a round
      accepted = taken;
      ++offers;
    };
    // Refused as long as the other thread does not stand by yet: it has just been started.
    for (int i = 1; !accepted && i < 10000; ++i) {
      REQUIRE(reactor->post(offer));
      REQUIRE(manta_test::eventually([&] { return offers == i; }));
    }
    REQUIRE(accepted);
    Watched<std::thread::id> meanwhile;
    REQUIRE(reactor->post([&] { meanwhile.update([](auto& id) { id = std::this_thread::get_id(); }); }));
    REQUIRE(meanwhile.wait([](auto id) { return id != std::thread::id(); }));
    CHECK_FALSE(ended);
    release = true;
    CHECK(manta_test::eventually([&] { return ended.load(); }));
    CHECK(reader == runner);
    CHECK(meanwhile.get() != runner);
    CHECK(::sigismember(&signals, SIGTERM) == 0);  // what it starts must not inherit blocked signals
    reactor->stop();
  }

  TEST_CASE("a second function is refused while the first one blocks, so that somebody reads on") {
    auto reactor = std::move(Reactor::start("test", Reactor::Threads::kTwo).value());
    std::atomic<bool> release = false;
    std::atomic<int> accepted = 0, answered = 0;
    int asked = 0;
    const auto ask = [&] {
      REQUIRE(reactor->post([&] {
        accepted += reactor->run_after_round([&] {
          while (!release) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        });
        ++answered;
      }));
      ++asked;
      REQUIRE(manta_test::eventually([&] { return answered == asked; }));
    };
    while (accepted == 0 && asked < 10000) ask();  // refused as long as the other thread does not stand by yet
    for (int i = 0; i < 200; ++i) ask();           // more than are refused after a long one
    CHECK(accepted == 1);
    release = true;
    reactor->stop();
  }

  TEST_CASE("a loop of one thread takes no function after a round") {
    auto reactor = std::move(Reactor::start("test").value());
    Watched<int> answer;
    REQUIRE(reactor->post([&] { answer.update([&](int& value) { value = reactor->run_after_round([] {}) ? 1 : 2; }); }));
    CHECK(answer.wait([](int value) { return value == 2; }));
  }
}
