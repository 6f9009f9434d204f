#pragma once
// Amounts, resource shapes and placement groups between their plain values and Cap'n Proto. Internal to runtime/wire.
#include "runtime/wire/messages.capnp.h"
#include "runtime/wire/messages.hpp"

namespace manta::wire {

inline std::string text(capnp::Text::Reader reader) { return {reader.begin(), reader.size()}; }
/// Whole: a string that is passed as it is ends at its first NUL.
inline capnp::Text::Reader as_text(const std::string& text) { return {text.data(), text.size()}; }

unsigned count(const Resources& resources);
void put(capnp::List<schema::Amount>::Builder out, const Resources& resources);
Resources resources(capnp::List<schema::Amount>::Reader in);

void put(schema::Group::Builder out, const GroupInfo& group);
/// Throws ProtocolError for a strategy that there is not.
GroupInfo group_info(schema::Group::Reader in);

}  // namespace manta::wire
