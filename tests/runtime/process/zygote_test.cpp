#include "runtime/process/zygote.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "runtime/process/link.hpp"
#include "runtime/process/process_info.hpp"
#include "tests/runtime/process/test_support.hpp"

namespace {

using manta::Link;
using manta::SpawnedWorker;
using manta::Zygote;
using manta_test::Exits;
using manta_test::Watched;

std::unique_ptr<Zygote> start(Exits& exits, manta::Environment env = {}) {
  return std::move(Zygote::start({.env = std::move(env), .on_exit = exits.callback()}).value());
}

SpawnedWorker spawn(Zygote& zygote, const std::string& job, manta::Environment env = {}, std::string title = "worker") {
  env.emplace_back("MANTA_TEST_JOB", job);
  return std::move(zygote.spawn({.env = std::move(env), .title = std::move(title)}).value());
}

std::string describe_in(Zygote& zygote) {
  SpawnedWorker worker = spawn(zygote, "describe", {{"FRUIT", "pear=tree"}}, "a worker with a long name");
  return manta_test::read_to_end(worker.link.get());
}

}  // namespace

TEST_SUITE("runtime/process") {
  TEST_CASE("twenty workers echo frames with descriptors and end when their link closes") {
    Exits exits;
    auto reactor = std::move(manta::Reactor::start("test").value());
    auto zygote = start(exits);
    CHECK_FALSE(zygote->uses_exec());
    Watched<std::multiset<std::string>> echoes;
    Watched<int> fds;
    auto pipe = manta::make_pipe().value();
    std::vector<SpawnedWorker> workers;
    std::vector<std::shared_ptr<Link>> links;
    for (int i = 0; i < 20; ++i) {
      workers.push_back(spawn(*zygote, "echo"));
      links.push_back(Link::make(*reactor, std::move(workers.back().link)));
      auto on_frame = [&](Link::Frame& frame) {
        fds.update([&](int& n) { n += static_cast<int>(frame.fds.size()); });
        const auto* text = reinterpret_cast<const char*>(frame.payload.data());
        echoes.update([&](auto& all) { all.emplace(text, frame.payload.size()); });
      };
      REQUIRE(links.back()->start({.on_frame = on_frame, .on_close = {}}).ok());
    }
    const int fd[] = {pipe.first.get()};
    for (int i = 0; i < 20; ++i)
      for (int round = 0; round < 50; ++round) {
        const std::string text = std::to_string(i) + "/" + std::to_string(round);
        REQUIRE(links[i]->send(1, std::as_bytes(std::span(text)), std::span(fd).first(round == 0 ? 1 : 0)).ok());
      }
    REQUIRE(echoes.wait([](const auto& all) { return all.size() == 20 * 50; }));
    const auto got = echoes.get();
    CHECK(std::set<std::string>(got.begin(), got.end()).size() == 20 * 50);
    CHECK(fds.get() == 20);
    for (auto& link : links) link->close();
    for (const SpawnedWorker& worker : workers) {
      const auto exit = exits.wait(worker.pid);
      REQUIRE(exit);
      CHECK(exit->to_string() == "exited with status 0");
    }
    reactor->stop();
  }

  TEST_CASE("a forked worker is a process group of its own with nothing of the zygote's but its program") {
    ::setenv("MANTA_TEST_INHERITED", "yes", 1);
    Exits exits;
    auto zygote = start(exits);
    CHECK(describe_in(*zygote) ==
          "fruit=pear=tree inherited=yes name=a worker with a title=a worker with a long name group=1 sigint=1 "
          "sigchld=1 death=9 privileges=1 null=1 marked=0 fds=4 forked=1");
  }

  // The story: the zygote that took a lost one's place had the working directory and environment that the program had come to by then.
  TEST_CASE("a zygote that is given the surroundings of an earlier time has those, whatever the program has changed since") {
    const auto here = std::filesystem::current_path();
    const char* variable = ::getenv("MANTA_TEST_INHERITED");
    const std::string was = variable ? variable : "";
    ::setenv("MANTA_TEST_INHERITED", "before", 1);
    const auto before = manta::Surroundings::now();
    ::setenv("MANTA_TEST_INHERITED", "after", 1);
    std::filesystem::current_path("/");
    const auto ask = [](std::optional<manta::Surroundings> surroundings) {
      auto zygote = std::move(Zygote::start({.surroundings = std::move(surroundings)}).value());
      SpawnedWorker worker = spawn(*zygote, "surroundings");
      return manta_test::read_line(worker.link.get());
    };
    const auto replaced = ask(before), fresh = ask({});
    std::filesystem::current_path(here);
    ::setenv("MANTA_TEST_INHERITED", was.c_str(), 1);
    CHECK(replaced == "before " + here.string());
    CHECK(fresh == "after /");
  }

  TEST_CASE("a program with a thread before main gets workers that are executed anew, otherwise the same") {
    Exits exits;
    auto zygote = start(exits, {{"MANTA_TEST_STATIC_THREAD", "1"}});
    CHECK(zygote->uses_exec());
    CHECK(describe_in(*zygote) ==
          "fruit=pear=tree inherited=yes name=a worker with a title=a worker with a long name group=1 sigint=1 "
          "sigchld=1 death=9 privileges=1 null=1 marked=0 fds=4 forked=0");
    SpawnedWorker killed = spawn(*zygote, "echo");
    REQUIRE(zygote->kill(killed.pid, SIGKILL).ok());
    CHECK(exits.wait(killed.pid)->wait_status == SIGKILL);
  }

  TEST_CASE("kill -9 of a worker is reported with its tag, and the other workers live on") {
    Exits exits;
    auto zygote = start(exits);
    SpawnedWorker other = spawn(*zygote, "echo");
    auto victim = zygote->spawn({.tag = 77}).value();
    REQUIRE(::kill(victim.pid, SIGKILL) == 0);
    const auto exit = exits.wait(victim.pid);
    REQUIRE(exit);
    CHECK(exit->tag == 77);
    CHECK(exit->to_string() == "was killed by signal 9 (Killed)");
    CHECK(manta::is_running(other.pid));
    CHECK(zygote->kill(victim.pid, SIGKILL).error().code == manta::ErrorCode::kNotFound);
    CHECK(manta_test::read_to_end(victim.link.get()).empty());  // its link has closed, too
  }

  TEST_CASE("a signal through the zygote reaches the worker and what it has started") {
    Exits exits;
    auto zygote = start(exits);
    SpawnedWorker worker = spawn(*zygote, "have_child");
    const pid_t child = std::stoi(manta_test::read_line(worker.link.get()));
    CHECK(manta::is_running(child));
    REQUIRE(zygote->kill(worker.pid, SIGTERM).ok());
    CHECK(exits.wait(worker.pid)->to_string() == "was killed by signal 15 (Terminated)");
    CHECK(manta_test::eventually([&] { return !manta::is_running(child); }));
  }

  TEST_CASE("what a worker has started is killed when the worker just ends") {
    Exits exits;
    auto zygote = start(exits);
    SpawnedWorker worker = spawn(*zygote, "have_child", {{"MANTA_TEST_THEN_EXIT", "5"}});
    const pid_t child = std::stoi(manta_test::read_line(worker.link.get()));
    CHECK(exits.wait(worker.pid)->to_string() == "exited with status 5");
    CHECK(manta_test::eventually([&] { return !manta::is_running(child); }));
    CHECK(manta_test::read_to_end(worker.out.get()).empty());  // the child held the pipe open
  }

  TEST_CASE("shutdown ends zygote and workers, reports each once, and can be called again") {
    Exits exits;
    auto zygote = start(exits);
    std::vector<SpawnedWorker> workers;
    for (const char* job : {"echo", "have_child", "exit"}) workers.push_back(spawn(*zygote, job));
    const pid_t child = std::stoi(manta_test::read_line(workers[1].link.get()));
    zygote->shutdown();
    CHECK(exits.count() == 3);
    for (const SpawnedWorker& worker : workers) CHECK_FALSE(manta::is_running(worker.pid));
    CHECK_FALSE(manta::is_running(zygote->pid()));
    CHECK(manta_test::eventually([&] { return !manta::is_running(child); }));
    zygote->shutdown();
    CHECK(zygote->spawn({}).error().code == manta::ErrorCode::kRuntimeStopped);
    CHECK(zygote->kill(workers[0].pid, SIGKILL).error().code == manta::ErrorCode::kRuntimeStopped);
  }

  TEST_CASE("a bad or oversized environment is refused and harms nothing") {
    Exits exits;
    auto zygote = start(exits);
    for (const manta::Environment& env :
         {manta::Environment{{"", "x"}}, manta::Environment{{"A=B", "x"}},
          manta::Environment{{"A", std::string("x\0y", 3)}}, manta::Environment{{"A", std::string(200'000, 'x')}}})
      CHECK(zygote->spawn({.env = env}).error().code == manta::ErrorCode::kInvalidArgument);
    SpawnedWorker worker = spawn(*zygote, "exit", {{"BIG", std::string(120'000, 'x')}});
    CHECK(exits.wait(worker.pid)->to_string() == "exited with status 7");
  }

  // The story: the lengths that travel with names and values were not counted. What the sender took the receiver cut, so that the zygote
  // ended, and all workers with it, three times over.
  TEST_CASE("an environment of many small variables is refused by what it takes to send it, and the zygote serves on") {
    Exits exits;
    auto zygote = start(exits);
    const auto small = [](int count) {
      manta::Environment env;
      for (int i = 0; i < count; ++i) env.emplace_back("N" + std::to_string(10'000 + i), "abc");
      return env;
    };
    const auto refused = zygote->spawn({.env = small(12'000)});
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == manta::ErrorCode::kInvalidArgument);
    CHECK(refused.error().message.find("12000 variables") != std::string::npos);
    SpawnedWorker worker = spawn(*zygote, "exit", small(7'000));
    CHECK(exits.wait(worker.pid)->to_string() == "exited with status 7");
  }

  TEST_CASE("workers spawned from many threads are all different, and every end is reported") {
    Exits exits;
    auto zygote = start(exits);
    Watched<std::set<pid_t>> pids;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 10; ++i) {
          const pid_t pid = spawn(*zygote, "exit").pid;
          pids.update([&](auto& all) { all.insert(pid); });
        }
      });
    for (std::thread& thread : threads) thread.join();
    CHECK(pids.get().size() == 40);
    for (const pid_t pid : pids.get()) CHECK(exits.wait(pid));
    CHECK(exits.count() == 40);
  }

  TEST_CASE("200 rounds of spawn and exit leave no descriptor behind, here or in the zygote") {
    const std::size_t before = manta::open_descriptor_count();
    {
      Exits exits;
      auto zygote = start(exits);
      const std::size_t with_zygote = manta::open_descriptor_count();
      std::vector<double> times_ms;
      for (int i = 0; i < 200; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        const SpawnedWorker worker = spawn(*zygote, "exit");
        times_ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
        REQUIRE(exits.wait(worker.pid));
      }
      CHECK(manta::open_descriptor_count() == with_zygote);
      const std::string last = describe_in(*zygote);
      CHECK(last.find(" fds=4 ") != std::string::npos);
      std::sort(times_ms.begin(), times_ms.end());
      MESSAGE("spawn round trip: median ", times_ms[100], " ms, maximum ", times_ms[199], " ms");
    }
    CHECK(manta::open_descriptor_count() == before);
  }
}
