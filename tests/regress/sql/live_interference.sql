-- Triggers and rules of users that touch, refuse or rename what is being put into sessions: no event is lost, every id
-- resolves, and no event counts for somebody else.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
\set oracle :folder /../oracle.sql
\i :oracle
SELECT create_session_app('meddled') > 0 AS made;

CREATE FUNCTION meddle(events regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM track_sessions(events, 'visitor', 'at', 'meddled');
END $$;
-- The rows of a table with the sessions that their ids lead to, numbered in order of their first events.
CREATE FUNCTION look(events regclass) RETURNS TABLE (n int, visitor text, session bigint, is_own boolean) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('
        SELECT event.n, event.visitor, dense_rank() OVER (ORDER BY session.started_at, session.session_id), session.visitor = event.visitor
          FROM %s AS event LEFT JOIN sessionize.sessions AS session ON session.session_id = resolve_session(event.session_id)
         ORDER BY event.n', events);
END $$;

-- A table that takes no updates: an event between two sessions makes one of them, and all events stay
CREATE TABLE appended (n int, visitor text, at timestamptz);
SELECT meddle('appended');
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER swallow BEFORE UPDATE ON appended FOR EACH ROW EXECUTE FUNCTION swallow();
INSERT INTO appended VALUES (1, 'ann', '2026-01-01 10:00+00');
INSERT INTO appended VALUES (2, 'ann', '2026-01-01 10:50+00');
INSERT INTO appended VALUES (3, 'ann', '2026-01-01 10:25+00');
SELECT * FROM look('appended');
-- … within one statement, too
INSERT INTO appended VALUES (4, 'bob', '2026-01-01 10:00+00'), (5, 'bob', '2026-01-01 10:50+00'), (6, 'bob', '2026-01-01 10:25+00');
SELECT * FROM look('appended');
-- … and where a rule does away with updates
ALTER TABLE appended DISABLE TRIGGER swallow;
CREATE RULE nothing AS ON UPDATE TO appended DO INSTEAD NOTHING;
INSERT INTO appended VALUES (7, 'cat', '2026-01-01 10:00+00');
INSERT INTO appended VALUES (8, 'cat', '2026-01-01 10:50+00');
INSERT INTO appended VALUES (9, 'cat', '2026-01-01 10:25+00');
SELECT * FROM look('appended') WHERE visitor = 'cat';
SELECT visitor, event_count FROM sessionize.sessions WHERE app_id = sessionize.app_id('meddled') ORDER BY visitor;
SELECT untrack_sessions('appended');

-- A trigger that updates each row as soon as it is in: sessions are written into the rows where they are by then
CREATE TABLE touched (n int, visitor text, at timestamptz, seen boolean);
SELECT meddle('touched');
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE touched SET seen = true WHERE n = NEW.n; RETURN NULL; END $$;
CREATE TRIGGER touch AFTER INSERT ON touched FOR EACH ROW EXECUTE FUNCTION touch();
INSERT INTO touched VALUES (1, 'dee', '2026-01-01 10:00+00'), (2, 'dee', '2026-01-01 10:50+00'), (3, 'dee', '2026-01-01 10:25+00');
SELECT * FROM look('touched');
SELECT count(DISTINCT session_id) AS ids FROM touched;
SELECT * FROM suite.wrong('meddled', 'dee');
DROP TABLE touched;

-- A trigger after ours that says whose event it is: it counts for them alone, also when the first one's session is known
CREATE TABLE renamed (n int, visitor text, at timestamptz);
SELECT meddle('renamed');
INSERT INTO renamed VALUES (1, 'eve', '2026-01-01 10:00+00');
CREATE FUNCTION rename() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.visitor := 'fay'; RETURN NEW; END $$;
CREATE TRIGGER zzz BEFORE INSERT ON renamed FOR EACH ROW EXECUTE FUNCTION rename();
INSERT INTO renamed VALUES (2, 'eve', '2026-01-01 10:01+00');
INSERT INTO renamed VALUES (3, 'eve', '2026-01-01 10:02+00'), (4, 'eve', '2026-01-01 10:03+00');
INSERT INTO renamed VALUES (5, 'new', '2026-01-01 10:04+00');
DROP TRIGGER zzz ON renamed;
INSERT INTO renamed VALUES (6, 'new', '2026-01-01 10:05+00'), (7, 'eve', '2026-01-01 10:06+00');
SELECT * FROM look('renamed');
SELECT suite.wrong('meddled', known) FROM unnest('{eve,fay,new}'::text[]) AS known;
DROP TABLE renamed;

-- Names that the column finds equal belong to different visitors all the same
CREATE COLLATION either_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE cased (n int, visitor text COLLATE either_case, at timestamptz);
SELECT meddle('cased');
INSERT INTO cased VALUES (1, 'gil', '2026-01-01 10:00+00'), (2, 'Gil', '2026-01-01 10:10+00'), (3, 'Gil', '2026-01-01 12:00+00');
SELECT rebuild_sessions('meddled', 'gil');
UPDATE cased SET at = at + interval '1 minute' WHERE n = 2;
SELECT visitor COLLATE "C" AS visitor, event_count, started_at AT TIME ZONE 'UTC' AS started_at
  FROM sessionize.sessions WHERE lower(visitor) = 'gil' ORDER BY visitor COLLATE "C" DESC, started_at;
DROP TABLE cased;
DROP COLLATION either_case;

-- A session given by hand beside an update is no sign of a row that moved: there are no partitions
CREATE TABLE upserted (n int PRIMARY KEY, visitor text, at timestamptz);
SELECT meddle('upserted');
INSERT INTO upserted VALUES (1, 'hal', '2026-01-01 10:00+00');
SELECT session_id FROM upserted \gset
DELETE FROM upserted;
INSERT INTO upserted (n, visitor, at, session_id) VALUES (2, 'ida', '2026-01-01 10:00+00', :session_id)
    ON CONFLICT (n) DO UPDATE SET at = excluded.at;
SELECT * FROM look('upserted');
SELECT visitor, event_count FROM sessionize.sessions WHERE visitor IN ('hal', 'ida') ORDER BY visitor;
SELECT * FROM suite.wrong('meddled', 'ida');
DROP TABLE upserted;

-- Tables that inherit from a tracked one keep what ids they hold
CREATE TABLE parent (n int, visitor text, at timestamptz);
SELECT meddle('parent');
CREATE TABLE archive () INHERITS (parent);
INSERT INTO parent VALUES (1, 'jan', '2026-01-01 10:00+00'), (2, 'jan', '2026-01-01 10:50+00');
INSERT INTO archive SELECT * FROM parent;
INSERT INTO parent VALUES (3, 'jan', '2026-01-01 10:25+00');
SELECT count(DISTINCT session_id) AS in_parent, (SELECT count(DISTINCT session_id) FROM archive) AS in_archive FROM ONLY parent;
DROP TABLE parent CASCADE;

-- A dependent with one row for each session: where both sessions have one, both stay, and the absorbed id resolves
CREATE TABLE single (n int, visitor text, at timestamptz);
SELECT meddle('single');
CREATE TABLE remark (session_id bigint PRIMARY KEY, remark text);
SELECT add_session_dependent('remark', 'session_id');
INSERT INTO single VALUES (1, 'kim', '2026-01-01 10:00+00'), (2, 'kim', '2026-01-01 10:50+00'), (3, 'kim', '2026-01-01 11:40+00');
INSERT INTO remark SELECT session_id, 'of ' || n FROM single WHERE n < 3;
INSERT INTO single VALUES (4, 'kim', '2026-01-01 10:25+00');
INSERT INTO single VALUES (5, 'kim', '2026-01-01 11:15+00');
SELECT remark, resolve_session(session_id) = (SELECT session_id FROM single WHERE n = 1) AS resolves FROM remark ORDER BY remark;
SELECT count(DISTINCT session_id) AS sessions FROM single;
SELECT * FROM suite.wrong('meddled', 'kim');
DROP TABLE remark, single;

-- What a merge's triggers do with sessions counts in statistics as it does elsewhere
CREATE TABLE watched (n int, visitor text, at timestamptz);
SELECT meddle('watched');
INSERT INTO watched VALUES (1, 'lea', '2026-01-01 10:00+00'), (2, 'max', '2026-01-01 10:00+00'), (3, 'max', '2026-01-01 10:50+00');
SELECT refresh_statistics() IS NOT NULL AS refreshed;
CREATE FUNCTION sell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM convert_session(session_id) FROM watched WHERE visitor = 'lea';
    RETURN NULL;
END $$;
CREATE TRIGGER sell AFTER UPDATE ON watched FOR EACH STATEMENT EXECUTE FUNCTION sell();
INSERT INTO watched VALUES (4, 'max', '2026-01-01 10:25+00');
SELECT converted FROM sessionize.app_statistics WHERE app = 'meddled';
SELECT refresh_statistics() IS NOT NULL AS refreshed;
SELECT converted FROM sessionize.app_statistics WHERE app = 'meddled';
DROP TABLE watched;

-- Without the trigger that settles, nothing is kept that would have no session
CREATE TABLE crippled (n int, visitor text, at timestamptz);
SELECT meddle('crippled');
ALTER TABLE crippled DISABLE TRIGGER zz_sessionize_settle;
SET client_min_messages = error; -- PostgreSQL warns of what the statement left open
INSERT INTO crippled VALUES (1, 'ned', '2026-01-01 10:00+00');
RESET client_min_messages;
SELECT count(*) FROM crippled;
ALTER TABLE crippled ENABLE TRIGGER zz_sessionize_settle;
-- Triggers of other names go with the tracking, too
ALTER TRIGGER zz_sessionize_assign ON crippled RENAME TO mine;
SELECT untrack_sessions('crippled');
INSERT INTO crippled VALUES (1, 'ned', '2026-01-01 10:00+00');
SELECT tgname FROM pg_trigger WHERE tgrelid = 'crippled'::regclass;
-- A trigger for another command is none of ours
CREATE TRIGGER begins BEFORE DELETE ON crippled FOR EACH STATEMENT EXECUTE FUNCTION begin_sessions(0);
DELETE FROM crippled;
DROP TABLE crippled;

-- An error with a long text, from a trigger that fires in a part of the transaction of our own
CREATE TABLE loud (n int, visitor text, at timestamptz);
SELECT meddle('loud');
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no more visitors' USING DETAIL = repeat('x', 3000000); END $$;
CREATE TRIGGER shout BEFORE INSERT ON sessionize.visitors FOR EACH ROW EXECUTE FUNCTION shout();
DO $$
DECLARE
    message text;
    detail text;
BEGIN
    INSERT INTO loud SELECT n, 'v' || n, '2026-01-01+00' FROM generate_series(1, 100) AS n;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    RAISE NOTICE '% %', message, length(detail);
END $$;
DROP TRIGGER shout ON sessionize.visitors;
DROP TABLE loud;

DROP FUNCTION shout, sell, rename, touch, look, meddle;
DROP TABLE appended;
DROP FUNCTION swallow;
DELETE FROM sessionize.sessions WHERE app_id = sessionize.app_id('meddled');
SELECT drop_session_app('meddled');
