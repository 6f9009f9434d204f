#!/usr/bin/env python3
"""search_compare.py DIR: DIR/search.csv (ours) beside DIR/optuna_search.csv, as a table; also writes DIR/search.md.

A regret counts as at least 1e-6. A ratio is exp(mean of ln ours - mean of ln theirs) over the seeds, which are the same for
both, as are the shifts of the functions; below 1 ours is closer to the minimum. Its upper bound is the 95th percentile of
4,000 bootstrap draws of the seeds. "all" pools the functions (the mean of their logarithms), which is what the bar is for.
"""
import collections
import csv
import math
import os
import random
import statistics
import sys

FLOOR = 1e-6
BAR = 1.25
DRAWS = 4000


def read(path):
    """{(function, searcher, trials): {seed: ln regret}}"""
    found = collections.defaultdict(dict)
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            key = row["function"], row["searcher"], int(row["trials"])
            found[key][int(row["seed"])] = math.log(max(float(row["regret"]), FLOOR))
    return found


def bound(differences):
    """The mean and the upper bound of the mean of differences per seed."""
    seeds = list(differences)
    draw = random.Random(1)
    means = sorted(statistics.fmean(draw.choices(seeds, k=len(seeds))) for _ in range(DRAWS))
    return statistics.fmean(seeds), means[int(0.95 * DRAWS)]


def rows(ours, theirs):
    functions = sorted({key[0] for key in ours})
    checkpoints = sorted({key[2] for key in ours})
    for searcher in sorted({key[1] for key in ours} & {key[1] for key in theirs}):
        for at in checkpoints:
            pooled = collections.defaultdict(list)
            for function in functions:
                mine, rival = ours.get((function, searcher, at), {}), theirs.get((function, searcher, at), {})
                both = sorted(mine.keys() & rival.keys())
                if not both:
                    continue
                differences = {seed: mine[seed] - rival[seed] for seed in both}
                for seed, difference in differences.items():
                    pooled[seed].append(difference)
                yield (searcher, function, at, math.exp(statistics.median(mine[seed] for seed in both)),
                       math.exp(statistics.median(rival[seed] for seed in both)), *map(math.exp, bound(differences.values())))
            whole = max(map(len, pooled.values()), default=0)
            pooled = {seed: values for seed, values in pooled.items() if len(values) == whole}  # a run may have been cut short
            if pooled:
                yield (searcher, "all", at, None, None,
                       *map(math.exp, bound([statistics.fmean(values) for values in pooled.values()])))


def best_of(table, function, at):
    return min((statistics.median(values.values()), searcher) for (f, searcher, t), values in table.items() if f == function and t == at)


def text(ours, theirs):
    lines = ["| searcher | function | trials | Manta, median regret | Optuna, median regret | ratio | upper 95 % |",
             "|---|---|---:|---:|---:|---:|---:|"]
    for searcher, function, at, mine, rival, ratio, upper in rows(ours, theirs):
        medians = ("", "") if mine is None else (f"{mine:.3g}", f"{rival:.3g}")
        verdict = "" if function != "all" else " met" if upper <= BAR else " not met"
        lines.append(f"| {searcher} | {function} | {at} | {medians[0]} | {medians[1]} | {ratio:.2f} | {upper:.2f}{verdict} |")
    lines += ["", f"The bar is an upper bound of {BAR} over all functions. The best of each at the end:", "",
              "| function | Manta | Optuna | ahead |", "|---|---|---|---|"]
    last = max(key[2] for key in ours)
    for function in sorted({key[0] for key in ours} & {key[0] for key in theirs}):
        (mine, my_name), (rival, rival_name) = best_of(ours, function, last), best_of(theirs, function, last)
        ahead = "even" if mine == rival else "Manta" if mine < rival else "Optuna"
        lines.append(f"| {function} | {my_name} {math.exp(mine):.3g} | {rival_name} {math.exp(rival):.3g} | {ahead} |")
    return "\n".join(lines) + "\n"


def main():
    folder = sys.argv[1]
    ours, theirs = read(os.path.join(folder, "search.csv")), read(os.path.join(folder, "optuna_search.csv"))
    if not {key[1] for key in ours} & {key[1] for key in theirs}:
        sys.exit(f"search_compare.py: search.csv and optuna_search.csv in {folder} have no searcher in common")
    table = text(ours, theirs)
    with open(os.path.join(folder, "search.md"), "w", encoding="utf-8") as file:
        file.write(table)
    print(table, end="")


if __name__ == "__main__":
    main()
