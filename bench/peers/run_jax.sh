#!/usr/bin/env bash
# Times JAX and Sinter in turns (A-B-A-B...) and prints a Markdown table of both.
#
#   bench/peers/run_jax.sh [--workloads W1,W2,W3,W4,W6] [--blocks N] [--rounds N] [--first-step]
#
# The loss curves of both have to agree with tests/fixtures first. --first-step also times new
# processes up to their first trained step, once.
# tools/setup.sh puts JAX into build/venv if it is not there. Without sinter_bench, only JAX's
# figures are printed, exit 1.
set -euo pipefail
cd "$(dirname "$0")/../.."

workloads=W1,W2,W3,W4,W6
blocks=7
rounds=3
first_step=()
while [ $# -gt 0 ]; do
  case "$1" in
    --workloads) workloads=${2:?--workloads needs a value}; shift 2 ;;
    --blocks) blocks=${2:?--blocks needs a value}; shift 2 ;;
    --rounds) rounds=${2:?--rounds needs a value}; shift 2 ;;
    --first-step) first_step=(--first-step); shift ;;
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "unknown option $1; try --help" >&2; exit 2 ;;
  esac
done

python=build/venv/bin/python
if ! "$python" -c 'import jax, numpy' 2>/dev/null; then
  tools/setup.sh --oracles >&2
fi

bench=build/release/bin/sinter_bench
if [ ! -x "$bench" ]; then
  echo "$bench is missing, going on with JAX alone; build it with" >&2
  echo "  cmake --preset release && cmake --build --preset release" >&2
fi

# No figures before the curves agree: the same weights, data and steps must give the same losses.
for training in regression classification digits_small; do
  if ! "$python" bench/peers/jax_peer.py --weights "tests/fixtures/$training" >/dev/null; then
    echo "JAX's loss curve differs from tests/fixtures/$training; no figures" >&2
    exit 1
  fi
  if [ -x "$bench" ] && ! "$bench" --weights "tests/fixtures/$training" >/dev/null; then
    echo "Sinter's loss curve differs from tests/fixtures/$training; no figures" >&2
    exit 1
  fi
done

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for round in $(seq "$rounds"); do
  if [ -x "$bench" ]; then
    echo "round $round of $rounds: Sinter" >&2
    "$bench" --workloads "$workloads" --blocks "$blocks" "${first_step[@]}" \
      --json "$out/sinter.$round.json" >/dev/null
  fi
  echo "round $round of $rounds: JAX" >&2
  "$python" bench/peers/jax_peer.py --workloads "$workloads" --blocks "$blocks" "${first_step[@]}" \
    --json "$out/jax.$round.json" >/dev/null
  first_step=()
done

if [ -x "$bench" ]; then
  "$python" bench/peers/compare.py --peer "$out"/jax.*.json --sinter "$out"/sinter.*.json
else
  "$python" bench/peers/compare.py --peer "$out"/jax.*.json
  exit 1
fi
