#!/bin/sh
# The smallest example as a user runs it: found, refused the second time, resumed, wrong flags.
set -eu
program=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$program" --results-dir="$dir" --num-samples=4 --num-cpus=2 > "$dir/out"
grep -q '^Best: x = ' "$dir/out"
grep -q 'Number of trials: 4/4 (4 TERMINATED)' "$dir/out"
if "$program" --results-dir="$dir" --num-samples=4 --num-cpus=2 2> "$dir/err"; then exit 1; fi
grep -q -- '--resume' "$dir/err"
"$program" --results-dir="$dir" --num-samples=4 --num-cpus=2 --resume > "$dir/again"
if grep -q ' started' "$dir/again"; then exit 1; fi
[ "$(grep '^Best: ' "$dir/again")" = "$(grep '^Best: ' "$dir/out")" ]
if "$program" --no-such-flag 2> "$dir/err"; then exit 1; fi
grep -q 'no-such-flag' "$dir/err"
