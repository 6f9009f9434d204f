#pragma once
// A TrialHost without processes: trainables are functions of the trial's configuration and iteration, checkpoints are real
// directories, and an event log can "kill" the driver at any record.
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>

#include "support.hpp"
#include "tune/core/checkpoint_files.hpp"
#include "tune/core/journal_codec.hpp"
#include "tune/core/runner.hpp"
#include "tune/searchers/variants.hpp"

namespace manta::tune::testing {

struct Killed : std::runtime_error {
  Killed() : std::runtime_error("killed") {}
};

/// Throws Killed at the n-th append: before the record is there, or after.
class KillingLog final : public EventLog {
 public:
  KillingLog(MemoryEventLog& records, std::size_t kill_at, bool after) : records_(records), left_(kill_at), after_(after) {}
  bool can_compact() const override { return true; }
  void compact(const std::vector<Bytes>& snapshot) override { records_.compact(snapshot); }
  void for_each_event(const Visitor& visit) const override { records_.for_each_event(visit); }
  void append(std::span<const std::byte> record) override {
    const bool now = left_-- == 0;
    if (now && !after_) throw Killed();
    records_.append(record);
    if (now) throw Killed();
  }
  void sync() override {}
  void for_each(const std::function<void(std::span<const std::byte>)>& visit) const override { records_.for_each(visit); }

 private:
  MemoryEventLog& records_;
  std::size_t left_;
  bool after_;
};

struct Script {
  std::uint64_t iterations{4};        ///< the function returns after so many
  std::uint64_t checkpoint_every{2};  ///< 0: never
  std::function<double(const Config&, std::uint64_t iteration)> loss{};
  std::function<bool(TrialIndex, std::uint64_t iteration, std::uint32_t launch)> crash{};  ///< instead of reporting it
  bool ignores_stop{false};
  bool saves_when_paused{false};
  std::function<bool(TrialIndex, std::uint64_t iteration)> hangs{};  ///< never says anything any more
  std::uint32_t results_per_word{1};
  double seconds{0};  ///< of each iteration
  bool random_walk{false};  ///< the loss is a walk whose generator is in each checkpoint
};

class ScriptedHost final : public TrialHost {
 public:
  explicit ScriptedHost(Script script) : script_(std::move(script)) {}

  void launch(const TrialSpec& spec, const std::filesystem::path&) override {
    ++launches[spec.index];
    Run& run = runs_[spec.index] = {spec, spec.iteration, decode_config(spec.config), Random(spec.seed), 0};
    if (!spec.checkpoint.empty() && script_.random_walk) {
      std::ifstream in(spec.checkpoint + "/walk", std::ios::binary);
      in.read(reinterpret_cast<char*>(&run.random), sizeof run.random);
      in.read(reinterpret_cast<char*>(&run.walked), sizeof run.walked);
      if (!in) throw std::logic_error("the checkpoint has no walk");
    }
    if (!spec.checkpoint.empty() && text_of(spec.checkpoint + "/iteration") != std::to_string(spec.iteration))
      throw std::logic_error("the checkpoint given is not that of its iteration");
    peak = std::max(peak, runs_.size());
    most_buffered = std::max(most_buffered, spec.buffer_results);
    go_on(spec.index);
  }
  void answer(TrialIndex trial, Decision decision) override {
    if (decision == Decision::kContinue) return go_on(trial);
    stopped.insert(trial);
    if (script_.ignores_stop) return;
    TrialReply last{.kind = TrialReply::kFinished, .iteration = runs_.at(trial).iteration};
    if (decision == Decision::kPause && script_.saves_when_paused) save(runs_.at(trial), last);
    say(trial, std::move(last));
  }
  void kill(TrialIndex trial) override { killed.insert(trial), runs_.erase(trial); }
  std::vector<HostEvent> wait(std::chrono::milliseconds) override {
    if (events_.empty()) return {};
    std::vector<HostEvent> one{events_.front()};
    events_.pop_front();
    if (one[0].gone()) runs_.erase(one[0].trial);
    return one;
  }

  std::map<TrialIndex, std::uint32_t> launches;
  std::set<TrialIndex> stopped, killed;
  std::size_t peak{0};
  std::uint32_t most_buffered{0};

