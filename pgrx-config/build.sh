#!/usr/bin/env bash
# Builds the extension and installs it into this checkout's private PostgreSQL.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$ROOT/pgrx-config/private.sh"
use_postgres

exec 9>"$WORK/build.lock"
flock 9 # two builds at once would write the same files

make_private_installation
say "building pg_sessionize for PostgreSQL $PG_MAJOR$(build_takes)"
with_progress "$LOGS/build.log" "$ROOT/pgrx-config/cargo.sh" pgrx install --release \
    --pg-config "$PRIVATE_PG_CONFIG" --no-default-features --features "pg$PG_MAJOR"
