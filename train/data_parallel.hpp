#pragma once
// Data-parallel training: N workers, each an actor in a process of its own with a CPU (and a GPU where there is one for
// each), run the same code as ranks of one group. No LibTorch here: a worker joins its group by train/torch/worker.hpp
// and wraps its model by train/torch/distributed.hpp.
//
// Two forms. run_data_parallel runs a function on every rank, from start to end. A WorkerGroup keeps an object on every
// rank, whose methods are called on all of them at once: for whoever must do something between epochs (a trial of a
// tuner reports and may be stopped). Both take any manta::Client, so a trainer also runs inside a task or a trial.
//
//   std::vector<float> fit(train::WorkerContext& worker, int epochs) { auto group = train::join(worker); … }
//   auto by_rank = train::run_data_parallel<fit>(rt, {.num_workers = 2}, 8);
//
// When a rank fails, the others would wait for it for ever: the group is stopped and an error of the failed rank's code
// that names the rank is thrown. With max_failures, run_data_parallel then starts again with fresh workers; the function
// goes on from what it saved in worker.storage_dir.
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "runtime/client.hpp"

namespace manta::train {

struct DataParallelOptions {
  std::string name{"train"};    ///< for messages
  int num_workers{2};
  Amount cpus_per_worker{1};    ///< also the number of its intra-op threads, at least 1
  std::optional<Amount> gpus_per_worker{};  ///< default: 1 where the cluster has a GPU for each worker, else 0
  int max_failures{0};          ///< run_data_parallel starts again this often
  std::chrono::milliseconds timeout{std::chrono::minutes(5)};  ///< for meeting, and for each collective
  std::filesystem::path storage_dir{};       ///< handed to the workers
  std::map<std::string, std::string> env{};  ///< environment of the workers
  bool echo_output{true};       ///< print the workers' output on the driver's terminal
};

/// What a worker knows about itself. A plain value.
struct WorkerContext {
  int rank{0};
  int world_size{1};
  int num_threads{1};        ///< intra-op threads that its CPUs allow
  bool use_gpu{false};       ///< it holds a GPU, which is CUDA device 0 of its process
  int attempt{1};            ///< counts the starts of the group
  std::string rendezvous{};  ///< the file by which the ranks find each other
  std::chrono::milliseconds timeout{};
  std::string storage_dir{};

  template <class Archive>
  void serialize(Archive& archive) {
    archive(rank, world_size, num_threads, use_gpu, attempt, rendezvous, timeout, storage_dir);
  }
};

namespace detail {

/// An empty file in memory, seen by other processes of this user under path(). Gone with this object, or this process.
class Rendezvous {
 public:
  Rendezvous();
  ~Rendezvous();
  Rendezvous(const Rendezvous&) = delete;
  Rendezvous& operator=(const Rendezvous&) = delete;
  std::string path() const;

 private:
  int fd_;
};

/// The options and the context of one worker; throw InvalidArgument or InfeasibleResources.
ActorOptions worker_options(const DataParallelOptions& options, int rank, const Resources& total);
WorkerContext worker_context(const DataParallelOptions& options, int rank, int attempt, const Resources& total,
                             const std::string& rendezvous);

/// Which rank's error explains the others': a crash before an exception, an exception before a broken connection.
/// Requires at least one error.
std::size_t root_cause(const std::vector<std::optional<ErrorInfo>>& by_rank);
/// The error to throw for a group of which `by_rank` is known.
ErrorInfo group_error(const std::string& name, const std::vector<std::optional<ErrorInfo>>& by_rank);

inline constexpr std::chrono::milliseconds kFailureGrace{2000};  ///< for the other ranks' errors to arrive

}  // namespace detail

/// One T on every rank, made by T(const WorkerContext&, args…). Owned and used by one thread. Its end ends the workers.
template <class T>
class WorkerGroup {
 public:
  /// Starts the workers; returns at once. Throws InvalidArgument, or InfeasibleResources when there are not that many
  /// CPUs or GPUs. A constructor that throws shows in the first call.
  template <class... Args>
  WorkerGroup(Client& client, const DataParallelOptions& options, const Args&... args)
      : WorkerGroup(Attempt{1}, client, options, args...) {}
  ~WorkerGroup() { stop(); }
  WorkerGroup(WorkerGroup&&) noexcept = default;
  WorkerGroup& operator=(WorkerGroup&&) = delete;

