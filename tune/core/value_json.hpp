#pragma once
// Values as JSON and back, every type and number exact: an integer stays one, and NaN and infinities, which JSON has not,
// are {"$double": "nan"}.
#include <nlohmann/json.hpp>

#include "tune/config.hpp"

namespace manta::tune {

using Json = nlohmann::ordered_json;

/// A text that was saved, of any origin. InvalidArgument for one that is no JSON, or nested so deep (1000) that whoever walks
/// it would need more than the stack.
Json parse_json(std::string_view text);

Json value_json(const Value& value);
/// InvalidArgument for an integer beyond 64 bits.
Value json_value(const Json& json);

}  // namespace manta::tune
