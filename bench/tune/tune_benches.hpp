#pragma once
// The operations of the tuner that are measured, against the public API alone.
#include "bench/harness/measure.hpp"

namespace manta::bench {

/// One suggestion of TPE after 200 results with 10 parameters: floats, some logarithmic, integers and options. Bringing the
/// study to 200 results is not part of it.
Body tpe_suggest_10d_200();

}  // namespace manta::bench
