#!/usr/bin/env bash
# From nothing to a trained network: set up, build, train the digits example on real data, and show
# the training step that the compiler made of it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=build/release
dump=$build/quickstart-dump
shown_lines=100

step() { printf '\n==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

step "1/4 set-up: install what is missing (tools/setup.sh)"
tools/setup.sh

step "2/4 build: configure and compile the digits example into $build/bin"
cmake --preset release --log-level=NOTICE
cmake --build --preset release --target 03_digits sinter_command

step "3/4 train: $build/bin/03_digits, on 8,000 handwritten digits"
rm -rf "$dump"
mkdir -p "$dump"
SINTER_DUMP=$dump "$build/bin/03_digits"

step "4/4 look: the whole training step after fusion, as the compiler sees it"
fused=$(find "$dump" -name 'train_step.*.fuse.sir' | sort | sed -n 1p)
if [[ -z "$fused" ]]; then
  fail "the example wrote no train_step.*.fuse.sir into $dump"
fi
# The globals before the function are the parameters and the optimizer's state.
step_text=$(sed -n '/^func/,$p' "$fused")
total=$(wc -l <<<"$step_text")
sed -n "1,${shown_lines}p" <<<"$step_text"
if [[ "$total" -gt "$shown_lines" ]]; then
  printf '... %d more lines in %s\n' "$((total - shown_lines))" "$fused"
fi

step "done. Next: read examples/01_regression.cpp, and run $build/bin/sinter --help"
