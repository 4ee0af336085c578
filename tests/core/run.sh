#!/usr/bin/env bash
# The rules crate: its unit and property tests, without PostgreSQL.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../pgrx-config/common.sh"

status=0
output=$("$ROOT/pgrx-config/cargo.sh" test -p sessionize-core "$@" 2>&1) || status=$?
printf '%s\n' "$output"
# adds up "test result: ok. 12 passed; 0 failed; …" of every test program
printf '%s\n' "$output" | awk '
    /^test result:/ { passed += $4; failed += $6 }
    END { printf "%d passed, %d failed\n", passed, failed }'
exit "$status"
