-- Tables whose rows belong to sessions, and what people and dumps do to them.
SET client_min_messages = warning;
CREATE SCHEMA follow;
SET search_path = follow, public;
RESET client_min_messages;
\set SHOW_CONTEXT never
CREATE VIEW attached AS SELECT relation, session_id, on_purge FROM sessionize.attached_tables;

-- A session column that PostgreSQL fills itself cannot be written.
CREATE TABLE numbered (session_id bigint GENERATED ALWAYS AS IDENTITY, doubled bigint GENERATED ALWAYS AS (2) STORED);
SELECT add_session_dependent('numbered', 'session_id');
SELECT add_session_dependent('numbered', 'doubled', 'keep');

-- Each row belongs to sessions in one way: not by two registrations, nor by a partition and the whole.
CREATE TABLE twice (visitor text, at timestamptz, session_id bigint) PARTITION BY RANGE (at);
CREATE TABLE twice_now PARTITION OF twice DEFAULT;
CREATE INDEX ON twice (session_id);
SELECT add_session_dependent('twice', 'session_id');
SELECT add_session_dependent('twice', 'session_id');
SELECT add_session_dependent('twice_now', 'session_id');
SELECT track_sessions('twice', 'visitor', 'at');
SELECT track_sessions('twice_now', 'visitor', 'at');
SELECT remove_session_dependent('twice');
SELECT add_session_dependent('twice_now', 'session_id');
SELECT add_session_dependent('twice', 'session_id');
SELECT track_sessions('twice', 'visitor', 'at');
SELECT remove_session_dependent('twice_now');
SELECT track_sessions('twice', 'visitor', 'at') IS NOT NULL AS tracked;
SELECT add_session_dependent('twice_now', 'session_id');
SELECT untrack_sessions('twice');
SELECT drop_session_app('twice');
DROP TABLE numbered, twice;

-- What must not be null cannot be detached, now or later.
CREATE TABLE strict (visitor text, at timestamptz, session_id bigint NOT NULL);
CREATE INDEX ON strict (session_id);
SELECT track_sessions('strict', 'visitor', 'at', on_purge => 'detach');
ALTER TABLE strict ALTER session_id DROP NOT NULL;
SELECT track_sessions('strict', 'visitor', 'at', on_purge => 'detach') IS NOT NULL AS tracked;
ALTER TABLE strict ALTER session_id SET NOT NULL;
SELECT untrack_sessions('strict');
SELECT add_session_dependent('strict', 'session_id', 'detach');
ALTER TABLE strict ALTER session_id SET NOT NULL;
DROP TABLE strict;
SELECT drop_session_app('strict');

-- Columns change with their type, with a table that is inherited from, and with what they depend on.
CREATE TYPE visit AS (visitor text, at timestamptz, session_id bigint, kind text);
CREATE TABLE typed_events OF visit;
CREATE TABLE typed_notes OF visit;
CREATE INDEX ON typed_notes (session_id);
CREATE TABLE parent (session_id bigint);
CREATE TABLE child (note text) INHERITS (parent);
CREATE INDEX ON child (session_id);
SELECT track_sessions('typed_events', 'visitor', 'at', kind => 'kind') IS NOT NULL AS tracked,
       add_session_dependent('typed_notes', 'session_id'), add_session_dependent('child', 'session_id');
ALTER TYPE visit RENAME ATTRIBUTE session_id TO "Sitzung" CASCADE;
ALTER TABLE parent RENAME session_id TO "Sitzung";
SELECT * FROM attached ORDER BY relation::text;
ALTER TYPE visit ALTER ATTRIBUTE "Sitzung" TYPE text CASCADE;
ALTER TYPE visit DROP ATTRIBUTE kind CASCADE;
SELECT events, visitor, session_id, kind FROM sessionize.tracked_tables;
ALTER TABLE parent DROP "Sitzung" CASCADE;
SELECT * FROM attached ORDER BY relation::text;
INSERT INTO typed_events VALUES ('ann', '2026-01-01');
DROP TYPE visit CASCADE;
SELECT events FROM sessionize.tracked_tables UNION ALL SELECT relation FROM sessionize.dependents;
DROP TABLE parent CASCADE;
CREATE DOMAIN label AS text;
CREATE TABLE labelled (visitor text, at timestamptz, kind label);
SELECT track_sessions('labelled', 'visitor', 'at', kind => 'kind') IS NOT NULL AS tracked;
DROP DOMAIN label CASCADE;
SELECT events, visitor, kind FROM sessionize.tracked_tables;
INSERT INTO labelled VALUES ('bob', '2026-01-01');
DROP TABLE labelled;

