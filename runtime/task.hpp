#pragma once
// A task with options: `rt.task<f>({.num_cpus = 2}).remote(args…)`. Keep it to submit many tasks with the same options.
//
// f is a function, or a captureless lambda; it may take `manta::Context&` first. Thread-safe.
#include "runtime/engine.hpp"
#include "runtime/retry.hpp"

namespace manta {

template <auto F>
class TaskBuilder {
  using Record = detail::FunctionRecord<F>;

 public:
  using Result = typename detail::Signature<decltype(detail::callable<F>())>::Result;

  TaskBuilder(std::shared_ptr<detail::Engine> engine, TaskOptions options)
      : engine_(std::move(engine)), options_(std::make_shared<const TaskOptions>(std::move(options))) {}

  /// Submits; returns at once. Each argument is a value or an ObjectRef to one. Throws InvalidArgument or
  /// InfeasibleResources for options that can never work, RuntimeStopped after the end.
  template <class... Args>
  ObjectRef<Result> remote(Args&&... args) const {
    auto record = detail::make_record<Record>(std::forward<Args>(args)...);
    auto cell = record->result;
    engine_->submit(std::move(record), options_);
    return ObjectRef<Result>(std::move(cell));
  }

 private:
  std::shared_ptr<detail::Engine> engine_;
  std::shared_ptr<const TaskOptions> options_;
};

}  // namespace manta
