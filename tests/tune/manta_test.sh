#!/bin/sh
# manta looks at an experiment that tune_quadratic has left.
#   manta_test.sh TUNE_QUADRATIC MANTA
set -eu
dir=$(mktemp -d "${TMPDIR:-/tmp}/manta_test.XXXXXX")
trap 'rm -rf "$dir"' EXIT
"$1" --num-samples=6 --num-cpus=2 --results-dir="$dir" >/dev/null

"$2" tune show "$dir" >"$dir/shown"
grep -q '^Not running; last event' "$dir/shown"
grep -q '^Number of trials: 6 (6 TERMINATED)' "$dir/shown"
grep -q '^metric: loss (min)$' "$dir/shown"
grep -q '^Current best trial: descend_' "$dir/shown"
test "$("$2" tune show "$dir/quadratic" --csv | wc -l)" -eq 7
"$2" tune show "$dir/quadratic" --json | python3 -c 'import json, sys; assert len(json.load(sys.stdin)) == 6'

test "$("$2" tune report "$dir/quadratic" --objective loss:min --objective x_now:max)" = "$dir/quadratic/report.html"
grep -q '<h2>Pareto front</h2>' "$dir/quadratic/report.html"
grep -q '</html>' "$dir/quadratic/report.html"

if "$2" tune show "$dir/absent" 2>"$dir/error"; then exit 1; fi
grep -q 'cannot be read' "$dir/error"
if "$2" tune show "$dir" --metric nope 2>"$dir/error"; then exit 1; fi
grep -q "no trial has reported a metric 'nope'" "$dir/error"
"$2" tune show "$dir" --metric x_now --metric training_iteration >"$dir/shown"
if "$2" tune show "$dir" --rows=-1 >"$dir/shown" 2>&1; then exit 1; fi
grep -q "'-1' is no whole number from 0 to 999999999" "$dir/shown"
"$2" tune show "$dir" --rows 3 >"$dir/shown"
if "$2" tune report "$dir" --objective loss:least 2>"$dir/error"; then exit 1; fi
grep -q 'comes min or max' "$dir/error"

mkdir "$dir/loop" "$dir/loop/journal"
ln -s CURRENT "$dir/loop/journal/CURRENT"
if "$2" tune show "$dir/loop" 2>"$dir/error"; then exit 1; else test $? -eq 1; fi
grep -q '^manta: .*cannot read directory' "$dir/error"
