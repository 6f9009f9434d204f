#!/bin/sh
# An example on Fashion-MNIST as a user runs it, with four trials or epochs of 256 images each.
#   fashion_example_test.sh PROGRAM
set -eu
program=$1
[ -d /usr/share/datasets/fashion-mnist ] || exit 77
dir=$(mktemp -d "${TMPDIR:-/tmp}/manta_fashion_test.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"  # where its results go
"$program" 4 256 --name=first --num-cpus=2 > out
grep -q 'Number of trials: 4/4 (4 TERMINATED)' out
grep -Eq 'loss [0-9.]+, accuracy 0\.[0-9]+ on the held-out images' out
"$program" 4 256 --name=first --resume --num-cpus=2 > again
if grep -q ' started' again; then exit 1; fi
[ "$(grep '^Best: ' again)" = "$(grep '^Best: ' out)" ]
case $program in
  *tune_asha) grep -Eq '^[0-9]+ trials ended at 1 epoch, [0-9]+ at 3, [0-9]+ at 9\.$' out ;;
  *tune_bohb) grep -q '^Losses by the order' out ;;
  *tune_pbt) grep -Eq '^(Its schedule|It was never changed)' out ;;
esac
