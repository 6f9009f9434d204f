#include "train/torch/distributed.hpp"

#include <algorithm>
#include <torch/csrc/distributed/c10d/logger.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include "runtime/errors.hpp"
#include "train/torch/process_group_impl.hpp"

namespace manta::train::detail {

struct GradientSync::Impl {
  torch::nn::Module& module;
  ProcessGroup group;
  DistributedOptions options;
  std::vector<at::Tensor> parameters;
  std::unique_ptr<c10d::Reducer> reducer;
  bool enabled = true;

  std::vector<at::Tensor> buffers() const { return module.buffers(); }
};

namespace {

struct Parameters {
  std::vector<at::Tensor> tensors;
  std::unordered_map<std::size_t, std::string> names;
};

Parameters trainable(torch::nn::Module& module) {
  Parameters out;
  for (const auto& item : module.named_parameters()) {
    if (!item.value().requires_grad()) continue;
    out.names[out.tensors.size()] = item.key();
    out.tensors.push_back(item.value());
  }
  if (out.tensors.empty()) throw InvalidArgument("DistributedModel: no parameter of the module needs a gradient");
  return out;
}

void verify(const ProcessGroup& group, const std::vector<at::Tensor>& parameters) {
  try {
    c10d::verify_params_across_processes(group.impl().group, parameters, std::nullopt);
  } catch (const std::exception& e) {
    throw InvalidArgument("DistributedModel: rank " + std::to_string(group.rank()) +
                          " has other parameters than rank 0: " + e.what());
  }
}

std::vector<std::vector<std::size_t>> buckets(const std::vector<at::Tensor>& tensors, const DistributedOptions& o) {
  auto [indices, limits] = c10d::compute_bucket_assignment_by_size(
      tensors, {static_cast<std::size_t>(o.first_bucket_bytes), static_cast<std::size_t>(o.bucket_bytes)});
  std::reverse(indices.begin(), indices.end());  // gradients come from the last layer first
  return indices;
}

}  // namespace

GradientSync::GradientSync(torch::nn::Module& module, const ProcessGroup& group, const DistributedOptions& options) {
  Parameters parameters = trainable(module);
  verify(group, parameters.tensors);
  const at::NoGradGuard no_grad;
  group.broadcast(module.parameters());
  group.broadcast(module.buffers());
  impl_.reset(new Impl{module, group, options, parameters.tensors, nullptr});
  impl_->reducer = std::make_unique<c10d::Reducer>(
      parameters.tensors, buckets(parameters.tensors, options), group.impl().group,
      std::vector<bool>(parameters.tensors.size(), false), options.bucket_bytes, options.find_unused_parameters,
      options.gradient_as_bucket_view, parameters.names, options.first_bucket_bytes,
      /*skip_all_reduce_unused_params=*/false, /*use_python_reducer=*/false, std::vector<std::int64_t>{});
}

GradientSync::~GradientSync() {
  if (impl_) impl_->reducer->remove_autograd_hooks();
}

void GradientSync::set_enabled(bool on) noexcept { impl_->enabled = on; }

void GradientSync::before_forward() {
  if (!at::GradMode::is_enabled()) return;
  if (impl_->enabled) {
    impl_->reducer->prepare_for_forward();
    if (impl_->reducer->should_rebuild_buckets()) impl_->reducer->rebuild_buckets();
    if (impl_->options.broadcast_buffers) {
      const at::NoGradGuard no_grad;
      impl_->group.broadcast(impl_->buffers());
    }
  }
}

void GradientSync::before_backward(const std::vector<at::Tensor>& outputs) {
  if (!at::GradMode::is_enabled() || !impl_->enabled) return;
  impl_->reducer->prepare_for_backward(impl_->options.find_unused_parameters ? outputs : std::vector<at::Tensor>{});
}

}  // namespace manta::train::detail
