#!/usr/bin/env bash
# Runs cargo with the settings of this project, so that what was compiled once stays compiled:
#   cargo.sh test -p sessionize-core        cargo.sh pgrx install …
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
use_postgres

# pgrx learns from this file where PostgreSQL is, and compiles anew when the file changes.
export PGRX_HOME=$WORK/pgrx
mkdir -p "$PGRX_HOME"
configuration=$(printf '[configs]\npg%s = "%s"' "$PG_MAJOR" "$SYSTEM_PG_CONFIG")
if [ "$(cat "$PGRX_HOME/config.toml" 2>/dev/null)" != "$configuration" ]; then
    echo "$configuration" >"$PGRX_HOME/config.toml"
fi

cd "$ROOT"
if [ "${1:-}" = pgrx ]; then
    exec "$(find_cargo_pgrx)" "$@"
fi
exec cargo "$@"
