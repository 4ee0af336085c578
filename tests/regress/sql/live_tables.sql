-- Tables of every kind, and what people do to them while events arrive.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
\set oracle :folder /../oracle.sql
\i :oracle
SET client_min_messages = warning;
CREATE SCHEMA house;
SET search_path = house, public;

-- What an application has, and what is wrong with it.
CREATE FUNCTION look(app text) RETURNS TABLE (events bigint, assigned bigint, sessions bigint, wrong text) LANGUAGE sql AS $$
    SELECT (SELECT count(*) FROM suite.events_of(app)), (SELECT count(session_id) FROM suite.events_of(app)), count(session_id),
           (SELECT string_agg(wrong, E'\n') FROM suite.wrong(app) AS wrong)
      FROM sessionize.apps LEFT JOIN sessionize.sessions USING (app_id) WHERE name = app
$$;
CREATE FUNCTION stop(tracked regclass, app text) RETURNS text LANGUAGE sql AS $$
    SELECT untrack_sessions(tracked);
    SELECT drop_session_app(app);
    SELECT 'nothing is left' WHERE NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = tracked AND NOT tgisinternal);
$$;

-- Visitors of any scalar type are kept as text
CREATE DOMAIN member AS bigint CHECK (VALUE > 0);
CREATE TYPE team AS ENUM ('red', 'blue');
CREATE FUNCTION try_type(type text, one text, other text) RETURNS TABLE (visitors text[], wrong text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE typed (visitor %s, at timestamptz)', type);
    EXECUTE format('INSERT INTO typed VALUES (%L, ''2026-01-01 00:00+00''), (%L, ''2026-01-01 00:00+00'')', one, other);
    PERFORM track_sessions('typed', 'visitor', 'at');
    EXECUTE format('INSERT INTO typed VALUES (%L, ''2026-01-01 10:00+00''), (%L, ''2026-01-01 10:29+00''), (NULL, ''2026-01-01 10:00+00'')', one, other);
    EXECUTE format('INSERT INTO typed VALUES (%L, ''2026-01-01 10:10+00''), (%L, ''2026-01-01 11:29+00'')', one, other);
    DELETE FROM typed WHERE session_id IS NULL AND visitor IS NOT NULL;
    -- a correction reads all of the visitor's rows again
    EXECUTE format('UPDATE typed SET at = ''2026-01-01 10:59+00'' WHERE visitor::text = %L::%s::text AND at = ''2026-01-01 11:29+00''', other, type);
    visitors := (SELECT array_agg(DISTINCT format('%s: %s', visitor, event_count) ORDER BY format('%s: %s', visitor, event_count))
                   FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'typed');
    wrong := (SELECT string_agg(w, E'\n') FROM suite.wrong('typed') AS w);
    PERFORM untrack_sessions('typed');
    PERFORM drop_session_app('typed');
    DROP TABLE typed;
    RETURN NEXT;
END $$;
SET datestyle = 'ISO';
SELECT type, tried.* FROM (VALUES
    ('smallint', '-7', '8'), ('integer', '0', '-2147483648'), ('bigint', '9223372036854775807', '1'), ('numeric', '1.50', '1.5'),
    ('text', 'Žofie', ''), ('varchar(5)', 'ab', 'ab '), ('char(4)', 'ab', 'c'), ('name', 'Ab', 'ab'), ('uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12'),
    ('inet', '10.0.0.0/8', '10.0.0.1'), ('macaddr', '08:00:2b:01:02:03', '08:00:2b:01:02:04'), ('bytea', '\x00ff', '\x'), ('boolean', 'true', 'false'),
    ('date', '2026-01-01', '2026-01-02'), ('oid', '1', '4294967295'), ('double precision', '0.1', '1e300'),
    ('member', '7', '8'), ('team', 'red', 'blue')) AS types (type, one, other), LATERAL try_type(type, one, other) AS tried;

-- Names that need quotes, in a schema whose name does too
CREATE SCHEMA "Odd ""Place""";
CREATE TABLE "Odd ""Place"""."Weird Events" ("Visitor ID" text, "When?" timestamptz, "a'b" text, "The Session" bigint);
SELECT track_sessions('"Odd ""Place"""."Weird Events"', 'Visitor ID', 'When?', 'Weird ''App''', kind => 'a''b', session_id => 'The Session');
SELECT create_session_app('Weird ''App''', conversion_kinds => '{"it''s"}') > 0 AS made;
SELECT track_sessions('"Odd ""Place"""."Weird Events"', 'Visitor ID', 'When?', 'Weird ''App''', kind => 'a''b', session_id => 'The Session') > 0 AS tracked;
INSERT INTO "Odd ""Place"""."Weird Events" VALUES ('Ann', '2026-01-01 10:00+00', 'it''s'), ('Ann', '2026-01-01 11:00+00', NULL), ('ann', '2026-01-01 10:00+00', NULL);
INSERT INTO "Odd ""Place"""."Weird Events" VALUES ('Ann', '2026-01-01 10:29+00', NULL), ('Ann', '2026-01-01 10:40+00', NULL);
UPDATE "Odd ""Place"""."Weird Events" SET "Visitor ID" = 'Ann' WHERE "Visitor ID" = 'ann';
SELECT * FROM look('Weird ''App''');
SELECT indexdef FROM pg_indexes WHERE tablename = 'Weird Events';
SELECT stop('"Odd ""Place"""."Weird Events"', 'Weird ''App''');
DROP SCHEMA "Odd ""Place""" CASCADE;

-- Generated and identity columns, also as what is mapped
CREATE TABLE made_up (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text, visitor text GENERATED ALWAYS AS (lower(email)) STORED,
    seconds bigint, at timestamptz GENERATED ALWAYS AS (to_timestamp(1767225600 + seconds)) STORED);
SELECT track_sessions('made_up', 'visitor', 'at') > 0 AS tracked;
INSERT INTO made_up (email, seconds) VALUES ('Ann@example.com', 0), ('ann@EXAMPLE.com', 1799), ('bob@example.com', 0), ('ann@example.com', 3599);
INSERT INTO made_up (email, seconds) VALUES ('Ann@example.com', 1800);
SELECT * FROM look('made_up');
SELECT visitor, event_count FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'made_up' ORDER BY visitor;
SELECT stop('made_up', 'made_up');
DROP TABLE made_up;

-- Partitions: through the parent, straight into one, with other column orders, attached and made later
CREATE TABLE parted (at timestamptz NOT NULL, region text, visitor text, note text) PARTITION BY RANGE (at);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01+00') TO ('2026-02-01+00');
CREATE TABLE parted_2 (gone integer, visitor text, note text, at timestamptz NOT NULL, gone_too text, region text) PARTITION BY LIST (region);
ALTER TABLE parted_2 DROP COLUMN gone, DROP COLUMN gone_too;
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM ('2026-02-01+00') TO ('2026-03-01+00');
CREATE TABLE parted_2_eu PARTITION OF parted_2 FOR VALUES IN ('eu');
CREATE TABLE parted_2_us (visitor text, region text, at timestamptz NOT NULL, note text);
ALTER TABLE parted_2 ATTACH PARTITION parted_2_us FOR VALUES IN ('us');
SELECT track_sessions('parted', 'visitor', 'at') > 0 AS tracked;
INSERT INTO parted (at, region, visitor) VALUES
    ('2026-01-31 23:59+00', 'eu', 'ann'), ('2026-02-01 00:01+00', 'us', 'ann'), ('2026-02-01 00:20+00', 'eu', 'ann'),
    ('2026-02-05 12:00+00', 'eu', 'bob'), ('2026-02-05 12:50+00', 'us', 'bob');
SELECT * FROM look('parted');
INSERT INTO parted_2_us (at, region, visitor) VALUES ('2026-02-05 12:25+00', 'us', 'bob'), ('2026-02-05 13:19+00', 'us', 'bob'), ('2026-02-09 10:00+00', 'us', 'cat');
SELECT * FROM look('parted');
INSERT INTO parted_2 (at, region, visitor) VALUES ('2026-02-09 10:10+00', 'us', 'cat'), ('2026-02-09 10:20+00', 'eu', 'cat');
COPY parted_1 (at, region, visitor) FROM stdin;
2026-01-31 23:35+00	eu	ann
2026-01-31 22:35+00	eu	ann
2026-01-31 23:05+00	eu	ann
\.
SELECT * FROM look('parted');
CREATE TABLE parted_3 (visitor text, at timestamptz NOT NULL, note text, region text, session_id bigint);
INSERT INTO parted_3 VALUES ('dee', '2026-03-01 00:01+00', '', 'eu');
SELECT session_id FROM parted_3;
DELETE FROM parted_3;
ALTER TABLE parted ATTACH PARTITION parted_3 FOR VALUES FROM ('2026-03-01+00') TO ('2026-04-01+00');
CREATE TABLE parted_rest PARTITION OF parted DEFAULT;
INSERT INTO parted_3 VALUES ('dee', '2026-03-31 23:59+00', '', 'eu');
INSERT INTO parted_rest (visitor, at) VALUES ('dee', '2026-04-01 00:02+00');
INSERT INTO parted (visitor, at) VALUES ('dee', '2026-03-31 23:40+00'), ('dee', '2026-04-01 00:40+00'), ('dee', '2026-04-01 00:20+00');
SELECT * FROM look('parted');
-- a row that moves to another partition is not a new event
UPDATE parted SET region = 'us', note = 'moved' WHERE region = 'eu' AND at >= '2026-02-01+00';
SELECT * FROM look('parted');
UPDATE parted SET at = at + interval '1 month' WHERE visitor = 'ann';
SELECT * FROM look('parted');
UPDATE parted_2_us SET visitor = 'eve' WHERE visitor = 'bob';
SELECT * FROM look('parted');
-- (what was corrected to a visitor without sessions counts as arrived on time: those of eve have expired)
INSERT INTO parted SELECT at + interval '5 minutes', 'us', visitor FROM parted WHERE visitor <> 'eve';
SELECT * FROM look('parted');
SELECT suite.complaint($$SELECT track_sessions('parted_3', 'visitor', 'at')$$);
-- a partition that leaves takes its events along, and they keep their sessions
ALTER TABLE parted DETACH PARTITION parted_3;
INSERT INTO parted_3 VALUES ('fay', '2026-03-31 23:59+00', '', 'eu') RETURNING session_id;
SELECT count(session_id) > 0 AS kept FROM parted_3;
DROP TABLE parted_3;
SELECT stop('parted', 'parted');
DROP TABLE parted;

-- Inheritance: the triggers are those of the table that was named
CREATE TABLE ancestor (visitor text, at timestamptz);
CREATE TABLE heir (extra text) INHERITS (ancestor);
SELECT track_sessions('ancestor', 'visitor', 'at') > 0 AS tracked;
INSERT INTO ancestor VALUES ('ann', '2026-01-01 10:00+00');
INSERT INTO heir VALUES ('ann', '2026-01-01 10:10+00') RETURNING session_id;
SELECT rebuild_sessions('ancestor', 'ann');
CALL backfill_sessions('ancestor');
SELECT tableoid::regclass, at, session_id IS NOT NULL AS has_session FROM ancestor;
DELETE FROM heir;
SELECT * FROM look('ancestor');
SELECT stop('ancestor', 'ancestor');
DROP TABLE ancestor CASCADE;

-- Columns added, dropped, renamed and retyped between two inserts of one connection
CREATE TABLE changing (junk text, visitor integer, at timestamptz, source text, what text);
SELECT create_session_app('changing', passive_kinds => '{beat}') > 0 AS made;
SELECT track_sessions('changing', 'visitor', 'at', kind => 'what', channel => 'source') > 0 AS tracked;
PREPARE arrive AS INSERT INTO changing (visitor, at) VALUES ($1, $2);
EXECUTE arrive (1, '2026-01-01 10:00+00');
ALTER TABLE changing DROP COLUMN junk;
EXECUTE arrive (1, '2026-01-01 10:10+00');
ALTER TABLE changing ADD COLUMN extra text DEFAULT 'x', ADD COLUMN more integer;
EXECUTE arrive (1, '2026-01-01 10:20+00');
ALTER TABLE changing RENAME COLUMN visitor TO who;
INSERT INTO changing (who, at, source) VALUES (1, '2026-01-01 10:30+00', 'mail');
SELECT visitor, occurred_at, kind, channel FROM sessionize.tracked_tables WHERE events = 'changing'::regclass;
ALTER TABLE changing RENAME COLUMN at TO happened;
ALTER TABLE changing RENAME COLUMN session_id TO visit;
ALTER TABLE changing RENAME COLUMN what TO kind;
INSERT INTO changing (who, happened, kind) VALUES (1, '2026-01-01 11:20+00', 'view'), (1, '2026-01-01 10:50+00', 'view'), (1, '2026-01-01 10:59+00', 'beat');
SELECT * FROM look('changing');
UPDATE changing SET happened = happened + interval '1 hour' WHERE happened = '2026-01-01 11:20+00';
SELECT * FROM look('changing');
ALTER TABLE changing DROP COLUMN source;
SELECT visitor, occurred_at, session_id, kind, channel FROM sessionize.tracked_tables WHERE events = 'changing'::regclass;
INSERT INTO changing (who, happened, kind) VALUES (1, '2026-01-01 11:55+00', 'beat');
-- what events cannot do without
SELECT suite.complaint($$ALTER TABLE changing ALTER COLUMN who TYPE text$$);
SELECT suite.complaint($$ALTER TABLE changing ALTER COLUMN visit TYPE numeric$$);
SELECT suite.complaint($$ALTER TABLE changing ALTER COLUMN happened TYPE timestamp$$);
SELECT suite.complaint($$ALTER TABLE changing DROP COLUMN who$$);
SELECT suite.complaint($$ALTER TABLE changing DROP COLUMN happened$$);
SELECT suite.complaint($$ALTER TABLE changing DROP COLUMN visit$$);
INSERT INTO changing (who, happened, kind) VALUES (2, '2026-01-01 12:29+00', 'view');
-- (the session keeps what a column said that was dropped, until it is worked out again)
SELECT rebuild_sessions('changing', '1');
SELECT * FROM look('changing');
SELECT visitor, event_count FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'changing' ORDER BY visitor, started_at;

-- A table renamed, moved to another schema, given to another name in the same place
CREATE TABLE moving (visitor text, at timestamptz);
SELECT track_sessions('moving', 'visitor', 'at') > 0 AS tracked;
INSERT INTO moving VALUES ('ann', '2026-01-01 10:00+00');
ALTER TABLE moving RENAME TO moved;
INSERT INTO moved VALUES ('ann', '2026-01-01 10:10+00');
CREATE SCHEMA elsewhere;
ALTER TABLE moved SET SCHEMA elsewhere;
INSERT INTO elsewhere.moved VALUES ('ann', '2026-01-01 11:00+00');
CREATE TABLE moving (visitor text, at timestamptz, session_id bigint);
INSERT INTO moving VALUES ('ann', '2026-01-01 10:10+00');
ALTER SCHEMA elsewhere RENAME TO "Else Where";
INSERT INTO "Else Where".moved VALUES ('ann', '2026-01-01 10:35+00');
SELECT * FROM look('moving');
SELECT events FROM sessionize.tracked_tables JOIN sessionize.apps USING (app_id) WHERE name = 'moving';
TRUNCATE "Else Where".moved;
SELECT count(*) AS sessions FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'moving';
DROP TABLE moving;

-- A table that is dropped is tracked no more, whichever way it goes
CREATE TABLE dropped (visitor text, at timestamptz);
CREATE TABLE brought (session_id bigint);
CREATE INDEX ON brought (session_id);
SELECT track_sessions('dropped', 'visitor', 'at', 'moving') > 0 AS tracked;
INSERT INTO dropped VALUES ('bob', '2026-01-01 10:00+00');
CALL backfill_sessions('dropped');
SELECT add_session_dependent('brought', 'session_id');
SELECT count(*) AS known FROM sessionize.progress WHERE process = 'backfill' AND subject ~ 'dropped';
CREATE SCHEMA next_door;
CREATE TABLE next_door.dropped ();
DROP TABLE next_door.dropped;
CREATE TABLE next_door.dropped (visitor text, at timestamptz);
SELECT track_sessions('next_door.dropped', 'visitor', 'at', 'moving') > 0 AS tracked;
SELECT current_setting('search_path') AS before \gset
SET search_path = next_door, public;
CALL backfill_sessions('dropped');
SET search_path = :before;
SELECT subject FROM sessionize.progress WHERE process = 'backfill' AND subject ~ 'dropped' ORDER BY subject;
DROP SCHEMA next_door CASCADE;
SELECT count(*) AS still_known FROM sessionize.progress WHERE process = 'backfill' AND subject ~ 'dropped';
DROP TABLE dropped, brought;
SELECT count(*) AS left_behind FROM sessionize.progress WHERE process = 'backfill' AND subject ~ 'dropped';
SELECT count(*) AS left_behind FROM sessionize.attached_tables WHERE relation::text ~ 'dropped|brought';
SELECT count(*) AS left_behind FROM sessionize.dependents WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = relation);
SELECT events FROM sessionize.tracked_tables JOIN sessionize.apps USING (app_id) WHERE name = 'moving';
CREATE TABLE dropped (visitor text, at timestamptz);
INSERT INTO dropped VALUES ('bob', '2026-01-01 10:00+00');
DROP TABLE dropped;
DROP SCHEMA "Else Where" CASCADE;
SELECT count(*) AS left_behind FROM sessionize.tracked_tables JOIN sessionize.apps USING (app_id) WHERE name = 'moving';
SELECT drop_session_app('moving');
SELECT count(*) AS left_behind FROM sessionize.sessions WHERE app_id NOT IN (SELECT app_id FROM sessionize.apps);

