#!/usr/bin/env python3
"""optuna_search.py OUT.csv [--seeds N] [--quick] [--more] [--searchers REGEX] [--functions REGEX]: Optuna's regrets on the
functions of bench/tune/search_functions.cpp, shifted alike, with the same rows as search.csv: function,searcher,seed,trials,regret.

The searchers are Optuna's with their defaults: random, tpe, tpe_independent, cma_es, gp. One whose packages are not
installed is left out with a line that says so.
"""
import argparse
import csv
import math
import os
import re
import statistics
import warnings

import optuna

CHECKPOINTS = (25, 50, 100, 200)
ALPHA = (1.0, 1.2, 3.0, 3.2)
A3 = ((3, 10, 30), (0.1, 10, 35), (3, 10, 30), (0.1, 10, 35))
P3 = ((0.3689, 0.1170, 0.2673), (0.4699, 0.4387, 0.7470), (0.1091, 0.8732, 0.5547), (0.0381, 0.5743, 0.8828))
A6 = ((10, 3, 17, 3.5, 1.7, 8), (0.05, 10, 17, 0.1, 8, 14), (3, 3.5, 1.7, 10, 17, 8), (17, 8, 0.05, 10, 0.1, 14))
P6 = ((0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886), (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
      (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650), (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381))


def branin(x):
    bow = x[1] - 5.1 / (4 * math.pi ** 2) * x[0] ** 2 + 5 / math.pi * x[0] - 6
    return bow ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x[0]) + 10


def hartmann(x, a, p):
    return -sum(alpha * math.exp(-sum(aij * (xj - pij) ** 2 for aij, xj, pij in zip(ai, x, pi)))
                for alpha, ai, pi in zip(ALPHA, a, p))


def rosenbrock(x):
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in zip(x, x[1:]))


def ackley(x):
    squares, waves = sum(each * each for each in x), sum(math.cos(2 * math.pi * each) for each in x)
    return -20 * math.exp(-0.2 * math.sqrt(squares / len(x))) - math.exp(waves / len(x)) + 20 + math.e


def griewank(x):
    return sum(each * each for each in x) / 4000 - math.prod(math.cos(each / math.sqrt(i + 1)) for i, each in enumerate(x)) + 1


def levy(x):
    w = [1 + (each - 1) / 4 for each in x]
    ends = math.sin(math.pi * w[0]) ** 2 + (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)
    return ends + sum((each - 1) ** 2 * (1 + 10 * math.sin(math.pi * each + 1) ** 2) for each in w[:-1])


def styblinski_tang(x):
    return sum(each ** 4 - 16 * each * each + 5 * each for each in x) / 2


# name: (value, low, high, minimum)
FUNCTIONS = {"branin": (branin, (-5, 0), (10, 15), 0.39788735772973816),
             "hartmann3": (lambda x: hartmann(x, A3, P3), (0,) * 3, (1,) * 3, -3.86278214782076),
             "hartmann6": (lambda x: hartmann(x, A6, P6), (0,) * 6, (1,) * 6, -3.32236801141551),
             "rosenbrock4": (rosenbrock, (-5,) * 4, (10,) * 4, 0.0)}
MORE_FUNCTIONS = {"ackley5": (ackley, (-32.768,) * 5, (32.768,) * 5, 0.0),
                  "griewank4": (griewank, (-600,) * 4, (600,) * 4, 0.0),
                  "levy4": (levy, (-10,) * 4, (10,) * 4, 0.0),
                  "styblinski3": (styblinski_tang, (-5,) * 3, (5,) * 3, 3 * -39.16616570377142)}

SAMPLERS = {"random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
            "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
            "tpe_independent": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=False),
            "cma_es": lambda seed: optuna.samplers.CmaEsSampler(seed=seed),
            "gp": lambda seed: optuna.samplers.GPSampler(seed=seed)}


def shift_of(seed, i):
    turn = (seed + 1) * (i + 1) * 0.6180339887498949
    return 0.2 * (turn - math.floor(turn) - 0.5)


def regret_of(function, x, seed):
    value, low, high, minimum = (FUNCTIONS | MORE_FUNCTIONS)[function]
    return value([xi - shift_of(seed, i) * (high[i] - low[i]) for i, xi in enumerate(x)]) - minimum


def search(function, sampler, seed, trials):
    _, low, high, _ = (FUNCTIONS | MORE_FUNCTIONS)[function]

    def objective(trial):
        return regret_of(function, [trial.suggest_float(f"x{i}", low[i], high[i]) for i in range(len(low))], seed)

    study = optuna.create_study(sampler=SAMPLERS[sampler](seed))
    study.optimize(objective, n_trials=trials)
    best, so_far = [], math.inf
    for trial in study.trials:
        so_far = min(so_far, trial.value)
        best.append(so_far)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--more", action="store_true")
    parser.add_argument("--searchers", default=".*")
    parser.add_argument("--functions", default=".*")
    flags = parser.parse_args()
    trials, seeds = (50, min(5, flags.seeds)) if flags.quick else (200, flags.seeds)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore")
    with open(flags.out + ".new", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["function", "searcher", "seed", "trials", "regret"])
        for sampler in filter(re.compile(flags.searchers).fullmatch, SAMPLERS):
            for function in filter(re.compile(flags.functions).fullmatch, MORE_FUNCTIONS if flags.more else FUNCTIONS):
                regrets = {at: [] for at in CHECKPOINTS if at <= trials}
                try:
                    for seed in range(flags.first_seed, flags.first_seed + seeds):
                        best = search(function, sampler, seed, trials)
                        for at in regrets:
                            regrets[at].append(best[at - 1])
                            writer.writerow([function, sampler, seed, at, f"{best[at - 1]:.10g}"])
                except ImportError as error:
                    print(f"Optuna's {sampler} is left out: {error}", flush=True)
                    break
                medians = "".join(f" {statistics.median(values):10.3g}" for values in regrets.values())
                print(f"{function:<12} {'optuna ' + sampler:<22}{medians}", flush=True)
    os.replace(flags.out + ".new", flags.out)


if __name__ == "__main__":
    main()
