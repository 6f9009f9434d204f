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
}
