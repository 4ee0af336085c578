-- Exactly once: rows that did not go in leave no trace, and sending a batch again changes nothing.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
\set oracle :folder /../oracle.sql
\i :oracle

CREATE TABLE sent (n bigint PRIMARY KEY, visitor text, at timestamptz, kind text);
SELECT create_session_app('sent', passive_kinds => '{beat}') > 0 AS made;
SELECT track_sessions('sent', 'visitor', 'at', kind => 'kind') > 0 AS tracked;

-- All that is stored about the application, without what differs from run to run.
CREATE VIEW stored AS
SELECT concat_ws(' ', 'session', visitor, token, started_at, last_event_at, closes_at, expires_at, next_started_at, event_count,
                 passive_count, late_count) AS what
  FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'sent'
UNION ALL SELECT concat_ws(' ', 'event', n, session_id) FROM sent
UNION ALL SELECT concat_ws(' ', 'visitor', visitor) FROM sessionize.visitors JOIN sessionize.apps USING (app_id) WHERE name = 'sent'
UNION ALL SELECT concat_ws(' ', 'merged', absorbed, survivor) FROM sessionize.merged_sessions JOIN sessionize.apps USING (app_id) WHERE name = 'sent'
UNION ALL SELECT concat_ws(' ', 'unassigned', reason, sum(event_count)) FROM sessionize.unassigned_events JOIN sessionize.apps USING (app_id)
           WHERE name = 'sent' GROUP BY reason;
CREATE TABLE before (what text);
CREATE PROCEDURE keep() LANGUAGE sql AS $$ DELETE FROM before; INSERT INTO before SELECT what FROM stored $$;
CREATE FUNCTION trace() RETURNS TABLE (differences bigint, wrong text) LANGUAGE sql AS $$
    SELECT suite.differences('TABLE stored', 'TABLE before'), (SELECT string_agg(wrong, E'\n') FROM suite.wrong('sent') AS wrong)
$$;

INSERT INTO sent VALUES (1, 'ann', '2026-01-01 10:00+00', 'view'), (2, 'ann', '2026-01-01 10:40+00', 'view'), (3, 'bob', '2026-01-01 10:00+00', 'view'),
                        (4, NULL, '2026-01-01 10:00+00', 'view'), (5, 'ann', 'infinity', 'view'), (6, 'bob', '2026-01-01 10:10+00', 'beat');
CALL keep();
SELECT count(*) FROM before;

-- Rolled back: an event that opens, extends, precedes, bridges, and has no session; merges; passive events
BEGIN;
INSERT INTO sent VALUES (11, 'ann', '2026-01-01 10:20+00');
INSERT INTO sent VALUES (12, 'bob', '2026-01-01 10:20+00', 'view'), (13, 'bob', '2026-01-01 09:40+00', 'view'), (14, 'cat', '2026-01-01 09:40+00', 'view'), (15, NULL, NULL, NULL),
                        (16, 'bob', '2026-01-01 10:01+00', 'beat');
INSERT INTO sent VALUES (17, 'cat', '2026-01-01 09:50+00');
SELECT differences > 0 AS differs, wrong FROM trace();
ROLLBACK;
SELECT * FROM trace();
-- what the connection remembers of it is forgotten: the same visitors again
INSERT INTO sent VALUES (17, 'cat', '2026-01-01 09:50+00'), (18, 'bob', '2026-01-01 10:35+00');
SELECT differences > 0 AS differs, wrong FROM trace();
CALL keep();

-- Savepoints: rolled back, released, nested
BEGIN;
INSERT INTO sent VALUES (21, 'dee', '2026-01-01 10:00+00');
CALL keep();
SAVEPOINT one;
INSERT INTO sent VALUES (22, 'dee', '2026-01-01 10:20+00'), (23, 'eve', '2026-01-01 10:20+00');
SAVEPOINT two;
INSERT INTO sent VALUES (24, 'dee', '2026-01-01 10:40+00'), (25, 'ann', '2026-01-01 10:20+00'), (26, 'eve', '2026-01-01 10:20+00');
RELEASE two;
ROLLBACK TO one;
SELECT * FROM trace();
INSERT INTO sent VALUES (24, 'dee', '2026-01-01 10:40+00'), (26, 'eve', '2026-01-01 10:20+00');
RELEASE one;
COMMIT;
SELECT differences > 0 AS differs, wrong FROM trace();
CALL keep();

