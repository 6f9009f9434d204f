#pragma once
// BurstMeter: says when a burst of work is over, so that the memory it took is given back once and not at each ebb. A plain value.
#include <algorithm>
#include <cstddef>

namespace manta::core {

class BurstMeter {
 public:
  static constexpr std::size_t kBurst = 50'000;  ///< less is not worth it: some 20 MB
  static constexpr std::size_t kShareLeft = 16;  ///< a burst is over when no more than one part in so many is left

  /// `count`: what there is now. True once for each burst, when it is over.
  bool over(std::size_t count) {
    peak_ = std::max(peak_, count);
    if (peak_ < kBurst || count > peak_ / kShareLeft) return false;
    peak_ = count;
    return true;
  }

 private:
  std::size_t peak_ = 0;
};

}  // namespace manta::core
