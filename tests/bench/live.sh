#!/usr/bin/env bash
# Measures tracked tables against untracked ones and against a trigger in PL/pgSQL, and prints a table. Called by
# tests/bench/run.sh, whose events it takes.
#
#   EVENTS=1000000        how many of them go in by one statement, and visitors of the COPY
#   PEER_EVENTS=$EVENTS   how many of them the slow peer gets, once; its time is scaled up to all
#   ROUNDS=5              how often the fast things run
#   SECONDS_EACH=5        how long each run of pgbench lasts
#   BACKFILLS=1           how often all events are backfilled and updated; each takes a fresh copy of them
#
# What is compared takes turns within each round, in the other direction every other round.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../pgrx-config/common.sh"
use_postgres
cluster=$ROOT/pgrx-config/cluster.sh folder=$ROOT/tests/bench
eval "$("$cluster" env "${BENCH_CLUSTER:-bench}")"
PATH=$PG_BIN:$PATH
events=${EVENTS:-1000000} peer_events=${PEER_EVENTS:-${EVENTS:-1000000}} rounds=${ROUNDS:-5} seconds=${SECONDS_EACH:-5} backfills=${BACKFILLS:-1}
export PGOPTIONS='-c client_min_messages=warning -c synchronous_commit=off -c synchronize_seqscans=off'

database() { psql -X -q -A -t -v ON_ERROR_STOP=1 -d live_bench "$@"; }
results=$WORK/bench-live
: >"$results"
note() { echo "$1 $2" >>"$results"; } # NAME VALUE

# timed NAME STATEMENT: notes the seconds it takes
timed() {
    local milliseconds
    milliseconds=$(database -c CHECKPOINT -c '\timing on' -c "$2" | sed -nE 's/^Time: ([0-9.]+) ms.*/\1/p')
    note "$1" "$(awk -v ms="$milliseconds" 'BEGIN { print ms / 1000 }')"
}

# turns ROUND NAME…: the names, backwards in even rounds
turns() {
    local round=$1
    shift
    if ((round % 2 == 0)); then printf '%s\n' "$@" | tac; else printf '%s\n' "$@"; fi
}

psql -X -q -d postgres -c 'DROP DATABASE IF EXISTS live_bench WITH (FORCE)' -c 'CREATE DATABASE live_bench TEMPLATE bench STRATEGY file_copy'
trap 'psql -X -q -d postgres -c "DROP DATABASE IF EXISTS live_bench WITH (FORCE)"; "$cluster" destroy bench_copy' EXIT
total=$(database -c 'SELECT count(*) FROM events')
((events <= total)) || events=$total
((peer_events <= events)) || peer_events=$events

# As if the last of them had just happened.
database -c "CREATE UNLOGGED TABLE recent AS
             SELECT visitor_id, occurred_at + (now() - max(occurred_at) OVER ()) AS occurred_at, kind, amount
             FROM (SELECT * FROM events LIMIT $events) AS first" \
         -c 'VACUUM ANALYZE recent'

# Makes the table untracked_events, tracked_events or peer_events, empty and everything about it new.
make_table() {
    database -c "DROP TABLE IF EXISTS $1_events"
    case $1 in
        tracked) database -c 'DROP EXTENSION IF EXISTS pg_sessionize CASCADE' -c 'CREATE EXTENSION pg_sessionize' ;;
        peer) database -c 'DROP TABLE IF EXISTS peer_sessions' -c 'DROP FUNCTION IF EXISTS peer_assign()' ;;
    esac
    database -c "CREATE TABLE $1_events (visitor_id bigint, occurred_at timestamptz, kind text, amount numeric, session_id bigint)" \
             -c "CREATE INDEX ON $1_events (session_id)"
    case $1 in
        tracked) database -c "SELECT track_sessions('tracked_events', 'visitor_id', 'occurred_at')" >/dev/null ;;
        peer) database -f "$folder/plpgsql_peer.sql" ;;
    esac
}

# ---- one statement ---------------------------------------------------------------------------------------

say "inserting $events events by one statement"
insert() { timed "insert/$1" "INSERT INTO $1_events (visitor_id, occurred_at, kind, amount) SELECT * FROM recent LIMIT $2"; }
for ((round = 1; round <= rounds; round++)); do
    for table in $(turns "$round" untracked tracked); do
        make_table "$table"
        insert "$table" "$events"
    done
done
say "and into the untracked table with the sessions that the tracked one has found"
database -c 'CREATE UNLOGGED TABLE assigned AS SELECT visitor_id, occurred_at, kind, amount, session_id FROM tracked_events' -c 'VACUUM ANALYZE assigned'
for ((round = 1; round <= rounds; round++)); do
    make_table untracked
    timed insert/assigned 'INSERT INTO untracked_events SELECT * FROM assigned'
done
say "and $peer_events of them through the trigger in PL/pgSQL"
make_table peer
insert peer "$peer_events"

