#pragma once
// A monotone change of scale for losses with a long tail of bad ones, before a process is fitted to them: without it a few
// results that are a thousand times worse than the rest leave no resolution where the good ones are. Pure.
#include <vector>

namespace manta::tune {

/// The power transform of Yeo and Johnson (Biometrika, 2000) of z: identity at lambda 1, logarithmic for z >= 0 at 0.
double yeo_johnson(double z, double lambda) noexcept;

/// Mean 0 and deviation 1; zeros where all are alike. Any finite numbers, also the largest.
std::vector<double> standardised(std::vector<double> losses);

/// The losses, standardised, transformed with the most likely lambda from -1 to 1 under a normal distribution (above 1 it
/// would draw the good ones together), and standardised again. Order is kept. Losses that are all alike give zeros.
std::vector<double> warped(std::vector<double> losses);

}  // namespace manta::tune
