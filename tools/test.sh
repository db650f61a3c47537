#!/usr/bin/env bash
# From nothing to a passed test suite. CI runs this very script.
#
#   tools/test.sh           --quick and --tsan, one after the other: what CI runs
#   tools/test.sh --all     everything below
#   tools/test.sh --quick   all tests, release build
#   tools/test.sh --asan    the unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
#   tools/test.sh --tsan    the thread-team and loader tests under ThreadSanitizer
#
# The last line counts what ctest ran: "N passed, N failed". Exit 0 only if nothing failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# run_preset <preset>: configure, build, test; ctest leaves its results in <build>/ctest.xml.
# A build that fails ends the script; a test that fails is counted at the end.
run_preset() {
  local preset=$1 start=$SECONDS
  step "$preset: configure and build into build/$preset"
  cmake --preset "$preset" --log-level=NOTICE
  cmake --build --preset "$preset"
  local built=$SECONDS
  step "$preset: test"
  rm -f "build/$preset/ctest.xml"
  ctest --preset "$preset" --output-junit "$PWD/build/$preset/ctest.xml" || failed_presets+=("$preset")
  printf '%s: built in %d s, tested in %d s\n' "$preset" $((built - start)) $((SECONDS - built))
}

# Adds up the results of the presets that ran, prints the last line, and fails unless something ran and
# nothing failed. An entry that ctest could not start counts as failed, not as skipped.
count_results() {
  python3 - "$@" <<'PYTHON'
import sys
import xml.etree.ElementTree as xml

passed = failed = skipped = 0
for path in sys.argv[1:]:
    for case in xml.parse(path).getroot().iter("testcase"):
        status = case.get("status")
        reason = case.find("skipped")
        if status == "run":
            passed += 1
        elif status == "disabled":
            skipped += 1
        elif status == "notrun" and reason is not None and "SKIP_" in reason.get("message", ""):
            skipped += 1
        else:
            failed += 1
tail = f", {skipped} skipped" if skipped else ""
print(f"{passed} passed, {failed} failed{tail}")
sys.exit(1 if failed or not passed else 0)
PYTHON
}

presets=()
for argument in "$@"; do
  case "$argument" in
    --quick) presets+=(release) ;;
    --asan) presets+=(asan) ;;
    --tsan) presets+=(tsan) ;;
    --all) presets+=(release asan tsan) ;;
    -h | --help) sed -n '2,10p' tools/test.sh | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) printf 'error: unknown argument %s; see tools/test.sh --help\n' "$argument" >&2; exit 2 ;;
  esac
done
[[ ${#presets[@]} -gt 0 ]] || presets=(release tsan)

step "set-up: install what is missing (tools/setup.sh --peers)"
tools/setup.sh --peers

failed_presets=()
results=()
for preset in "${presets[@]}"; do
  run_preset "$preset"
  results+=("build/$preset/ctest.xml")
done

for result in "${results[@]}"; do
  [[ -f "$result" ]] || fail "ctest left no $result"
done
if [[ ${#failed_presets[@]} -gt 0 ]]; then
  step "failed: ${failed_presets[*]}"
else
  step "all of ${presets[*]} passed in $SECONDS s"
fi
count_results "${results[@]}"
[[ ${#failed_presets[@]} -eq 0 ]]
