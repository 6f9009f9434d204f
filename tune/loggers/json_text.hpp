#pragma once
// Configurations and numbers as JSON text.
#include <string>

#include "tune/config.hpp"
#include "tune/metrics.hpp"

namespace manta::tune {

/// Any value, on one line.
std::string value_text(const Value& value);
/// One object; `indent` spaces a level, or -1 for one line.
std::string config_json(const Config& config, int indent);
/// One object; NaN and infinities are the texts "NaN", "Infinity" and "-Infinity".
std::string metrics_json(const Metrics& metrics);
/// A text in quotes.
std::string json_quoted(const std::string& text);

}  // namespace manta::tune