 private:
  struct Run {
    TrialSpec spec;
    std::uint64_t iteration;
    Config config;
    Random random{0};
    double walked{0};
  };
  void save(const Run& run, TrialReply& reply) {
    const std::string iteration = std::to_string(reply.iteration);
    reply.checkpoint = write_checkpoint(run.spec.dir, reply.iteration,
                                        [&](const std::filesystem::path& dir) {
                                          write_text(dir / "iteration", iteration);
                                          if (!script_.random_walk) return;
                                          std::ofstream out(dir / "walk", std::ios::binary);
                                          out.write(reinterpret_cast<const char*>(&run.random), sizeof run.random);
                                          out.write(reinterpret_cast<const char*>(&run.walked), sizeof run.walked);
                                        });
    reply.checkpoint_bytes = checkpoint_bytes(std::filesystem::path(run.spec.dir) / reply.checkpoint);
  }
  void say(TrialIndex trial, TrialReply reply, bool crashed = false) { events_.push_back({trial, std::move(reply), crashed}); }
  void go_on(TrialIndex trial) {
    Run& run = runs_.at(trial);
    std::vector<TrialReply> earlier;
    while (earlier.size() + 1 < script_.results_per_word && run.iteration + 1 < script_.iterations) earlier.push_back(report(run));
    const std::uint64_t next = run.iteration + 1;
    if (script_.hangs && script_.hangs(trial, next)) return;
    if (script_.crash && script_.crash(trial, next, launches[trial])) return say(trial, {.kind = 2, .error = "signal 9"}, true);
    if (run.iteration >= script_.iterations) return say(trial, {.kind = TrialReply::kFinished});
    TrialReply reply = report(run);
    reply.earlier = std::move(earlier);
    say(trial, std::move(reply));
  }
  TrialReply report(Run& run) {
    TrialReply reply{.kind = TrialReply::kReported, .iteration = ++run.iteration, .pid = 1};
    reply.metrics.set("loss", script_.loss ? script_.loss(run.config, run.iteration) : static_cast<double>(run.iteration));
    reply.time_this_iter_s = script_.seconds;
    if (script_.random_walk) reply.metrics.set("loss", run.walked += run.random.uniform(-1, 1));
    if (script_.checkpoint_every && run.iteration % script_.checkpoint_every == 0) save(run, reply);
    return reply;
  }

  Script script_;
  std::map<TrialIndex, Run> runs_;
  std::deque<HostEvent> events_;
};

/// Keeps the warnings and says nothing else.
struct NotingReporter final : Reporter {
  std::vector<std::string> warnings;
  void warning(const std::string& text) override { warnings.push_back(text); }
};

/// Everything but the records and the directory: made anew for each life of the driver.
struct Life {
  MachineOptions machine{};
  Space space{};
  std::uint64_t samples{4};
  SchedulerSpec scheduler{fifo()};
  Script script{};
  std::size_t concurrency{1};
  std::chrono::duration<double> grace{10};
  std::int64_t tick_ms{1};  ///< each look at the clock
  RunnerOptions runner{};   ///< besides what stands above
  StopperSpec stopper{};
  std::size_t compact_bytes{std::size_t{1} << 30};
  std::function<std::unique_ptr<Searcher>()> searcher{};  ///< default: random and grid
  ExperimentCreated header{.name = "exp", .seed = 1};

  struct Outcome {
    std::vector<Trial> trials{};
    std::map<TrialIndex, std::uint32_t> launches{};
    std::set<TrialIndex> stopped{}, killed{};
    std::size_t peak{0};
    std::string stopped_by{};
    std::uint32_t most_buffered{0};
    std::vector<std::string> warnings{};
  };

  Outcome run(std::unique_ptr<EventLog> log, const std::filesystem::path& dir,
              const std::function<bool()>& interrupted = [] { return false; }) const {
    MachineOptions options = machine;
    options.trial_prefix = "abcde", options.trainable = "f";
    std::vector<std::unique_ptr<Logger>> loggers;
    loggers.push_back(make_json_logger());
    loggers.push_back(make_csv_logger());
    std::int64_t clock = 0;
    auto search = searcher ? searcher() : std::make_unique<VariantSearcher>(space, samples, 1);
    Experiment experiment(ExperimentMachine(options, std::move(search), scheduler.make({options.metric, options.mode, 1}),
                                            stopper.make ? stopper.make({options.metric, options.mode}) : nullptr),
                          std::move(log), dir, std::move(loggers), [&] { return clock += tick_ms; });
    experiment.compact_after(compact_bytes);
    experiment.begin(header, 1);
    ScriptedHost host(script);
    NotingReporter reporter;
    RunnerOptions run = runner;
    run.concurrency = concurrency, run.seed = 1, run.stop_grace = grace;
    Runner loop(experiment, host, reporter, run, interrupted);
    loop.run();
    return {experiment.machine().trials(), host.launches, host.stopped, host.killed, host.peak, experiment.machine().stopped_by(),
            host.most_buffered, reporter.warnings};
  }
};

}  // namespace manta::tune::testing
