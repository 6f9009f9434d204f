// Bad on purpose: no #pragma once.
namespace manta {
struct NotGuarded {};
}  // namespace manta
