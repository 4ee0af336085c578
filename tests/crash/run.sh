#!/usr/bin/env bash
# Nothing is lost in a crash: the postmaster of a cluster of this suite's own, which syncs its writes, is killed by its
# process id in the middle of a load, 20 times (ROUNDS). After each restart everything holds that holds without a crash,
# no row that a client knows to be committed is missing, and the indexes agree with their table.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

rounds=${ROUNDS:-20} clients=4 name=live_crash
# Frequent checkpoints, so that recovery starts in the middle of things; one call instead of one per file when it begins.
fresh_cluster $name fsync=on checkpoint_timeout=30s max_wal_size=32MB recovery_init_sync_method=syncfs
fresh_database sessionize_crash
sql sessionize_crash -f "$ROOT/tests/oracle.sql"
sql sessionize_crash >/dev/null <<'SQL'
CREATE EXTENSION amcheck;
CREATE TABLE events (n bigint PRIMARY KEY, visitor integer, at timestamptz, kind text);
CREATE SEQUENCE numbers;
SELECT create_session_app('crash', passive_kinds => '{beat}', conversion_kinds => '{order}');
SELECT track_sessions('events', 'visitor', 'at', 'crash', kind => 'kind');
SQL

# What each client does over and over: events of 30 shared visitors in any order, something that is rolled back, and one
# of a visitor of its own, whose number it says once it is committed.
# shellcheck disable=SC2016 # $$ quotes in SQL
transaction='BEGIN;
INSERT INTO events
SELECT nextval($$numbers$$), random() * 29, timestamptz $$2026-01-01+00$$ + random() * interval $$4 days$$,
       (ARRAY[$$view$$, $$view$$, $$beat$$, $$order$$])[1 + (random() * 3)::integer]
FROM generate_series(1, (random() * 8)::integer);
SAVEPOINT vain;
INSERT INTO events VALUES (nextval($$numbers$$), :client, timestamptz $$2026-01-01+00$$ + random() * interval $$4 days$$);
ROLLBACK TO vain;
INSERT INTO events VALUES (nextval($$numbers$$), :client, timestamptz $$2026-01-01+00$$ + random() * interval $$4 days$$)
RETURNING n AS last \gset
COMMIT;
\echo :last'
for _ in $(seq 2000); do printf '%s\n' "$transaction"; done >"$SCRATCH/load.sql"

data=$WORK/clusters/$name/data
# The processes that work in the cluster's folder; one that ended works nowhere, even if nobody has asked for its status.
alive() {
    local process
    for process in /proc/[0-9]*; do
        if [ "$(readlink "$process/cwd" 2>/dev/null)" = "$data" ]; then return 0; fi
    done
    return 1
}
crash() {
    local attempt
    kill -KILL "$(head -n 1 "$data/postmaster.pid")"
    for attempt in $(seq 300); do # the others notice by themselves that they are alone
        alive || break
        sleep 0.1
    done
    if alive; then fail "processes of the killed cluster still run after attempt $attempt"; fi
    # Its process may still be listed, as one that ended, and PostgreSQL would take that for a running one.
    rm -f "$data/postmaster.pid" "$PGHOST"/.s.PGSQL.*
}

: >"$SCRATCH/committed"
for round in $(seq "$rounds"); do
    loads=()
    for client in $(seq "$clients"); do
        sql sessionize_crash -v client=$((100 + client)) -f "$SCRATCH/load.sql" >"$SCRATCH/client$client" 2>>"$SCRATCH/errors$client" &
        loads+=($!)
    done
    sleep "$((RANDOM % 2)).$((RANDOM % 9 + 1))"
    crash
    wait "${loads[@]}" || true
    cluster start $name
    cat "$SCRATCH"/client[0-9]* | grep -xE '[0-9]+' >>"$SCRATCH/committed" || true
    sql sessionize_crash -c 'CREATE TEMPORARY TABLE committed (n bigint)' -c "\\copy committed FROM '$SCRATCH/committed'" \
        -c "SELECT 'committed and gone: ' || n FROM committed WHERE NOT EXISTS (SELECT FROM events WHERE events.n = committed.n) LIMIT 5" \
        -c "SELECT wrong FROM suite.wrong('crash') AS wrong" \
        -c "SELECT bt_index_check(indexrelid, true) FROM pg_index WHERE indrelid IN ('sessionize.sessions'::regclass, 'sessionize.visitors'::regclass)" \
        >"$SCRATCH/found" 2>&1 || echo 'that failed' >>"$SCRATCH/found"
    check "round $round: all is there and as the aggregates have it" '' "$(sed '/^$/d' "$SCRATCH/found")"
done
unexpected=$(cat "$SCRATCH"/errors[0-9]* | grep -E 'ERROR|PANIC' || true)
check 'no client failed by itself' '' "$unexpected"
sql sessionize_crash -c "SELECT count(*) || ' events, ' || (SELECT count(*) FROM sessionize.sessions) || ' sessions, '
    || (SELECT count(*) FROM sessionize.merged_sessions) || ' merges' FROM events"
check 'there was something to lose, and to merge' t \
    "$(sql sessionize_crash -c "SELECT count(*) > $((rounds * 50)) AND (SELECT count(*) FROM sessionize.merged_sessions) > $rounds FROM events")"
finish
