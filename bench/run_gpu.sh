#!/usr/bin/env bash
# Whisper on a GPU, ours and transformers', in one run; prints JSON lines.
#
# usage: bench/run_gpu.sh [SHAPE...]     shapes with random weights to add: turbo, large
#
# BERTH_PEERS   a Python with torch (CUDA) and transformers (default: python3)
# BERTH_BUILD   our build folder (default: build)
# BERTH_SAMPLE  the sample model (default: tools/sample)
set -euo pipefail
cd "$(dirname "$0")/.."

python=${BERTH_PEERS:-python3} bench=${BERTH_BUILD:-build}/bin/bench_whisper
model=${BERTH_SAMPLE:-$(tools/sample)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tools/material "$work" >/dev/null
export BERTH_DEVICE=${BERTH_DEVICE:-cuda}

repeat() {
  for ((i = 0; i < $1; i++)); do echo "$2"; done
}
for precision in exact fast; do
  export BERTH_PRECISION=$precision
  echo "{\"precision\": \"$precision\"}"
  "$bench" stream "$model" "$work/p190.wav"
  for n in 1 8 64; do "$bench" steps "$model" $n "$work/p028.wav"; done
  for n in 1 8 64; do "$bench" callers "$model" $n $(repeat 64 "$work/p008.wav"); done
  "$bench" callers "$model" 64 $(repeat 256 "$work/p028.wav")
done
"$python" bench/peers_gpu.py base
for shape in "$@"; do
  "$python" bench/random_model.py "$shape" "$model" "$work/$shape"
  for n in 1 64; do "$bench" steps "$work/$shape" $n "$work/p028.wav"; done
  "$python" bench/peers_gpu.py "$shape" 64
done
