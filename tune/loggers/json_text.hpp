#pragma once
// Configurations and numbers as JSON text.
#include <string>

#include "tune/config.hpp"

namespace manta::tune {

/// One object; `indent` spaces a level, or -1 for one line.
std::string config_json(const Config& config, int indent);

}  // namespace manta::tune
