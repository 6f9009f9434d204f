#pragma once
// CMA-ES: a normal distribution that moves, stretches and turns towards better points, generation by generation (Hansen, "The
// CMA Evolution Strategy: A Tutorial", arXiv 1604.00772, with its default rates, negative weights included). Pure; a
// plain value; the caller keeps the generator.
//
//   CmaEs cma(3);
//   CmaEs::Draw draw = cma.ask(random);         // a point of the unit cube
//   cma.tell(draw, loss(draw.x));               // in any order; every population_size() of them make a generation
//
// Defaults as in Optuna's sampler: mean in the middle, step 1/6 of the range, 4 + floor(3 ln d) points a generation, a point
// outside the cube is drawn again up to 10 d times and then moved to the border. More points may be asked for than a
// generation has, so that many workers are busy. A point that comes back after its generation is over is not thrown away:
// it counts in the present one, shortened to the length that a draw of today would have (Hansen, "Injecting External
// Solutions into CMA-ES", arXiv 1110.4181). When the distribution has shrunk to a point, it starts anew at a random
// place with twice the population (Auger and Hansen, 2005), but 512 points at most unless more were asked for.
//
// A coordinate with a least step (integers, cells) keeps so much deviation that the neighbouring value is still drawn with
// probability 1 / (d λ) a draw, the idea of CMA-ES with margin (Hamano, Saito, Nomura and Shirakawa, 2022).
#include <Eigen/Core>
#include <cstdint>
#include <vector>

#include "tune/random.hpp"
#include "tune/searchers/cmaes.hpp"
#include "tune/searchers/state_text.hpp"

namespace manta::tune {

class CmaEs {
 public:
  struct Draw {
    Eigen::VectorXd x{};
    std::uint64_t generation{0};
  };

  /// `cells`: of each coordinate the width of the cells that its values have, 0 for a continuous one; empty: all are.
  explicit CmaEs(std::size_t dimensions, CmaEsOptions options = {}, std::vector<double> cells = {});

  Draw ask(Random& random) const;
  /// The value at the draw, smaller is better; NaN is worse than everything. `random` is used for a restart only.
  void tell(const Draw& draw, double value, Random& random);

  std::size_t population_size() const noexcept { return population_; }
  std::uint64_t generation() const noexcept { return generation_; }
  const Eigen::VectorXd& mean() const noexcept { return mean_; }
  double sigma() const noexcept { return sigma_; }
  const Eigen::MatrixXd& covariance() const noexcept { return covariance_; }
  std::uint64_t restarts() const noexcept { return restarts_; }
  /// False for a draw from before the last restart: its value would be thrown away.
  bool counts(const Draw& draw) const noexcept { return draw.generation >= first_generation_; }
  /// The matrix that makes of steps from the mean, as they are drawn, standard normal ones.
  Eigen::MatrixXd whitening() const { return (sigma_ * lengths_).cwiseInverse().asDiagonal() * axes_.transpose(); }
  Eigen::VectorXd whitened(const Eigen::VectorXd& x) const { return (axes_.transpose() * (x - mean_)).cwiseQuotient(sigma_ * lengths_); }

  void save(StateWriter& out) const;
  void restore(StateReader& in);

 private:
  struct Told {
    Draw draw{};
    double value{0};
  };
  struct Rates;

  void begin(Eigen::VectorXd mean, std::size_t population);
  void update();
  Eigen::MatrixXd steps_by_rank();
  void adapt(const Eigen::MatrixXd& steps, const Rates& rates);
  void decompose();
  void keep_margin();
  bool has_shrunk() const;

  CmaEsOptions options_;
  std::vector<double> cells_;
  std::size_t population_{0};
  std::uint64_t generation_{0};
  std::uint64_t first_generation_{0};  ///< of the present start
  std::uint64_t restarts_{0};
  double sigma_{0};
  Eigen::VectorXd mean_;
  Eigen::MatrixXd covariance_;
  Eigen::VectorXd sigma_path_, covariance_path_;
  std::vector<Told> told_;  ///< of the generation that is being gathered
  Eigen::MatrixXd axes_;    ///< eigenvectors of the covariance
  Eigen::VectorXd lengths_;  ///< roots of its eigenvalues
};

}  // namespace manta::tune
