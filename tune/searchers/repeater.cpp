#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "runtime/errors.hpp"
#include "tune/core/made.hpp"
#include "tune/core/value_json.hpp"
#include "tune/searchers/wrappers.hpp"

namespace manta::tune {

namespace {

/// One configuration that is being repeated.
struct Group {
  Suggestion suggestion{};
  std::uint64_t ended{0};
  std::vector<double> sums{}, counts{};  ///< of each objective, over the trials that gave a number
  std::uint64_t iteration{0};            ///< the largest
  std::set<TrialIndex> paused{};         ///< of its trials
};

class Repeater final : public Searcher {
 public:
  Repeater(const SearcherSpec& inner, const SearcherContext& context, std::uint64_t times, bool set_index)
      : objectives_(context.objectives), num_samples_(context.num_samples), times_(times), set_index_(set_index) {
    SearcherContext fewer = context;
    fewer.num_samples = (context.num_samples + times - 1) / times;
    inner_ = make_checked("searcher", inner, fewer);
  }

  Suggestion suggest(TrialIndex index) override {
    if (index >= *total()) return {};
    const TrialIndex group = index / static_cast<TrialIndex>(times_);
    auto found = groups_.find(group);
    if (found == groups_.end()) {
      Suggestion made = inner_->suggest(group);
      if (made.kind != Suggestion::Kind::kConfig) return made;
      found = groups_.emplace(group, new_group(std::move(made))).first;
    }
    Suggestion suggestion = found->second.suggestion;
    const std::uint64_t number = index % times_;
    if (set_index_) suggestion.config.set(kRepetition, number);
    suggestion.tag += (suggestion.tag.empty() ? "" : ",") + std::string("repetition=") + std::to_string(number);
    return suggestion;
  }

  void on_complete(TrialIndex trial, const ResultView* last, double) override {
    const auto [number, group] = group_with(trial);
    for (std::size_t i = 0; last && i < objectives_.size(); ++i) {
      const double value = last->get(objectives_[i].metric).value_or(std::numeric_limits<double>::quiet_NaN());
      if (!std::isnan(value)) group.sums[i] += value, group.counts[i] += 1;
    }
    if (last) group.iteration = std::max(group.iteration, last->iteration);
    const bool paused = pauses(number, group);
    group.paused.erase(trial);
    ++group.ended;
    if (!paused && pauses(number, group)) inner_->on_pause(number);
    if (group.ended < times_) return;
    tell(number, group);
    groups_.erase(number);
  }

  void on_pause(TrialIndex trial) override {
    const auto [number, group] = group_with(trial);
    if (group.paused.insert(trial).second && pauses(number, group)) inner_->on_pause(number);
  }
  void on_resume(TrialIndex trial) override {
    const auto [number, group] = group_with(trial);
    const bool paused = pauses(number, group);
    if (group.paused.erase(trial) != 0 && paused) inner_->on_resume(number);
  }

  std::optional<std::uint64_t> total() const override {
    const auto configurations = inner_->total();
    if (!configurations) return num_samples_;
    // A grid repeats itself num_samples times, whatever the repetitions: then each of its trials is one group.
    const std::uint64_t needed = (num_samples_ + times_ - 1) / times_;
    if (*configurations == needed) return num_samples_;
    return *configurations > UINT64_MAX / times_ ? UINT64_MAX : *configurations * times_;
  }
  std::uint32_t suggest_ahead() const override { return inner_->suggest_ahead(); }

  std::string save() const override {
    Json groups = Json::array();
    for (const auto& [number, group] : groups_) groups.push_back(group_json(number, group));
    return Json{{"groups", groups}, {"inner", value_json(Value(inner_->save()))}}.dump();
  }

