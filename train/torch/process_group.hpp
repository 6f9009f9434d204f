#pragma once
// The ranks of one data-parallel group, and collectives among them: c10d over Gloo for tensors on the CPU, over NCCL for
// tensors on GPUs (chosen by the group's device when it is made; NCCL is not touched without one).
//
// Made on every rank, and alive as long as anything trains with it. Collectives must be called by every rank in the
// same order, by one thread at a time. When a rank dies the others' collectives throw: at once with Gloo, whose
// connections break, after `timeout` with NCCL. Copies share the group.
#include <ATen/core/Tensor.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace manta::train {

struct GroupOptions {
  int rank{0};
  int world_size{1};
  std::string rendezvous{};  ///< path of an empty file that all ranks can open; not needed for one rank
  at::Device device{at::kCPU};
  std::chrono::milliseconds timeout{std::chrono::minutes(5)};  ///< for meeting, and for each collective
};

class ProcessGroup {
 public:
  /// Waits for all ranks. Throws InvalidArgument for options that contradict each other, Timeout when not all ranks
  /// come, VersionMismatch when the loaded NCCL is not the one this was compiled for.
  explicit ProcessGroup(const GroupOptions& options);

  int rank() const noexcept;
  int world_size() const noexcept;

  /// Overwrites `tensors` with those of rank `root`. Same shapes and types on every rank.
  void broadcast(const std::vector<at::Tensor>& tensors, int root = 0) const;
  /// Sums a tensor over the ranks, in place.
  void all_reduce(at::Tensor& tensor) const;
  /// The sum of one number over the ranks.
  double sum(double value) const;
  /// Returns when every rank has called it.
  void barrier() const;

  /// Internal: what the c10d classes take (train/torch/process_group_impl.hpp).
  struct Impl;
  Impl& impl() const noexcept { return *impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace manta::train
