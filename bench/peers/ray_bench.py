#!/usr/bin/env python3
"""ray_bench.py OUT.csv [--quick]: Ray's Python figures for the work that bench/runtime measures, shaped alike.

Each row: name,value,unit,spread. One warm-up and five runs; the median counts. Ray starts a cluster of its own with two
CPUs on this machine and ends it.
"""
import csv
import statistics
import sys
import time

import ray

BATCH = 1000


@ray.remote
def add_one(x):
    return x + 1


@ray.remote(num_cpus=0)
class Counter:
    def __init__(self):
        self.total = 0

    def add(self, by):
        self.total += by
        return self.total


def task_serial(n):
    for i in range(n):
        assert ray.get(add_one.remote(i)) == i + 1
    return n


def task_batch(n):
    for _ in range(max(1, n // BATCH)):
        assert ray.get([add_one.remote(i) for i in range(BATCH)])[-1] == BATCH
    return max(1, n // BATCH) * BATCH


def actor_serial(n, counter):
    for _ in range(n):
        ray.get(counter.add.remote(1))
    return n


def actor_batch(n, counter):
    for _ in range(max(1, n // BATCH)):
        ray.get([counter.add.remote(1) for _ in range(BATCH)])
    return max(1, n // BATCH) * BATCH


def put_int(n):
    refs = [ray.put(i) for i in range(n)]
    return len(refs)


def get_int(n, refs):
    for i in range(n):
        assert ray.get(refs[i % len(refs)]) == i % len(refs)
    return n


def wait_1k(n):
    for _ in range(n):
        pending = [add_one.remote(i) for i in range(BATCH)]
        ray.get(pending)
        while pending:
            _, pending = ray.wait(pending)
    return n


@ray.remote
def ten_thousand_refs():
    return [ray.put(1) for _ in range(10000)]


def refs_10k(n, ref):
    for _ in range(n):
        assert len(ray.get(ref)) == 10000
    return n


def placement_group(n):
    for _ in range(n):
        group = ray.util.placement_group(bundles=[{"custom": 0.001}])
        group.wait(timeout_seconds=30)
        ray.util.remove_placement_group(group)
    return n


def measure(body, seconds, runs):
    n = 1
    while True:  # finds out how many fill a run; warms up
        start = time.perf_counter()
        done = body(n)
        taken = time.perf_counter() - start
        if taken * 4 >= seconds:
            n = max(1, int(done / taken * seconds))
            break
        n *= 4
    rates = []
    for _ in range(runs):
        start = time.perf_counter()
        done = body(n)
        rates.append(done / (time.perf_counter() - start))
    return statistics.median(rates), (max(rates) - min(rates)) / statistics.median(rates)


def main():
    out, quick = sys.argv[1], "--quick" in sys.argv[2:]
    seconds, runs = (0.2, 2) if quick else (2.0, 5)
    ray.init(num_cpus=2, resources={"custom": 100}, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    try:
        counter = Counter.remote()
        ray.get(counter.add.remote(0))
        refs = [ray.put(i) for i in range(BATCH)]
        many = ten_thousand_refs.remote()
        benches = [("task_serial", "tasks/s", task_serial),
                   ("task_batch_1000", "tasks/s", task_batch),
                   ("actor_serial", "calls/s", lambda n: actor_serial(n, counter)),
                   ("actor_batch_1000", "calls/s", lambda n: actor_batch(n, counter)),
                   ("put_int", "puts/s", put_int),
                   ("get_int", "gets/s", lambda n: get_int(n, refs)),
                   ("wait_1k", "rounds/s", wait_1k),
                   ("refs_10k", "objects/s", lambda n: refs_10k(n, many)),
                   ("placement_group", "groups/s", placement_group)]
        with open(out, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["name", "value", "unit", "spread"])
            for name, unit, body in benches:
                value, spread = measure(body, seconds, runs)
                writer.writerow([name, f"{value:.1f}", unit, f"{spread:.3f}"])
                print(f"  Ray, Python  {name:<20}{value:>12.0f} {unit:<10} spread {spread * 100:.0f} %", flush=True)
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
