#!/usr/bin/env bash
# Berth's daemon beside faster-whisper behind FastAPI and uvicorn, the same clips, 8 and 32 callers; then
# what HTTP itself costs. Prints JSON lines.
#
# usage: bench/run_http.sh [--reps N]
#
# BERTH_PEERS   a Python with faster-whisper, fastapi, uvicorn, python-multipart (default: python3)
# BERTH_BUILD   our build folder (default: build)
set -euo pipefail
cd "$(dirname "$0")/.."

reps=3
[ "${1:-}" != --reps ] || reps=$2
python=${BERTH_PEERS:-python3} build=${BERTH_BUILD:-build}
model=${BERTH_SAMPLE:-$(tools/sample)}
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
tools/material "$work" >/dev/null
printf 'models:\n  whisper/base: {path: %s, alias: whisper-1}\n' "$model" >"$work/berth.yaml"

mix=()
for _ in 1 2 3 4 5 6; do
  mix+=("$work/p008.wav" "$work/p028.wav" "$work/p005.wav" "$work/p015.wav")
done
stop() {
  kill "$server"
  wait "$server" || true
  server=
}
berthd() {
  rm -f "$work/address"
  "$build/bin/berthd" --config "$work/berth.yaml" --listen 127.0.0.1:0 --no_socket \
    --address_file "$work/address" 2>"$work/log" &
  server=$!
  while [ ! -s "$work/address" ]; do sleep 0.05; done
  port=$(sed -n '1s/.*://p' "$work/address")
}
peer() {
  port=18471
  "$python" bench/peer_server.py "$model" float32 "$1" "$2" $port 2>"$work/log" &
  server=$!
}
clips() { # COUNT FILE
  for ((c = 0; c < $1; c++)); do echo "$2"; done
}
for ((i = 1; i <= reps; i++)); do
  for n in 8 32; do
    berthd
    python3 bench/http_callers.py "berthd" "$port" $n --own "${mix[@]}"
    stop
    for setting in "1 2" "2 1"; do
      peer $setting
      python3 bench/http_callers.py "fastapi faster:float32:${setting/ /:}" "$port" $n "${mix[@]}"
      stop
    done
  done
  berthd
  python3 bench/http_callers.py "berthd, one caller" "$port" 1 --own $(clips 8 "$work/p008.wav")
  stop
  "$build/bin/bench_whisper" callers "$model" 1 $(clips 8 "$work/p008.wav")
done
