#!/usr/bin/env bash
# A database with stored session sets, with objects that depend on the extension, and with sessions that are administered
# survives pg_dump and restore: rights, rules and thresholds of risk, levels set by hand, and dependents too. So does one that
# belongs to somebody who is no superuser.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

sql postgres -c "SET client_min_messages = warning" -c "DROP DATABASE IF EXISTS sessionize_restored" -c "DROP DATABASE IF EXISTS sessionize_dump" \
    -c "DROP DATABASE IF EXISTS sessionize_owned" -c "DROP ROLE IF EXISTS dump_reader, dump_admin, dump_nobody, dump_owner" -c "CREATE ROLE dump_owner LOGIN" -c "CREATE ROLE dump_reader" -c "CREATE ROLE dump_admin" -c "CREATE ROLE dump_nobody"
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
sql sessionize_dump >/dev/null <<'SQL'
CREATE TABLE clicks (visitor text, occurred_at timestamptz);
SELECT create_session_app('shop'), create_session_app('quiet');
SELECT track_sessions('clicks', 'visitor', 'occurred_at', app => 'shop');
INSERT INTO clicks SELECT 'visitor-' || n % 10, now() - n * interval '10 seconds' FROM generate_series(1, 100) AS n;
INSERT INTO clicks SELECT 'bot', now() - interval '5 minutes' + n * interval '0.1 seconds' FROM generate_series(1, 100) AS n;
CREATE TABLE notes (old integer, note text, other bigint, session_id bigint);
CREATE INDEX ON notes (session_id);
SELECT add_session_dependent('notes', 'session_id', 'detach');
ALTER TABLE notes DROP old; -- columns that come later have other numbers in a dump
INSERT INTO notes SELECT visitor, 0, session_id FROM sessionize.sessions;
SELECT grant_session_reader('dump_reader'), grant_session_admin('dump_admin');
UPDATE sessionize.risk_rules SET weight = 77, condition = 'event_count >= 50 AND events_per_minute > 100' WHERE name = 'event rate';
UPDATE sessionize.risk_rules SET enabled = false WHERE name = 'cart value';
UPDATE sessionize.risk_rules SET name = 'in two countries' WHERE name = 'several countries';
INSERT INTO sessionize.risk_rules (name, condition, weight) VALUES ('everybody', 'event_count > 0', 1);
INSERT INTO sessionize.risk_rules (app_id, name, condition, weight) VALUES (sessionize.app_id('quiet'), 'busy address', 'sessions_of_ip_in_a_day > 7', 9);
SELECT set_risk_thresholds('shop', 20, 50, 99), assess_session_risk('shop');
SELECT set_session_risk(session_id, 'restricted', 'seen it') FROM list_sessions('shop', search => 'visitor-3');
SQL

content="SELECT visitor, sessions::text, all_days::text, encode(sessionset_send(sessions), 'hex') FROM visits ORDER BY visitor"
spans="SELECT md5(string_agg(spans::text, '|' ORDER BY visitor, session_number)) FROM spans"
total="SELECT sessions::text FROM total"
rules="SELECT app.name, rule.* FROM sessionize.apps AS app, sessionize.rules_of(app.app_id) AS rule ORDER BY app.name, rule_id"
dependents="SELECT relation, session_id, on_purge, (SELECT count(*) FROM notes JOIN sessionize.sessions USING (session_id)) FROM sessionize.dependents"
thresholds="SELECT name, monitored_from, review_from, restricted_from FROM sessionize.apps ORDER BY name"
levels="SELECT visitor, token, risk, risk_score, risk_reasons, session_id IN (SELECT session_id FROM clicks) FROM sessionize.sessions ORDER BY visitor"
changes="SELECT * FROM sessionize.session_changes ORDER BY change_id"
rights="SELECT what, role, allowed
          FROM unnest('{dump_reader,dump_admin,dump_nobody}'::name[]) AS role,
               LATERAL (SELECT routine::text, has_function_privilege(role, routine, 'EXECUTE') FROM sessionize.functions
                        UNION ALL
                        SELECT concat_ws(' ', privilege, relation.oid::regclass), has_table_privilege(role, relation.oid, privilege)
                          FROM pg_class AS relation, unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) AS privilege
                         WHERE relnamespace = 'sessionize'::regnamespace AND relkind IN ('r', 'v')) AS rights (what, allowed)
         ORDER BY 1, 2"
