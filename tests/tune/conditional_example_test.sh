#!/bin/sh
# The conditional space as a user runs it: a table of its own for each optimizer, and the same search from JSON.
set -eu
program=$1
space=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$program" --results-dir="$dir/a" --num-samples=20 --num-cpus=1 > "$dir/out"
grep -q '^Best: optimizer = ' "$dir/out"
"$program" --results-dir="$dir/a" --num-samples=20 --num-cpus=1 --resume > "$dir/again"
if grep -q ' started' "$dir/again"; then exit 1; fi
for params in "$dir"/a/conditional/*/params.json; do
  if grep -q '"sgd": {' "$params" && grep -q '"adam": {' "$params"; then exit 1; fi
done
"$program" --results-dir="$dir/b" --num-samples=20 --num-cpus=1 --space="$space" > "$dir/json"
[ "$(grep '^Best: ' "$dir/json")" = "$(grep '^Best: ' "$dir/out")" ]
