#pragma once
// What stands behind ProcessGroup: the c10d objects. For the .cpp files of this folder only.
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include "train/torch/process_group.hpp"

namespace manta::train {

struct ProcessGroup::Impl {
  GroupOptions options;
  c10::intrusive_ptr<c10d::ProcessGroup> group;
};

namespace detail {

using Backend = c10::intrusive_ptr<c10d::Backend>;
using Store = c10::intrusive_ptr<c10d::Store>;

/// Gloo, its sockets bound to the loopback address.
Backend make_gloo(const Store& store, const GroupOptions& options);
/// NCCL for options.device. Throws VersionMismatch unless the loaded library is the one compiled against.
Backend make_nccl(const Store& store, const GroupOptions& options);

}  // namespace detail
}  // namespace manta::train
