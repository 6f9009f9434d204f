#pragma once
// Several objectives at once: who dominates whom, fronts, crowding, hypervolume. Pure; every objective is made smaller.
//
// A point is a vector of losses, all of one length: InvalidArgument where they are not. It dominates another when it is nowhere
// larger and somewhere smaller; a point with a NaN is dominated by every one without and dominates none.
#include <cstddef>
#include <vector>

namespace manta::tune {

using Losses = std::vector<double>;

bool dominates(const Losses& a, const Losses& b);

/// The indices of the points that none dominates, in order. Of equal points all are there. Points with a NaN never are,
/// unless all have one.
std::vector<std::size_t> pareto_front(const std::vector<Losses>& points);

/// The rank of each point: 0 on the front, 1 on the front of the rest, … (Deb, Pratap, Agarwal and Meyarivan, "A Fast and
/// Elitist Multiobjective Genetic Algorithm: NSGA-II", 2002), by Zhang, Tian, Cheng and Jin, "An Efficient Approach to
/// Nondominated Sorting", 2015: O(n log n) for two objectives.
std::vector<std::size_t> nondominated_ranks(const std::vector<Losses>& points);

/// How lonely each of these points of one front is: the sum over objectives of the distance between its two neighbours,
/// in units of the objective's range; infinite at the ends. Infinite losses at the same end count as equal.
std::vector<double> crowding_distances(const std::vector<Losses>& front);

/// The volume that the points dominate below `reference`: exact for any number of objectives, in O(n log n) for two, by
/// exclusive contributions for more (While, Bradstreet and Barone, "A Fast Way of Calculating Exact Hypervolumes", 2012;
/// its cost grows steeply beyond about five objectives and a hundred points). Points not below the reference, or with
/// NaN, add nothing; one at -inf makes it infinite.
double hypervolume(std::vector<Losses> points, const Losses& reference);

}  // namespace manta::tune
