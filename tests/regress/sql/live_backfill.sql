-- Rows of all kinds of tables get their sessions, and keep all else: a backfill writes plain tables without the executor,
-- and all others with it.
\getenv folder PG_ABS_SRCDIR
\set oracle :folder /../oracle.sql
\i :oracle
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET client_min_messages = warning;

CREATE FUNCTION upper_kind(kind text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper(kind)';
CREATE TABLE seen (id integer, session_id bigint);
CREATE FUNCTION note_seen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO seen VALUES (NEW.id, NEW.session_id);
    RETURN NEW;
END $$;
CREATE TABLE people (person text PRIMARY KEY);
INSERT INTO people SELECT 'v' || n FROM generate_series(0, 12) AS n;

-- Each shape is a table "shaped" with more to it, made by a statement. What is told: rows without session, what is wrong with
-- sessions, rows of which something else changed, and rows that the index of sessions does not find.
CREATE FUNCTION backfill_shape(shape text, change text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE shaped (gone integer, id integer, visitor text, at timestamptz, kind text, note text, session_id bigint);
    ALTER TABLE shaped ALTER COLUMN note SET STORAGE EXTERNAL;
    INSERT INTO shaped (gone, id, visitor, at, kind, note)
    SELECT n, n, 'v' || n % 13, timestamptz '2026-01-02+00' + n * n % 4001 * interval '7 minutes', 'view',
           CASE WHEN n % 50 = 0 THEN repeat(n::text, 3000) WHEN n % 3 = 0 THEN 'note ' || n END
      FROM generate_series(1, 700) AS n;
    EXECUTE change;
    PERFORM track_sessions('shaped', 'visitor', 'at');
    CREATE TABLE kept AS SELECT id, visitor, at, kind, note FROM shaped;
END $$;
CREATE FUNCTION tell_shape() RETURNS TABLE (assigned bigint, wrong bigint, changed bigint, not_found bigint)
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY
    SELECT (SELECT count(session_id) FROM shaped), (SELECT count(*) FROM suite.wrong('shaped')),
           (SELECT count(*) FROM (SELECT id, visitor, at, kind, note FROM shaped EXCEPT ALL TABLE kept) AS other),
           (SELECT count(*) FROM (SELECT DISTINCT session_id FROM kept JOIN shaped USING (id)) AS given
             WHERE given.session_id IS NOT NULL
               AND (SELECT count(*) FROM shaped AS s WHERE s.session_id = given.session_id)
                   <> (SELECT event_count FROM sessionize.sessions AS s WHERE s.session_id = given.session_id));
    DROP TABLE shaped, kept;
    PERFORM drop_session_app('shaped');
    TRUNCATE seen;
END $$;

-- The executor, where a trigger, a constraint, a rule or an index has a say
SELECT backfill_shape('a trigger for each row', 'CREATE TRIGGER note_seen AFTER UPDATE ON shaped FOR EACH ROW EXECUTE FUNCTION note_seen()');
CALL backfill_sessions('shaped');
SELECT count(*) AS seen FROM seen JOIN shaped USING (id, session_id);
SELECT * FROM tell_shape();
SELECT backfill_shape('a trigger of the session alone', 'CREATE TRIGGER note_seen BEFORE UPDATE OF session_id ON shaped FOR EACH ROW EXECUTE FUNCTION note_seen()');
CALL backfill_sessions('shaped');
SELECT count(*) AS seen FROM seen JOIN shaped USING (id, session_id);
SELECT * FROM tell_shape();
SELECT backfill_shape('a generated column', 'ALTER TABLE shaped ADD COLUMN twice bigint GENERATED ALWAYS AS (session_id * 2) STORED');
CALL backfill_sessions('shaped');
SELECT count(*) AS doubled FROM shaped WHERE twice = 2 * session_id;
SELECT * FROM tell_shape();
SELECT backfill_shape('a constraint', 'ALTER TABLE shaped ADD CHECK (session_id > 0)');
CALL backfill_sessions('shaped');
SELECT * FROM tell_shape();
SELECT backfill_shape('a foreign key', 'ALTER TABLE shaped ADD FOREIGN KEY (visitor) REFERENCES people');
CALL backfill_sessions('shaped');
SELECT * FROM tell_shape();
SELECT backfill_shape('an index of an expression and one of some rows',
    'CREATE INDEX ON shaped (upper_kind(kind), session_id); CREATE INDEX shaped_assigned ON shaped (id) WHERE session_id IS NOT NULL');
CALL backfill_sessions('shaped');
SET enable_seqscan = off;
SELECT count(*) AS found FROM shaped WHERE id > 0 AND session_id IS NOT NULL;
RESET enable_seqscan;
SELECT * FROM tell_shape();
SELECT backfill_shape('no index of the session', 'CREATE INDEX shaped_id ON shaped (id)');
DROP INDEX shaped_session_id_idx;
CALL backfill_sessions('shaped');
SELECT * FROM tell_shape();
SELECT backfill_shape('a constraint that fails', 'ALTER TABLE shaped ADD CHECK (session_id < 0)');
\set VERBOSITY terse
CALL backfill_sessions('shaped');
SELECT * FROM tell_shape();

-- Without the executor
SELECT backfill_shape('nothing more', 'SELECT');
CALL backfill_sessions('shaped');
SELECT * FROM tell_shape();
SELECT backfill_shape('a trigger of another column', 'CREATE TRIGGER note_seen AFTER UPDATE OF note ON shaped FOR EACH ROW EXECUTE FUNCTION note_seen()');
CALL backfill_sessions('shaped');
SELECT count(*) AS seen FROM seen;
SELECT * FROM tell_shape();
SELECT backfill_shape('columns that came and went', 'ALTER TABLE shaped DROP COLUMN gone; ALTER TABLE shaped ADD COLUMN added text NOT NULL DEFAULT ''new''; ALTER TABLE shaped ADD COLUMN empty text');
CALL backfill_sessions('shaped');
SELECT count(*) AS added FROM shaped WHERE added = 'new' AND empty IS NULL;
SELECT * FROM tell_shape();
SELECT backfill_shape('indexes of other columns', 'ALTER TABLE shaped ADD PRIMARY KEY (id); CREATE INDEX ON shaped (visitor, at) INCLUDE (session_id, kind); CREATE INDEX ON shaped USING brin (at); CREATE INDEX ON shaped USING hash (kind)');
CALL backfill_sessions('shaped');
SET enable_seqscan = off;
SELECT count(*) AS found FROM shaped WHERE visitor = 'v3' AND session_id IS NOT NULL;
SELECT count(*) AS found FROM shaped WHERE kind = 'view';
SELECT count(*) AS found FROM generate_series(1, 700) AS n JOIN LATERAL (SELECT id FROM shaped WHERE id = n) AS one ON true;
RESET enable_seqscan;
SELECT * FROM tell_shape();
SELECT backfill_shape('some rows have their sessions already', 'SELECT');
DO $$ BEGIN PERFORM sessionize.backfill_blocks(tracking_id, events, 2, 4, false) FROM sessionize.tracked_tables WHERE events = 'shaped'::regclass; END $$;
SELECT count(session_id) BETWEEN 1 AND 699 AS half_way FROM shaped;
CALL backfill_sessions('shaped');
SELECT * FROM tell_shape();

-- At REPEATABLE READ, too
SELECT backfill_shape('one moment', 'SELECT');
SET default_transaction_isolation = 'repeatable read';
CALL backfill_sessions('shaped');
RESET default_transaction_isolation;
SELECT * FROM tell_shape();

-- A row that would have to move to another partition is refused, as by any UPDATE of the partition alone
CREATE TABLE split (visitor text, at timestamptz, session_id bigint) PARTITION BY LIST (session_id);
CREATE TABLE split_none PARTITION OF split FOR VALUES IN (NULL);
CREATE TABLE split_some PARTITION OF split DEFAULT;
INSERT INTO split VALUES ('ann', '2026-01-02 10:00+00');
SELECT track_sessions('split', 'visitor', 'at') > 0 AS tracked;
CALL backfill_sessions('split');
SELECT count(*) FROM split_none;
DROP TABLE split;
SELECT drop_session_app('split');

DROP FUNCTION backfill_shape, tell_shape, note_seen, upper_kind;
DROP TABLE seen, people;
