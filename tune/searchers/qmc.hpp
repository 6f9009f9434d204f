#pragma once
// Points that fill the unit cube evenly: Sobol's sequence (Boost's, direction numbers of Joe and Kuo), shifted at random
// modulo 1 so that every call gives other points of the same quality (Cranley and Patterson, 1976). Pure.
#include <cstddef>
#include <vector>

#include "tune/random.hpp"

namespace manta::tune {

/// `count` points of `dimensions` coordinates in [0, 1), one after the other: coordinate j of point i is at
/// i * dimensions + j. Beyond 1,000 dimensions the rest of the coordinates is plain random.
std::vector<double> sobol_points(std::size_t count, std::size_t dimensions, Random& random);

}  // namespace manta::tune
