#include "tune/schedulers/resource_changing.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/errors.hpp"
#include "tune/core/made.hpp"
#include "tune/searchers/state_text.hpp"

namespace manta::tune {

namespace {

void take(Resources& from, const Resources& what) {
  for (const auto& [name, amount] : what) from.set(name, from[name] - amount);
}

/// How many whole steps fit.
std::int64_t steps_in(const Resources& free, const Resources& step) {
  std::int64_t most = INT64_MAX;
  for (const auto& [name, amount] : step)
    if (amount.raw() > 0) most = std::min(most, std::max<std::int64_t>(0, free[name].raw()) / amount.raw());
  return most == INT64_MAX ? 0 : most;
}

Resources step_of(const DistributeOptions& options, const TrialResources& base) {
  if (!options.increase_by.empty()) return options.increase_by;
  return base.all()["GPU"] > Amount(0) ? Resources{{"GPU", 1}} : Resources{{"CPU", 1}};
}

void add(Bundle& bundle, const std::string& name, Amount amount) {
  if (name == "CPU")
    bundle.num_cpus += amount;
  else if (name == "GPU")
    bundle.num_gpus += amount;
  else
    bundle.resources.set(name, bundle.resources[name] + amount);
}

/// The trial's own bundle grows, or it gets one more for each step.
TrialResources grown_bundles(const DistributeOptions& options, TrialResources more, std::int64_t steps) {
  const Resources step = step_of(options, more);
  const std::size_t first = more.bundles.size();
  if (options.add_bundles) more.bundles.resize(first + static_cast<std::size_t>(steps));
  for (const auto& [name, amount] : step) {
    if (!options.add_bundles) add(more.bundles.front(), name, amount.times(steps));
    for (std::size_t i = first; i < more.bundles.size(); ++i) add(more.bundles[i], name, amount);
  }
  return more;
}

TrialResources grown(const DistributeOptions& options, const TrialResources& base, std::int64_t steps) {
  TrialResources more = base;
  if (steps == 0) return more;
  if (!base.bundles.empty()) return grown_bundles(options, base, steps);
  for (const auto& [name, amount] : step_of(options, base)) {
    const Amount added = amount.times(steps);
    if (options.add_bundles)
      more.workers.set(name, more.workers[name] + added);
    else if (name == "CPU")
      more.num_cpus += added;
    else if (name == "GPU")
      more.num_gpus += added;
    else
      more.custom.set(name, more.custom[name] + added);
  }
  return more;
}

/// What the others leave, without what this trial begins with.
Resources free_beside_others(const DistributeOptions& options, const AllocationRequest& request) {
  Resources free = request.total;
  take(free, options.reserve);
  for (const auto& [trial, held] : request.live) take(free, (trial == request.trial ? request.base : held).all());
  return free;
}

std::int64_t at_most(const DistributeOptions& options, std::int64_t steps) {
  return options.increase_by_times < 0 ? steps : std::min(steps, options.increase_by_times);
}

/// The trial's part of all steps: they are dealt in turn, first to those that hold most, so that few have to move.
std::int64_t fair_share(const DistributeOptions& options, const AllocationRequest& request) {
  Resources free = request.total;
  take(free, options.reserve);
  std::vector<std::pair<std::int64_t, TrialIndex>> order;
  for (const auto& [trial, held] : request.live) {
    take(free, request.bases.at(trial).all());
    const Resources all = held.all();
    order.emplace_back((Amount(0) - all["CPU"] - all["GPU"]).raw(), trial);
  }
  std::sort(order.begin(), order.end());
  const std::int64_t steps = steps_in(free, step_of(options, request.base));
  const auto trials = static_cast<std::int64_t>(order.size());
  for (std::int64_t place = 0; place < trials; ++place)
    if (order[static_cast<std::size_t>(place)].second == request.trial) return steps / trials + (place < steps % trials ? 1 : 0);
  return 0;
}

std::string describe(const std::string& name, const DistributeOptions& options) {
  return name + "(add_bundles=" + (options.add_bundles ? "true" : "false") + ", increase_by=" + options.increase_by.to_string() +
         ", increase_by_times=" + std::to_string(options.increase_by_times) + ", reserve=" + options.reserve.to_string() + ")";
}

class ResourceChangingScheduler final : public Scheduler {
 public:
  ResourceChangingScheduler(const ResourceChangingOptions& options, const SchedulerContext& context)
      : inner_(make_checked("scheduler", options.scheduler, context)),
        decide_(options.allocation.decide),
        metric_(context.metric),
        sign_(context.mode == Mode::kMax ? 1.0 : -1.0),
        base_(context.resources),
        resources_of_(context.resources_of),
        total_(context.total) {}

