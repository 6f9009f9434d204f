#include "train/torch/worker.hpp"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>

namespace manta::train {

void use_cpus(Amount num_cpus) { at::set_num_threads(std::max(1, static_cast<int>(num_cpus.value()))); }

at::Device device_of(const WorkerContext& worker) {
  const bool gpu = worker.use_gpu && at::hasCUDA() && at::detail::getCUDAHooks().deviceCount() > 0;
  return gpu ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
}

ProcessGroup join(const WorkerContext& worker) {
  use_cpus(Amount{worker.num_threads});
  return ProcessGroup({.rank = worker.rank,
                       .world_size = worker.world_size,
                       .rendezvous = worker.rendezvous,
                       .device = device_of(worker),
                       .timeout = worker.timeout});
}

}  // namespace manta::train
