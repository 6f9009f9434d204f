#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "runtime/errors.hpp"
#include "train/torch/process_group_impl.hpp"

namespace manta::train::detail {
namespace {

/// Another NCCL than the headers' has another layout of ncclConfig_t: stop before it corrupts memory.
void check_version() {
  int loaded = 0;
  if (ncclGetVersion(&loaded) != ncclSuccess || loaded != NCCL_VERSION_CODE) {
    throw VersionMismatch("NCCL " + std::to_string(loaded) + " is loaded, this program was compiled for " +
                          std::to_string(NCCL_VERSION_CODE) +
                          ": run with the library of the wheel that it was built with (unset LD_LIBRARY_PATH, or build "
                          "again)");
  }
}

}  // namespace

Backend make_nccl(const Store& store, const GroupOptions& options) {
  check_version();
  auto nccl = c10d::ProcessGroupNCCL::Options::create();
  nccl->timeout = options.timeout;
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, options.rank, options.world_size, nccl);
}

}  // namespace manta::train::detail
