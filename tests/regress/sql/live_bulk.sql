-- Many new sessions in one statement: they go in as a load puts them in, or, where somebody has added to the table what
-- only the executor respects, by a statement.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
\set oracle :folder /../oracle.sql
\i :oracle

CREATE EXTENSION amcheck;
CREATE TABLE bulk (who text, at timestamptz);
SELECT track_sessions('bulk', 'who', 'at') IS NOT NULL AS tracked;
CREATE FUNCTION bulk_indexes() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM bt_index_check(indexrelid, true) FROM pg_index WHERE indrelid = 'sessionize.sessions'::regclass;
    RETURN 'the indexes hold what the table holds';
END $$;
CREATE FUNCTION bulk_sessions(like_who text) RETURNS TABLE (sessions bigint, events numeric, tokens bigint) LANGUAGE sql AS $$
    SELECT count(*), sum(event_count), count(DISTINCT token) FILTER (WHERE token ~ '^[A-Za-z0-9_-]{16}$')
      FROM sessionize.sessions WHERE app_id = (SELECT app_id FROM sessionize.apps WHERE name = 'bulk') AND visitor LIKE like_who
$$;

-- More than are entered into the indexes at once, in an order that is that of no index, with names beyond ASCII and
-- a long one.
INSERT INTO bulk
SELECT format('ž-%s', number * 7919 % 20011), now() - number % 40 * interval '7 minutes' FROM generate_series(1, 9000) AS number;
INSERT INTO bulk VALUES (repeat('long ', 100), now()), ('', now()), ('short', now());
SELECT * FROM bulk_sessions('ž-%');
SELECT bulk_indexes();
SELECT count(*) AS without_session FROM bulk LEFT JOIN sessionize.sessions USING (session_id) WHERE sessions.session_id IS NULL;
SELECT * FROM suite.wrong('bulk');

-- The same visitors again: nobody gets a second session.
INSERT INTO bulk SELECT who, at + interval '1 second' FROM bulk;
SELECT * FROM bulk_sessions('ž-%');
SELECT * FROM suite.wrong('bulk');

-- More visitors than the connection remembers, each of whom comes back after 30,000 others: no id is drawn in vain.
CREATE TABLE bulk_crowd (who integer, at timestamptz);
SELECT track_sessions('bulk_crowd', 'who', 'at') IS NOT NULL AS tracked;
SELECT nextval('sessionize.session_ids') AS last_id \gset
INSERT INTO bulk_crowd
SELECT who, now() + step * interval '1 millisecond'
  FROM generate_series(1, 140000) AS who, LATERAL (VALUES (who), (who + 30000)) AS steps (step) ORDER BY step;
SELECT count(*), min(event_count), max(event_count), nextval('sessionize.session_ids') - 1 - :last_id AS drawn
  FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'bulk_crowd';
SELECT untrack_sessions('bulk_crowd'), drop_session_app('bulk_crowd');
DROP TABLE bulk_crowd;

-- What fails half-way leaves nothing.
\set VERBOSITY terse
CREATE UNIQUE INDEX bulk_only_once ON sessionize.sessions (visitor) WHERE visitor LIKE 'once-%';
INSERT INTO bulk SELECT format('once-%s', number % 900), now() - number / 900 * interval '3 hours' FROM generate_series(1, 1000) AS number;
SELECT * FROM bulk_sessions('once-%');
SELECT bulk_indexes();
DROP INDEX sessionize.bulk_only_once;
\set VERBOSITY default

-- An index of expressions, and one that is no B-tree.
CREATE INDEX bulk_upper ON sessionize.sessions (upper(visitor)) WHERE event_count > 0;
CREATE INDEX bulk_hash ON sessionize.sessions USING hash (visitor);
INSERT INTO bulk SELECT format('indexed-%s', number), now() FROM generate_series(1, 1000) AS number;
SET enable_seqscan = off;
SELECT count(*) FROM sessionize.sessions WHERE upper(visitor) = 'INDEXED-77' AND event_count > 0;
SELECT count(*) FROM sessionize.sessions WHERE visitor = 'indexed-77';
RESET enable_seqscan;
DROP INDEX sessionize.bulk_upper, sessionize.bulk_hash;

-- Triggers, constraints and columns of others.
CREATE TABLE bulk_seen (visitor text);
CREATE FUNCTION bulk_see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.bulk_seen VALUES (NEW.visitor); RETURN NULL; END $$;
CREATE TRIGGER bulk_see AFTER INSERT ON sessionize.sessions FOR EACH ROW EXECUTE FUNCTION bulk_see();
INSERT INTO bulk SELECT format('seen-%s', number), now() FROM generate_series(1, 1000) AS number;
SELECT count(*) FROM bulk_seen;
DROP TRIGGER bulk_see ON sessionize.sessions;
\set VERBOSITY terse
ALTER TABLE sessionize.sessions ADD CONSTRAINT bulk_refused CHECK (visitor <> 'refused-77');
INSERT INTO bulk SELECT format('refused-%s', number), now() FROM generate_series(1, 1000) AS number;
SELECT * FROM bulk_sessions('refused-%');
ALTER TABLE sessionize.sessions DROP CONSTRAINT bulk_refused;
\set VERBOSITY default
BEGIN;
ALTER TABLE sessionize.sessions ADD COLUMN bulk_note text;
ALTER TABLE sessionize.sessions ALTER COLUMN bulk_note SET DEFAULT 'new';
INSERT INTO bulk SELECT format('noted-%s', number), now() FROM generate_series(1, 1000) AS number;
SELECT bulk_note, count(*) FROM sessionize.sessions WHERE visitor LIKE 'noted-%' GROUP BY bulk_note;
ROLLBACK;

-- In a transaction that sees one moment, and in a part of one that is rolled back.
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO bulk SELECT format('serial-%s', number), now() FROM generate_series(1, 1000) AS number;
SAVEPOINT part;
INSERT INTO bulk SELECT format('undone-%s', number), now() FROM generate_series(1, 1000) AS number;
ROLLBACK TO part;
INSERT INTO bulk SELECT format('serial-%s', number), now() + interval '1 second' FROM generate_series(1, 1000) AS number;
COMMIT;
SELECT * FROM bulk_sessions('serial-%');
SELECT * FROM bulk_sessions('undone-%');
SELECT bulk_indexes();
SELECT * FROM suite.wrong('bulk');

-- A session's row that is no longer where it was seen: moved by an update, by the table being written anew, and gone.
INSERT INTO bulk VALUES ('moving', now());
INSERT INTO bulk VALUES ('moving', now());
UPDATE sessionize.sessions SET order_ref = repeat('x', 100) WHERE visitor = 'moving';
INSERT INTO bulk VALUES ('moving', now());
DELETE FROM bulk WHERE who <> 'moving';
DELETE FROM sessionize.sessions WHERE visitor <> 'moving' AND app_id = (SELECT app_id FROM sessionize.apps WHERE name = 'bulk');
VACUUM FULL sessionize.sessions;
INSERT INTO bulk VALUES ('moving', now());
SELECT * FROM bulk_sessions('moving');
SELECT * FROM suite.wrong('bulk');

DROP TABLE bulk, bulk_seen;
SELECT drop_session_app('bulk');
DROP FUNCTION bulk_see(), bulk_indexes(), bulk_sessions(text);
DROP EXTENSION amcheck;
