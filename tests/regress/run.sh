#!/usr/bin/env bash
# PostgreSQL's regression tests over tests/regress/sql, compared with tests/regress/expected.
#
#   tests/regress/run.sh [NAME …]      all, or only the ones named; what they printed is in .work/regress/results
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

run_regress "$PG_REGRESS" regress sql sql sessionize_regress "$@"
