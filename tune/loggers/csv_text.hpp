#pragma once
// Text of CSV files (RFC 4180, lines end in \n).
#include <string>
#include <vector>

namespace manta::tune {

/// The shortest text that reads back as the same double; nan, inf, -inf.
std::string csv_number(double value);
/// One line; cells with a comma, quote or line break are quoted.
std::string csv_line(const std::vector<std::string>& cells);

}  // namespace manta::tune