  void fill_config(TrialIndex trial, Config& config) const override { inner_->fill_config(trial, config); }
  void on_trial_add(TrialIndex trial, const Config& config) override {
    bases_[trial] = live_[trial] = base_of(config);
    inner_->on_trial_add(trial, config);
  }
  void on_start(TrialIndex trial) override { inner_->on_start(trial); }
  void on_checkpoint(TrialIndex trial) override { inner_->on_checkpoint(trial); }
  Verdict on_result(TrialIndex trial, const ResultView& result) override {
    if (const auto value = result.get(metric_); value && !std::isnan(*value)) scores_[trial] = sign_ * *value;
    Verdict verdict = gone(inner_->on_result(trial, result));
    if (verdict.decision == Decision::kStop) forget(trial);
    if (verdict.decision != Decision::kContinue || !live_.contains(trial)) return verdict;
    const auto wanted = decide_({trial, result, live_, scores_, bases_.at(trial), total_, bases_});
    if (!wanted || *wanted == live_.at(trial)) return verdict;
    live_[trial] = *wanted;
    verdict.decision = Decision::kPause;
    verdict.resources = *wanted;
    return verdict;
  }
  Verdict on_complete(TrialIndex trial, const ResultView* last) override {
    forget(trial);
    return gone(inner_->on_complete(trial, last));
  }
  Verdict on_error(TrialIndex trial) override {
    forget(trial);
    return gone(inner_->on_error(trial));
  }
  Verdict on_idle() override { return gone(inner_->on_idle()); }
  std::optional<TrialIndex> choose_trial_to_run(const Candidates& candidates) const override {
    return inner_->choose_trial_to_run(candidates);
  }
  bool stops_every_trial() const override { return inner_->stops_every_trial(); }
  std::string time_attr() const override { return inner_->time_attr(); }
  bool may_pause() const override { return true; }
  std::string debug_text() const override { return inner_->debug_text(); }
  std::string save() const override;
  void restore(std::string_view state) override;

 private:
  /// Where the user's function fails, the trial will, when it is started: not the experiment.
  TrialResources base_of(const Config& config) const {
    try {
      return resources_of_ ? resources_of_(config) : base_;
    } catch (...) {
      return base_;
    }
  }
  void forget(TrialIndex trial) { live_.erase(trial), scores_.erase(trial), bases_.erase(trial); }
  Verdict gone(Verdict verdict) {
    for (const TrialIndex trial : verdict.stop) forget(trial);
    return verdict;
  }

