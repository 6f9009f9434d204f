#pragma once
// A rung of promotion-type ASHA: who finished there, who is among the best 1/factor, and who of these was not promoted
// yet. O(log n) for each change. Pure.
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "tune/objective.hpp"

namespace manta::tune {

class PromotionRung {
 public:
  PromotionRung(double milestone, double factor) : milestone_(milestone), factor_(factor) {}

  double milestone() const noexcept { return milestone_; }
  std::size_t size() const noexcept { return top_.size() + rest_.size(); }
  /// The trial finished here with this value, larger is better, NaN is worst. `promotable`: it may go on from here.
  void add(TrialIndex trial, double value, bool promotable = true);
  /// It goes on to the next rung, or never will: `value` as it was added.
  void set_promoted(TrialIndex trial, double value);
  /// The best of the top ⌊size / factor⌋ that was not promoted and is `startable`.
  std::optional<TrialIndex> candidate(const std::function<bool(TrialIndex)>& startable) const;
  /// The worst value among the top; nothing when nobody is there.
  std::optional<double> cutoff() const;

  void visit(const std::function<void(TrialIndex, double, bool promoted)>& each) const;

 private:
  struct Key {
    double value;
    TrialIndex trial;
    /// The better first, of equals the older.
    bool operator<(const Key& other) const { return value != other.value ? value > other.value : trial < other.trial; }
  };
  using Entries = std::map<Key, bool>;  ///< value: promoted

  static Key key(TrialIndex trial, double value);
  void balance();
  void to_top(Entries::iterator entry);
  void to_rest(Entries::iterator entry);

  double milestone_;
  double factor_;
  Entries top_;
  Entries rest_;
  std::set<Key> waiting_;  ///< of the top those who were not promoted
};

}  // namespace manta::tune
