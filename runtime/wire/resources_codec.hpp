#pragma once
// Amounts, resource shapes, leases, placement groups and concurrency groups between their plain values and Cap'n Proto, and what every decoder checks. Internal to
// runtime/wire.
#include <capnp/common.h>

#include "runtime/wire/messages.capnp.h"
#include "runtime/wire/messages.hpp"

namespace manta::wire {

inline constexpr int kMaxCauses = 16;  ///< links of an error's chain that travel; Cap'n Proto's own nesting limit is 64

inline std::string text(capnp::Text::Reader reader) { return {reader.begin(), reader.size()}; }
/// Whole: a string that is passed as it is ends at its first NUL.
inline capnp::Text::Reader as_text(const std::string& text) { return {text.data(), text.size()}; }

/// Checks a frame's lists of structs and texts: one of elements without a size could claim any number of them. (A list of numbers has no
/// such elements.)
class ListCheck {
 public:
  explicit ListCheck(const Buffer& frame) : words_(frame.size() / sizeof(capnp::word)) {}
  /// The list, whose elements can all be in the frame.
  template <class List>
  List operator()(List list) const {
    if (list.size() > words_) throw ProtocolError("a list claims more elements than its frame has words");
    return list;
  }

 private:
  std::size_t words_;
};

/// One of the code's operations, which count from 1 to `last`.
template <class Operation>
Operation known(std::uint8_t raw, Operation last) {
  if (raw < 1 || raw > static_cast<std::uint8_t>(last)) throw ProtocolError("an operation that this build does not know");
  return static_cast<Operation>(raw);
}

unsigned count(const Resources& resources);
void put(capnp::List<schema::Amount>::Builder out, const Resources& resources);
Resources resources(const ListCheck& checked, capnp::List<schema::Amount>::Reader in);

void put(schema::Group::Builder out, const GroupInfo& group);
/// Throws ProtocolError for a strategy that there is not.
GroupInfo group_info(const ListCheck& checked, schema::Group::Reader in);

void put(schema::LeaseInfo::Builder out, const LeaseInfo& lease);
LeaseInfo lease_info(schema::LeaseInfo::Reader in);

void put(schema::Method::Builder out, const Concurrency::Method& method);
void put(schema::ConcurrencyGroup::Builder out, const Concurrency::Group& group);
Concurrency concurrency(const ListCheck& checked, schema::CreateActor::Reader in);

}  // namespace manta::wire
