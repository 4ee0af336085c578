#!/usr/bin/env bash
# Runs the test suites: every folder of tests/ with a run.sh, or only the ones that are named.
#
#   tests/run.sh [SUITE …]
#
# One line per suite; a suite that fails is shown in full. All output is kept in .work/logs. Where a suite ends with
# its own "N passed, N failed" these numbers are added up, else the suite counts as one test.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../pgrx-config/common.sh"
use_postgres

suites=("$@")
if [ ${#suites[@]} -eq 0 ]; then
    for script in "$ROOT"/tests/*/run.sh; do
        name=$(basename "$(dirname "$script")")
        [ ! -x "$script" ] || [ "$name" = bench ] || suites+=("$name") # the benchmark is no test
    done
fi
[ ${#suites[@]} -gt 0 ] || fail "there is no test suite in $ROOT/tests"

exec 9>"$WORK/test.lock"
flock --nonblock 9 || { say "waiting for another test run of this checkout"; flock 9; }

# A new cluster for each run: nothing that an earlier run left behind can matter.
export TEST_CLUSTER=test_run
cluster() { "$ROOT/pgrx-config/cluster.sh" "$@"; }
trap 'cluster destroy $TEST_CLUSTER' EXIT
cluster destroy $TEST_CLUSTER
cluster start $TEST_CLUSTER 9>&-

passed=0 failed=0
for suite in "${suites[@]}"; do
    script=$ROOT/tests/$suite/run.sh
    [ -x "$script" ] || fail "there is no suite '$suite': $script is missing or not executable"
    log=$LOGS/test-$suite.log
    printf '%-14s ' "$suite"
    started=$SECONDS status=0
    "$script" >"$log" 2>&1 </dev/null 9>&- || status=$?

    read -r suite_passed suite_failed < <(
        sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$log" | tail -n 1 | grep . ||
            echo "$((status == 0)) $((status != 0))"
    )
    if [ "$status" -ne 0 ] && [ "$suite_failed" -eq 0 ]; then
        suite_failed=1 # it broke off after its last count
    fi
    if [ $((suite_passed + suite_failed)) -eq 0 ] && ! grep -q '^skipped: ' "$log"; then
        echo 'no test was run, and nothing was skipped' >>"$log"
        suite_failed=1
    fi
    passed=$((passed + suite_passed)) failed=$((failed + suite_failed))

    if [ "$suite_failed" -eq 0 ]; then
        outcome=ok
        [ "$suite_passed" -gt 0 ] || outcome=skipped
        printf '%-7s %4d s   %d passed\n' $outcome $((SECONDS - started)) "$suite_passed"
        sed -n 's/^skipped: /               skipped: /p' "$log"
    else
        printf 'FAILED  %4d s   %d passed, %d failed   (%s)\n' \
            $((SECONDS - started)) "$suite_passed" "$suite_failed" "$log"
        sed 's/^/    | /' "$log"
    fi
done

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
