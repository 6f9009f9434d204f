#pragma once
// A polynomial of degree at most two, fitted to weighted points by least squares. Pure; a plain value.
//
//   const QuadraticModel model = QuadraticModel::fit(QuadraticModel::Kind::kFull, points, values, weights);
//   double guess = model.value(x);
//
// `fit` never fails: where the points do not determine the coefficients, the smallest ones are taken.
#include <Eigen/Core>
#include <cstdint>

namespace manta::tune {

class QuadraticModel {
 public:
  enum class Kind : std::uint8_t { kLinear, kDiagonal, kFull };  ///< kDiagonal: no products of two coordinates

  /// How many coefficients the model has in so many dimensions.
  static Eigen::Index size(Kind kind, Eigen::Index dimensions);

  /// `points`: one a column; all numbers finite, weights above 0, at least one point. A residual counts by its square times
  /// its weight.
  static QuadraticModel fit(Kind kind, const Eigen::MatrixXd& points, const Eigen::VectorXd& values, const Eigen::VectorXd& weights);

  double value(const Eigen::VectorXd& x) const { return constant_ + slope_.dot(x) + 0.5 * x.dot(curvature_ * x); }
  Eigen::VectorXd gradient(const Eigen::VectorXd& x) const { return slope_ + curvature_ * x; }
  /// The second derivatives.
  const Eigen::MatrixXd& curvature() const noexcept { return curvature_; }
  Kind kind() const noexcept { return kind_; }

 private:
  Kind kind_{Kind::kLinear};
  double constant_{0};
  Eigen::VectorXd slope_;
  Eigen::MatrixXd curvature_;
};

}  // namespace manta::tune
