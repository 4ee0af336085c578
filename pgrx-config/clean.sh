#!/usr/bin/env bash
# Stops the private clusters and removes everything that was built in this checkout.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [ -s "$WORK/pg_config" ]; then
    for name in $("$ROOT/pgrx-config/cluster.sh" list); do
        say "removing the private cluster '$name'"
        "$ROOT/pgrx-config/cluster.sh" destroy "$name"
    done
fi
say "removing what was built"
rm -rf "$WORK" "$ROOT/.work" "$ROOT/target"
