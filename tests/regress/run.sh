#!/usr/bin/env bash
# PostgreSQL's regression tests over tests/regress/sql, compared with tests/regress/expected. Each part of the product
# (batch, live, admin, …) has a database of its own, so that no test sees the applications of another part.
#
#   tests/regress/run.sh [NAME …]      all, or only the ones named; what they printed is in .work/regress-PART/results
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

if [ $# -eq 0 ]; then
    for file in "$ROOT"/tests/regress/sql/*.sql; do
        set -- "$@" "$(basename "$file" .sql)"
    done
fi
for part in $(printf '%s\n' "${@%%_*}" | sort -u); do
    names=()
    for name; do
        [ "${name%%_*}" != "$part" ] || names+=("$name")
    done
    output=$(run_regress "$PG_REGRESS" regress sql sql sessionize_regress "$WORK/regress-$part" "${names[@]}") || true
    printf '%s\n' "$output" | sed '$d'
    read -r good _ bad _ <<<"$(printf '%s\n' "$output" | tail -n 1)"
    passed=$((passed + good)) failed=$((failed + bad))
done
finish
