#include "runtime/base/placement.hpp"

namespace manta {

Placement::Placement() noexcept = default;
Placement::Placement(GroupId g, std::int32_t b, std::shared_ptr<const PlacementGroupOptions> o) noexcept
    : group(g), bundle(b), options(std::move(o)) {}
Placement::Placement(const Placement&) noexcept = default;
Placement& Placement::operator=(const Placement&) noexcept = default;
Placement::~Placement() = default;

}  // namespace manta