everything() {
    sql "$1" -c "SET timezone = 'UTC'" -c "$content" -c "$spans" -c "$total" -c "SELECT count(*) FROM visits WHERE session_count(sessions) > 5" \
        -c "$rules" -c "$dependents" -c "$thresholds" -c "$levels" -c "$changes" -c "$rights"
}
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
plain() { pg_dump "$@" sessionize_dump | sql sessionize_restored 2>&1 >/dev/null | tee "$SCRATCH/said"; }
data_later() {
    plain --schema-only
    plain --data-only --disable-triggers
    sql sessionize_restored -c "REFRESH MATERIALIZED VIEW total" -c "ALTER TABLE notes RENAME session_id TO visit" # before anything else has followed the table
    check "a renamed column is followed" visit "$(sql sessionize_restored -c "SELECT session_id FROM sessionize.dependents")"
    sql sessionize_restored -c "ALTER TABLE notes RENAME visit TO session_id"
}
custom() {
    pg_dump --format=custom --file="$SCRATCH/dump" sessionize_dump
    pg_restore --exit-on-error --dbname=sessionize_restored "$SCRATCH/dump"
}
directory() {
    pg_dump --format=directory --jobs=2 --file="$SCRATCH/folder" sessionize_dump
    pg_restore --exit-on-error --jobs=2 --dbname=sessionize_restored "$SCRATCH/folder"
}
check "there are sets to compare" 204 "$(sql sessionize_dump -c "$content" | wc -l)"
check "there are levels of both kinds" "normal|f
restricted|f
review|t" "$(sql sessionize_dump -c "SELECT risk, bool_or(visitor = 'bot') FROM sessionize.sessions GROUP BY risk ORDER BY risk")"
restore "plain dump" plain
check "nothing is said about it" "" "$(cat "$SCRATCH/said")"
restore "dump as INSERT statements" plain --inserts
restore "schema first, then data without triggers" data_later
restore "custom format" custom
restore "directory format, two jobs" directory
pg_dump --file="$SCRATCH/again" sessionize_restored
again() { sql sessionize_restored --file="$SCRATCH/again" >/dev/null; }
restore "a dump of what was restored" again

# What was restored goes on working, for those who had a right to it.
sql sessionize_restored >/dev/null <<'SQL'
INSERT INTO clicks VALUES ('visitor-3', now());
SET ROLE dump_admin;
SELECT assess_session_risk('shop'), set_session_risk(session_id, NULL, 'cleared') FROM list_sessions('shop', search => 'bot');
UPDATE sessionize.risk_rules SET weight = 78 WHERE name = 'event rate';
INSERT INTO sessionize.risk_rules (name, condition, weight) VALUES ('another', 'event_count > 1000', 1);
SQL
check "a restored session goes on, its level set by hand stays" "11|restricted" \
    "$(sql sessionize_restored -c "SET ROLE dump_reader" -c "SELECT event_count, risk FROM list_sessions('shop', search => 'visitor-3')")"
check "who had no rights has none" "no" \
    "$(sql sessionize_restored -c "SET ROLE dump_nobody" -c "SELECT count_sessions()" 2>/dev/null || echo no)"

# The owner of a database restores it, and its sessions go on.
sql postgres -c "CREATE DATABASE sessionize_owned OWNER dump_owner" -c "DROP DATABASE sessionize_restored" \
    -c "CREATE DATABASE sessionize_restored OWNER dump_owner"
owned() { sql sessionize_restored -U dump_owner "$@"; }
sql sessionize_owned -U dump_owner >/dev/null <<'SQL'
CREATE EXTENSION pg_sessionize;
CREATE SCHEMA shop;
CREATE TABLE shop.clicks (visitor text, occurred_at timestamptz);
CREATE TABLE shop.notes (session_id bigint);
CREATE INDEX ON shop.notes (session_id);
SELECT track_sessions('shop.clicks', 'visitor', 'occurred_at'), add_session_dependent('shop.notes', 'session_id');
INSERT INTO shop.clicks SELECT 'visitor-' || n, now() FROM generate_series(1, 100) AS n;
INSERT INTO shop.notes SELECT session_id FROM shop.clicks;
SELECT cancel_session(session_id, 'test') FROM shop.clicks WHERE visitor = 'visitor-1';
UPDATE sessionize.risk_rules SET enabled = false WHERE name = 'event rate';
INSERT INTO sessionize.risk_rules (name, condition, weight) VALUES ('own', 'event_count > 1000', 1);
SELECT count(*) FROM erase_visitor('clicks', 'visitor-2');
SQL
pg_dump -U dump_owner --format=custom --file="$SCRATCH/dump" sessionize_owned
check "the owner restores without an error" "" \
    "$(pg_restore -U dump_owner --no-owner --exit-on-error --dbname=sessionize_restored "$SCRATCH/dump" 2>&1 || echo failed)"
sequences="SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'sessionize' ORDER BY sequencename"
check "sequences go on" "$(sql sessionize_owned -c "$sequences")" "$(owned -c "$sequences")"
owned -c "INSERT INTO shop.clicks SELECT 'new-' || n, now() FROM generate_series(1, 100) AS n"
check "no id is handed out twice" "199|199|0" "$(owned -c "SELECT count(*), count(DISTINCT session_id),
    count(*) FILTER (WHERE visitor LIKE 'new%' AND session_id IN (SELECT session_id FROM shop.notes)) FROM shop.clicks")"

sql postgres -c 'DROP DATABASE sessionize_dump' -c 'DROP DATABASE sessionize_owned' -c 'DROP DATABASE sessionize_restored' -c 'DROP ROLE dump_reader, dump_admin, dump_nobody, dump_owner'
finish
