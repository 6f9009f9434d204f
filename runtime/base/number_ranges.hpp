#pragma once
// NumberRanges: a set of numbers that mostly come in a row, kept as ranges: it takes memory for the gaps, not for the members. For
// ids that are given out one after another and never again, say of the processes that have ended. One thread at a time.
//
//   NumberRanges gone;
//   for (std::uint64_t id = 1; id <= 1000; ++id) gone.insert(id);
//   gone.contains(7);      // true
//   gone.ranges();         // 1
#include <cstdint>
#include <iterator>
#include <map>

namespace manta {

class NumberRanges {
 public:
  /// False when it is in already.
  bool insert(std::uint64_t number) {
    auto next = ranges_.upper_bound(number);
    auto before = next == ranges_.begin() ? ranges_.end() : std::prev(next);
    if (before != ranges_.end() && number <= before->second) return false;
    const bool extends = before != ranges_.end() && before->second + 1 == number;
    std::uint64_t last = number;
    if (next != ranges_.end() && next->first == number + 1) {
      last = next->second;
      ranges_.erase(next);
    }
    extends ? static_cast<void>(before->second = last) : static_cast<void>(ranges_.emplace(number, last));
    return true;
  }
  bool contains(std::uint64_t number) const {
    const auto next = ranges_.upper_bound(number);
    return next != ranges_.begin() && number <= std::prev(next)->second;
  }
  std::size_t ranges() const noexcept { return ranges_.size(); }

 private:
  std::map<std::uint64_t, std::uint64_t> ranges_{};  // the first of each, and the last; never two that touch
};

}  // namespace manta
