#!/usr/bin/env bash
# Never two sessions for one visit: eight clients insert events of the same 200 visitors at once, in any order of visitors
# and of time, for a minute (LOAD_SECONDS). Nobody fails or deadlocks, and what is stored then is what the aggregates say.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

seconds=${LOAD_SECONDS:-60}
fresh_database sessionize_load
sql sessionize_load -f "$ROOT/tests/oracle.sql"
sql sessionize_load >/dev/null <<'SQL'
CREATE TABLE events (n bigint PRIMARY KEY, visitor integer, at timestamptz, kind text, country text);
CREATE SEQUENCE numbers CACHE 100;
SELECT create_session_app('load', passive_kinds => '{beat}', conversion_kinds => '{order}');
SELECT track_sessions('events', 'visitor', 'at', 'load', kind => 'kind', country => 'country');
-- Time passes so fast that a visitor's next event lies about half a timeout ahead: most extend a session, some open the next.
CREATE TABLE epoch AS SELECT clock_timestamp() AS began;
CREATE FUNCTION clock() RETURNS timestamptz VOLATILE LANGUAGE sql
    RETURN timestamptz '2020-01-01+00' + (clock_timestamp() - (SELECT began FROM epoch)) * 20000;
SQL

# As it happens: one row, or a few visitors at once, each out of order by up to 40 minutes.
cat >"$SCRATCH/one" <<'SQL'
INSERT INTO events VALUES (nextval('numbers'), random() * 199, clock(), 'view');
SQL
cat >"$SCRATCH/several" <<'SQL'
INSERT INTO events
SELECT nextval('numbers'), random() * 199, clock() - random() * interval '40 minutes',
       (ARRAY['view', 'view', 'beat', 'order'])[1 + (random() * 3)::integer], CASE WHEN random() < 0.3 THEN 'CZ' END
FROM generate_series(1, (random() * 20)::integer);
SQL
# What comes much later bridges sessions of long ago, which get denser and denser.
cat >"$SCRATCH/anywhere" <<'SQL'
INSERT INTO events
SELECT nextval('numbers'), random() * 199, timestamptz '2019-10-01+00' + random() * interval '60 days', 'view'
FROM generate_series(1, (random() * 20)::integer);
SQL
# A batch that was sent before, with something new in it.
cat >"$SCRATCH/again" <<'SQL'
INSERT INTO events
SELECT * FROM (SELECT n, visitor, at, kind, country FROM events WHERE n > (SELECT max(n) FROM events) * random() LIMIT 5) AS before
UNION ALL
SELECT nextval('numbers'), random() * 199, clock(), 'view', NULL
ON CONFLICT (n) DO NOTHING;
SQL

deadlocks="SELECT deadlocks FROM pg_stat_database WHERE datname = 'sessionize_load'"
before=$(sql postgres -c "$deadlocks")
status=0
pgbench --no-vacuum --protocol=prepared --client=8 --jobs=2 --time="$seconds" \
    --file="$SCRATCH/one@5" --file="$SCRATCH/several@3" --file="$SCRATCH/anywhere@2" --file="$SCRATCH/again@1" \
    sessionize_load >"$SCRATCH/output" 2>&1 || status=$?
grep -E '^(tps|number of transactions actually|number of failed)|rror|abort' "$SCRATCH/output" || true
check 'no client failed' '0 0' "$status $(grep -ciE 'error|abort' "$SCRATCH/output" || true)"
sleep 1 # the last client reports its statistics as it leaves
check 'no deadlock' "$before" "$(sql postgres -c "$deadlocks")"
sql sessionize_load -c "SELECT count(*) || ' events, ' || (SELECT count(*) FROM sessionize.sessions) || ' sessions, '
    || (SELECT count(*) FROM sessionize.merged_sessions) || ' merges' FROM events"
check 'there was something to merge' t "$(sql sessionize_load -c 'SELECT count(*) > 100 FROM sessionize.merged_sessions')"
check 'sessions and events are as the aggregates have them' '' "$(sql sessionize_load -c "SELECT * FROM suite.wrong('load')")"
sql sessionize_load -c 'CREATE EXTENSION amcheck'
check 'the indexes of sessions agree with their table' '' "$(sql sessionize_load 2>&1 \
    -c "SELECT bt_index_check(indexrelid, true) FROM pg_index WHERE indrelid = 'sessionize.sessions'::regclass" | sed '/^$/d')"
sql postgres -c 'DROP DATABASE sessionize_load'
finish
