// What one call wants of its own: retries on errors, a deadline, cancel; streams and several results from methods.
#include "runtime/retry.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

struct Busy : std::runtime_error {
  Busy() : std::runtime_error("busy") {}
};

class Server {
 public:
  int fail_times(Context& ctx, int times) {
    ++runs_;
    if (ctx.attempt() <= times) throw Busy();
    return ctx.attempt();
  }
  int other_error() {
    ++runs_;
    throw std::logic_error("not that one");
  }
  int runs() const { return runs_; }
  int wait_at(const std::string& log, const std::string& gate) {
    append(log, "in\n");
    return pass(gate, 1);
  }
  bool until_cancelled(Context& ctx, const std::string& log) {
    append(log, "in\n");
    const auto end = SteadyClock::now() + 30s;
    while (!ctx.cancelled() && SteadyClock::now() < end) std::this_thread::sleep_for(1ms);
    append(log, ctx.cancelled() ? "told\n" : "not told\n");
    return ctx.cancelled();
  }
  std::tuple<int, std::string> both() const { return {7, "seven"}; }

 private:
  int runs_ = 0;
};

class Record {
 public:
  int wait_at(const std::string& gate) const { return pass(gate, 1); }
  void add_at_last(Context& ctx, int x) {
    if (ctx.attempt() < 3) throw Busy();
    seen_.push_back(x);
  }
  void add(int x) { seen_.push_back(x); }
  std::vector<int> seen() const { return seen_; }

 private:
  std::vector<int> seen_;
};
/// All calls are made before the first one runs.
std::vector<int> add_in_order(Client& client, ActorHandle<Record> record) {
  Gate gate;
  const auto held = record.call<&Record::wait_at>(gate.path());
  const auto patient = record.options({.retry_on = retry_on<Busy>});
  patient.call<&Record::add_at_last>(1);
  record.call<&Record::add>(2);
  patient.call<&Record::add_at_last>(3);
  patient.call<&Record::add>(4);
  const auto given_up = record.options({.max_retries = 1, .retry_on = retry_on<Busy>}).call<&Record::add_at_last>(9);
  record.call<&Record::add>(5);
  const auto all = record.call<&Record::seen>();
  gate.open();
  client.get(held);
  if (client.try_get(given_up).ok()) return {};
  return client.get(all);
}
std::vector<int> add_elsewhere(Context& ctx, ActorHandle<Record> record) { return add_in_order(ctx, std::move(record)); }

int ask_with_retries(Context& ctx, ActorHandle<Server> server) {
  return ctx.get(server.options({.retry_on = retry_on<Busy>}).call<&Server::fail_times>(2));
}
std::string cancel_elsewhere(Context& ctx, ActorHandle<Server> server, const std::string& log) {
  auto call = server.call<&Server::until_cancelled>(log);
  eventually([&] { return contains(content(log), "in"); }, 20s);
  ctx.cancel(call);
  return ctx.try_get(call).ok() ? "done" : "cancelled";
}

constexpr Isolation kBoth[] = {Isolation::kShared, own_process};

}  // namespace

TEST_SUITE("runtime/api/call_options") {
  TEST_CASE("ray 21: a method that raises 5 times and then succeeds runs exactly 6 times") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : kBoth) {
      auto server = rt.actor<Server>({.isolation = where}).spawn();
      auto patient = server.options({.max_retries = 5, .retry_on = retry_on<Busy>});
      CHECK(rt.get(patient.call<&Server::fail_times>(5), 20s) == 6);
      CHECK(rt.get(server.call<&Server::runs>()) == 6);
      auto error = error_of<TaskError>([&] { rt.get(patient.call<&Server::fail_times>(6), 20s); });
      CHECK(contains(error.message, "busy"));
      CHECK(rt.get(server.call<&Server::runs>()) == 12);
      CHECK_THROWS_AS(rt.get(patient.call<&Server::other_error>(), 20s), TaskError);
      CHECK_THROWS_AS(rt.get(server.call<&Server::fail_times>(1), 20s), TaskError);
      CHECK(rt.get(server.call<&Server::runs>()) == 14);
      CHECK(rt.get(rt.task<ask_with_retries>({.isolation = where}).remote(server), 20s) == 3);
    }
  }

  // A retried call used to run after those that were made behind it.
  TEST_CASE("a call that is retried keeps its place before the later calls of its caller, wherever that is") {
    Machine machine;
    auto& rt = machine.rt;
    const std::vector in_order{1, 2, 3, 4, 5};
    for (auto where : kBoth) {
      auto spawn = [&] { return rt.actor<Record>({.isolation = where}).spawn(); };
      CHECK(add_in_order(rt, spawn()) == in_order);
      CHECK(rt.get(rt.remote<add_elsewhere>(spawn()), 60s) == in_order);
      CHECK(rt.get(rt.task<add_elsewhere>({.isolation = own_process}).remote(spawn()), 60s) == in_order);
    }
  }

  TEST_CASE("a call past its deadline fails at once; one that waits never runs") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : kBoth) {
      Folder folder;
      Gate gate;
      const std::string log = folder / "log", second = folder / "second";
      auto server = rt.actor<Server>({.isolation = where}).spawn();
      auto slow = server.options({.deadline = 300ms}).call<&Server::wait_at>(log, gate.path());
      auto queued = server.options({.deadline = 100ms}).call<&Server::wait_at>(second, gate.path());
      CHECK(contains(error_of<Timeout>([&] { rt.get(slow, 20s); }).message, "deadline of 300 ms"));
      CHECK_THROWS_AS(rt.get(queued, 20s), Timeout);
      gate.open();
      CHECK(rt.get(server.call<&Server::runs>(), 20s) == 0);
      CHECK(content(second).empty());
      CHECK(rt.get(server.options({.deadline = 20s}).call<&Server::runs>()) == 0);
      CHECK_THROWS_AS(server.options({.deadline = -1s}).call<&Server::runs>(), InvalidArgument);
    }
  }

  TEST_CASE("ray 11: force cancel of a call is refused with the reason; a plain one tells the method, from any process") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : kBoth)
      for (int threads : {1, 2}) {
        Folder folder;
        const std::string log = folder / "log", far = folder / "far";
        auto server = rt.actor<Server>({.max_concurrency = threads, .isolation = where}).spawn();
        auto call = server.call<&Server::until_cancelled>(log);
        CHECK(eventually([&] { return content(log) == "in\n"; }, 20s));
        auto error = error_of<InvalidArgument>([&] { rt.cancel(call, {.force = true}); });
        CHECK(contains(error.message, "actor"));
        rt.cancel(call);
        CHECK_THROWS_AS(rt.get(call, 20s), Cancelled);
        CHECK(eventually([&] { return content(log) == "in\ntold\n"; }, 20s));
        CHECK(rt.get(rt.task<cancel_elsewhere>({.isolation = own_process}).remote(server, far), 30s) == "cancelled");
        CHECK(eventually([&] { return content(far) == "in\ntold\n"; }, 20s));
      }
  }

  TEST_CASE("a method gives several results") {
    Machine machine;
    auto server = machine.rt.actor<Server>().spawn();
    auto [number, word] = server.call<&Server::both>();
    CHECK(machine.rt.get(number) == 7);
    CHECK(machine.rt.get(word) == "seven");
  }
}

}  // namespace manta_test
