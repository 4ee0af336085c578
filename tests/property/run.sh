#!/usr/bin/env bash
# Order does not matter: random histories, each shuffled and split at random into statements, transactions and
# connections, end with the sessions that the aggregates compute from their events. See histories.py.
#
#   tests/property/run.sh      HISTORIES=1200, SEED and BASE choose other ones; a failure prints them
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

histories=${HISTORIES:-1200} seed=${SEED:-$RANDOM} base=${BASE:-$(date +%s)}
fresh_database sessionize_property
sql sessionize_property -f "$ROOT/tests/oracle.sql"
sql sessionize_property <<SQL
CREATE EXTENSION dblink;
CREATE TABLE other AS
SELECT 'dbname=sessionize_property host=$PGHOST port=$PGPORT user=$PGUSER options=-cstatement_timeout=30s' AS connection;
CREATE FUNCTION fails(statement text) RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
    EXECUTE statement;
    RAISE 'the statement should have failed';
EXCEPTION WHEN unique_violation THEN
END \$\$;
SQL

"$ROOT/tests/property/histories.py" "$seed" "$base" "$histories" >"$SCRATCH/histories.sql"
status=0
PGOPTIONS='-c statement_timeout=30s -c client_min_messages=warning' PGTZ=UTC \
    sql sessionize_property -f "$SCRATCH/histories.sql" >"$SCRATCH/output" 2>&1 || status=$?
# what the statements themselves return is of no interest
wrong=$(grep -vE '^([0-9]*|[tf])$' "$SCRATCH/output" || true)
if [ "$status" -ne 0 ] || [ -n "$wrong" ]; then
    head -n 60 <<<"$wrong"
    echo "repeat with: SEED=$seed BASE=$base HISTORIES=$histories tests/property/run.sh"
fi
check "$histories histories, as the aggregates have them" '' "$([ "$status" -eq 0 ] || echo "psql ended with status $status"; cut -d: -f1 <<<"$wrong" | sort -u | head -n 20)"
count() { sql sessionize_property -c "SELECT count(*) > $2 FROM sessionize.$1"; }
check "there were sessions, merges, and events without a session" 'ttt' \
    "$(count sessions "$histories")$(count merged_sessions "$((histories / 4))")$(count unassigned_events 2)"

# The aggregates themselves, of the same events in random order and brought together from parts, against the window query
# and PostgreSQL's own calendar.
sql sessionize_property -f "$ROOT/tests/regress/helper.sql"
sql sessionize_property -v seed="$seed" >"$SCRATCH/aggregates" 2>&1 <<'SQL' || true
CREATE VIEW rules AS
SELECT name, CASE policy WHEN 'midnight' THEN format('sessionize_daily(occurred_at, %L)', time_zone)
                         ELSE format('sessionize(occurred_at, %L, %L)', timeout, boundary) END AS aggregate,
       CASE policy WHEN 'midnight'
           THEN format('SELECT visitor, min(occurred_at), max(occurred_at), count(*) FROM %I WHERE isfinite(occurred_at)
                         GROUP BY visitor, (occurred_at AT TIME ZONE %L)::date', name, time_zone)
           ELSE suite.by_window(quote_ident(name), timeout, boundary) END AS expected
  FROM sessionize.apps;
CREATE VIEW ways AS
SELECT name, way, expected, format('SELECT visitor, span.started_at, span.last_event_at, span.event_count FROM (%s) AS visits, session_spans(sessions) AS span', visits) AS given
  FROM rules, LATERAL (VALUES
       ('shuffled', format('SELECT visitor, %s AS sessions FROM (SELECT * FROM %I ORDER BY random() OFFSET 0) AS events GROUP BY visitor', aggregate, name)),
       ('rolled up', format('SELECT visitor, rollup(part) AS sessions FROM (SELECT visitor, %s AS part FROM %I GROUP BY visitor, hashint8(n) %% 3) AS parts GROUP BY visitor', aggregate, name))
       ) AS made (way, visits);
SELECT setseed(:seed % 32768 / 32768.0) \g /dev/null
SELECT name, way, difference FROM ways, suite.differences(given, expected) AS difference WHERE difference > 0;
SELECT count(*) || ' ways' FROM ways;
SQL
check 'the aggregates make the same of them in any order and in parts' "16 ways" "$(cat "$SCRATCH/aggregates")"

# The oracle itself: it has to notice what is made wrong.
complaints() { sql sessionize_property "$@" -c "SELECT wrong FROM suite.wrong('exclusive') AS wrong"; }
check 'the oracle finds nothing wrong before' '' "$(complaints)"
# notices WHAT STATEMENT PATTERN: after the statement one of the complaints matches the pattern
notices() {
    local found
    found=$(complaints -c BEGIN -c "$2")
    if grep -qE "$3" <<<"$found"; then pass "the oracle notices $1"; else miss "the oracle notices $1: $found"; fi
}
one="WHERE session_id = (SELECT max(session_id) FROM exclusive)"
notices 'a session that is gone' "SET session_replication_role = replica; DELETE FROM sessionize.sessions $one" '^missing: '
notices 'a session that is too long' "UPDATE sessionize.sessions SET last_event_at = last_event_at + '1 microsecond' $one" '^too many: '
notices 'a wrong count' "UPDATE sessionize.sessions SET event_count = event_count + 1 $one" '^session .* counts .* and has '
notices 'a wrong number of passive events' "UPDATE sessionize.sessions SET passive_count = passive_count + 1 $one" '^session .* counts .* and has '
notices 'a wrong next start' "UPDATE sessionize.sessions SET next_started_at = '-infinity' $one" ' knows -infinity as the next start'
notices 'a wrong closing' "UPDATE sessionize.sessions SET closes_at = closes_at + '1 microsecond' $one" ' closes .* instead of '
notices 'a wrong expiry' "UPDATE sessionize.sessions SET expires_at = expires_at - interval '1 second' $one" ' closes .* instead of '
notices 'a wrong fact' "UPDATE sessionize.sessions SET country = 'XX' $one" ' has XX as fact 2,'
notices 'a wrong address' "UPDATE sessionize.sessions SET ip = '10.9.9.9' $one" ' has 10.9.9.9 as fact 1,'
notices 'a wrong cart' "UPDATE sessionize.sessions SET cart_value = 99 $one" ' has 99 as fact 6,'
notices 'a wrong conversion' "UPDATE sessionize.sessions SET converted_at = now() $one" ' was converted at '
notices 'an event of the wrong session' "SET session_replication_role = replica; UPDATE exclusive SET session_id = 1 $one" '^(passive )?event .* carries 1, a session of '
notices 'an event without a session' "SET session_replication_role = replica; UPDATE exclusive SET session_id = NULL $one" '^event .* carries , a session of  '
notices 'a merge into nothing' "UPDATE sessionize.merged_sessions SET survivor = 0" '^merged session .* should live on as 0'
notices 'a visitor that is gone' "DELETE FROM sessionize.visitors" ' no row in visitors: t'
sql postgres -c 'DROP DATABASE sessionize_property WITH (FORCE)'
finish
