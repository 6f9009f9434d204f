#include "tune/searchers/quadratic_model.hpp"

#include <Eigen/QR>

namespace manta::tune {

namespace {

/// One row of the regression: 1, the coordinates, their squares, their products.
Eigen::VectorXd terms(QuadraticModel::Kind kind, const Eigen::VectorXd& x) {
  const Eigen::Index d = x.size();
  Eigen::VectorXd row(QuadraticModel::size(kind, d));
  row[0] = 1;
  row.segment(1, d) = x;
  if (kind == QuadraticModel::Kind::kLinear) return row;
  row.segment(1 + d, d) = x.array().square().matrix();
  if (kind == QuadraticModel::Kind::kDiagonal) return row;
  Eigen::Index place = 1 + 2 * d;
  for (Eigen::Index i = 0; i < d; ++i)
    for (Eigen::Index j = i + 1; j < d; ++j) row[place++] = x[i] * x[j];
  return row;
}

}  // namespace

Eigen::Index QuadraticModel::size(Kind kind, Eigen::Index d) {
  switch (kind) {
    case Kind::kLinear: return d + 1;
    case Kind::kDiagonal: return 2 * d + 1;
    case Kind::kFull: break;
  }
  return (d + 1) * (d + 2) / 2;
}

QuadraticModel QuadraticModel::fit(Kind kind, const Eigen::MatrixXd& points, const Eigen::VectorXd& values, const Eigen::VectorXd& weights) {
  const Eigen::Index d = points.rows();
  const Eigen::VectorXd roots = weights.cwiseSqrt();
  Eigen::MatrixXd rows(points.cols(), size(kind, d));
  for (Eigen::Index i = 0; i < points.cols(); ++i) rows.row(i) = roots[i] * terms(kind, points.col(i)).transpose();
  const Eigen::VectorXd coefficients = rows.completeOrthogonalDecomposition().solve(values.cwiseProduct(roots));
  QuadraticModel model;
  model.kind_ = kind;
  model.constant_ = coefficients[0];
  model.slope_ = coefficients.segment(1, d);
  model.curvature_ = Eigen::MatrixXd::Zero(d, d);
  if (kind != Kind::kLinear) model.curvature_.diagonal() = 2 * coefficients.segment(1 + d, d);
  if (kind == Kind::kFull) {
    Eigen::Index place = 1 + 2 * d;
    for (Eigen::Index i = 0; i < d; ++i)
      for (Eigen::Index j = i + 1; j < d; ++j) model.curvature_(i, j) = model.curvature_(j, i) = coefficients[place++];
  }
  return model;
}

}  // namespace manta::tune
