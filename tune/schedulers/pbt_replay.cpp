#include "tune/schedulers/pbt_replay.hpp"

#include <algorithm>
#include <fstream>

#include "runtime/errors.hpp"
#include "tune/core/value_json.hpp"
#include "tune/searchers/state_text.hpp"

namespace manta::tune {

namespace {

/// A line of a policy file: [trial, donor, trial's step, donor's step, donor's configuration, new configuration, …].
struct Line {
  std::string trial, donor;
  std::uint64_t step;
  Config before, after;
};

Config config_from(const Json& json) {
  const Value value = json_value(json);
  const auto* dict = value.as<Value::Dict>();
  if (!dict) throw InvalidArgument("a configuration that is no object");
  return Config(*dict);
}

std::vector<Line> read_lines(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in) throw InvalidArgument("pbt_replay: the policy file '" + file.string() + "' cannot be read. PBT writes one for each trial that it has changed.");
  std::vector<Line> lines;
  for (std::string text; std::getline(in, text);) {
    try {
      const Json json = parse_json(text);
      lines.push_back({json.at(0).get<std::string>(), json.at(1).get<std::string>(), whole_number(json.at(3)), config_from(json.at(4)), config_from(json.at(5))});
    } catch (const std::exception& error) {
      throw InvalidArgument("pbt_replay: line " + std::to_string(lines.size() + 1) + " of '" + file.string() + "' is no policy: " + error.what() + ".");
    }
  }
  if (lines.empty()) throw InvalidArgument("pbt_replay: '" + file.string() + "' is empty: its trial was never changed.");
  return lines;
}

class PbtReplay final : public Scheduler {
 public:
  explicit PbtReplay(PbtPolicy policy) : policy_(std::move(policy)) {}

  void fill_config(TrialIndex trial, Config& config) const override {
    if (trial > 0) throw InvalidArgument("pbt_replay: a second trial would follow the same schedule. Set num_samples to 1.");
    config = policy_.initial;
  }
  Verdict on_result(TrialIndex trial, const ResultView& result) override {
    if (next_ >= policy_.changes.size() || result.iteration < policy_.changes[next_].first) return {};
    Verdict verdict(Decision::kPause);
    verdict.exploit = Exploit{trial, policy_.changes[next_].second, "@replayed[" + std::to_string(next_ + 1) + "]"};
    ++next_;
    return verdict;
  }
  bool may_pause() const override { return true; }
  std::string debug_text() const override {
    return "PopulationBasedTraining replay: " + std::to_string(next_) + " of " + std::to_string(policy_.changes.size()) + " changes made";
  }
  std::string save() const override { return StateWriter().put(next_).text(); }
  void restore(std::string_view state) override {
    StateReader in(state, "pbt_replay");
    next_ = in.integer();
    if (next_ > policy_.changes.size()) in.fail();
    in.end();
  }

 private:
  PbtPolicy policy_;
  std::uint64_t next_{0};
};

}  // namespace

PbtPolicy read_pbt_policy(const std::filesystem::path& policy_file) {
  const std::vector<Line> lines = read_lines(policy_file);
  PbtPolicy policy;
  std::string wanted = lines.back().trial;
  for (auto line = lines.rbegin(); line != lines.rend() && line->trial == wanted; ++line) {
    wanted = line->donor;  // what this one's state came from
    policy.initial = line->before;
    // Of two at one step the second counts: no iteration was run with the first.
    if (policy.changes.empty() || policy.changes.back().first != line->step) policy.changes.emplace_back(line->step, line->after);
  }
  std::reverse(policy.changes.begin(), policy.changes.end());
  return policy;
}

SchedulerSpec pbt_replay(std::filesystem::path policy_file) {
  std::string description = "pbt_replay(" + policy_file.string() + ")";
  return {"PopulationBasedTrainingReplay", std::move(description), [policy_file = std::move(policy_file)](const SchedulerContext&) {
            return std::make_unique<PbtReplay>(read_pbt_policy(policy_file));
          },
          false, true};
}

}  // namespace manta::tune