  std::unique_ptr<Scheduler> inner_;
  std::function<std::optional<TrialResources>(const AllocationRequest&)> decide_;
  std::string metric_;
  double sign_;
  TrialResources base_;
  std::function<TrialResources(const Config&)> resources_of_;  // may be empty
  Resources total_;
  std::map<TrialIndex, TrialResources> live_;
  std::map<TrialIndex, TrialResources> bases_;  // of those in live_
  std::map<TrialIndex, double> scores_;
};

void put(StateWriter& out, const Resources& resources) {
  out.put(static_cast<std::uint64_t>(std::distance(resources.begin(), resources.end())));
  for (const auto& [name, amount] : resources) out.put(std::string_view(name)).put(static_cast<std::uint64_t>(amount.raw()));
}

Amount read_amount(StateReader& in) { return Amount::from_raw(static_cast<std::int64_t>(in.integer())); }

Resources read_resources(StateReader& in) {
  Resources resources;
  for (std::size_t left = in.count(); left > 0; --left) {
    const std::string name = in.text();
    resources.set(name, read_amount(in));
  }
  return resources;
}

void put(StateWriter& out, const TrialResources& held) {
  out.put(static_cast<std::uint64_t>(held.num_cpus.raw())).put(static_cast<std::uint64_t>(held.num_gpus.raw()));
  put(out, held.custom);
  put(out, held.workers);
  out.put(static_cast<std::uint64_t>(held.strategy)).put(held.bundles.size());
  for (const Bundle& bundle : held.bundles) {
    out.put(static_cast<std::uint64_t>(bundle.num_cpus.raw())).put(static_cast<std::uint64_t>(bundle.num_gpus.raw()));
    out.put(static_cast<std::uint64_t>(bundle.memory_bytes));
    put(out, bundle.resources);
  }
}

TrialResources read_trial_resources(StateReader& in) {
  TrialResources held;
  held.num_cpus = read_amount(in);
  held.num_gpus = read_amount(in);
  held.custom = read_resources(in);
  held.workers = read_resources(in);
  const std::uint64_t strategy = in.integer();
  if (strategy > static_cast<std::uint64_t>(PlacementStrategy::kStrictSpread)) in.fail();
  held.strategy = static_cast<PlacementStrategy>(strategy);
  held.bundles.resize(in.count());
  for (Bundle& bundle : held.bundles) {
    bundle.num_cpus = read_amount(in);
    bundle.num_gpus = read_amount(in);
    bundle.memory_bytes = in.integer();
    bundle.resources = read_resources(in);
  }
  return held;
}

std::string ResourceChangingScheduler::save() const {
  StateWriter out;
  out.put(std::string_view(inner_->save())).put(live_.size());
  for (const auto& [trial, held] : live_) {
    out.put(trial);
    put(out, held);
    put(out, bases_.at(trial));
  }
  out.put(scores_.size());
  for (const auto& [trial, score] : scores_) out.put(trial).put(score);
  return out.text();
}

void ResourceChangingScheduler::restore(std::string_view state) {
  StateReader in(state, "resource_changing");
  inner_->restore(in.text());
  live_.clear(), scores_.clear(), bases_.clear();
  for (std::size_t left = in.count(); left > 0; --left) {
    const TrialIndex trial = in.index();
    live_[trial] = read_trial_resources(in);
    bases_[trial] = read_trial_resources(in);
  }
  for (std::size_t left = in.count(); left > 0; --left) {
    const TrialIndex trial = in.index();
    scores_[trial] = in.number();
  }
  in.end();
}

}  // namespace

Allocation distribute_resources(DistributeOptions options) {
  return {describe("distribute_resources", options), [options](const AllocationRequest& request) -> std::optional<TrialResources> {
            const std::int64_t free = steps_in(free_beside_others(options, request), step_of(options, request.base));
            return grown(options, request.base, at_most(options, std::min(fair_share(options, request), free)));
          }};
}

Allocation distribute_resources_to_top_job(DistributeOptions options) {
  return {describe("distribute_resources_to_top_job", options), [options](const AllocationRequest& request) -> std::optional<TrialResources> {
            const auto own = request.scores.find(request.trial);
            if (own == request.scores.end()) return std::nullopt;
            for (const auto& [trial, score] : request.scores)
              if (score > own->second || (score == own->second && trial < request.trial)) return std::nullopt;
            const std::int64_t free = steps_in(free_beside_others(options, request), step_of(options, request.base));
            return grown(options, request.base, at_most(options, free));
          }};
}

SchedulerSpec resource_changing(ResourceChangingOptions options) {
  std::string description = "resource_changing(" + options.scheduler.description + ", " + options.allocation.description + ")";
  const bool changes_configs = options.scheduler.changes_configs;
  return {"ResourceChanging", std::move(description), [options = std::move(options)](const SchedulerContext& context) -> std::unique_ptr<Scheduler> {
            if (!options.scheduler.make) throw InvalidArgument("resource_changing: there is no scheduler; tune::fifo() makes one.");
            if (!options.allocation.decide) throw InvalidArgument("resource_changing: the allocation is empty; tune::distribute_resources() makes one.");
            return std::make_unique<ResourceChangingScheduler>(options, context);
          },
          true, changes_configs};
}

}  // namespace manta::tune
