#pragma once
// torch::Tensor as an argument, result or object of Manta: include this where tasks or actors take tensors.
//
// Bit-exact, NaN included, for every type, shape and layout: what is not contiguous arrives contiguous. Reading copies
// nothing: the tensor's memory is the message's or the shared arena's, and stays alive with the tensor. So treat a received
// tensor as read-only, as every object is, and clone() before in-place operations. A tensor on a GPU travels by the CPU
// and arrives there; requires_grad and the graph do not travel. Undefined tensors do. Throws InvalidArgument for sparse
// and quantised tensors.
#include <ATen/core/Tensor.h>

#include "runtime/codec.hpp"

namespace manta::train {

/// A tensor taken apart: what travels.
struct TensorParts {
  bool defined{false};
  std::int8_t type{0};  ///< at::ScalarType
  std::vector<std::int64_t> sizes{};
  Buffer bytes{};

  template <class Archive>
  void serialize(Archive& archive) {
    archive(defined, type, sizes, bytes);
  }
};

/// Shares the tensor's memory where it is contiguous on the CPU.
TensorParts take_apart(const at::Tensor& tensor);
/// Throws ProtocolError when type, sizes and bytes do not fit together.
at::Tensor put_together(const TensorParts& parts);

}  // namespace manta::train

namespace at {

template <class Archive>
void save(Archive& archive, const Tensor& tensor) {
  archive(manta::train::take_apart(tensor));
}

template <class Archive>
void load(Archive& archive, Tensor& tensor) {
  manta::train::TensorParts parts;
  archive(parts);
  tensor = manta::train::put_together(parts);
}

}  // namespace at