-- A statement that fails at its last row: a duplicate, a constraint, a value that cannot be read, COPY
SELECT suite.complaint($$INSERT INTO sent VALUES (31, 'fay', '2026-01-01 10:00+00'), (32, 'ann', '2026-01-01 10:20+00'), (1, 'fay', '2026-01-01 10:00+00')$$);
SELECT * FROM trace();
SELECT suite.complaint($$INSERT INTO sent SELECT 30 + n, 'fay', timestamptz '2026-01-01+00' + 10 / (10 - n) * interval '1 hour' FROM generate_series(1, 10) AS n$$);
SELECT * FROM trace();
COPY sent (n, visitor, at) FROM stdin;
31	fay	2026-01-01 10:00+00
32	ann	2026-01-01 10:20+00
33	ann	not an instant
\.
SELECT * FROM trace();
-- a deferred constraint fails when the transaction ends
ALTER TABLE sent ADD CONSTRAINT once UNIQUE (n) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE sent DROP CONSTRAINT sent_pkey;
INSERT INTO sent VALUES (31, 'fay', '2026-01-01 10:00+00'), (1, 'ann', '2026-01-01 10:20+00');
SELECT * FROM trace();
ALTER TABLE sent DROP CONSTRAINT once, ADD PRIMARY KEY (n);
-- the same rows are welcome afterwards, and the connection goes on
INSERT INTO sent VALUES (31, 'fay', '2026-01-01 10:00+00'), (32, 'fay', '2026-01-01 10:20+00');
SELECT differences > 0 AS differs, wrong FROM trace();
CALL keep();

-- A statement that is caught in a function after other statements of it
CREATE FUNCTION try_twice() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sent VALUES (41, 'gus', '2026-01-01 10:00+00');
    BEGIN
        INSERT INTO sent VALUES (42, 'gus', '2026-01-01 10:20+00'), (43, 'hal', '2026-01-01 10:20+00'), (1, 'gus', '2026-01-01 10:20+00');
    EXCEPTION WHEN unique_violation THEN
        INSERT INTO sent VALUES (44, 'gus', '2026-01-01 10:45+00'), (45, 'hal', '2026-01-01 10:20+00');
    END;
    INSERT INTO sent VALUES (46, 'gus', '2026-01-01 11:00+00');
END $$;
SELECT try_twice();
SELECT differences AS events_and_sessions, wrong FROM trace();
CALL keep();
-- … within a statement on the same table
CREATE FUNCTION risky() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.kind = 'risky' THEN
        INSERT INTO sent VALUES (NEW.n + 100, NEW.visitor, NEW.at + interval '20 minutes'), (NEW.n + 100, 'nobody', NEW.at);
    END IF;
    RETURN NEW;
EXCEPTION WHEN unique_violation THEN
    NEW.kind := 'tried';
    RETURN NEW;
END $$;
CREATE TRIGGER risky BEFORE INSERT ON sent FOR EACH ROW EXECUTE FUNCTION risky();
INSERT INTO sent VALUES (51, 'ian', '2026-01-01 10:00+00', 'risky'), (52, 'ian', '2026-01-01 10:29+00', 'view'), (53, 'ian', '2026-01-01 11:30+00', 'risky');
SELECT differences AS events_and_sessions, wrong FROM trace();
SELECT n, kind FROM sent WHERE visitor IN ('ian', 'nobody') ORDER BY n;
CREATE OR REPLACE TRIGGER risky AFTER INSERT ON sent FOR EACH ROW EXECUTE FUNCTION risky();
CALL keep();
INSERT INTO sent VALUES (54, 'joe', '2026-01-01 10:00+00', 'risky'), (55, 'joe', '2026-01-01 10:29+00', 'view'), (56, 'joe', '2026-01-01 11:30+00', 'risky');
SELECT differences AS events_and_sessions, wrong FROM trace();
DROP TRIGGER risky ON sent;
CALL keep();

