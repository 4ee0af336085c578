#!/usr/bin/env bash
# Sweeps in a loop while four clients insert for visitors who are just becoming inactive or just coming back.
#
#   SECONDS_EACH=20 tests/purge_life/run.sh     how long
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
duration=${SECONDS_EACH:-20}
database=sessionize_life

fresh_database $database
sql $database <<'SQL'
SELECT create_session_app('life', timeout => '1 minute', grace => '0') \g /dev/null
CREATE TABLE events (visitor text, at timestamptz, received timestamptz);
SELECT track_sessions('events', 'visitor', 'at', app => 'life', received_at => 'received') \g /dev/null
CREATE INDEX ON events (visitor, at);
CREATE TABLE clicks (session_id bigint);
CREATE INDEX ON clicks (session_id);
SELECT add_session_dependent('clicks', 'session_id') \g /dev/null

-- A witness: sees what is committed at the moment in which an event goes.
CREATE TABLE wrongly_deleted (visitor text, at timestamptz);
CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM events WHERE visitor = OLD.visitor AND at > now() - interval '23 hours') THEN
        INSERT INTO wrongly_deleted VALUES (OLD.visitor, OLD.at);
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER witness BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION witness();
SQL

# Visitors whose last event was a day ago, a few seconds more or less, and some who come now; one statement each.
cat >"$SCRATCH/insert.sql" <<'END'
\set who random(1, 3000)
\set other random(1, 3000)
\set seconds random(-3, 10)
INSERT INTO events SELECT 'visitor ' || who, moment, moment FROM (VALUES (:who), (:other)) AS visit (who), (SELECT clock_timestamp() - make_interval(hours => 24, secs => :seconds)) AS instant (moment);
\set who random(1, 12000)
INSERT INTO events SELECT 'visitor ' || :who, moment, moment FROM (SELECT clock_timestamp()) AS instant (moment);
END

touch "$SCRATCH/go_on"
(
    while [ -e "$SCRATCH/go_on" ]; do
        sql $database -c "SET client_min_messages = warning" -c "CALL sweep_inactive_sessions(1, batch_size => 200, pause => '0')" || echo failed
    done
) >"$SCRATCH/sweeps" 2>&1 &
sweeper=$!
pgbench -n -c 4 -j 2 -T "$duration" -f "$SCRATCH/insert.sql" $database >"$SCRATCH/clients" 2>&1 || cat "$SCRATCH/clients"
committed=$(sed -nE 's/^number of transactions actually processed: ([0-9]+).*/\1/p' "$SCRATCH/clients")
rm "$SCRATCH/go_on"
wait $sweeper

query() { sql $database -c "$1"; }
check "no statement failed" "" "$(grep -hiE 'error|aborted|failed' "$SCRATCH/sweeps" "$SCRATCH/clients" | grep -v 'number of failed transactions: 0' || true)"
check "sweeps deleted something" t "$(query "SELECT sum(sessions) > 100 FROM sessionize.purges")"
check "visitors came back" t "$(query "SELECT count(DISTINCT visitor) > 100 FROM events WHERE at > now() - interval '23 hours'")"
check "nobody who came back lost anything" 0 "$(query "SELECT count(*) FROM wrongly_deleted")"
check "no event points to a missing session" 0 \
    "$(query "SELECT count(*) FROM events WHERE session_id IS NULL OR session_id NOT IN (SELECT session_id FROM sessionize.sessions)")"
check "every session has the events that it counts" 0 \
    "$(query "SELECT count(*) FROM sessionize.sessions AS session WHERE event_count <> (SELECT count(*) FROM events WHERE events.session_id = session.session_id)")"
check "every event that was inserted is there or was swept" \
    "$((3 * committed))" "$(query "SELECT (SELECT count(*) FROM events) + (SELECT sum(events) FROM sessionize.purges)")"
check "every session has its visitor, and every visitor a session" 0 \
    "$(query "SELECT count(*) FROM sessionize.sessions FULL JOIN sessionize.visitors USING (app_id, visitor) WHERE session_id IS NULL OR revision IS NULL")"
query "CALL sweep_inactive_sessions(1)"
check "nothing inactive is left in the end" 0 "$(query "SELECT count_inactive_sessions(2)")"
sql postgres -c "DROP DATABASE $database"
finish
