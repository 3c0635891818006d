#!/bin/sh
# exports.sh LIBRARY HEADERS: the library exports berth_* and nothing else, and all that the headers
# for applications declare.
set -eu
lib=$1 headers=$2
command -v nm >/dev/null || exit 77

exported=$(nm -D --defined-only "$lib" | awk '$2 != "A" { print $3 }' | sed 's/@.*//' | sort -u)
strange=$(echo "$exported" | grep -v '^berth_' || true)
if [ -n "$strange" ]; then
    echo "exported, but not berth_*:" $strange
    exit 1
fi
declared=$(cat "$headers/berth.h" "$headers/types.h" "$headers/error.h" "$headers/version.h.in" |
    grep -oE '\bberth_[a-z_]+\(' | tr -d '(' | sort -u)
status=0
for name in $declared; do
    if ! echo "$exported" | grep -qx "$name"; then
        echo "declared, but not exported: $name"
        status=1
    fi
done
echo "$(echo "$declared" | wc -l) functions"
exit $status
