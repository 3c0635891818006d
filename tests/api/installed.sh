#!/bin/sh
# installed.sh CMAKE BUILD CC SOURCE: installs into an empty folder, compiles SOURCE against what is
# there, as berth.pc says, and runs it.
set -eu
cmake=$1 build=$2 cc=$3 source=$4
command -v pkg-config >/dev/null || exit 77

prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
"$cmake" --install "$build" --prefix "$prefix" >/dev/null
pc=$(find "$prefix" -name berth.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
flags=$(pkg-config --define-variable=prefix="$prefix" --cflags --libs berth)
# shellcheck disable=SC2086 # flags are words
"$cc" -std=c11 -D_XOPEN_SOURCE=700 -Wall -Wextra -Werror -o "$prefix/program" "$source" $flags
LD_LIBRARY_PATH=$(dirname "$(dirname "$pc")") "$prefix/program" "$prefix"
"$prefix/bin/berth" version >/dev/null
test -f "$prefix/share/bash-completion/completions/berth"
if command -v scdoc >/dev/null; then
    test -s "$prefix/share/man/man1/berth.1" && test -s "$prefix/share/man/man8/berthd.8"
    test -s "$prefix/share/man/man5/berth.yaml.5"
fi
