#pragma once
// Every searcher, for TuneOptions::searcher and StudyOptions::searcher.
//
//   .searcher = tune::tpe()                                   // learns from results; the default choice for up to 1,000 trials
//   .searcher = tune::gp()                                    // a Gaussian process: few, expensive trials
//   .searcher = tune::cmaes()                                 // many cheap trials of numbers
//   .searcher = tune::sobol()                                 // fills the space evenly
//   .searcher = tune::random_search()                         // random and grid search: what is used when nothing is said
//   .searcher = tune::limit_concurrency(tune::tpe(), 4)       // around another one
//
// A SearcherSpec is a plain value: name, options and how to make it. To write your own, derive from Searcher
// (tune/searchers/searcher.hpp) and fill a SearcherSpec.
#include "tune/searchers/bohb.hpp"
#include "tune/searchers/cmaes.hpp"
#include "tune/searchers/dehb.hpp"
#include "tune/searchers/evolution.hpp"
#include "tune/searchers/gp.hpp"
#include "tune/searchers/nsga2.hpp"
#include "tune/searchers/pareto.hpp"
#include "tune/searchers/random.hpp"
#include "tune/searchers/searcher.hpp"
#include "tune/searchers/sobol.hpp"
#include "tune/searchers/tpe.hpp"
#include "tune/searchers/wrappers.hpp"
