#!/usr/bin/env bash
# Logical replication: events that arrive through it, sessions that leave by it, and session sets. Publisher and subscribers
# are databases of one cluster of this suite's own, so the slots are made by hand.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

fresh_cluster replication wal_level=logical max_logical_replication_workers=12 max_worker_processes=16
for database in publisher subscriber; do
    fresh_database $database
    sql $database -f "$ROOT/tests/oracle.sql"
done

# subscribe PUBLICATION [option …]: the subscriber takes what the publisher publishes under that name.
subscribe() {
    local publication=$1 options="create_slot = false, slot_name = '$1'"
    shift
    [ $# -eq 0 ] || options+=$(printf ', %s' "$@")
    sql publisher -c "SELECT pg_create_logical_replication_slot('$publication', 'pgoutput')" >/dev/null
    sql subscriber -c "CREATE SUBSCRIPTION $publication
        CONNECTION 'dbname=publisher host=$PGHOST port=$PGPORT user=$PGUSER' PUBLICATION $publication WITH ($options)"
}

# Waits until the subscriber has all tables, and all that was committed by now.
catch_up() {
    local until
    until=$(sql publisher -c "SELECT pg_current_wal_lsn()")
    for _ in {1..300}; do
        [ "$(sql subscriber -c "SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'")" != 0 ] ||
            [ "$(sql publisher -c "SELECT count(*) FROM pg_replication_slots WHERE confirmed_flush_lsn < '$until'")" != 0 ] || return 0
        sleep 0.1
    done
    miss "the subscriber catches up within 30 seconds"
}
wrong() { sql "$1" -c "SELECT suite.wrong('$2')"; }
send() { sql publisher -c "$1" && catch_up; }

# ---- events arrive: the subscriber assigns them -----------------------------------------------------------

sql publisher >/dev/null <<'SQL'
CREATE TABLE events (n integer PRIMARY KEY, visitor text, at timestamptz, kind text);
INSERT INTO events SELECT n, 'v' || n % 7, timestamptz '2026-01-01+00' + n * n % 97 * interval '11 minutes', 'view' FROM generate_series(1, 100) AS n;
CREATE PUBLICATION events FOR TABLE events;
SQL
sql subscriber >/dev/null <<'SQL'
CREATE TABLE events (kind text, n integer PRIMARY KEY, at timestamptz, visitor text);
SELECT create_session_app('events', passive_kinds => '{beat}', conversion_kinds => '{order}');
SELECT track_sessions('events', 'visitor', 'at', 'events', kind => 'kind');
SQL
subscribe events
catch_up
check "without more, rows come and have no session" "100|0|0" \
    "$(sql subscriber -c "SELECT count(*), count(session_id), (SELECT count(*) FROM sessionize.sessions) FROM events")"
sql subscriber -c "SET client_min_messages = warning" -c "CALL backfill_sessions('events')"
check "a backfill gives them one" "100|" "$(sql subscriber -c "SELECT count(session_id) FROM events")|$(wrong subscriber events)"

sql subscriber -c "ALTER TABLE events ENABLE ALWAYS TRIGGER zz_sessionize_assign, ENABLE ALWAYS TRIGGER zz_sessionize_record,
                                      ENABLE ALWAYS TRIGGER zz_sessionize_correct"
send "INSERT INTO events VALUES (1001, 'ann', '2026-02-01 10:00+00', 'view'), (1002, 'ann', '2026-02-01 10:50+00', 'order'), (1003, NULL, '2026-02-01+00', 'view')"
send "INSERT INTO events VALUES (1004, 'ann', '2026-02-01 10:25+00', 'view'), (1005, 'ann', '2026-02-01 11:00+00', 'beat')"
check "with the triggers enabled always, events are assigned, and late ones merge sessions" "1|3|1|1||" \
    "$(sql subscriber -c "SELECT count(*), sum(event_count), sum(passive_count), count(converted_at) FROM sessionize.sessions WHERE visitor = 'ann'")|$(wrong subscriber events)|"
send "BEGIN;
      INSERT INTO events SELECT 2000 + n, 'w' || n % 5, timestamptz '2026-02-01+00' + n * n % 89 * interval '13 minutes', 'view' FROM generate_series(1, 200) AS n;
      SAVEPOINT vain;
      INSERT INTO events VALUES (3000, 'nobody', '2026-02-01+00', 'view');
      ROLLBACK TO vain;
      INSERT INTO events SELECT 3000 + n, 'w' || n % 5, timestamptz '2026-02-01+00' + n * n % 83 * interval '17 minutes', 'view' FROM generate_series(1, 200) AS n;
      COMMIT"
check "transactions of many rows" "400|0|" \
    "$(sql subscriber -c "SELECT count(session_id), count(*) FILTER (WHERE visitor = 'nobody') FROM events WHERE n > 2000")|$(wrong subscriber events)"
send "UPDATE events SET visitor = 'bob', at = at + interval '3 hours' WHERE n IN (1002, 2010, 2011)"
check "rows that the publisher corrects" "1|" \
    "$(sql subscriber -c "SELECT count(converted_at) FROM sessionize.sessions WHERE visitor = 'bob'")|$(wrong subscriber events)"
sessions=$(sql subscriber -c "SELECT count(*) FROM sessionize.sessions")
send "DELETE FROM events WHERE n > 3100"
check "deleted rows leave their sessions" "$sessions" "$(sql subscriber -c "SELECT count(*) FROM sessionize.sessions")"
sql subscriber -c "CREATE TABLE copied (n integer PRIMARY KEY, visitor text, at timestamptz)" \
    -c "SELECT track_sessions('copied', 'visitor', 'at')" \
    -c "ALTER TABLE copied ENABLE ALWAYS TRIGGER zz_sessionize_assign, ENABLE ALWAYS TRIGGER zz_sessionize_record" >/dev/null
sql publisher -c "CREATE TABLE copied AS SELECT n, visitor, at FROM events" -c "ALTER TABLE copied ADD PRIMARY KEY (n)" \
    -c "CREATE PUBLICATION copied FOR TABLE copied"
subscribe copied
catch_up
check "rows that were there when the subscription was made" "t|" \
    "$(sql subscriber -c "SELECT count(session_id) > 300 AND count(*) - count(session_id) = 1 FROM copied")|$(wrong subscriber copied)"

# ---- sessions leave: the publisher assigns, the subscriber follows -----------------------------------------

sql publisher >/dev/null <<'SQL'
CREATE TABLE tracked (n integer PRIMARY KEY, visitor text, at timestamptz);
SELECT track_sessions('tracked', 'visitor', 'at');
CREATE PUBLICATION tracked FOR TABLE tracked;
SQL
sql subscriber -c "CREATE TABLE tracked (n integer PRIMARY KEY, visitor text, at timestamptz, session_id bigint)"
subscribe tracked
for part in 0 1 2; do
    send "INSERT INTO tracked SELECT n, 'v' || n % 2, timestamptz '2026-01-01+00' + n * n % 97 * interval '23 minutes' FROM generate_series(1, 90) AS n WHERE n % 3 = $part"
done
send "UPDATE tracked SET at = at + interval '40 minutes' WHERE n % 4 = 0"
rows="SELECT md5(string_agg(row(n, visitor, at, session_id)::text, ' ' ORDER BY n)) FROM tracked"
check "the subscriber has the publisher's sessions, after merges and corrections too" "$(sql publisher -c "$rows")|" \
    "$(sql subscriber -c "$rows")|$(wrong publisher tracked)"
check "there were merges" t "$(sql publisher -c "SELECT count(*) > 5 FROM sessionize.merged_sessions")"

# ---- session sets ------------------------------------------------------------------------------------------

# Without a key, so that the subscriber finds the rows to change by comparing them whole.
sql publisher -c "CREATE TABLE visits (visitor text, sessions sessionset)" -c "ALTER TABLE visits REPLICA IDENTITY FULL" \
    -c "CREATE PUBLICATION visits FOR TABLE visits"
sql subscriber -c "CREATE TABLE visits (visitor text, sessions sessionset)"
rows="SELECT md5(string_agg(visitor || sessions::text, ' ' ORDER BY visitor)), count(*) FROM visits"
for form in false true; do
    subscribe visits "binary = $form"
    send "INSERT INTO visits SELECT '$form ' || visitor, sessionize(at) FROM tracked GROUP BY visitor"
    send "UPDATE visits SET sessions = (SELECT rollup(sessions) FROM visits)"
    check "session sets, binary = $form" "$(sql publisher -c "$rows")" "$(sql subscriber -c "$rows")"
    sql subscriber -c "ALTER SUBSCRIPTION visits DISABLE" -c "ALTER SUBSCRIPTION visits SET (slot_name = NONE)" -c "DROP SUBSCRIPTION visits" -c "TRUNCATE visits"
    for _ in {1..100}; do
        sql publisher -c "SELECT pg_drop_replication_slot('visits')" >/dev/null 2>&1 && break
        sleep 0.1
    done
    sql publisher -c "DELETE FROM visits"
done

sql subscriber -c "ALTER SUBSCRIPTION events DISABLE" -c "ALTER SUBSCRIPTION copied DISABLE" -c "ALTER SUBSCRIPTION tracked DISABLE"
finish