# ---- row by row ------------------------------------------------------------------------------------------

for table in untracked tracked peer; do
    make_table "$table"
    cat >"$WORK/bench-$table.pgbench" <<END
\\set visitor random(1, 10000)
INSERT INTO ${table}_events (visitor_id, occurred_at, kind, amount) VALUES (:visitor, now(), 'page_view', 1.5);
END
done
# One event in fifty belongs to an earlier hour.
cat >"$WORK/bench-late.pgbench" <<'END'
\set visitor random(1, 10000)
\set back random(1, 72000) * (case when random(1, 50) = 1 then 1 else 0 end)
INSERT INTO tracked_events (visitor_id, occurred_at, kind, amount) VALUES (:visitor, now() - make_interval(secs => :back), 'page_view', 1.5);
END

# Waking an idle processor costs a virtual machine more than a transaction, and where the scheduler puts whom changes from
# second to second. So each client shares a processor with its connection, the first client the first one, and so on.
postmaster=$(head -n 1 "$WORK/clusters/${BENCH_CLUSTER:-bench}/data/postmaster.pid")
all=$(taskset -pc "$postmaster" | sed 's/.*: //')
on_processor() { # NUMBER COMMAND…
    local processor
    processor=$(($1 % $(nproc)))
    shift
    taskset -pc "$processor" "$postmaster" >/dev/null # connections begin where the postmaster is
    taskset -c "$processor" "$@"
}
one_client() { # SCRIPT SECONDS PROCESSOR: transactions per second
    on_processor "$3" pgbench -n -M prepared -f "$WORK/bench-$1.pgbench" -T "$2" live_bench 2>/dev/null | sed -nE 's/^tps = ([0-9.]+).*/\1/p'
}
# load SCRIPT CLIENTS SECONDS: transactions per second of all clients
load() {
    local client
    for ((client = 0; client < $2; client++)); do
        one_client "$1" "$3" "$client" &
        sleep 0.3
    done | awk '{ all += $1 } END { print all }'
    taskset -pc "$all" "$postmaster" >/dev/null
}
# hot LABEL: notes which share of updates was HOT since the last call
hot() {
    sleep 2 # until all have reported what they did
    local table share
    for table in sessions visitors; do
        share=$(database -c "SELECT round(100.0 * n_tup_hot_upd / nullif(n_tup_upd, 0), 2) FROM pg_stat_user_tables WHERE relid = 'sessionize.$table'::regclass")
        [ -z "$share" ] || note "hot/$1/$table" "$share"
    done
    database -c "SELECT pg_stat_reset()" >/dev/null
}

say "inserting row by row, $rounds rounds of 6 runs of $seconds seconds"
for table in untracked tracked peer; do # every visit is under way
    database -c "INSERT INTO ${table}_events (visitor_id, occurred_at) SELECT visitor, now() FROM generate_series(1, 10000) AS visitor" -c 'VACUUM ANALYZE'
    load "$table" 2 1 >/dev/null
done
hot warm-up
for ((round = 1; round <= rounds; round++)); do
    for clients in 1 2; do
        for table in $(turns "$round" untracked tracked peer); do
            note "rows/$table/$clients" "$(load "$table" "$clients" "$seconds")"
        done
    done
done
hot rows
load late 2 $((2 * seconds)) >/dev/null
hot late

# ---- backfill --------------------------------------------------------------------------------------------

copy_events() {
    database -c "DROP TABLE IF EXISTS old_events" -c "DROP EXTENSION IF EXISTS pg_sessionize CASCADE" -c "CREATE EXTENSION pg_sessionize" \
             -c "CREATE TABLE old_events AS SELECT *, NULL::bigint AS session_id FROM events" \
             -c "CREATE INDEX ON old_events (session_id)" -c "VACUUM ANALYZE old_events"
}
database -c 'DROP TABLE untracked_events, tracked_events, peer_events, peer_sessions'
for ((round = 1; round <= backfills; round++)); do
    say "backfilling $total events, round $round of $backfills"
    for what in $(turns "$round" update backfill); do
        copy_events
        if [ "$what" = update ]; then
            timed backfill/update 'UPDATE old_events SET session_id = 1'
        else
            database -c "SELECT track_sessions('old_events', 'visitor_id', 'occurred_at')" >/dev/null
            timed backfill/ours "CALL backfill_sessions('old_events')"
            [ "$(database -c 'SELECT count(*) FROM old_events WHERE session_id IS NULL')" = 0 ] || fail "the backfill left rows without session"
        fi
    done
done

# ---- memory ----------------------------------------------------------------------------------------------

