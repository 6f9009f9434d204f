#include "train/torch/process_group.hpp"

#include <ATen/ops/full.h>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>

#include "runtime/errors.hpp"
#include "train/torch/process_group_impl.hpp"

namespace manta::train {
namespace detail {

Backend make_gloo(const Store& store, const GroupOptions& options) {
  auto gloo = c10d::ProcessGroupGloo::Options::create(options.timeout);
  gloo->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
  gloo->threads = 2;
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, options.rank, options.world_size, gloo);
}

}  // namespace detail

namespace {

constexpr std::size_t kBroadcastBytes = 250u << 20;

std::string rank_of(const GroupOptions& o) { return std::to_string(o.rank) + " of " + std::to_string(o.world_size); }

void check(const GroupOptions& o) {
  if (o.world_size < 1 || o.rank < 0 || o.rank >= o.world_size) {
    throw InvalidArgument("ProcessGroup: there is no rank " + rank_of(o));
  }
  if (o.world_size > 1 && o.rendezvous.empty()) {
    throw InvalidArgument("ProcessGroup: several ranks need a rendezvous file");
  }
}

detail::Store make_store(const GroupOptions& options) {
  detail::Store store;
  if (options.world_size == 1) {
    store = c10::make_intrusive<c10d::HashStore>();
  } else {
    store = c10::make_intrusive<c10d::FileStore>(options.rendezvous, options.world_size);
  }
  store->setTimeout(options.timeout);
  return store;
}

c10::intrusive_ptr<c10d::ProcessGroup> meet(const GroupOptions& options) {
  const detail::Store store = make_store(options);
  auto group = c10::make_intrusive<c10d::ProcessGroup>(store, options.rank, options.world_size);
  const bool cuda = options.device.is_cuda();
  const auto type = cuda ? c10d::ProcessGroup::BackendType::NCCL : c10d::ProcessGroup::BackendType::GLOO;
  group->setDefaultBackend(type);
  group->setBackend(options.device.type(), type,
                    cuda ? detail::make_nccl(store, options) : detail::make_gloo(store, options));
  return group;
}

}  // namespace

ProcessGroup::ProcessGroup(const GroupOptions& options) {
  check(options);
  try {
    impl_ = std::make_shared<Impl>(options, meet(options));
    barrier();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    throw Timeout("rank " + rank_of(options) + " could not meet the others within " +
                  std::to_string(options.timeout.count()) + " ms: " + e.what());
  }
}

int ProcessGroup::rank() const noexcept { return impl_->options.rank; }
int ProcessGroup::world_size() const noexcept { return impl_->options.world_size; }

void ProcessGroup::broadcast(const std::vector<at::Tensor>& tensors, int root) const {
  if (!tensors.empty()) c10d::broadcast_coalesced(impl_->group, tensors, kBroadcastBytes, root);
}

void ProcessGroup::all_reduce(at::Tensor& tensor) const {
  std::vector<at::Tensor> tensors{tensor};
  impl_->group->allreduce(tensors)->wait();
}

double ProcessGroup::sum(double value) const {
  at::Tensor tensor = at::full({1}, value, at::TensorOptions(at::kDouble).device(impl_->options.device));
  all_reduce(tensor);
  return tensor.item<double>();
}

void ProcessGroup::barrier() const { sum(0); }

}  // namespace manta::train
