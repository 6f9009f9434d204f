#pragma once
// How a worker of train/data_parallel.hpp, or a task or trial with some CPUs, sets LibTorch up.
//
//   auto group = train::join(worker);
//   net->to(train::device_of(worker));
#include "train/data_parallel.hpp"
#include "train/torch/process_group.hpp"

namespace manta::train {

/// Sets LibTorch's intra-op threads to the CPUs held, at least 1. Call it on the thread that will train, first thing.
void use_cpus(Amount num_cpus);

/// cuda:0 of the worker's process when it holds a GPU that works, else the CPU.
at::Device device_of(const WorkerContext& worker);

/// Sets the worker's threads and waits for the other ranks: over NCCL on GPUs, over Gloo on CPUs. Errors as
/// ProcessGroup's.
ProcessGroup join(const WorkerContext& worker);

}  // namespace manta::train