  void restore(std::string_view state) override {
    try {
      const Json json = parse_json(state);
      inner_->restore(value_as<std::string>(json_value(json.at("inner")), "inner"));
      groups_.clear();
      for (const Json& one : json.at("groups")) {
        const Group& group = groups_.emplace(trial_of(one.at(0)), group_of(one)).first->second;
        if (group.sums.size() != objectives_.size() || group.counts.size() != objectives_.size())
          throw InvalidArgument("a configuration has sums of other metrics");
      }
    } catch (const std::exception& error) {
      throw InvalidArgument(std::string("the saved state of a repeater cannot be restored: ") + error.what());
    }
  }
  void check_restored(std::uint64_t trials, std::uint64_t running) const override {
    inner_->check_restored(trials / times_ + (trials % times_ != 0), groups_.size());
    std::uint64_t live = 0;
    for (const auto& [number, group] : groups_) {
      const std::uint64_t first = number * times_;
      if (first >= trials || group.ended > std::min(times_, trials - first))
        throw InvalidArgument("a repeater knows of trials that there are not");
      live += std::min(times_, trials - first) - group.ended;
    }
    if (live != running)
      throw InvalidArgument("a repeater knows of " + std::to_string(live) + " trials that have not ended, but there are " + std::to_string(running));
  }

 private:
  Group new_group(Suggestion made) const {
    return {.suggestion = std::move(made),
            .sums = std::vector<double>(objectives_.size()),
            .counts = std::vector<double>(objectives_.size())};
  }

  std::pair<TrialIndex, Group&> group_with(TrialIndex trial) {
    const TrialIndex number = trial / static_cast<TrialIndex>(times_);
    const auto found = groups_.find(number);
    if (found == groups_.end())  // of a state that was restored beside other trials
      throw InvalidArgument("a repeater is told of trial " + std::to_string(trial) + ", but all of its configuration's trials have ended, or none was made");
    return {number, found->second};
  }

  /// Whether nothing of the group runs or is still to be made: all that has not ended is paused.
  bool pauses(TrialIndex number, const Group& group) const {
    const std::uint64_t size = std::min(times_, *total() - number * times_);  // the last one may be smaller
    return !group.paused.empty() && group.ended + group.paused.size() == size;
  }

  void tell(TrialIndex number, const Group& group) {
    Metrics means;
    bool any = objectives_.empty();
    for (std::size_t i = 0; i < objectives_.size(); ++i) {
      any |= group.counts[i] > 0;
      means.set(objectives_[i].metric, group.sums[i] / group.counts[i]);  // NaN where no trial gave a number
    }
    const ResultView mean{.iteration = group.iteration, .time_total_s = 0, .metrics = means};
    inner_->on_complete(number, any ? &mean : nullptr, 0);
  }

  static Json group_json(TrialIndex number, const Group& group) {
    return {number, value_json(Value(group.suggestion.config.entries())), value_json(Value(group.suggestion.tag)), group.ended,
            value_json(Value(group.sums)), value_json(Value(group.counts)), group.iteration, group.paused};
  }

  static Group group_of(const Json& json) {
    return {{Suggestion::Kind::kConfig, value_as<Config>(json_value(json.at(1)), "configuration"), value_as<std::string>(json_value(json.at(2)), "tag")},
            whole_number(json.at(3)),
            value_as<std::vector<double>>(json_value(json.at(4)), "sums"),
            value_as<std::vector<double>>(json_value(json.at(5)), "counts"),
            whole_number(json.at(6)),
            trials_of(json.at(7))};
  }

  std::unique_ptr<Searcher> inner_;
  std::vector<Objective> objectives_;
  std::uint64_t num_samples_;
  std::uint64_t times_;
  bool set_index_;
  std::map<TrialIndex, Group> groups_;
};

}  // namespace

SearcherSpec repeat(SearcherSpec inner, std::uint64_t times, RepeatOptions options) {
  if (times == 0) throw InvalidArgument("repeat: times is 0; it must be at least 1.");
  if (times > std::numeric_limits<TrialIndex>::max())
    throw InvalidArgument("repeat: times is " + std::to_string(times) + ", but there are no more than 4294967295 trials.");
  std::string description =
      "repeat(" + std::to_string(times) + (options.set_index ? "" : ", set_index=false") + ", " + inner.description + ")";
  return {inner.name, std::move(description), [=](const SearcherContext& context) {
            return std::make_unique<Repeater>(inner, context, times, options.set_index);
          },
          inner.learns};
}

}  // namespace manta::tune
