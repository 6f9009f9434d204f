// What the driver's loop makes of hosts and trials that do not do what they should, or do it late.
#include <doctest/doctest.h>

#include "scripted_host.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

/// Says what the test gives it for each launch; every wait takes as long as it asks for, on a clock of its own.
struct ToldHost final : TrialHost {
  using Answer = std::function<std::vector<HostEvent>(TrialIndex, std::uint32_t launch)>;
  explicit ToldHost(Answer answer) : told(std::move(answer)) {}

  void launch(const TrialSpec& spec, const std::filesystem::path&) override {
    for (HostEvent& event : told(spec.index, ++launches[spec.index])) events.push_back(std::move(event));
  }
  void answer(TrialIndex trial, Decision decision) override {
    if (decision == Decision::kStop) events.push_back({trial, {.kind = TrialReply::kFinished}});
  }
  void kill(TrialIndex trial) override {
    killed.insert(trial);
    std::erase_if(events, [&](const HostEvent& event) { return event.trial == trial; });
  }
  bool tells_begin() const override { return tells; }
  std::vector<HostEvent> wait(std::chrono::milliseconds timeout) override {
    if (events.empty() || (late_begins && events.front().begun && now_ms < begins_at_ms)) return now_ms += timeout.count(), std::vector<HostEvent>{};
    std::vector<HostEvent> one{events.front()};
    events.pop_front();
    return one;
  }

  Answer told;
  std::deque<HostEvent> events;
  std::map<TrialIndex, std::uint32_t> launches;
  std::set<TrialIndex> killed;
  bool tells{false}, late_begins{false};
  std::int64_t now_ms{1}, begins_at_ms{0};
};

/// As a searcher that learns is: asked for a trial when there is a worker for it.
struct OneAtATime final : Searcher {
  Suggestion suggest(TrialIndex index) override { return of.suggest(index); }
  std::string save() const override { return of.save(); }
  void restore(std::string_view state) override { of.restore(state); }
  VariantSearcher of{Space{{"x", uniform(0, 1)}}, 200, 1};
};

std::vector<Trial> run_on(ToldHost& host, std::uint64_t samples, RunnerOptions options, std::int64_t max_failures = 0, const std::function<bool()>& interrupted = [] { return false; },
                          std::unique_ptr<EventLog> log = std::make_unique<MemoryEventLog>(), std::unique_ptr<Searcher> searcher = nullptr) {
  const TempDir dir;
  if (!searcher) searcher = std::make_unique<VariantSearcher>(Space{{"x", uniform(0, 1)}}, samples, 1);
  ExperimentMachine machine({.metric = "loss", .trial_prefix = "abcde", .trainable = "f", .max_failures = max_failures},
                            std::move(searcher), fifo().make({"loss", Mode::kMin, 1}));
  Experiment experiment(std::move(machine), std::move(log), dir.path(), {}, [&] { return host.now_ms; });
  experiment.begin({.name = "exp", .seed = 1}, 1);
  Reporter silent;
  const auto clock = [&] { return Runner::SteadyClock::time_point(std::chrono::milliseconds(host.now_ms)); };
  Runner(experiment, host, silent, std::move(options), interrupted, clock).run();
  return experiment.machine().trials();
}

TrialReply result(std::uint64_t iteration) { return {.kind = TrialReply::kReported, .iteration = iteration, .metrics = {{"loss", 1}}}; }
HostEvent begun(TrialIndex trial) { return {.trial = trial, .begun = true}; }

}  // namespace

