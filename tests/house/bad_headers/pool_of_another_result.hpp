#pragma once
#include "runtime/actor_pool.hpp"

struct Solver {
  int solve(int x) { return x; }
};
inline void submit_to(manta::ActorPool<Solver, double>& pool) { pool.submit<&Solver::solve>(1); }
