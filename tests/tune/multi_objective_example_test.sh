#!/bin/sh
# Two metrics as a user runs them: the front is printed quickest first, and more time on it buys more accuracy.
set -eu
program=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$program" --results-dir="$dir" --num-samples=50 --num-cpus=2 > "$dir/out"
grep -q '^Pareto front, [0-9]* of 50 trials:' "$dir/out"
grep -q '^Hypervolume below 100 ms' "$dir/out"
"$program" --results-dir="$dir" --num-samples=50 --num-cpus=2 --resume > "$dir/again"
if grep -q ' started' "$dir/again"; then exit 1; fi
sed -n '/^  accuracy/,/^Hypervolume/p' "$dir/out" | awk '
  $1 ~ /^[01]\.[0-9]+$/ { if (n > 0 && ($1 <= accuracy || $2 < ms)) exit 1; accuracy = $1; ms = $2; n++ }
  END { exit n > 0 && accuracy > 0.7 ? 0 : 1 }'
