#include "train/torch/codec.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

namespace manta::train {
namespace {

/// Bytes that the sizes ask for; throws ProtocolError when that cannot be.
std::uint64_t checked_bytes(const TensorParts& parts) {
  if (parts.type < 0 || parts.type >= static_cast<std::int8_t>(at::ScalarType::NumOptions)) {
    throw ProtocolError("a tensor came with the unknown element type " + std::to_string(parts.type));
  }
  const auto type = static_cast<at::ScalarType>(parts.type);
  if (c10::isQIntType(type) || type == at::ScalarType::Undefined) throw ProtocolError("a tensor came with no plain element type");
  std::uint64_t bytes = c10::elementSize(type);
  bool empty = false;
  for (const std::int64_t size : parts.sizes) {
    if (size < 0) throw ProtocolError("a tensor came with a negative size");
    empty = empty || size == 0;
    if (size > 0 && __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes)) {
      throw ProtocolError("a tensor came with sizes that no memory holds");
    }
  }
  return empty ? 0 : bytes;
}

}  // namespace

TensorParts take_apart(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  if (tensor.layout() != at::kStrided || tensor.is_quantized()) {
    throw InvalidArgument("only dense tensors can be sent: call to_dense() or dequantize() first");
  }
  const at::Tensor plain = tensor.detach().cpu().contiguous().resolve_conj().resolve_neg();
  const auto owner = std::make_shared<const at::Tensor>(plain);
  return {.defined = true,
          .type = static_cast<std::int8_t>(plain.scalar_type()),
          .sizes = plain.sizes().vec(),
          .bytes = Buffer(owner, {static_cast<const std::byte*>(plain.const_data_ptr()), plain.nbytes()})};
}

at::Tensor put_together(const TensorParts& parts) {
  if (!parts.defined) return {};
  if (checked_bytes(parts) != parts.bytes.size()) {
    throw ProtocolError("a tensor came with " + std::to_string(parts.bytes.size()) + " bytes, its sizes need " +
                        std::to_string(checked_bytes(parts)));
  }
  const auto options = at::TensorOptions(static_cast<at::ScalarType>(parts.type));
  if (parts.bytes.empty()) return at::empty(parts.sizes, options);
  auto* data = const_cast<std::byte*>(parts.bytes.data());
  return at::from_blob(data, parts.sizes, [keep = parts.bytes](void*) {}, options);
}

}  // namespace manta::train
