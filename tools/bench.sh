#!/usr/bin/env bash
# Times Sinter beside its peers in turns, after their loss curves agree: a table, JSON and a chart.
#
#   tools/bench.sh                     every workload of bench/workloads.json (a quarter of an hour)
#   tools/bench.sh --quick             a check of a minute: W1, W5-32 and W6, few blocks
#     --workloads W1,W6                these only; figures of others stay in the folder
#     --blocks N, --rounds N           timed blocks of each figure, turns of all programs (5, 2)
#     --configs LIST                   of JAX: 1-thread/async, 1-thread/inline, 2-thread/... (all)
#     --onnx-configs LIST              of ONNX Runtime: 1-thread/matrices, 1-thread/flat, ... (all)
#     --with-torch                     PyTorch as well: 5 GB to install, minutes for each workload
#     --torch-configs LIST             of it: 1-thread/eager, .../foreach, /fused, /compile (all)
#     --out DIR                        where figures go (build/bench)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

workloads= blocks=5 rounds=2 out=build/bench start_up=W1,W6 with_torch=
# Each is bench/peers/<name>_peer.py; these of its configurations, or all.
frameworks=(jax onnx)
declare -A configs=()
while [[ $# -gt 0 ]]; do
  case "$1" in
    --quick)
      workloads=W1,W5-32,W6 blocks=3 rounds=1 start_up=
      configs[jax]=1-thread/inline,2-thread/async
      configs[onnx]=1-thread/matrices,1-thread/flat,2-thread/matrices
      configs[torch]=1-thread/eager,2-thread/fused
      shift ;;
    --workloads) workloads=${2:?--workloads needs a value}; shift 2 ;;
    --blocks) blocks=${2:?--blocks needs a value}; shift 2 ;;
    --rounds) rounds=${2:?--rounds needs a value}; shift 2 ;;
    --configs) configs[jax]=${2:?--configs needs a value}; shift 2 ;;
    --onnx-configs) configs[onnx]=${2:?--onnx-configs needs a value}; shift 2 ;;
    --with-torch) with_torch=--torch frameworks=(jax onnx torch); shift ;;
    --torch-configs) configs[torch]=${2:?--torch-configs needs a value}; shift 2 ;;
    --out) out=${2:?--out needs a value}; shift 2 ;;
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "error: unknown argument $1; see tools/bench.sh --help" >&2; exit 2 ;;
  esac
done

tools/setup.sh --bench $with_torch >&2
# Even where it was configured before: the libraries of peers may have come since.
cmake --preset release >&2
cmake --build --preset release --target sinter_bench sinter_peers >&2

bin=build/release/bin python=build/venv/bin/python
if [[ -z "$workloads" ]]; then
  workloads=$("$python" -c 'import json
print(",".join(w["name"] for w in json.load(open("bench/workloads.json"))))')
fi
mkdir -p "$out"

# No figures before the curves agree: the same weights, data and steps must give the same losses.
check_curves() {
  local training
  for training in "${@:2}"; do
    if ! $1 --weights "tests/fixtures/$training" >/dev/null; then
      echo "error: the losses of $1 differ from tests/fixtures/$training; no figures" >&2
      exit 1
    fi
  done
}
check_curves "$bin/sinter_bench" regression classification digits_small
for name in "${frameworks[@]}"; do
  check_curves "$python bench/peers/${name}_peer.py" regression classification digits_small
done
check_curves "$bin/sinter_peer_cpp" regression classification
libraries=()
for library in dnnl openblas xsmm; do
  if [[ -x "$bin/sinter_peer_$library" ]]; then
    check_curves "$bin/sinter_peer_$library" digits_small
    libraries+=("$library")
  fi
done

# turn NAME ROUND COMMAND...: one program's figures of one workload.
turn() {
  echo "$workload, round $2 of $rounds: $1" >&2
  # A machine that was slower while its limits were measured than later is measured again.
  for _ in 1 2 3; do
    if "${@:3}" --workloads "$workload" --blocks "$blocks" \
      --json "$out/$1.$workload.$2.json" >/dev/null; then
      return
    fi
    echo "$1 has failed on $workload; once more" >&2
  done
  echo "error: $1 fails on $workload; figures so far are in $out" >&2
  exit 1
}
for workload in ${workloads//,/ }; do
  rm -f "$out"/*."$workload".*.json
  for round in $(seq "$rounds"); do
    first=()
    if [[ $round = 1 && ,$start_up, = *,$workload,* ]]; then first=(--first-step); fi
    turn sinter "$round" "$bin/sinter_bench" "${first[@]}"
    for name in "${frameworks[@]}"; do
      turn "$name" "$round" "$python" "bench/peers/${name}_peer.py" \
        ${configs[$name]:+--configs "${configs[$name]}"} "${first[@]}"
    done
    turn cpp "$round" "$bin/sinter_peer_cpp"
    for library in "${libraries[@]}"; do turn "$library" "$round" "$bin/sinter_peer_$library"; done
  done
done

"$python" bench/peers/compare.py "$out"
