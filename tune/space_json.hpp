#pragma once
// Search spaces as JSON and back.
//
//   {"lr": {"loguniform": [1e-4, 0.1]},
//    "optimizer": {"choice": ["sgd", "adam"]},
//    "momentum": {"uniform": [0, 1], "when": {"optimizer": "sgd"}},
//    "width2": {"randint": [8, 65], "when": {"layers": {"at_least": 2}, "optimizer": ["sgd", "adam"]}},
//    "layers": {"grid_search": [1, 2, 3]},
//    "model": {"bias": true, "kernels": [{"ordinal": [3, 5]}, 1]},
//    "forbid": [{"optimizer": "adam", "layers": 3}]}
//
// An object with one of the words of tune/domain.hpp as its only key, "when" apart, is that domain with its arguments; any
// other object is a nested table, any other value a constant. A table that has one of those words, "when" or "sample_from" among its
// names, or a condition, is {"space": {…}}, and a constant that could be taken for a domain {"constant": …}: without, it is refused as a slip
// of the pen. "forbid" is a list. Ray's {"grid_search": […]} reads as it is, also with grids inside its options:
// {"grid_search": [{"layers": {"grid_search": [1, 2]}}, "none"]} has three. Functions; thread-safe.
#include <string>
#include <string_view>

#include "tune/search_space.hpp"

namespace manta::tune {

/// `indent` spaces a level, or -1 for one line. InvalidArgument naming the parameter for a sample_from function, which no
/// text can hold, and for a name that is not UTF-8. A text that is not is written as {"$bytes": "ff00"}.
std::string space_to_json(const Space& space, int indent = 2);
/// A checked space. InvalidArgument for what is no JSON, arguments that a domain does not take, near misses of a domain or
/// a condition, or a space that `check` refuses.
Space space_from_json(std::string_view text);

}  // namespace manta::tune
