#!/usr/bin/env python3
"""test_bench.py PROGRAM: the bench program's flags, its CSV, and its answers to wrong flags."""
import csv
import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop()
COLUMNS = ["name", "value", "unit", "floor", "floor_value", "ratio", "spread"]
BASIC = ["task_serial", "task_batch_1000", "actor_serial", "actor_batch_1000"]
RIVALS = ["task_batch_1000", "actor_batch_1000"]
NAMES = [row for name in BASIC for row in [name] + [name + "@tbb_task_group"] * (name in RIVALS)] + [
    "put_int", "get_int", "refs_10k", "wait_1k", "as_completed_1k", "placement_group", "task_serial_cpu", "actor_serial_cpu",
    "proc_actor_spawn"] + ["proc_" + name for name in BASIC]
FLOORS = ("futex_ping_pong", "futex_ping_pong_cpu", "queue_pool", "unix_socket_ping_pong", "tbb_task_group", "fork_and_exit")


class Bench(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = os.path.join(folder.name, "new", "folder")

    def run_bench(self, *flags):
        return subprocess.run([PROGRAM, "--quick", "--out", self.out, *flags], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=100, check=False)

    def rows(self):
        with open(os.path.join(self.out, "bench.csv"), encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def test_every_bench_gives_a_row_beside_its_floor(self):
        ran = self.run_bench()
        self.assertEqual(ran.returncode, 0, ran.stderr)
        rows = self.rows()
        self.assertEqual([row["name"] for row in rows], NAMES)
        for row in rows:
            self.assertEqual(list(row), COLUMNS)
            value, floor, ratio = (float(row[key]) for key in ("value", "floor_value", "ratio"))
            self.assertGreater(min(value, floor), 0)
            self.assertAlmostEqual(ratio, value / floor, delta=0.01 * ratio + 1e-4)
            self.assertGreaterEqual(float(row["spread"]), 0)
            self.assertIn(row["floor"], FLOORS)
        self.assertRegex(ran.stdout, r"\d+ cores")

    def test_only_takes_whole_names(self):
        ran = self.run_bench("--only", "get.*|task_serial")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual([row["name"] for row in self.rows()], ["task_serial", "get_int"])

    def test_wrong_flags_are_answered(self):
        for flags, words in ((["--only", "nothing"], "task_serial"), (["--only", "("], "regular expression"),
                             (["--fast"], "--fast")):
            with self.subTest(flags):
                ran = self.run_bench(*flags)
                self.assertNotEqual(ran.returncode, 0)
                self.assertIn(words, ran.stdout + ran.stderr)
                self.assertFalse(os.path.exists(self.out))


if __name__ == "__main__":
    unittest.main()
