#!/usr/bin/env python3
"""compare.py DIR: puts DIR/bench.csv (ours), DIR/ray_python.csv and DIR/ray_cpp.csv beside each other.

Prints a table and writes it as peers.csv, peers.md and peers.svg into DIR. Ray's tasks always run in worker processes, so
ours stand there twice: in worker processes (the like for like) and on threads of the program itself.
"""
import csv
import math
import os
import sys
from xml.sax.saxutils import escape

# (work, our row on threads, our row in worker processes)
WORK = [("task_serial", "task_serial", "proc_task_serial"),
        ("task_batch_1000", "task_batch_1000", "proc_task_batch_1000"),
        ("actor_serial", "actor_serial", "proc_actor_serial"),
        ("actor_batch_1000", "actor_batch_1000", "proc_actor_batch_1000"),
        ("put_int", "put_int", None),
        ("get_int", "get_int", None),
        ("wait_1k", "wait_1k", None),
        ("refs_10k", "refs_10k", None),
        ("placement_group", "placement_group", None)]
SERIES = [("manta_threads", "Manta, threads", "#2a9d8f"), ("manta_processes", "Manta, processes", "#264653"),
          ("ray_cpp", "Ray, C++", "#e9a03b"), ("ray_python", "Ray, Python", "#c8553d")]


def read(path):
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        return {row["name"]: (float(row["value"]), row["unit"]) for row in csv.DictReader(file)}


def joined(folder):
    ours, cpp, python = (read(os.path.join(folder, name)) for name in ("bench.csv", "ray_cpp.csv", "ray_python.csv"))
    rows = []
    for work, threads, processes in WORK:
        row = {"name": work, "unit": (ours.get(threads) or python.get(work) or (0, ""))[1],
               "manta_threads": ours.get(threads, (None,))[0], "manta_processes": ours.get(processes, (None,))[0],
               "ray_cpp": cpp.get(work, (None,))[0], "ray_python": python.get(work, (None,))[0]}
        if any(row[key] is not None for key in ("ray_cpp", "ray_python")):
            rows.append(row)
    return rows


def number(value):
    return "" if value is None else f"{value:,.0f}"


def short(value):
    """1000 is 1 k."""
    for size, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{name}"
    return f"{value:g}"


def factor(row):
    """The like for like where there is one: our processes, else our threads, against Ray's better figure."""
    mine = row["manta_processes"] or row["manta_threads"]
    rival = max(filter(None, (row["ray_cpp"], row["ray_python"])), default=None)
    return f"{mine / rival:,.0f} x" if mine and rival else ""


def markdown(rows):
    lines = ["| work | " + " | ".join(label for _, label, _ in SERIES) + " | ours to Ray's better |", "|---|" + "---:|" * 5]
    for row in rows:
        cells = [number(row[key]) for key, _, _ in SERIES]
        lines.append(f"| {row['name']}, {row['unit']} | " + " | ".join(cells) + f" | {factor(row)} |")
    return "\n".join(lines) + "\n"


def svg(rows):
    left, bar, gap, width, top = 150, 13, 16, 760, 46
    values = [row[key] for row in rows for key, _, _ in SERIES if row[key]]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    scale = (width - left - 90) / max(1, high - low)
    height = top + len(rows) * (bar * len(SERIES) + gap) + 26
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
           f'<rect width="{width}" height="{height}" fill="white"/>']
    for i, (_, label, colour) in enumerate(SERIES):
        out.append(f'<rect x="{left + i * 140}" y="12" width="11" height="11" fill="{colour}"/>'
                   f'<text x="{left + 16 + i * 140}" y="22">{escape(label)}</text>')
    for power in range(low, high + 1):
        x = left + (power - low) * scale
        out.append(f'<line x1="{x:.0f}" y1="{top - 8}" x2="{x:.0f}" y2="{height - 22}" stroke="#ddd"/>'
                   f'<text x="{x:.0f}" y="{height - 8}" text-anchor="middle" fill="#666">{short(10.0 ** power)}</text>')
    y = top
    for row in rows:
        out.append(f'<text x="{left - 8}" y="{y + bar * 2 + 4}" text-anchor="end">{escape(row["name"])}</text>')
        for i, (key, _, colour) in enumerate(SERIES):
            if row[key]:
                long = max(2, (math.log10(row[key]) - low) * scale)
                out.append(f'<rect x="{left}" y="{y + i * bar}" width="{long:.0f}" height="{bar - 2}" fill="{colour}"/>'
                           f'<text x="{left + long + 4:.0f}" y="{y + i * bar + bar - 4}">{number(row[key])}</text>')
        y += bar * len(SERIES) + gap
    out.append(f'<text x="8" y="{height - 8}" fill="#666">per second, log scale</text></svg>')
    return "\n".join(out) + "\n"


def write(path, text):
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)


def main():
    folder = sys.argv[1]
    rows = joined(folder)
    if not rows:
        sys.exit(f"compare.py: {folder} has no ray_cpp.csv or ray_python.csv with rows of bench.csv's names")
    columns = ["name", "unit"] + [key for key, _, _ in SERIES]
    table = [columns] + [[row[c] if row[c] is not None else "" for c in columns] for row in rows]
    write(os.path.join(folder, "peers.csv"), "".join(",".join(map(str, line)) + "\n" for line in table))
    write(os.path.join(folder, "peers.md"), markdown(rows))
    write(os.path.join(folder, "peers.svg"), svg(rows))
    print(markdown(rows), end="")


if __name__ == "__main__":
    main()
