#!/bin/sh
# Checks one model exhaustively: run.sh NAME. Exit 77 where spin is not installed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
command -v spin >/dev/null && command -v cc >/dev/null || { echo "skipped: no spin"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/$1.pml" "$here/monitor.h" "$work"
cd "$work"
spin -a "$1.pml"
cc -O2 -w -DSAFETY -o pan pan.c
./pan -m100000 >out 2>&1 || true
grep -E "errors:|states, stored|pan:" out
grep -q "errors: 0" out
! grep -q "search not completed\|max search depth" out
