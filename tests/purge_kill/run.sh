#!/usr/bin/env bash
# Sweeps that are killed: the backend terminated, then the postmaster killed, in the middle. Commits are asynchronous, so a
# killed postmaster forgets the last of them, and it may be that nothing is left of a sweep.
#
#   ROUNDS=20 tests/purge_kill/run.sh      the first half of the rounds terminates, the second half kills
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
rounds=${ROUNDS:-20}
database=sessionize_kill
name=purge_kill

fresh_cluster $name fsync=on synchronous_commit=off
fresh_database $database
sql $database <<'END'
SELECT create_session_app('shop') \g /dev/null
CREATE TABLE events (visitor text, at timestamptz, received timestamptz);
SELECT track_sessions('events', 'visitor', 'at', app => 'shop', received_at => 'received') \g /dev/null
CREATE TABLE clicks (session_id bigint);
CREATE INDEX ON clicks (session_id);
SELECT add_session_dependent('clicks', 'session_id') \g /dev/null
INSERT INTO events
SELECT 'visitor ' || v, moment, moment
  FROM generate_series(1, 20000) AS v, generate_series(1, 2) AS event,
       LATERAL (SELECT now() - make_interval(days => 100 + v % 50, mins => event)) AS instant (moment)
 ORDER BY moment;
INSERT INTO clicks SELECT session_id FROM sessionize.sessions;
END

query() { sql $database -c "$1"; }

wait_until() { # … a query gives t, for at most 30 seconds
    local attempt
    for attempt in {1..300}; do
        [ "$(query "$1" 2>/dev/null)" = t ] && return
        sleep 0.1
    done
    miss "waiting for: $1 (attempt $attempt)"
    return 1
}

kill_postmaster() {
    local data=$WORK/clusters/$name/data attempt
    as_server_user kill -KILL "$(head -n 1 "$data/postmaster.pid")"
    for attempt in {1..100}; do # its children notice and go
        cluster start $name >"$SCRATCH/start" 2>&1 && return
        sleep 0.1
    done
    cat "$SCRATCH/start"
    return 1
}

consistent="SELECT (SELECT count(*) FROM events WHERE session_id NOT IN (SELECT session_id FROM sessionize.sessions))
    + (SELECT count(*) FROM clicks WHERE session_id NOT IN (SELECT session_id FROM sessionize.sessions))
    + (SELECT count(*) FROM sessionize.sessions AS session WHERE event_count <> (SELECT count(*) FROM events WHERE events.session_id = session.session_id))
    + (SELECT count(*) FROM sessionize.sessions FULL JOIN sessionize.visitors USING (app_id, visitor) WHERE session_id IS NULL OR revision IS NULL)
    + abs(20000 - (SELECT count(*) FROM sessionize.sessions) - (SELECT sum(sessions) FROM sessionize.purges))"

broken=0 unlike=0
for ((round = 1; round <= rounds; round++)); do
    before=$(query "SELECT clock_timestamp()")
    sql $database -c "CALL sweep_inactive_sessions(90, batch_size => 150, pause => '5 ms')" >/dev/null 2>&1 &
    sweep=$!
    # not always at the same point
    wait_until "SELECT count(*) = 1 FROM sessionize.purges WHERE outcome = 'running' AND started_at >= '$before' AND sessions >= 150 * (1 + $round % 4)"
    times='*' # a crash may have forgotten some
    if [ $round -le $((rounds / 2)) ]; then
        times="{$((round - 1))}"
        query "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'CALL sweep%' AND pid <> pg_backend_pid()" >/dev/null
        wait $sweep || true
        wait_until "SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE 'CALL sweep%' AND pid <> pg_backend_pid()"
    else
        kill_postmaster
        wait $sweep || true
    fi
    [ "$(query "$consistent")" = 0 ] || broken=$((broken + 1))
    outcomes="^(interrupted )${times}running$"
    [[ $(query "SELECT string_agg(outcome, ' ' ORDER BY purge_id) FROM sessionize.purges") =~ $outcomes ]] || unlike=$((unlike + 1))
done
check "nothing was half deleted in $rounds kills" 0 $broken
check "the next sweep says that the one before was killed" 0 $unlike
check "there was something left to do" t "$(query "SELECT count(*) > 0 FROM sessionize.sessions")"
query "CALL sweep_inactive_sessions(90)"
check "the next sweep finishes" "0 0 0" "$(query "SELECT concat_ws(' ', (SELECT count(*) FROM sessionize.sessions), (SELECT count(*) FROM events), (SELECT count(*) FROM clicks))")"
check "all deletions are written down" "20000 40000 20000 done" \
    "$(query "SELECT concat_ws(' ', sum(sessions), sum(events), sum((dependents ->> 'public.clicks')::bigint), (array_agg(outcome ORDER BY purge_id DESC))[1]) FROM sessionize.purges")"

# Two at the same time: the second one ends at once.
query "INSERT INTO events SELECT 'one more', moment, moment FROM generate_series(1, 30) AS back, LATERAL (SELECT now() - make_interval(days => 90 + back)) AS instant (moment)"
sql $database -c "CALL sweep_inactive_sessions(90, batch_size => 1, pause => '200 ms')" >/dev/null 2>&1 &
sweep=$!
wait_until "SELECT max(sessions) FILTER (WHERE outcome = 'running') > 0 FROM sessionize.purges"
check "a second sweep ends with a notice" "NOTICE:  another sweep is running" \
    "$(query "CALL sweep_inactive_sessions(90)" 2>&1 | head -n 1)"
check "also one of the application alone" "NOTICE:  another sweep is running" \
    "$(query "CALL sweep_inactive_sessions(90, 'shop')" 2>&1 | head -n 1)"
query "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'CALL sweep%' AND pid <> pg_backend_pid()" >/dev/null
wait $sweep || true
check "a sweep that is cancelled says so" "failed|canceling statement due to user request" \
    "$(query "SELECT outcome, detail FROM sessionize.purges ORDER BY purge_id DESC LIMIT 1")"
finish
