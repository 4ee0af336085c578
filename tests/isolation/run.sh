#!/usr/bin/env bash
# Clients that meet: PostgreSQL's isolation tests over tests/isolation/specs, compared with tests/isolation/expected.
#
#   tests/isolation/run.sh [NAME …]      all, or only the ones named; what they printed is in .work/isolation/results
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

fresh_database sessionize_isolation
sql sessionize_isolation -f "$ROOT/tests/oracle.sql" -f "$ROOT/tests/isolation/stage.sql"
# shellcheck disable=SC2034 # read by run_regress
regress_options=(--use-existing)
status=0
run_regress "$PG_ISOLATION_REGRESS" isolation specs spec sessionize_isolation "$WORK/isolation" "$@" || status=$?
sql postgres -c 'DROP DATABASE sessionize_isolation WITH (FORCE)'
exit "$status"
