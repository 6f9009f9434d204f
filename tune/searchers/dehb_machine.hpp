#pragma once
// DehbMachine: the bookkeeping of DEHB (Awad, Mallik and Hutter, "DEHB: Evolutionary Hyberband for Scalable, Robust and
// Efficient Hyperparameter Optimization", IJCAI 2021), as its reference implementation does it. Pure; a plain value.
//
//   DehbMachine machine(dimensions, {.min_budget = 1, .max_budget = 27}, random);
//   DehbMachine::Job job = machine.ask(random);       // a point of the unit cube and the budget to evaluate it with
//   machine.tell(job, loss);
//
// Bracket i is successive halving from S - 1 - (i mod S) rungs below the largest budget, S = number of budgets. Each budget has
// a subpopulation as large as its largest rung. In the first S brackets a rung above a bracket's first is filled with
// the best of the budget below that are not there yet. Everywhere else a parent, taken in turn from the budget's subpopulation,
// is crossed with a mutant of three out of the best of the budget below; the child takes the parent's place if it is not
// worse. A rung begins when the one below it has ended; meanwhile the next bracket does.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "tune/random.hpp"
#include "tune/searchers/state_text.hpp"

namespace manta::tune {

struct DehbSchedule {
  double min_budget{1};
  double max_budget{27};
  double eta{3};
};

/// The budgets, ascending: max_budget · eta^-k, down to the last that is not below min_budget; max_budget is exact.
std::vector<double> dehb_budgets(const DehbSchedule& schedule);

class DehbMachine {
 public:
  struct Job {
    std::vector<double> point{};
    std::size_t level{0};   ///< of the budgets, 0 is the smallest
    std::size_t parent{0};  ///< its place in the level's subpopulation
    std::uint64_t bracket{0};
  };

  /// `mutation_factor` and `crossover_probability` are differential evolution's F and CR.
  DehbMachine(std::size_t dimensions, DehbSchedule schedule, double mutation_factor, double crossover_probability, Random& random);

  Job ask(Random& random);
  /// Each job once. `loss`: NaN counts as +inf.
  void tell(const Job& job, double loss);
  /// A point that was no job's: takes the place of the level's worst if it is better.
  void admit(std::vector<double> point, std::size_t level, double loss);

  const std::vector<double>& budgets() const noexcept { return budgets_; }
  /// How many jobs the rungs of that bracket have, from the smallest budget on.
  std::vector<std::size_t> rungs_of(std::uint64_t bracket) const;
  std::size_t population_size(std::size_t level) const { return populations_[level].members.size(); }
  /// Whether `ask` could have given it, as far as can be told.
  bool is_own(const Job& job) const;

  void save(StateWriter& out) const;
  void restore(StateReader& in);

 private:
  using Point = std::vector<double>;
  struct Member {
    Point point{};
    double loss{0};
  };
  struct Population {
    std::vector<Member> members{};
    std::size_t next_parent{0};
    std::vector<Point> promoted{};  ///< what is left of those that were chosen to come up
  };
  struct Bracket {
    std::uint64_t number{0};
    std::size_t first_level{0};
    std::vector<std::size_t> sizes{}, asked{}, told{};  ///< of each rung
    std::optional<std::size_t> open_rung() const;
    bool ended() const;
  };

  Bracket& open_bracket();
  Point promotion(std::size_t level, std::size_t count, Random& random);
  Point evolved(const Point& target, std::size_t below, std::size_t count, Random& random) const;
  Point mutant(const Point& target, std::vector<Point> pool, Random& random) const;
  std::vector<std::size_t> by_loss(std::size_t level) const;

  std::size_t dimensions_;
  double mutation_factor_;
  double crossover_probability_;
  double eta_;
  std::vector<double> budgets_;
  std::vector<Population> populations_;
  std::vector<Bracket> active_;
  std::uint64_t brackets_{0};
};

}  // namespace manta::tune