TEST_SUITE("tune/core") {
  TEST_CASE("a trial that leaves an iteration out fails alone, for good and with a text, and the others go on") {
    ToldHost host([](TrialIndex trial, std::uint32_t) {
      std::vector<HostEvent> events{{trial, result(1)}};
      events.push_back({trial, trial == 0 ? result(3) : TrialReply{.kind = TrialReply::kFinished}});
      return events;
    });
    const auto trials = run_on(host, 2, {.concurrency = 2}, 5);
    CHECK(trials[0].state == TrialState::kError);
    CHECK(trials[0].iteration == 1);
    CHECK(has(trials[0].error, "reported iteration 3 after 1"));
    CHECK(host.launches.at(0) == 1);
    CHECK(trials[1].state == TrialState::kTerminated);
  }

  TEST_CASE("where trials save themselves at their end, the checkpoint that came with a result out of turn is that one") {
    ToldHost host([](TrialIndex trial, std::uint32_t) {
      TrialReply third = result(3);
      third.checkpoint = "checkpoint_000003";
      return std::vector<HostEvent>{{trial, result(1)}, {trial, third}};
    });
    const auto trials = run_on(host, 1, {.checkpoint_at_end = true});
    CHECK(trials[0].state == TrialState::kError);
    REQUIRE(trials[0].checkpoints.size() == 1);
    CHECK(trials[0].checkpoints[0].name == "checkpoint_000003");
  }

  TEST_CASE("the time limit counts from when the host says that the trial runs") {
    ToldHost host([](TrialIndex trial, std::uint32_t) { return std::vector<HostEvent>{begun(trial), {trial, result(1)}}; });
    host.tells = host.late_begins = true;
    host.begins_at_ms = 60'000;
    auto log = std::make_unique<MemoryEventLog>();
    MemoryEventLog& records = *log;
    std::size_t begins = 0;
    std::vector<Trial> trials;
    SUBCASE("one that then says no more is killed when it has run for so long") {
      trials = run_on(host, 1, {.trial_time_limit_s = 5}, 0, [&] {
        begins = 0;
        records.for_each([&](std::span<const std::byte> record) { begins += std::holds_alternative<TrialBegun>(decode_event(record).body); });
        return false;
      }, std::move(log));
      CHECK(begins == 1);
      CHECK(trials[0].timed_out);
      CHECK(trials[0].iteration == 1);
      CHECK(host.now_ms >= 65'000);
      CHECK(host.now_ms < 66'000);
      CHECK(trials[0].time_running_s < 6);
    }
    SUBCASE("one that waits when the driver ends has not run") {
      trials = run_on(host, 1, {.trial_time_limit_s = 5}, 0, [&] { return host.now_ms > 30'000; }, std::move(log));
      CHECK(trials[0].state == TrialState::kRunning);
      CHECK(trials[0].time_running_s == 0);
      CHECK(host.killed == std::set<TrialIndex>{0});
    }
  }

  TEST_CASE("what another attempt could not have either is not tried again") {
    ToldHost host([](TrialIndex trial, std::uint32_t) {
      return std::vector<HostEvent>{{.trial = trial, .reply = {.kind = TrialReply::kFailed, .error = "1.5 GPUs"}, .crashed = true, .for_good = true}};
    });
    const auto trials = run_on(host, 2, {}, -1);
    for (const Trial& trial : trials) CHECK(trial.state == TrialState::kError);
    CHECK(host.launches == std::map<TrialIndex, std::uint32_t>{{0, 1}, {1, 1}});
  }

  TEST_CASE("a trial that fails again and again without a result is launched later and later") {
    ToldHost host([](TrialIndex trial, std::uint32_t) {
      return std::vector<HostEvent>{{.trial = trial, .reply = {.kind = TrialReply::kFailed, .error = "no data"}}};
    });
    const auto trials = run_on(host, 1, {.retry_back_off = std::chrono::milliseconds(100)}, -1, [&] { return host.now_ms > 10'000; });
    CHECK(host.launches.at(0) >= 8);  // after 0, 100, 200, 400 … ms
    CHECK(host.launches.at(0) <= 10);
    CHECK(trials[0].failures == host.launches.at(0));
  }

  TEST_CASE("a trial that waits for its next attempt keeps no others from being made") {
    ToldHost host([](TrialIndex trial, std::uint32_t) {
      return std::vector<HostEvent>{{trial, {.kind = trial == 0 ? TrialReply::kFailed : TrialReply::kFinished, .error = trial == 0 ? "no data" : ""}}};
    });
    run_on(host, 200, {.concurrency = 2, .retry_back_off = std::chrono::milliseconds(100)}, -1, [&] { return host.now_ms > 10'000; },
           std::make_unique<MemoryEventLog>(), std::make_unique<OneAtATime>());
    CHECK(host.launches.size() == 200);
    CHECK(host.launches.at(0) <= 10);
  }

  TEST_CASE("a trial that comes on between its failures does not wait") {
    ToldHost host([](TrialIndex trial, std::uint32_t launch) {
      std::vector<HostEvent> events{{trial, result(launch)}};
      events.push_back({trial, {.kind = launch < 6 ? TrialReply::kFailed : TrialReply::kFinished, .error = launch < 6 ? "signal 9" : ""}});
      return events;
    });
    const auto trials = run_on(host, 1, {.retry_back_off = std::chrono::milliseconds(100)}, -1);
    CHECK(trials[0].failures == 5);
    CHECK(trials[0].state == TrialState::kTerminated);
    CHECK(host.now_ms == 1);
  }
}
