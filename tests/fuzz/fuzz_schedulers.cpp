// The saved state of a scheduler or of stoppers, as a compacted journal holds it. The first byte chooses whose. What is restored is saved and
// restores to the same, and takes what trials tell.
#include "runtime/errors.hpp"
#include "tune/schedulers/asha.hpp"
#include "tune/schedulers/budget.hpp"
#include "tune/schedulers/hyperband.hpp"
#include "tune/schedulers/median_stopping.hpp"
#include "tune/schedulers/pb2.hpp"
#include "tune/schedulers/pbt.hpp"
#include "tune/schedulers/percentile_stopping.hpp"
#include "tune/schedulers/resource_changing.hpp"
#include "tune/schedulers/wilcoxon_stopping.hpp"
#include "tune/stoppers/stoppers.hpp"

namespace {

using namespace manta::tune;

const std::vector<SchedulerSpec>& schedulers() {
  static const std::string t = "training_iteration";
  static const std::vector<SchedulerSpec> all{
      asha({.max_t = 9, .reduction_factor = 3, .brackets = 2}),
      asha({.type = AshaType::kPromotion, .max_t = 9, .reduction_factor = 3}),
      mo_asha({.max_t = 9, .reduction_factor = 3}),
      hyperband({.max_t = 9}),
      hyperband_for_bohb({.max_t = 9}),
      median_stopping({.time_attr = t, .grace_period = 1, .min_samples_required = 1, .min_time_slice = 1, .hard_stop = false}),
      percentile_stopping(),
      wilcoxon_stopping(),
      pbt({.time_attr = t, .perturbation_interval = 2, .hyperparam_mutations = {{"lr", uniform(0, 1)}}}),
      pbt({.time_attr = t, .perturbation_interval = 2, .hyperparam_mutations = {{"lr", uniform(0, 1)}}, .synch = true}),
      pb2({.time_attr = t, .perturbation_interval = 2, .hyperparam_bounds = {{"lr", uniform(0, 1)}}}),
      stop_at_budget(),
      resource_changing({.scheduler = asha({.max_t = 9})}),
  };
  return all;
}

std::unique_ptr<Scheduler> scheduler(std::size_t which) {
  return schedulers().at(which).make({.metric = "loss",
                                      .total = {{"CPU", 8}},
                                      .further_objectives = {{"size", Mode::kMin}},
                                      .space = {{"lr", uniform(0, 1)}}});
}

std::unique_ptr<Stopper> stopper() {
  return any_of({trial_plateau(), all_of({experiment_plateau({.top = 2}), trial_plateau({.num_results = 2})})}).make({.metric = "loss"});
}

/// Two trials that it may know, and one that is new. It may find that it cannot go on.
void go_on(Scheduler& scheduler) {
  (void)scheduler.debug_text();
  const Metrics metrics{{"loss", 0.5}, {"size", 2}};
  scheduler.on_trial_add(77, Config{{"lr", 0.5}, {"budget", 3}});
  scheduler.on_start(77);
  for (const TrialIndex trial : {0u, 1u, 77u})
    for (const std::uint64_t iteration : {1u, 4u}) (void)scheduler.on_result(trial, {iteration, static_cast<double>(iteration), metrics, 1, true});
  const ResultView last{9, 9, metrics};
  (void)scheduler.on_complete(0, &last);
  (void)scheduler.on_error(1);
  (void)scheduler.choose_trial_to_run({{2, 77}, [](TrialIndex) { return true; }});
  (void)scheduler.on_idle();
}
void go_on(Stopper& stopper) {
  const Metrics metrics{{"loss", 0.5}};
  for (const TrialIndex trial : {0u, 77u}) (void)stopper.on_result(trial, {4, 4, metrics});
  stopper.on_end(0);
  (void)stopper.stop_all(1);
}

template <class Make>
void check(const Make& make, std::string_view state) {
  const auto restored = make(), again = make();
  restored->restore(state);
  const std::string saved = restored->save();
  again->restore(saved);
  MANTA_CHECK(again->save() == saved);
  try {
    go_on(*restored);
  } catch (const manta::Error&) {
  }
  again->restore(restored->save());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view state(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::size_t which = data[0] % (schedulers().size() + 1);
  try {
    if (which == schedulers().size())
      check(stopper, state);
    else
      check([which] { return scheduler(which); }, state);
  } catch (const manta::StorageCorruption&) {
  }
  return 0;
}
