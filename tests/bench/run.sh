#!/usr/bin/env bash
# Measures the aggregates against what they replace, on the data of events.sql; then live.sh. Called by pgrx-config/bench.sh.
#
#   VISITS=1000000   how much data (about ten events each); what an earlier run has loaded is used again
#   ROUNDS=5         how often each query runs; the slow window queries run at most twice
#
# All queries run in turn within each round, every other round backwards, so that what else the machine does falls
# on all alike. Every query reads each row once and gives one row; all columns of the inner query are used, because
# PostgreSQL leaves out what is not.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../pgrx-config/common.sh"
eval "$("$ROOT/pgrx-config/cluster.sh" env bench)"
folder=$ROOT/tests/bench
visits=${VISITS:-1000000} rounds=${ROUNDS:-5}

database() { psql -X -q -A -t -v ON_ERROR_STOP=1 -d bench "$@"; }

# ---- data ------------------------------------------------------------------------------------------------

[ "$(psql -X -A -t -d postgres -c "SELECT count(*) FROM pg_database WHERE datname = 'bench'")" = 1 ] ||
    psql -X -q -d postgres -c "CREATE DATABASE bench"
database -c "SET client_min_messages = warning" -c "DROP EXTENSION IF EXISTS pg_sessionize" -c "CREATE EXTENSION pg_sessionize"
if [ "$(database -c "SELECT obj_description(to_regclass('events'), 'pg_class')")" != "$visits" ]; then
    say "making the events of $visits visits"
    database -v visits="$visits" -f "$folder/events.sql" >/dev/null
    rm -f "$WORK/bench.duckdb"
fi
IFS='|' read -r events visitors < <(database -c "SELECT count(*), count(DISTINCT visitor_id) FROM events")

python=$WORK/duckdb/bin/python3
duckdb=yes
if ! [ -x "$python" ] || ! "$python" -c 'import duckdb' 2>/dev/null; then
    say "installing DuckDB, a peer, into .work/duckdb"
    { python3 -m venv "$WORK/duckdb" && "$WORK/duckdb/bin/pip" install --quiet duckdb; } >"$LOGS/duckdb.log" 2>&1 || {
        say "DuckDB is left out, it could not be installed: $(tail -n 1 "$LOGS/duckdb.log")"
        duckdb=
    }
fi
if [ -n "$duckdb" ] && ! [ -e "$WORK/bench.duckdb" ]; then
    say "copying the events to DuckDB"
    database -c "COPY (SELECT visitor_id, occurred_at AT TIME ZONE 'UTC' FROM events) TO STDOUT (FORMAT csv)" |
        "$python" "$folder/duckdb_peer.py" load "$WORK/bench.duckdb"
fi

# ---- queries ---------------------------------------------------------------------------------------------

declare -A query
query[floor]="SELECT count(*), sum(events), min(first), max(last)
    FROM (SELECT visitor_id, count(*) AS events, min(occurred_at) AS first, max(occurred_at) AS last FROM events GROUP BY visitor_id) AS visitors"
query[count]="SELECT count(*), sum(sessions)
    FROM (SELECT visitor_id, session_count(sessionize(occurred_at, '30 minutes')) AS sessions FROM events GROUP BY visitor_id) AS visitors"
query[daily]="SELECT count(*), sum(sessions)
    FROM (SELECT visitor_id, session_count(sessionize_daily(occurred_at, 'Europe/Prague')) AS sessions FROM events GROUP BY visitor_id) AS visitors"
query[spans]="SELECT count(*), sum(span.event_count), min(span.started_at), max(span.last_event_at)
    FROM (SELECT visitor_id, sessionize(occurred_at, '30 minutes') AS sessions FROM events GROUP BY visitor_id) AS visitors, session_spans(sessions) AS span"
query[numbered]="SELECT count(*), sum(session)
    FROM (SELECT visitor_id, occurred_at, session_number(occurred_at, '30 minutes') OVER (PARTITION BY visitor_id ORDER BY occurred_at) AS session FROM events) AS numbered"
gaps="SELECT visitor_id, occurred_at, (lag(occurred_at) OVER w IS NULL OR occurred_at - lag(occurred_at) OVER w >= interval '30 minutes')::integer AS opens
    FROM events WINDOW w AS (PARTITION BY visitor_id ORDER BY occurred_at)"
numbers="SELECT visitor_id, occurred_at, sum(opens) OVER (PARTITION BY visitor_id ORDER BY occurred_at) AS session FROM ($gaps) AS gaps"
query[nested]="SELECT count(*), sum(session) FROM ($numbers) AS numbered"
query[window]="SELECT count(*), sum(events), min(started_at), max(last_event_at)
    FROM (SELECT visitor_id, session, count(*) AS events, min(occurred_at) AS started_at, max(occurred_at) AS last_event_at
          FROM ($numbers) AS numbered GROUP BY visitor_id, session) AS sessions"

# name: query / workers
measurements=(floor/0 count/0 daily/0 spans/0 floor/2 count/2 spans/2 numbered/0 nested/0 window/0 window/2)
[ -z "$duckdb" ] || measurements+=(duckdb/2)

times=$WORK/bench-times
: >"$times"
declare -A answers

measure() {
    local what=${1%/*} workers=${1#*/} output
    if [ "$what" = duckdb ]; then
        output=$("$python" "$folder/duckdb_peer.py" run "$WORK/bench.duckdb")
        answers[$1]=$(sed -n 2p <<<"$output")
        echo "$1 $(head -n 1 <<<"$output")" >>"$times"
        return
    fi
    output=$(database -c "SET work_mem = '256MB'" -c "SET max_parallel_workers_per_gather = $workers" \
        -c "DO 'BEGIN PERFORM session_count(sessionize(now())); END'" -c '\timing on' -c "${query[$what]}")
    answers[$1]=$(head -n 1 <<<"$output" | cut -d '|' -f 1-2)
    echo "$1 $(sed -nE 's/^Time: ([0-9.]+) ms.*/\1/p' <<<"$output")" >>"$times"
}