  /// Calls a method on every rank at once and waits for all; gives the results by rank (nothing for void). When a rank
  /// fails: stops the group and throws. `client` is the one of the caller's own task or main.
  template <auto Method, class... Args>
  auto call(const Args&... args) {
    using Result = typename manta::detail::Signature<decltype(Method)>::Result;
    std::vector<ObjectRef<Result>> refs;
    for (const auto& worker : workers_) refs.push_back(worker.template call<Method>(args...));
    await(refs);
    if constexpr (!std::is_void_v<Result>) return client_->get(refs);
  }

  /// Calls a method on one rank only; a collective in it would wait for the others. Errors as call.
  template <auto Method, class... Args>
  auto call_rank(int rank, const Args&... args) {
    std::vector refs{workers_.at(static_cast<std::size_t>(rank)).template call<Method>(args...)};
    await(refs, static_cast<std::size_t>(rank));
    return client_->get(refs[0]);
  }

  std::size_t size() const noexcept { return workers_.size(); }

  /// Ends all workers now. Later calls do nothing.
  void stop() noexcept {
    for (const auto& worker : workers_) worker.kill();
    workers_.clear();
  }

  /// Internal: which start this is.
  struct Attempt {
    int number;
  };
  template <class... Args>
  WorkerGroup(Attempt attempt, Client& client, const DataParallelOptions& options, const Args&... args)
      : client_(&client), name_(options.name), rendezvous_(std::make_unique<detail::Rendezvous>()) {
    const Resources total = client.total_resources();
    for (int rank = 0; rank < options.num_workers || rank == 0; ++rank) {
      workers_.push_back(client.template actor<T>(detail::worker_options(options, rank, total))
                             .spawn(detail::worker_context(options, rank, attempt.number, total, rendezvous_->path()), args...));
    }
  }

 private:
  template <class R>
  void await(const std::vector<ObjectRef<R>>& refs, std::size_t first_rank = 0) {
    std::vector<ObjectRef<R>> pending = refs;
    while (!pending.empty()) {
      const WaitResult<R> result = client_->wait(pending);
      for (const auto& ref : result.ready) {
        if (ref.failed()) fail(refs, result.pending, first_rank);
      }
      pending = result.pending;
    }
  }
  template <class R>
  [[noreturn]] void fail(const std::vector<ObjectRef<R>>& refs, const std::vector<ObjectRef<R>>& pending, std::size_t first_rank) {
    if (!pending.empty()) client_->wait(pending, {.count = pending.size(), .timeout = detail::kFailureGrace});
    std::vector<std::optional<ErrorInfo>> errors(workers_.size());
    for (std::size_t i = 0; i < refs.size(); ++i) {
      if (refs[i].failed()) errors[first_rank + i] = client_->try_get(refs[i]).error();
    }
    stop();
    throw_error(detail::group_error(name_, errors));
  }

  Client* client_;
  std::string name_;
  std::unique_ptr<detail::Rendezvous> rendezvous_;  // lives as long as a worker may look for it
  std::vector<ActorHandle<T>> workers_;
};

namespace detail {

/// A function as an actor.
template <auto F, class Signature = decltype(F)>
class FunctionWorker {
  static_assert(sizeof(Signature) == 0, "manta: run_data_parallel<f> wants a function R f(manta::train::WorkerContext&, args…)");
};
template <auto F, class R, class... A>
class FunctionWorker<F, R (*)(WorkerContext&, A...)> {
 public:
  using Result = R;
  explicit FunctionWorker(const WorkerContext& context) : context_(context) {}
  R run(const std::decay_t<A>&... args) { return F(context_, args...); }

 private:
  WorkerContext context_;
};

}  // namespace detail

/// Runs F(WorkerContext&, args…) on every rank; gives what it returned, by rank (nothing for void). Throws as
/// WorkerGroup::call, after max_failures new starts.
template <auto F, class... Args>
auto run_data_parallel(Client& client, const DataParallelOptions& options, const Args&... args) {
  using Worker = detail::FunctionWorker<F>;
  for (int attempt = 1;; ++attempt) {
    try {
      WorkerGroup<Worker> group(typename WorkerGroup<Worker>::Attempt{attempt}, client, options);
      return group.template call<&Worker::run>(args...);
    } catch (const InvalidArgument&) {
      throw;
    } catch (const InfeasibleResources&) {
      throw;
    } catch (const Error&) {
      if (attempt > options.max_failures) throw;
    }
  }
}

}  // namespace manta::train