say "copying $events events of as many visitors, with PostgreSQL's default settings"
"$cluster" destroy bench_copy
"$cluster" start bench_copy
eval "$("$cluster" env bench_copy)"
instant=$(date -u +%FT%TZ)
copy() { # TABLE: the most memory that the backend had, in MiB, shared memory included
    psql -X -q -A -t -v ON_ERROR_STOP=1 -d postgres <<END | awk '/VmHWM/ { print $2 / 1024 }'
SELECT pg_backend_pid() AS pid \gset
\setenv PID :pid
\copy $1 (visitor, occurred_at) FROM PROGRAM 'seq -f "visitor-%.0f,$instant" $events' (FORMAT csv)
\! grep VmHWM /proc/\$PID/status
END
}
psql -X -q -d postgres -c 'CREATE EXTENSION pg_sessionize' -c 'CREATE TABLE untracked (visitor text, occurred_at timestamptz, session_id bigint)' \
    -c 'CREATE INDEX ON untracked (session_id)' -c 'CREATE TABLE tracked (LIKE untracked INCLUDING ALL)' \
    -c "SELECT track_sessions('tracked', 'visitor', 'occurred_at')" >/dev/null
note memory/untracked "$(copy untracked)"
note memory/tracked "$(copy tracked)"
[ "$(psql -X -A -t -d postgres -c 'SELECT count(*) FROM sessionize.sessions')" = "$events" ] || fail "the COPY did not make $events sessions"
eval "$("$cluster" env "${BENCH_CLUSTER:-bench}")"

# ---- the table -------------------------------------------------------------------------------------------

python3 - "$results" "$events" "$peer_events" "$total" <<'END'
import collections
import statistics
import sys

path, events, peer_events, total = sys.argv[1], *map(int, sys.argv[2:])
values = collections.defaultdict(list)
for line in open(path, encoding="utf-8"):
    name, value = line.split()
    values[name].append(float(value))
values["insert/peer"] = [value * events / peer_events for value in values["insert/peer"]]
median = {name: statistics.median(found) for name, found in values.items() if found}

INSERT, ROWS = f"{events:,} events by one INSERT … SELECT", "single-row prepared INSERT"
SCALED = "" if peer_events == events else f", scaled from {peer_events:,}"
# what, name, unit, what it is divided by (or divides, where the target is a minimum), target, in words
rows = [
    (f"{INSERT}, untracked", "insert/untracked", "s", None, None, ""),
    (f"{INSERT}, tracked", "insert/tracked", "s", "insert/untracked", 2.3, "of untracked"),
    (f"{INSERT}, untracked, but with the same sessions", "insert/assigned", "s", "insert/untracked", None, "of untracked"),
    (f"{INSERT}, PL/pgSQL{SCALED}", "insert/peer", "s", "insert/tracked", -15, "of tracked"),
]
for clients in (1, 2):
    of = f"{ROWS}, {clients} client{'s' * (clients > 1)}"
    rows += [
        (f"{of}, untracked", f"rows/untracked/{clients}", "per s", None, None, ""),
        (f"{of}, tracked", f"rows/tracked/{clients}", "per s", f"rows/untracked/{clients}", -0.6, "of untracked"),
        ("", f"rows/tracked/{clients}", "per s", f"rows/peer/{clients}", -1.6, "of PL/pgSQL"),
        (f"{of}, PL/pgSQL", f"rows/peer/{clients}", "per s", None, None, ""),
    ]
rows += [
    (f"`UPDATE t SET session_id = 1`, {total:,} events", "backfill/update", "s", None, None, ""),
    (f"`CALL backfill_sessions('t')`, {total:,} events", "backfill/ours", "s", "backfill/update", 1.5, "of UPDATE"),
    ("HOT updates of sessions, row by row", "hot/rows/sessions", "%", None, -95, ""),
    ("HOT updates of visitors, row by row", "hot/rows/visitors", "%", None, -95, ""),
    ("HOT updates of sessions, 2 % of the events hours late", "hot/late/sessions", "%", None, -95, ""),
    ("HOT updates of visitors, 2 % of the events hours late", "hot/late/visitors", "%", None, -95, ""),
    (f"memory of COPY, {events:,} visitors, untracked", "memory/untracked", "MiB", None, None, ""),
    (f"memory of COPY, {events:,} visitors, tracked", "memory/tracked", "MiB", None, 1024, ""),
]

def shown(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 20 else f"{value:.2f}"

print("\nmedians; single rows are of 10,000 visitors whose visits are under way; an index on session_id everywhere\n")
print("| | | lowest to highest | ratio | target |")
print("|---|---:|---|---|---|")
for what, name, unit, base, target, words in rows:
    if name not in median:
        continue
    spread = f"{shown(min(values[name]))} to {shown(max(values[name]))}" if what and len(values[name]) > 1 else ""
    compared, ratio = median[name], ""
    if base in median:
        compared = median[name] / median[base]
        ratio = f"{compared:.2f} {words}"
    met = "" if target is None else "met" if (compared <= target if target > 0 else compared >= -target) else "missed"
    goal = f"{'≤' if target > 0 else '≥'} {abs(target)} {met}" if target else ""
    print(f"| {what} | {f'{shown(median[name])} {unit}' if what else ''} | {spread} | {ratio} | {goal} |")
END
