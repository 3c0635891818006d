#!/usr/bin/env bash
# Whisper base, ours and theirs, interleaved in one run; prints medians and ratios as Markdown.
#
# usage: bench/run.sh [--reps N] [--only ours|peers]
#
# BERTH_PEERS   a Python with bench/requirements.txt installed (default: python3)
# BERTH_BUILD   our build folder (default: build)
# BERTH_BASE_PT the openai-whisper checkpoint (tools/golden/base_pt.py makes it; without it that peer is
#               left out)
set -euo pipefail
cd "$(dirname "$0")/.."

reps=5 only=all
while [ $# -gt 0 ]; do
  case "$1" in
    --reps) reps=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;;
  esac
done

# Such settings slow one side down or change its instruction set: nobody gets them.
unset OPENBLAS_CORETYPE OPENBLAS_NUM_THREADS OMP_NUM_THREADS OMP_WAIT_POLICY OMP_PROC_BIND \
  MKL_NUM_THREADS MKL_CBWR MKL_DEBUG_CPU_TYPE MKL_ENABLE_INSTRUCTIONS DNNL_MAX_CPU_ISA \
  ONEDNN_MAX_CPU_ISA ATEN_CPU_CAPABILITY CT2_FORCE_CPU_ISA CT2_USE_MKL NPY_DISABLE_CPU_FEATURES \
  NVPL_BLAS_DEBUG_CPU_TYPE BERTH_CPU

python=${BERTH_PEERS:-python3} build=${BERTH_BUILD:-build}
model=${BERTH_SAMPLE:-$(tools/sample)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tools/material "$work" >/dev/null
# 11 s: the beginning of the 15 s programme
python3 - "$work" <<'PYTHON'
import sys, wave
with wave.open(sys.argv[1] + "/p015.wav") as source, wave.open(sys.argv[1] + "/p011.wav", "w") as out:
    out.setparams(source.getparams())
    out.writeframes(source.readframes(11 * 16000))
PYTHON
mix=()
for _ in 1 2 3 4 5 6; do
  mix+=("$work/p008.wav" "$work/p028.wav" "$work/p005.wav" "$work/p015.wav")
done

# One process for each measurement: WORK COMMAND...
measure() {
  local name=$1
  shift
  "$@" 2>"$work/error" | sed "s/^{/{\"work\": \"$name\", /" >>"$work/results" ||
    { tail -5 "$work/error" >&2; exit 1; }
}
ours() {
  [ "$only" != peers ] || return 0
  case "$1" in
    stream) measure stream "$build/bin/bench_whisper" stream "$model" "$work/p190.wav" ;;
    callers) measure callers "$build/bin/bench_whisper" callers "$model" 8 "${mix[@]}" ;;
    first) measure first python3 bench/first_text.py "berth f32" "$build/bin/berth" transcribe \
      --model "$model" --language en "$work/p011.wav" ;;
  esac
}
faster() {
  [ "$only" != ours ] || return 0
  case "$1" in
    stream) measure stream "$python" bench/peers.py "$2" stream "$model" "$work/p190.wav" ;;
    callers) measure callers "$python" bench/peers.py "$2" callers "$model" 8 "${mix[@]}" ;;
    first) measure first python3 bench/first_text.py "$2" "$python" bench/peers.py "$2" first \
      "$model" "$work/p011.wav" ;;
  esac
}
openai() {
  [ "$only" != ours ] && [ -n "${BERTH_BASE_PT:-}" ] || return 0
  measure stream "$python" bench/peers.py openai stream "$BERTH_BASE_PT" "$work/p190.wav"
}

for ((i = 1; i <= reps; i++)); do
  echo "repetition $i of $reps" >&2
  ours stream
  faster stream faster:float32:1:2
  openai
  faster stream faster:int8:1:2
  ours callers
  faster callers faster:float32:1:2
  faster callers faster:float32:2:1
  faster callers faster:int8:2:1
  ours first
  faster first faster:int8:1:2
done
grep -m1 '^model name' /proc/cpuinfo | sed 's/.*: //' || true
echo "$(nproc) cores, $(date +%F), $(git describe --always --dirty), medians of $reps"
echo
python3 bench/report.py "$work/results"
if [ -n "${BERTH_RESULTS:-}" ]; then
  cp "$work/results" "$BERTH_RESULTS"
fi
