#!/usr/bin/env bash
# A database with stored session sets, and with objects that depend on the extension, survives pg_dump and restore.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

fresh_database sessionize_dump
sql sessionize_dump <<'SQL'
CREATE TABLE visits (visitor integer PRIMARY KEY, sessions sessionset, all_days sessionset[]);
INSERT INTO visits
SELECT visitor, sessionize(at, '10 minutes', 'inclusive'), ARRAY[sessionize_daily(at, 'Europe/Prague'), NULL]
FROM (SELECT visitor, timestamptz '2026-01-01+00' + abs(hashint8(visitor * 100000 + n)) % 3000000 * interval '1 second' AS at
      FROM generate_series(1, 200) AS visitor, generate_series(1, 50) AS n) AS events
GROUP BY visitor;
INSERT INTO visits SELECT 0, sessionize(timestamptz '2000-01-01+00' + n * interval '1 hour'), '{}' FROM generate_series(1, 20000) AS n;
INSERT INTO visits VALUES (-1, NULL, NULL),
    (-2, '{"version":1,"policy":"timeout","timeout_microseconds":1,"boundary":"exclusive","sessions":[]}', NULL),
    (-3, (SELECT sessionize(at) FROM (VALUES (timestamptz '4714-11-24 00:00:00+00 BC'), ('294276-12-31 23:59:59.999999+00')) AS e (at)), NULL);
CREATE VIEW spans AS SELECT visitor, span.* FROM visits, session_spans(sessions) AS span;
CREATE MATERIALIZED VIEW total AS SELECT rollup(sessions) AS sessions FROM visits WHERE visitor > 0;
CREATE INDEX ON visits (session_count(sessions));
SQL

content="SELECT visitor, sessions::text, all_days::text, encode(sessionset_send(sessions), 'hex') FROM visits ORDER BY visitor"
spans="SELECT md5(string_agg(spans::text, '|' ORDER BY visitor, session_number)) FROM spans"
total="SELECT sessions::text FROM total"
everything() { sql "$1" -c "SET timezone = 'UTC'" -c "$content" -c "$spans" -c "$total" -c "SELECT count(*) FROM visits WHERE session_count(sessions) > 5"; }
before=$(everything sessionize_dump)

# restore WHAT COMMAND…: runs the command, which fills the empty database sessionize_restored, and compares.
restore() {
    local what=$1
    shift
    sql postgres -c "SET client_min_messages = warning" -c "DROP DATABASE IF EXISTS sessionize_restored" \
        -c "CREATE DATABASE sessionize_restored"
    "$@"
    check "$what" "$(md5sum <<<"$before")" "$(everything sessionize_restored | md5sum)"
}
plain() { pg_dump "$@" sessionize_dump | sql sessionize_restored >/dev/null; }
custom() {
    pg_dump --format=custom --file="$SCRATCH/dump" sessionize_dump
    pg_restore --exit-on-error --dbname=sessionize_restored "$SCRATCH/dump"
}
directory() {
    pg_dump --format=directory --jobs=2 --file="$SCRATCH/folder" sessionize_dump
    pg_restore --exit-on-error --jobs=2 --dbname=sessionize_restored "$SCRATCH/folder"
}
check "there is something to compare" 207 "$(wc -l <<<"$before")"
restore "plain dump" plain
restore "dump as INSERT statements" plain --inserts
restore "custom format" custom
restore "directory format, two jobs" directory
pg_dump --file="$SCRATCH/again" sessionize_restored
again() { sql sessionize_restored --file="$SCRATCH/again" >/dev/null; }
restore "a dump of what was restored" again

sql postgres -c 'DROP DATABASE sessionize_dump' -c 'DROP DATABASE sessionize_restored'
finish