-- A table that was restored alone has its triggers, and is tracked again.
CREATE TABLE alone (visitor text, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE alone_now PARTITION OF alone DEFAULT;
SELECT track_sessions('alone', 'visitor', 'at') AS tracking \gset
INSERT INTO alone VALUES ('ann', '2026-01-01');
DELETE FROM sessionize.tracked_tables WHERE tracking_id = :tracking;
SELECT track_sessions('alone', 'visitor', 'at') > :tracking AS tracked_anew;
INSERT INTO alone VALUES ('ann', '2026-01-01 00:10');
INSERT INTO alone_now VALUES ('ann', '2026-01-01 00:20');
SELECT count(*), count(DISTINCT session_id) FROM alone;
DROP TABLE alone;

-- Data of a dump in a schema that has other column numbers, without triggers.
CREATE TABLE restored (gone integer, gone_too integer, session_id bigint, other bigint);
ALTER TABLE restored DROP gone, DROP gone_too;
CREATE INDEX ON restored (session_id);
SELECT add_session_dependent('restored', 'session_id');
SET session_replication_role = replica;
UPDATE sessionize.dependents SET column_number = 4, mapped_relation = 1;
RESET session_replication_role;
ALTER TABLE restored ADD note text;
SELECT * FROM attached;
SET session_replication_role = replica;
UPDATE sessionize.dependents SET session_id = 'missing', mapped_relation = 1;
CREATE TABLE elsewhere ();
RESET session_replication_role;
ALTER TABLE elsewhere ADD note text;
ALTER TABLE restored DROP note;
SELECT * FROM attached;
-- What is gone is left out.
INSERT INTO sessionize.dependents (relation, session_id, on_purge) VALUES (1::regclass, 'session_id', 'delete'), ('restored', 'session_id', 'delete');
SELECT * FROM attached;
SELECT add_session_dependent(1::regclass, 'session_id');
DROP TABLE restored, elsewhere;

-- Ids of another time: no new session gets one of them, whatever it would take along.
CREATE TABLE stale_events (visitor text, at timestamptz, session_id bigint);
CREATE TABLE stale_notes (session_id bigint);
CREATE INDEX ON stale_notes (session_id);
SELECT last_value AS latest FROM sessionize.session_ids \gset
INSERT INTO stale_events SELECT 'old', '2026-01-01', :latest + n FROM generate_series(1, 10) AS n;
INSERT INTO stale_notes SELECT :latest + n FROM generate_series(1, 20) AS n;
SELECT add_session_dependent('stale_notes', 'session_id');
SELECT last_value - :latest AS raised FROM sessionize.session_ids;
SELECT track_sessions('stale_events', 'visitor', 'at') IS NOT NULL AS tracked;
INSERT INTO stale_events VALUES ('new', '2026-01-01');
SELECT visitor, count(DISTINCT session_id), min(session_id) > :latest + 20 AS above FROM stale_events GROUP BY visitor ORDER BY visitor;
SELECT sessions, events, dependents FROM erase_visitor('stale_events', 'new');
SELECT count(*) FROM stale_notes;
UPDATE follow.stale_events AS event SET session_id = NULL WHERE NOT EXISTS (SELECT FROM sessionize.sessions AS known WHERE known.session_id = public.resolve_session(event.session_id));
SELECT count(session_id) FROM stale_events;
INSERT INTO stale_events VALUES ('new', '2026-01-01');
SELECT untrack_sessions('stale_events'), track_sessions('stale_events', 'visitor', 'at') IS NOT NULL AS tracked;
UPDATE stale_notes SET session_id = 9223372036854775807;
SELECT remove_session_dependent('stale_notes');
SELECT add_session_dependent('stale_notes', 'session_id');

SET client_min_messages = warning;
DROP SCHEMA follow CASCADE;
SELECT drop_session_app(name) FROM sessionize.apps WHERE name IN ('typed_events', 'labelled', 'alone', 'stale_events') \g /dev/null
TRUNCATE sessionize.purges;
