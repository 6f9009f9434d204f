#pragma once
// Manta Tune: search for good parameters. One header for programs that use it.
//
//   void train(tune::TrialContext& ctx, const tune::Config& config, const std::string& data_dir);   // calls ctx.report
//
//   tune::ResultGrid grid = tune::run<train>(options, data_dir);
//   grid.best().config, grid.best().checkpoint_dir, …
//
// A trainable is a function void(TrialContext&, const Config&, extra…), or a class:
//   struct T {
//     void setup(tune::TrialContext&, const tune::Config&, extra…);
//     tune::Metrics step();                            // one iteration
//     void save(const std::filesystem::path& dir);     // save and load: optional, both or none
//     void load(const std::filesystem::path& dir);
//   };
// Every trial is an actor that holds its resources, in a process of its own unless options.isolation says otherwise. The
// extra arguments are serialised into it; an ObjectRef among them arrives as its value. Errors that concern the whole
// experiment (a bad space, resources that no machine has, a directory that cannot be written or holds something else) are
// thrown before any trial starts; a trial's failure is in the grid. SIGINT and SIGTERM end the run early with
// everything kept (grid.interrupted()); a second one ends the process. One run at a time in a process.
#include "runtime/runtime.hpp"
#include "tune/core/trial_actor.hpp"
#include "tune/history.hpp"
#include "tune/options.hpp"
#include "tune/result_grid.hpp"
#include "tune/schedulers/budget.hpp"
#include "tune/search_space.hpp"
#include "tune/searchers.hpp"
#include "tune/trial_context.hpp"

namespace manta::tune {

/// What `run` calls: the trainable as a value.
ResultGrid run_experiment(Client& client, const TuneOptions& options, const Trainable& trainable);

/// Tunes a function on the given runtime (or context).
template <auto F, class... Extra>
ResultGrid run(Client& client, const TuneOptions& options, Extra&&... extra) {
  return run_experiment(client, options, function_trainable<F>(std::forward<Extra>(extra)...));
}
/// Tunes a function on the runtime that is running in this process.
template <auto F, class... Extra>
ResultGrid run(const TuneOptions& options, Extra&&... extra) {
  return run<F>(static_cast<Client&>(Runtime::current()), options, std::forward<Extra>(extra)...);
}
/// Tunes a class.
template <class T, class... Extra>
ResultGrid run(Client& client, const TuneOptions& options, Extra&&... extra) {
  return run_experiment(client, options, class_trainable<T>(std::forward<Extra>(extra)...));
}
template <class T, class... Extra>
ResultGrid run(const TuneOptions& options, Extra&&... extra) {
  return run<T>(static_cast<Client&>(Runtime::current()), options, std::forward<Extra>(extra)...);
}

}  // namespace manta::tune
