#include <algorithm>

#include "runtime/wire/messages.hpp"

namespace wire = manta::wire;
namespace core = manta::core;

namespace {

/// The enumerators are some that there are: nobody who handles a message asks again.
template <class Message>
void check_known(const Message&) {}
void check_known(const wire::StoreRequest& m) {
  MANTA_CHECK(m.operation >= wire::StoreOperation::kCreate && m.operation <= wire::StoreOperation::kFree);
}
void check_known(const wire::DurableRequest& m) {
  MANTA_CHECK(m.operation >= wire::DurableOperation::kPut && m.operation <= wire::DurableOperation::kList);
}
void check_known(const wire::ActorRequest& m) {
  MANTA_CHECK(m.operation >= wire::ActorOperation::kFollow && m.operation <= wire::ActorOperation::kLend);
}
void check_known(const wire::NameRequest& m) {
  MANTA_CHECK(m.operation >= wire::NameOperation::kClaim && m.operation <= wire::NameOperation::kRelease);
}
void check_known(const wire::ActorPlace& m) { MANTA_CHECK(m.state <= core::ActorState::kDead); }
void check_known(const wire::ReferenceUpdates& m) {
  for (const auto& each : m.list)
    MANTA_CHECK(each.operation >= core::ReferenceOperation::kLend && each.operation <= core::ReferenceOperation::kRebuild);
}
void check_known(const wire::PlaceGroup& m) { MANTA_CHECK(m.group.spec.strategy <= manta::PlacementStrategy::kStrictSpread); }
void check_known(const wire::Groups& m) {
  for (const auto& each : m.groups) check_known(wire::PlaceGroup{each});
}
void check_known(const wire::ActorLent& m) {
  if (m.value.references)
    for (const auto& each : m.value.references->list) MANTA_CHECK(each.kind <= wire::kLastReferenceKind);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto message = wire::decode(manta::Buffer::copy(std::as_bytes(std::span(data, size))));
  if (!message) {
    MANTA_CHECK(message.error().code == manta::ErrorCode::kProtocolError);
    return 0;
  }
  std::visit([](const auto& each) { check_known(each); }, *message);
  const auto first = wire::encode(*message);
  auto again = wire::decode(first);
  MANTA_CHECK(again.ok() && again->index() == message->index());
  const auto second = wire::encode(*again);
  MANTA_CHECK(std::ranges::equal(first.bytes(), second.bytes()));
  return 0;
}