say "$events events of $visitors visitors, $rounds rounds of ${#measurements[@]} queries"
for ((round = 1; round <= rounds; round++)); do
    order=("${measurements[@]}")
    if ((round % 2 == 0)); then
        mapfile -t order < <(printf '%s\n' "${measurements[@]}" | tac)
    fi
    for measurement in "${order[@]}"; do
        case $measurement in
            nested/* | window/*) ((round <= 2)) || continue ;;
        esac
        measure "$measurement"
    done
    say "round $round of $rounds is done"
done

# what is compared must mean the same
same() { [ "${answers[$1]}" = "${answers[$2]}" ] || fail "$1 and $2 differ: ${answers[$1]} and ${answers[$2]}"; }
same count/0 count/2
same spans/0 spans/2
same spans/0 window/0
same window/0 window/2
same numbered/0 nested/0
[ -z "$duckdb" ] || same spans/0 duckdb/2
sessions=${answers[spans/0]%|*}

# ---- memory ----------------------------------------------------------------------------------------------

# The kilobytes that a hash aggregate over all visitors takes, as the executor counts them. A small work_mem makes it
# take memory in small blocks, so that an unused half block does not count; the multiplier keeps it off the disk.
memory() {
    database -c "SET work_mem = '1MB'" -c "SET hash_mem_multiplier = 1000" -c "SET max_parallel_workers_per_gather = 0" -c "SET enable_sort = off" \
        -c "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) SELECT visitor_id, $1 FROM events GROUP BY visitor_id" |
        sed -nE 's/.*"Peak Memory Usage": ([0-9]+).*/\1/p'
}
aggregate_memory=$(memory "sessionize(occurred_at, '30 minutes')")
plain_memory=$(memory "max(occurred_at)")

# ---- the table -------------------------------------------------------------------------------------------

python3 - "$times" "$events" "$visitors" "$sessions" "$aggregate_memory" "$plain_memory" <<'END'
import collections
import statistics
import sys

path, events, visitors, sessions, aggregate_memory, plain_memory = sys.argv[1], *map(int, sys.argv[2:])
times = collections.defaultdict(list)
for line in open(path, encoding="utf-8"):
    name, milliseconds = line.split()
    times[name].append(float(milliseconds) / 1000)
median = {name: statistics.median(values) for name, values in times.items()}

SERIAL, PARALLEL = "serial", "2 workers"
rows = [
    ("`GROUP BY` with count, min, max", SERIAL, "floor/0", None, None, ""),
    ("`session_count(sessionize(…))`", SERIAL, "count/0", "floor/0", 1.35, "of GROUP BY"),
    ("the same, `sessionize_daily('Europe/Prague')`", SERIAL, "daily/0", "count/0", 1.25, "of sessionize"),
    ("one row per session, `session_spans(sessionize(…))`", SERIAL, "spans/0", "floor/0", 1.7, "of GROUP BY"),
    ("window-function query, one row per session", SERIAL, "window/0", "count/0", -8, "of session_count"),
    ("", "", "window/0", "spans/0", None, "of session_spans"),
    ("`GROUP BY` with count, min, max", PARALLEL, "floor/2", None, None, ""),
    ("`session_count(sessionize(…))`", PARALLEL, "count/2", "floor/2", 1.5, "of GROUP BY"),
    ("", "", "count/2", "duckdb/2", 0.75, "of DuckDB"),
    ("one row per session, `session_spans(sessionize(…))`", PARALLEL, "spans/2", "duckdb/2", None, "of DuckDB"),
    ("window-function query, one row per session", PARALLEL, "window/2", "count/2", -8, "of session_count"),
    ("", "", "window/2", "spans/2", None, "of session_spans"),
    ("DuckDB, window query, one row per session", "2 threads", "duckdb/2", None, None, ""),
    ("`session_number(…) OVER`", SERIAL, "numbered/0", None, None, ""),
    ("nested lag and sum", SERIAL, "nested/0", "numbered/0", -1.5, "of session_number"),
]
print(f"\n{events:,} events, {visitors:,} visitors, {sessions:,} sessions; medians; work_mem 256 MB\n")
print("| query | | seconds | lowest to highest | ratio | target |")
print("|---|---|---:|---|---|---|")
for what, how, name, base, target, of in rows:
    if name not in median:
        continue
    # a row without a name is a second comparison of the row above
    seconds = f"{median[name]:.2f}" if what else ""
    spread = "" if not what else f"{min(times[name]):.2f} to {max(times[name]):.2f}"
    ratio = goal = ""
    if base in median:
        value = median[name] / median[base]
        ratio = f"{value:.2f} {of}"
        if target:
            met = value <= target if target > 0 else value >= -target
            goal = f"{'≤' if target > 0 else '≥'} {abs(target)} {'met' if met else 'missed'}"
    print(f"| {what} | {how} | {seconds} | {spread} | {ratio} | {goal} |")

per_visitor = (aggregate_memory - plain_memory) * 1024 / visitors
allowed = 64 + 24 * (sessions / visitors - 1)
print(f"\nMemory: {per_visitor:.0f} bytes per visitor beyond what max(occurred_at) takes, with {sessions / visitors:.2f} sessions each; "
      f"target ≤ {allowed:.0f} (64 and 24 per session beyond the first): {'met' if per_visitor <= allowed else 'missed'}")
END

"$folder/live.sh"
"$folder/admin.sh"
"$folder/retention.sh"