-- Rows that a trigger of the user takes out after ours
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE WHEN NEW.kind = 'no' THEN NULL ELSE NEW END;
END $$;
CREATE TRIGGER zzz_refuse BEFORE INSERT ON sent FOR EACH ROW EXECUTE FUNCTION refuse();
INSERT INTO sent VALUES (61, 'kim', '2026-01-01 10:00+00', 'no'), (62, 'ann', '2026-01-01 10:20+00', 'no'), (63, 'kim', '2026-01-01 10:00+00', 'no');
SELECT * FROM trace();
INSERT INTO sent VALUES (64, 'kim', '2026-01-01 10:00+00', 'no'), (65, 'kim', '2026-01-01 10:20+00', 'yes'), (66, 'ann', '2026-01-01 10:20+00', 'no');
SELECT differences AS events_and_sessions, wrong FROM trace();
INSERT INTO sent VALUES (67, 'kim', '2026-01-01 10:30+00', 'no');
INSERT INTO sent VALUES (68, 'kim', '2026-01-01 10:55+00', 'yes');
SELECT wrong FROM trace();
SELECT count(DISTINCT session_id) AS sessions FROM sent WHERE visitor = 'kim';
DROP TRIGGER zzz_refuse ON sent;
CALL keep();

-- A batch is sent again: all of it, in another order, with one new row
CREATE TABLE batch AS SELECT 100 + n AS n, 'v' || n % 5 AS visitor, timestamptz '2026-01-02+00' + n * n % 37 * interval '13 minutes' AS at FROM generate_series(1, 60) AS n;
INSERT INTO sent SELECT * FROM batch WHERE n <= 140;
CALL keep();
INSERT INTO sent SELECT * FROM batch WHERE n <= 140 ON CONFLICT DO NOTHING;
SELECT * FROM trace();
INSERT INTO sent SELECT * FROM batch WHERE n <= 140 ORDER BY at DESC ON CONFLICT (n) DO NOTHING;
SELECT * FROM trace();
INSERT INTO sent SELECT * FROM batch ORDER BY at DESC ON CONFLICT (n) DO NOTHING;
SELECT differences > 0 AS differs, wrong FROM trace();
CALL keep();
MERGE INTO sent USING batch ON sent.n = batch.n WHEN NOT MATCHED THEN INSERT (n, visitor, at) VALUES (batch.n, batch.visitor, batch.at);
SELECT * FROM trace();

-- A cursor whose rows insert as they are fetched
BEGIN;
CREATE FUNCTION send_lazily(low integer, high integer) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE
    current integer;
BEGIN
    FOR current IN low..high LOOP
        INSERT INTO sent VALUES (1000 + current, 'lea', timestamptz '2026-01-03+00' + current * interval '20 minutes');
        RETURN NEXT current;
    END LOOP;
END $$;
DECLARE lazy CURSOR FOR SELECT send_lazily(1, 4);
FETCH 2 FROM lazy;
CLOSE lazy;
COMMIT;
SELECT wrong FROM trace();

-- Many statements that fail within one transaction leave no memory behind, neither PostgreSQL's nor ours: each looks for a
-- visitor whom nobody knows.
CREATE FUNCTION megabytes() RETURNS numeric LANGUAGE sql
    RETURN (regexp_match(pg_read_file('/proc/self/status'), 'RssAnon:\s+(\d+) kB'))[1]::numeric / 1024;
CREATE PROCEDURE fail(times integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR attempt IN 1..times LOOP
        BEGIN
            INSERT INTO sent VALUES (1, 'nobody', now());
        EXCEPTION WHEN unique_violation THEN
        END;
    END LOOP;
END $$;
BEGIN;
CALL fail(100);
SELECT count(*) AS left_behind FROM pg_backend_memory_contexts WHERE name LIKE '%pg_sessionize%';
SELECT megabytes() AS before \gset
CALL fail(20000);
SELECT megabytes() - :before < 1 AS forgets;
COMMIT;
SELECT wrong FROM trace();

DROP VIEW stored;
DROP TABLE sent, before, batch;
SELECT drop_session_app('sent');
DROP FUNCTION trace, try_twice, risky, refuse, send_lazily, megabytes;
DROP PROCEDURE keep, fail;
