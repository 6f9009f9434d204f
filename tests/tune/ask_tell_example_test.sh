#!/bin/sh
# A study in two halves, kept in a file, ends as one in a single run does.
set -eu
program=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$program" --trials=40 > "$dir/whole"
"$program" --trials=25 --study="$dir/study" > /dev/null
"$program" --trials=15 --study="$dir/study" > "$dir/second"
grep -q '^Going on after 25 trials' "$dir/second"
[ "$(grep '^Best of 40: ' "$dir/second")" = "$(cat "$dir/whole")" ]
echo damaged > "$dir/study"
if "$program" --study="$dir/study" 2> "$dir/err"; then exit 1; fi
grep -q 'cannot be restored' "$dir/err"