-- Two tables feed one application, and a merge reaches the rows of both
CREATE TABLE pages (visitor integer, at timestamptz);
CREATE TABLE clicks (at timestamptz, who text, session bigint);
SELECT create_session_app('site') > 0 AS made;
SELECT track_sessions('pages', 'visitor', 'at', 'site') > 0 AS pages, track_sessions('clicks', 'who', 'at', 'site', session_id => 'session') > 0 AS clicks;
INSERT INTO pages VALUES (1, '2026-01-01 10:00+00'), (2, '2026-01-01 10:00+00');
INSERT INTO clicks VALUES ('2026-01-01 10:50+00', '1'), ('2026-01-01 10:10+00', '2'), ('2026-01-01 10:55+00', '1');
SELECT * FROM look('site');
INSERT INTO pages VALUES (1, '2026-01-01 10:25+00');
SELECT * FROM look('site');
UPDATE pages SET visitor = 2 WHERE at = '2026-01-01 10:25+00';
SELECT * FROM look('site');
DROP TABLE clicks;
SELECT stop('pages', 'site');
DROP TABLE pages;

-- Unlogged tables may be tracked; a temporary one, a view and the like may not: see live_errors
CREATE UNLOGGED TABLE brief (visitor text, at timestamptz);
SELECT track_sessions('brief', 'visitor', 'at') > 0 AS tracked;
INSERT INTO brief VALUES ('ann', '2026-01-01 10:00+00'), ('ann', '2026-01-01 10:10+00');
SELECT * FROM look('brief');
SELECT stop('brief', 'brief');
-- an index on the session column that is there already is enough; a partial one is not
CREATE TABLE indexed (visitor text, at timestamptz, session_id bigint);
CREATE INDEX indexed_already ON indexed (session_id, at);
SELECT track_sessions('indexed', 'visitor', 'at') > 0 AS tracked;
SELECT count(*) AS indexes FROM pg_indexes WHERE tablename = 'indexed';
SELECT stop('indexed', 'indexed');
DROP INDEX indexed_already;
CREATE INDEX indexed_in_part ON indexed (session_id) WHERE at > '2026-01-01+00';
SELECT track_sessions('indexed', 'visitor', 'at') > 0 AS tracked;
SELECT count(*) AS indexes FROM pg_indexes WHERE tablename = 'indexed';
SELECT stop('indexed', 'indexed');

SELECT stop('changing', 'changing');
RESET search_path;
DROP SCHEMA house CASCADE;
