#!/usr/bin/env bash
# Starts the private cluster for measuring and runs the benchmark in it. Its data stays for the next run.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
use_postgres

# Measured is computing, not the disk: no fsync, few checkpoints, no compilation of queries, which varies from run to run.
"$ROOT/pgrx-config/cluster.sh" start bench shared_buffers=1GB max_wal_size=8GB checkpoint_timeout=30min \
    fsync=off jit=off autovacuum=on max_worker_processes=16 max_parallel_workers=8
trap '"$ROOT/pgrx-config/cluster.sh" stop bench' EXIT

eval "$("$ROOT/pgrx-config/cluster.sh" env bench)"
export PG_BIN PG_MAJOR PRIVATE_PG_CONFIG ROOT WORK LOGS
PATH=$PG_BIN:$PATH "$ROOT/tests/bench/run.sh" "$@"
