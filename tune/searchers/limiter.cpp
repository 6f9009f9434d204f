#include <algorithm>
#include <map>
#include <set>

#include "runtime/errors.hpp"
#include "tune/core/made.hpp"
#include "tune/core/value_json.hpp"
#include "tune/searchers/wrappers.hpp"

namespace manta::tune {

namespace {

/// What a trial ended with, kept until its batch is complete.
struct Ending {
  bool failed{true};
  std::uint64_t iteration{0};
  double time_total_s{0};
  Metrics metrics{};
  double rung{0};
};

Json ending_json(const Ending& ending) {
  Json metrics = Json::array();
  for (const auto& [name, value] : ending.metrics) metrics.push_back(Json::array({value_json(Value(name)), value_json(value)}));
  return {ending.failed, ending.iteration, value_json(ending.time_total_s), metrics, value_json(ending.rung)};
}

Ending ending_of(const Json& json) {
  const auto number = [](const Json& one) { return value_as<double>(json_value(one), "number"); };
  Ending ending{json.at(0).get<bool>(), whole_number(json.at(1)), number(json.at(2)), {}, number(json.at(4))};
  for (const Json& metric : json.at(3)) ending.metrics.set(value_as<std::string>(json_value(metric.at(0)), "name"), number(metric.at(1)));
  return ending;
}

class ConcurrencyLimiter final : public Searcher {
 public:
  ConcurrencyLimiter(std::unique_ptr<Searcher> inner, std::uint64_t num_samples, std::size_t limit, bool batch)
      : inner_(std::move(inner)), num_samples_(num_samples), limit_(limit), batch_(batch) {}

  Suggestion suggest(TrialIndex index) override {
    if (live_.size() >= limit_) return {index >= *total() ? Suggestion::Kind::kDone : Suggestion::Kind::kWait};
    Suggestion suggestion = inner_->suggest(index);
    if (suggestion.kind == Suggestion::Kind::kWait && !ended_.empty() && none_runs()) {
      hand_on();  // it waits for the very results that are held back until a batch is full
      suggestion = inner_->suggest(index);
    }
    if (suggestion.kind == Suggestion::Kind::kConfig) live_.insert(index), made_ = index + std::uint64_t{1};
    return suggestion;
  }

  bool takes_given() const override { return inner_->takes_given(); }
  Suggestion suggest_given(TrialIndex index, const Config& given) override {
    if (live_.size() >= limit_) return {Suggestion::Kind::kWait};
    Suggestion suggestion = inner_->suggest_given(index, given);
    if (suggestion.kind == Suggestion::Kind::kConfig) live_.insert(index), made_ = index + std::uint64_t{1};
    return suggestion;
  }

  void on_result(TrialIndex trial, const ResultView& result, double rung) override { inner_->on_result(trial, result, rung); }

  void on_complete(TrialIndex trial, const ResultView* last, double rung) override {
    if (!batch_) {
      live_.erase(trial);
      return inner_->on_complete(trial, last, rung);
    }
    Ending ending{.failed = last == nullptr, .rung = rung};
    if (last) ending.iteration = last->iteration, ending.time_total_s = last->time_total_s, ending.metrics = last->metrics;
    ended_.emplace(trial, std::move(ending));
    if (batch_ended()) hand_on();
  }

  void on_pause(TrialIndex trial) override {
    live_.erase(trial);
    inner_->on_pause(trial);
    if (batch_ended()) hand_on();
  }
  void on_resume(TrialIndex trial) override {
    live_.insert(trial);
    inner_->on_resume(trial);
  }

  std::optional<std::uint64_t> total() const override { return inner_->total().value_or(num_samples_); }
  std::uint32_t suggest_ahead() const override { return inner_->suggest_ahead(); }

  std::string save() const override {
    Json ended = Json::array();
    for (const auto& [trial, ending] : ended_) ended.push_back({trial, ending_json(ending)});
    return Json{{"live", live_}, {"made", made_}, {"ended", ended}, {"inner", value_json(Value(inner_->save()))}}.dump();
  }

  void restore(std::string_view state) override {
    try {
      const Json json = parse_json(state);
      inner_->restore(value_as<std::string>(json_value(json.at("inner")), "inner"));
      live_ = trials_of(json.at("live"));
      made_ = whole_number(json.at("made"));
      ended_.clear();
      for (const Json& one : json.at("ended")) ended_.emplace(trial_of(one.at(0)), ending_of(one.at(1)));
    } catch (const std::exception& error) {
      throw InvalidArgument(std::string("the saved state of a concurrency limiter cannot be restored: ") + error.what());
    }
  }
  void check_restored(std::uint64_t trials, std::uint64_t running) const override {
    inner_->check_restored(trials, running + ended_.size());  // which has not been told of those that are held back
    if (made_ != trials || (!live_.empty() && *live_.rbegin() >= trials) || (!ended_.empty() && ended_.rbegin()->first >= trials))
      throw InvalidArgument("a concurrency limiter knows of " + std::to_string(made_) + " trials, but there are " + std::to_string(trials));
  }

 private:
  bool none_runs() const {
    // One that ended while it was paused is held back too, but was none of those that count.
    const auto held = std::count_if(ended_.begin(), ended_.end(), [&](const auto& one) { return live_.contains(one.first); });
    return live_.size() == static_cast<std::size_t>(held);
  }
  /// Whether results are held back, nothing of the batch runs any more, and it is full or no other trial will come.
  bool batch_ended() const {
    return !ended_.empty() && none_runs() && (live_.size() >= limit_ || made_ >= *total());
  }
  void hand_on() {
    for (const auto& [trial, ending] : std::exchange(ended_, {})) {
      const ResultView last{.iteration = ending.iteration, .time_total_s = ending.time_total_s, .metrics = ending.metrics};
      inner_->on_complete(trial, ending.failed ? nullptr : &last, ending.rung);
      live_.erase(trial);
    }
  }

  std::unique_ptr<Searcher> inner_;
  std::uint64_t num_samples_;
  std::size_t limit_;
  bool batch_;
  std::set<TrialIndex> live_;  // what counts: they run, or belong to a batch that has not ended; not those that are paused
  std::uint64_t made_{0};
  std::map<TrialIndex, Ending> ended_;  // of a batch, held back
};

}  // namespace

SearcherSpec limit_concurrency(SearcherSpec inner, std::size_t max_concurrent, LimitOptions options) {
  if (max_concurrent == 0) throw InvalidArgument("limit_concurrency: max_concurrent is 0; it must be at least 1.");
  std::string description = "limit_concurrency(" + std::to_string(max_concurrent) +
                            (options.batch ? ", batch" : "") + ", " + inner.description + ")";
  return {inner.name, std::move(description), [=](const SearcherContext& context) {
            return std::make_unique<ConcurrencyLimiter>(make_checked("searcher", inner, context), context.num_samples, max_concurrent,
                                                        options.batch);
          },
          inner.learns};
}

}  // namespace manta::tune
