#pragma once
// CMA-ES that asks a model first: most points of a generation are ranked by a quadratic model of the loss instead of being
// evaluated (Hansen, "A Global Surrogate Assisted CMA-ES", GECCO 2019: lq-CMA-ES). The distribution and its update are
// CmaEs's; what changes is which points are evaluated and where the ranks come from. Pure; a plain value; the caller keeps
// the generator.
//
//   SurrogateCmaEs cma(3);
//   CmaEs::Draw draw = cma.ask(random);     // the point of the generation that the model thinks best
//   cma.tell(draw, loss(draw.x), random);   // in any order
//
// All that was evaluated goes into an archive, the newest generation first and the best of a generation first; a linear model
// is fitted to it, a diagonal one as soon as there is data enough, then a full one, the first in the archive with twenty times
// the weight of the last. A generation is over when the model ranks the newest archived points as they were found (Kendall's τ
// at least 0.85; looked at after 2, 3, 5, 8, … evaluations), and then the model ranks all of it; or when as many were evaluated
// as it has points, and then the values do: where no model fits, this is plain CMA-ES. One point of each generation is the
// model's minimum near the mean. In whitened coordinates, so the diagonal model turns with the distribution.
//
// Where some points may not be tried, the generation is drawn among those that may be: else the model, which goes on beyond the
// border, would rank forbidden points first and the mean would follow them.
//
// Three things differ from the paper, each better on functions other than those of the published comparison
// (docs/design/0025): two points of each generation are evaluated, not one; the model's minimum is taken no further from the
// mean than half the longest step of a draw; and points may be asked for without an end, so that many workers are busy: past
// the generation's own they are further draws, and one that comes back late counts in the generation that it meets.
#include <functional>
#include <optional>
#include <vector>

#include "tune/searchers/cma_es.hpp"
#include "tune/searchers/quadratic_model.hpp"

namespace manta::tune {

class SurrogateCmaEs {
 public:
  /// As CmaEs. `variants`: how many different trials have the same point, as they have options that are drawn at random.
  explicit SurrogateCmaEs(std::size_t dimensions, CmaEsOptions options = {}, std::vector<double> cells = {}, std::size_t variants = 1);

  /// Whether a point may be tried; empty: all may.
  using Allowed = std::function<bool(const Eigen::VectorXd&)>;

  CmaEs::Draw ask(Random& random, const Allowed& allowed = {});
  /// That draw will not be told after all: another takes its place in the generation.
  void refuse(const CmaEs::Draw& draw, Random& random, const Allowed& allowed = {});
  /// The value at the draw, smaller is better; NaN is worse than everything. `random` is used for a restart only.
  void tell(const CmaEs::Draw& draw, double value, Random& random);
  /// A value that the model learns from, but that does not count in a generation.
  void observe(Eigen::VectorXd x, double value);

  const CmaEs& strategy() const noexcept { return strategy_; }
  const Eigen::VectorXd& mean() const noexcept { return strategy_.mean(); }

  void save(StateWriter& out) const;
  void restore(StateReader& in);

 private:
  struct Known {
    Eigen::VectorXd x{};
    double value{0};
    std::uint64_t generation{0};
  };
  struct Candidate {
    CmaEs::Draw draw{};
    bool asked{false}, told{false};
    bool refused{false};  ///< no allowed one was found: it is not given out and ranks last
  };
  struct Told {
    CmaEs::Draw draw{};
    double value{0};
  };

  Candidate fresh(Random& random, const Allowed& allowed) const;
  void begin_generation(Random& random, const Allowed& allowed);
  void end_generation(std::vector<Told> points, Random& random);
  std::vector<Told> ranked_by(const QuadraticModel& model) const;
  const QuadraticModel* model();
  std::optional<QuadraticModel> fitted() const;
  double guess(const QuadraticModel& model, const Eigen::VectorXd& x) const { return model.value(strategy_.whitened(x)); }
  bool ranks_as_found(const QuadraticModel& model) const;
  Eigen::VectorXd lowest(const QuadraticModel& model) const;
  bool is_known(const Eigen::VectorXd& x) const;
  std::size_t archive_limit() const;

  CmaEs strategy_;
  std::vector<double> cells_;
  std::size_t variants_{1};
  std::vector<Known> archive_;         ///< newest generation first, in each the best first
  std::vector<Candidate> candidates_;  ///< of the present generation
  std::vector<Told> told_;             ///< what was evaluated since it began
  std::size_t needed_{0};              ///< so many evaluations before the model is asked whether they are enough
  bool is_stale_{true};                ///< model_ is of another archive or generation
  std::optional<QuadraticModel> model_;
};

}  // namespace manta::tune
