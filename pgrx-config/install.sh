#!/usr/bin/env bash
# Builds the extension and installs it into the PostgreSQL of this machine, for use.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
use_postgres

sudo=()
if ! [ -w "$("$SYSTEM_PG_CONFIG" --pkglibdir)" ] || ! [ -w "$("$SYSTEM_PG_CONFIG" --sharedir)/extension" ]; then
    command -v sudo >/dev/null || fail "no right to write into $("$SYSTEM_PG_CONFIG" --pkglibdir), and no sudo"
    sudo=(--sudo)
fi
say "building pg_sessionize for $("$SYSTEM_PG_CONFIG" --version)$(build_takes)"
with_progress "$LOGS/install.log" "$ROOT/pgrx-config/cargo.sh" pgrx install --release "${sudo[@]}" \
    --pg-config "$SYSTEM_PG_CONFIG" --no-default-features --features "pg$PG_MAJOR"
say "installed; now run in your database: CREATE EXTENSION pg_sessionize;"
