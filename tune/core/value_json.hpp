#pragma once
// Values as JSON and back, every type and number exact: an integer stays one, and NaN and infinities, which JSON has not,
// are {"$double": "nan"}.
#include <nlohmann/json.hpp>

#include "tune/config.hpp"

namespace manta::tune {

using Json = nlohmann::ordered_json;

Json value_json(const Value& value);
/// InvalidArgument for an integer beyond 64 bits.
Value json_value(const Json& json);

}  // namespace manta::tune
