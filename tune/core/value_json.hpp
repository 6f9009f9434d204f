#pragma once
// Values as JSON and back, every type and number exact: an integer stays one, and NaN and infinities, which JSON has not,
// are {"$double": "nan"}; a text that is no UTF-8 is its bytes, {"$bytes": "ff00"}, and a table
// with such a name {"$table": [[name, value], ...]}.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>

#include "tune/config.hpp"
#include "tune/objective.hpp"

namespace manta::tune {

using Json = nlohmann::ordered_json;

/// A text that was saved, of any origin. InvalidArgument for one that is no JSON, or nested so deep (1000) that whoever walks
/// it would need more than the stack.
Json parse_json(std::string_view text);

/// InvalidArgument for anything but a whole number from 0 to `most`, also one that is written with a point.
std::uint64_t whole_number(const Json& json, std::uint64_t most = UINT64_MAX);
/// A trial's number, and a list of such.
TrialIndex trial_of(const Json& json);
std::set<TrialIndex> trials_of(const Json& json);

Json value_json(const Value& value);
/// InvalidArgument for an integer beyond 64 bits.
Value json_value(const Json& json);

}  // namespace manta::tune
