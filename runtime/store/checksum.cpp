#include "runtime/store/checksum.hpp"

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

namespace manta {

struct LocalChecksum::State {
  XXH3_state_t hash;
};

std::uint64_t checksum_of(ByteView bytes) noexcept { return XXH3_64bits(bytes.data(), bytes.size()); }

LocalChecksum::LocalChecksum() : state_(std::make_unique<State>()) { XXH3_64bits_reset(&state_->hash); }
LocalChecksum::~LocalChecksum() = default;
void LocalChecksum::add(ByteView bytes) noexcept { XXH3_64bits_update(&state_->hash, bytes.data(), bytes.size()); }
std::uint64_t LocalChecksum::value() const noexcept { return XXH3_64bits_digest(&state_->hash); }

}  // namespace manta
