#include "tune/searchers/dehb.hpp"

#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "runtime/errors.hpp"
#include "tune/searchers/model_searcher.hpp"

namespace manta::tune {

namespace {

void check(const SearcherContext& context, const DehbOptions& options) {
  const DehbSchedule& schedule = options.schedule;
  if (context.objectives.size() > 1)
    throw InvalidArgument("dehb: it searches by one metric and was given " + std::to_string(context.objectives.size()) +
                          ". Use nsga2 for several.");
  if (!(schedule.min_budget > 0) || !(schedule.max_budget >= schedule.min_budget) || !std::isfinite(schedule.max_budget))
    throw InvalidArgument("dehb: min_budget must be above 0 and max_budget a number that is not below it.");
  if (!(schedule.eta > 1)) throw InvalidArgument("dehb: eta must be above 1.");
  if (!(options.mutation_factor > 0) || !(options.crossover_probability >= 0 && options.crossover_probability <= 1))
    throw InvalidArgument("dehb: mutation_factor must be above 0 and crossover_probability from 0 to 1.");
  for (const Parameter& parameter : context.space.parameters())
    if (parameter.name == options.budget_parameter)
      throw InvalidArgument("dehb: the space has a parameter '" + parameter.name + "', the name under which trials get their budget. Rename " +
                            "it or set budget_parameter.");
}

SearcherContext with_budget(SearcherContext context, const DehbOptions& options) {
  check(context, options);
  std::vector<Value> values;
  for (double budget : dehb_budgets(options.schedule)) values.emplace_back(budget);
  context.space.add(options.budget_parameter, ordinal(values));
  return context;
}

SearchOptions with_budget(SearchOptions common, const DehbOptions& options) {
  const auto complete = [&](Config& config) {
    if (!config.contains(options.budget_parameter)) config.set(options.budget_parameter, options.schedule.max_budget);
  };
  for (Config& config : common.points_to_evaluate) complete(config);
  for (EvaluatedPoint& evaluated : common.evaluated) complete(evaluated.config);
  common.startup_trials = 0;
  return common;
}

class DehbSearcher final : public ModelSearcher {
 public:
  DehbSearcher(const SearcherContext& context, const DehbOptions& options)
      : ModelSearcher("dehb", with_budget(context, options), with_budget(options.common, options)) {
    for (std::size_t k = 0; k < encoding().size(); ++k) {
      if (encoding().dimensions()[k].path == options.budget_parameter)
        budget_ = k;
      else
        genes_.push_back(k);
    }
    if (genes_.empty()) throw InvalidArgument("dehb: the space has no parameter to search.");
    Random random = Random::stream(context.seed, 0, "dehb population");
    machine_.emplace(genes_.size(), options.schedule, options.mutation_factor, options.crossover_probability, random);
    for (const Observation& known : history()) admit(known);
  }

 protected:
  std::vector<double> propose(TrialIndex index, Random& random) override {
    DehbMachine::Job job = machine_->ask(random);
    std::vector<double> point = whole(job);
    if (encoding().is_forbidden(completed(point, random))) {
      draw_genes(job, random);
      point = whole(job);
    }
    jobs_[index] = std::move(job);
    return point;
  }

  std::vector<double> redrawn(TrialIndex index, Random& random) override {
    DehbMachine::Job& job = jobs_.at(index);
    draw_genes(job, random);
    return whole(job);
  }

  void learn(const Observation& observation) override {
    const auto index = static_cast<TrialIndex>(&observation - history().data()) - static_cast<TrialIndex>(options().evaluated.size());
    const auto found = jobs_.find(index);
    if (found == jobs_.end()) return admit(observation);
    machine_->tell(found->second, observation.loss());
    jobs_.erase(found);
  }

  std::string save_model() const override {
    StateWriter out;
    machine_->save(out);
    out.put(static_cast<std::uint64_t>(jobs_.size()));
    for (const auto& [index, job] : jobs_)
      out.put(static_cast<std::uint64_t>(index)).put(job.point).put(static_cast<std::uint64_t>(job.level))
          .put(static_cast<std::uint64_t>(job.parent)).put(job.bracket);
    return out.text();
  }
  void restore_model(std::string_view text) override {
    StateReader in(text, "dehb");
    machine_->restore(in);
    jobs_.clear();
    for (std::size_t count = in.count(); count > 0; --count) {
      const TrialIndex index = in.index();
      DehbMachine::Job job{in.numbers(), in.integer(), in.integer(), in.integer()};
      if (!machine_->is_own(job))
        throw StorageCorruption("dehb: a saved state of another search space.");
      jobs_[index] = std::move(job);
    }
    in.end();
  }

 private:
  std::vector<double> completed(std::vector<double> point, Random& random) const {
    encoding().complete(point, random);
    return point;
  }

  /// For a child that may not be: a random one takes its place. The job is the same, so no bracket loses a rung's entry.
  void draw_genes(DehbMachine::Job& job, Random& random) const {
    const std::vector<double> other = encoding().sample(random);
    for (std::size_t j = 0; j < genes_.size(); ++j)
      if (!std::isnan(other[genes_[j]])) job.point[j] = other[genes_[j]];
  }

  std::vector<double> whole(const DehbMachine::Job& job) const {
    std::vector<double> point(encoding().size());
    for (std::size_t j = 0; j < genes_.size(); ++j) point[genes_[j]] = job.point[j];
    if (budget_) point[*budget_] = encoding().dimensions()[*budget_].unit_of_level(job.level);
    return point;
  }

  void admit(const Observation& observation) {
    std::vector<double> genes;
    for (std::size_t k : genes_) genes.push_back(std::isnan(observation.point[k]) ? 0.5 : observation.point[k]);
    const std::size_t level = budget_ ? encoding().dimensions()[*budget_].level_of(observation.point[*budget_]) : 0;
    machine_->admit(std::move(genes), level, observation.loss());
  }

  std::vector<std::size_t> genes_;     // the dimensions that evolve
  std::optional<std::size_t> budget_;  // the budget's dimension; none where there is one budget only
  std::optional<DehbMachine> machine_;
  std::map<TrialIndex, DehbMachine::Job> jobs_;  // of trials that have not ended
};

}  // namespace

SearcherSpec dehb(DehbOptions options) {
  const auto number = [](double value) { return number_text(value, 17); };
  const std::string text = "dehb(" + describe(options.common) + ", min_budget=" + number(options.schedule.min_budget) +
                           ", max_budget=" + number(options.schedule.max_budget) + ", eta=" + number(options.schedule.eta) +
                           ", budget_parameter=" + options.budget_parameter + ", mutation_factor=" + number(options.mutation_factor) +
                           ", crossover_probability=" + number(options.crossover_probability) + ")";
  return {"dehb", text, [options](const SearcherContext& context) { return std::make_unique<DehbSearcher>(context, options); }};
}

}  // namespace manta::tune
