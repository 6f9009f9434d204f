#pragma once
// A task with options: `rt.task<f>({.num_cpus = 2}).remote(args…)`. Keep it to submit many tasks with the same options.
//
// f is a function, or a captureless lambda; it may take `manta::Context&` first. One of several overloads is named by its type:
// `rt.remote<static_cast<int (*)(int)>(f)>(3)`. Thread-safe.
#include "runtime/engine.hpp"
#include "runtime/generator.hpp"
#include "runtime/retry.hpp"

namespace manta {

namespace detail {

template <auto F, class... Args>
auto start_stream(const std::shared_ptr<Engine>& engine, const TaskOptions& options, Args&&... args);  // ref_stream.hpp

/// A ref to the result, a tuple of refs, or a stream, as the result type says.
template <auto F, class... Args>
auto submit_task(const std::shared_ptr<Engine>& engine, std::shared_ptr<const TaskOptions> options, Args&&... args) {
  using Result = typename Signature<decltype(callable<F>())>::Result;
  if constexpr (IsGenerator<Result>::value) {
    return start_stream<F>(engine, options ? *options : TaskOptions{}, std::forward<Args>(args)...);
  } else {
    auto record = make_record<FunctionRecord<F>>(std::forward<Args>(args)...);
    auto refs = ResultsOf<Result>::refs(*record);
    engine->submit(std::move(record), std::move(options));
    return refs;
  }
}

}  // namespace detail

template <auto F>
class TaskBuilder {
 public:
  using Result = typename detail::Signature<decltype(detail::callable<F>())>::Result;

  TaskBuilder(std::shared_ptr<detail::Engine> engine, TaskOptions options)
      : engine_(std::move(engine)), options_(std::make_shared<const TaskOptions>(std::move(options))) {}

  /// Submits; returns at once: an ObjectRef<Result>. For a std::tuple<A, B> as the result a tuple of refs, each of use alone,
  /// that fail together; for a Generator<T> a RefStream<T> (ref_stream.hpp). Each argument is a value or an ObjectRef to one.
  /// Throws InvalidArgument or InfeasibleResources for options that can never work, RuntimeStopped after the end,
  /// ResourceExhausted when what is queued fills RuntimeOptions::max_queued_bytes and stays so for submit_timeout.
  template <class... Args>
  auto remote(Args&&... args) const {
    return detail::submit_task<F>(engine_, options_, std::forward<Args>(args)...);
  }

 private:
  std::shared_ptr<detail::Engine> engine_;
  std::shared_ptr<const TaskOptions> options_;
};

}  // namespace manta
