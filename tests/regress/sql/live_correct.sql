-- Rows that are corrected, visitors that are worked out again, and rows that were there before.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
\set oracle :folder /../oracle.sql
\i :oracle
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET client_min_messages = warning;

CREATE TABLE visits (n integer PRIMARY KEY, visitor text, at timestamptz, kind text DEFAULT 'view', country text, note text);
SELECT create_session_app('visits', passive_kinds => '{beat}', conversion_kinds => '{order}', cancellation_kinds => '{logout}') > 0 AS made;
SELECT track_sessions('visits', 'visitor', 'at', 'visits', kind => 'kind', country => 'country') > 0 AS tracked;
CREATE FUNCTION look(who text DEFAULT '%') RETURNS TABLE (visitor text, "from" text, "to" text, events bigint, passive bigint) LANGUAGE sql AS $$
    SELECT visitor, to_char(started_at, 'HH24:MI'), to_char(last_event_at, 'HH24:MI'), event_count, passive_count
      FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'visits' AND visitor LIKE who ORDER BY visitor COLLATE "C", started_at
$$;
CREATE VIEW known AS SELECT visitor, session_id, token, started_at FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'visits';

INSERT INTO visits (n, visitor, at, kind) VALUES
    (1, 'ann', '2026-01-01 10:00+00', 'view'), (2, 'ann', '2026-01-01 10:20+00', 'view'), (3, 'ann', '2026-01-01 10:40+00', 'view'), (4, 'ann', '2026-01-01 10:45+00', 'beat'),
    (5, 'bob', '2026-01-01 10:00+00', 'view'), (6, 'bob', '2026-01-01 10:10+00', 'view'), (7, 'cat', '2026-01-01 10:00+00', 'view');
CREATE TEMPORARY TABLE before AS TABLE known;

-- An instant that changes splits a session: the part that goes on keeps id and token
UPDATE visits SET at = '2026-01-01 12:00+00' WHERE n = 2;
SELECT * FROM look('ann');
SELECT * FROM suite.wrong('visits');
SELECT count(*) AS kept FROM known JOIN before USING (visitor, session_id, token) WHERE visitor = 'ann';
-- … joins them again, and the absorbed id resolves
CREATE TEMPORARY TABLE split AS SELECT * FROM known WHERE visitor = 'ann';
UPDATE visits SET at = '2026-01-01 10:20+00' WHERE n = 2;
SELECT * FROM look('ann');
SELECT * FROM suite.wrong('visits');
SELECT count(*) AS split, count(DISTINCT resolve_session(session_id)) AS one FROM split;
SELECT count(*) AS kept FROM known JOIN before USING (visitor, session_id, token) WHERE visitor = 'ann';
-- Another visitor: both are worked out again
UPDATE visits SET visitor = 'bob' WHERE n = 3;
SELECT * FROM look();
SELECT * FROM suite.wrong('visits');
UPDATE visits SET visitor = 'dee', at = at + interval '1 day' WHERE visitor = 'cat';
SELECT * FROM look();
SELECT * FROM suite.wrong('visits');
-- Nobody, and never: the row has no session
UPDATE visits SET visitor = NULL WHERE n = 6;
UPDATE visits SET at = 'infinity' WHERE n = 5;
SELECT n, session_id IS NULL AS none FROM visits WHERE n IN (5, 6) ORDER BY n;
SELECT * FROM look();
SELECT * FROM suite.wrong('visits');
UPDATE visits SET visitor = 'bob', at = '2026-01-01 10:30+00' WHERE n IN (5, 6);
SELECT * FROM look();
SELECT * FROM suite.wrong('visits');
-- … also while the session goes on without it
UPDATE visits SET visitor = NULL WHERE n = 6;
UPDATE visits SET at = '-infinity' WHERE n = 2;
SELECT n, session_id IS NULL AS none FROM visits WHERE n IN (2, 6) ORDER BY n;
SELECT * FROM suite.wrong('visits');
UPDATE visits SET visitor = 'bob' WHERE n = 6;
UPDATE visits SET at = '2026-01-01 10:20+00' WHERE n = 2;
SELECT * FROM look();
SELECT * FROM suite.wrong('visits');
-- Many rows of many visitors by one statement; UPDATE … FROM; a change and back in one transaction
INSERT INTO visits (n, visitor, at) SELECT 100 + n, 'v' || n % 5, timestamptz '2026-01-02+00' + n * n % 41 * interval '17 minutes' FROM generate_series(1, 60) AS n;
UPDATE visits SET at = at + (n % 7) * interval '19 minutes' WHERE n > 100;
SELECT * FROM suite.wrong('visits');
UPDATE visits SET visitor = new.visitor FROM (VALUES (101, 'v2'), (102, 'v1'), (103, 'v9')) AS new (n, visitor) WHERE visits.n = new.n;
SELECT * FROM suite.wrong('visits');
BEGIN;
UPDATE visits SET at = at + interval '1 hour' WHERE n > 100;
UPDATE visits SET at = at - interval '1 hour' WHERE n > 100;
COMMIT;
SELECT * FROM suite.wrong('visits');
-- What is rolled back was not corrected
CREATE TEMPORARY TABLE untouched AS TABLE known;
BEGIN;
UPDATE visits SET at = at + interval '1 hour' WHERE visitor = 'ann';
ROLLBACK;
SELECT suite.complaint($$UPDATE visits SET at = '2026-01-01 10:00+00', n = 1 WHERE visitor = 'v1'$$);
SELECT suite.differences('TABLE known', 'TABLE untouched') AS differences;
SELECT * FROM suite.wrong('visits');
-- An update of other columns, or to the same values, does not touch sessions
UPDATE visits SET note = 'seen';
UPDATE visits SET visitor = visitor, at = at;
SELECT suite.differences('TABLE known', 'TABLE untouched') AS differences;
-- Deleting events leaves sessions as records of what happened
DELETE FROM visits WHERE visitor = 'dee';
SELECT * FROM look('dee');

-- Rows that were corrected without the triggers: rebuild_sessions makes good
SET session_replication_role = replica;
UPDATE visits SET at = '2026-01-01 15:00+00' WHERE n = 1;
INSERT INTO visits (n, visitor, at) VALUES (201, 'ann', '2026-01-01 15:10+00'), (202, 'eve', '2026-01-01 15:10+00');
UPDATE visits SET session_id = NULL WHERE n = 2;
RESET session_replication_role;
SELECT count(*) > 0 AS wrong FROM suite.wrong('visits', 'ann');
SELECT rebuild_sessions('visits', 'ann'), rebuild_sessions('visits', 'eve'), rebuild_sessions('visits', 'dee'), rebuild_sessions('visits', 'nobody');
SELECT * FROM look() WHERE visitor !~ 'v.';
SELECT * FROM suite.wrong('visits');
-- a second time changes nothing
CREATE TEMPORARY TABLE rebuilt AS SELECT s.* FROM sessionize.sessions AS s JOIN sessionize.apps USING (app_id) WHERE name = 'visits';
SELECT count(rebuild_sessions('visits', visitor)) > 5 AS rebuilt FROM (SELECT DISTINCT visitor FROM rebuilt) AS everyone;
SELECT suite.differences('SELECT s.* FROM sessionize.sessions AS s JOIN sessionize.apps USING (app_id) WHERE name = ''visits''', 'TABLE rebuilt') AS differences;
-- What people did to a session stays with it: conversion by hand, risk, cancellation, order reference
INSERT INTO visits (n, visitor, at) VALUES (301, 'fay', '2026-01-01 10:00+00'), (302, 'fay', '2026-01-01 10:20+00'), (303, 'fay', '2026-01-01 12:00+00'), (304, 'gus', '2026-01-01 12:00+00');
SELECT convert_session(session_id, 'order 7', '2026-01-01 10:30+00') IS NOT NULL AS converted FROM visits WHERE n = 301;
SELECT set_session_risk(session_id, 'review', 'looks odd') IS NOT NULL AS judged FROM visits WHERE n = 301;
SELECT cancel_session(session_id, 'by mistake') IS NOT NULL AS cancelled FROM visits WHERE n = 303;
UPDATE visits SET at = '2026-01-01 09:50+00' WHERE n = 302;
SELECT rebuild_sessions('visits', 'fay');
SELECT to_char(started_at, 'HH24:MI') AS started, event_count, to_char(converted_at, 'HH24:MI') AS converted, order_ref, risk, cancel_reason
  FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'visits' AND visitor = 'fay' ORDER BY started_at;
SELECT untrack_sessions('visits');
SELECT drop_session_app('visits');

-- Rows that were there before: as if each had arrived on time, in whatever order they are stored
CREATE TABLE old (visitor text, at timestamptz, kind text, country text);
INSERT INTO old SELECT 'v' || n % 23, timestamptz '2026-01-02+00' + n * n % 4001 * interval '7 minutes',
                       (ARRAY['view', 'view', 'view', 'beat', 'order'])[1 + n % 5], CASE WHEN n % 4 = 0 THEN 'C' || n % 3 END FROM generate_series(1, 3000) AS n;
INSERT INTO old VALUES (NULL, '2026-01-02+00'), ('v1', NULL), ('v1', 'infinity');
SELECT create_session_app('old', passive_kinds => '{beat}', conversion_kinds => '{order}') > 0 AS made;
SELECT track_sessions('old', 'visitor', 'at', 'old', kind => 'kind', country => 'country') > 0 AS tracked;
SELECT count(session_id) AS assigned FROM old;
SET client_min_messages = notice;
CALL backfill_sessions('old');
SET client_min_messages = warning;
SELECT count(session_id) AS assigned, count(*) FILTER (WHERE session_id IS NULL AND kind IS DISTINCT FROM 'beat') AS without FROM old;
SELECT * FROM suite.wrong('old');
-- every heartbeat that lies in a session has it, for the sessions were there before
SELECT count(*) AS left_out FROM old WHERE kind = 'beat' AND session_id IS NULL
   AND EXISTS (SELECT FROM sessionize.sessions AS s WHERE s.visitor = old.visitor AND old.at >= s.started_at AND old.at < s.last_event_at + interval '30 minutes');
SELECT process, subject, state, done = total AS complete, position FROM sessionize.progress WHERE process = 'backfill' AND subject = 'public.old';
SELECT reason, sum(event_count) FROM sessionize.unassigned_events JOIN sessionize.apps USING (app_id) WHERE name = 'old' GROUP BY reason ORDER BY 1;
-- called again it finds nothing to do, and counts nothing twice
CREATE TEMPORARY TABLE filled AS SELECT s.* FROM sessionize.sessions AS s JOIN sessionize.apps USING (app_id) WHERE name = 'old';
CALL backfill_sessions('old');
SELECT suite.differences('SELECT s.* FROM sessionize.sessions AS s JOIN sessionize.apps USING (app_id) WHERE name = ''old''', 'TABLE filled') AS differences;
SELECT reason, sum(event_count) FROM sessionize.unassigned_events JOIN sessionize.apps USING (app_id) WHERE name = 'old' GROUP BY reason ORDER BY 1;
DROP TABLE old;
SELECT drop_session_app('old');

-- Stopped half-way, with events that arrived meanwhile; partitions
CREATE TABLE parts (at timestamptz, visitor inet) PARTITION BY RANGE (at);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (MINVALUE) TO ('2026-01-10+00');
CREATE TABLE parts_2 (visitor inet, at timestamptz);
ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM ('2026-01-10+00') TO (MAXVALUE);
INSERT INTO parts SELECT timestamptz '2026-01-02+00' + n * n % 4001 * interval '7 minutes', '10.0.0.0'::inet + n % 19 FROM generate_series(1, 2000) AS n;
SELECT track_sessions('parts', 'visitor', 'at') > 0 AS tracked;
SELECT sessionize.backfill_blocks(tracking_id, 'parts_2', 0, 2, false) > 0 AS some_are_done FROM sessionize.tracked_tables WHERE events = 'parts'::regclass;
SELECT count(session_id) BETWEEN 1 AND 1500 AS half_way FROM parts;
INSERT INTO parts SELECT now() - n % 50 * interval '20 minutes', '10.0.0.0'::inet + n % 19 FROM generate_series(1, 200) AS n;
CALL backfill_sessions('parts');
SELECT count(*) FILTER (WHERE session_id IS NULL) AS without FROM parts;
SELECT * FROM suite.wrong('parts');
-- it commits as it goes, so not within a transaction
BEGIN;
CALL backfill_sessions('parts');
ROLLBACK;
DROP TABLE parts;
SELECT drop_session_app('parts');

-- A trigger of the user that makes events of its own, in the same table, while rows are pointed to their sessions
CREATE TABLE echoing (n integer GENERATED ALWAYS AS IDENTITY, visitor text, at timestamptz, note text);
SELECT track_sessions('echoing', 'visitor', 'at') > 0 AS tracked;
CREATE FUNCTION echo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO echoing (visitor, at, note) VALUES ('audit', NEW.at, 'moved ' || NEW.n), (NEW.visitor, NEW.at, 'echo of ' || NEW.n);
    RETURN NULL;
END $$;
CREATE TRIGGER echo AFTER UPDATE OF session_id ON echoing FOR EACH ROW WHEN (NEW.note IS NULL) EXECUTE FUNCTION echo();
INSERT INTO echoing (visitor, at) SELECT 'ann', now() - interval '3 hours' + n * interval '50 minutes' FROM generate_series(0, 2) AS n;
INSERT INTO echoing (visitor, at) VALUES ('ann', now() - interval '3 hours' + interval '25 minutes');
SELECT visitor, count(*), count(DISTINCT session_id) AS sessions FROM echoing GROUP BY visitor ORDER BY visitor;
UPDATE echoing SET at = at + interval '30 minutes' WHERE n = 4;
SELECT * FROM suite.wrong('echoing');
SELECT visitor, count(*) > 1 AS echoed, count(session_id) = count(*) AS assigned FROM echoing GROUP BY visitor ORDER BY visitor;
SELECT rebuild_sessions('echoing', 'ann');
SELECT * FROM suite.wrong('echoing');
DROP TRIGGER echo ON echoing;
-- … and one that corrects rows as they go in, before and after ours has noted them
CREATE FUNCTION correct_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE echoing SET at = at + interval '1 minute' WHERE n = NEW.n;
    RETURN NULL;
END $$;
CREATE TRIGGER correct_row AFTER INSERT ON echoing FOR EACH ROW EXECUTE FUNCTION correct_row();
INSERT INTO echoing (visitor, at) SELECT (ARRAY['bob', 'cat'])[1 + n % 2], now() - interval '3 hours' + n * interval '40 minutes' FROM generate_series(0, 3) AS n;
INSERT INTO echoing (visitor, at) SELECT (ARRAY['bob', 'cat'])[1 + n % 2], now() - interval '3 hours' + n * interval '40 minutes' FROM generate_series(0, 3) AS n;
ALTER TRIGGER correct_row ON echoing RENAME TO zzz_correct_row;
INSERT INTO echoing (visitor, at) SELECT (ARRAY['bob', 'dan'])[1 + n % 2], now() - interval '3 hours' + n * interval '40 minutes' FROM generate_series(0, 3) AS n;
SELECT * FROM suite.wrong('echoing');
SELECT visitor, count(*), count(DISTINCT session_id) AS sessions FROM echoing WHERE visitor <> 'audit' GROUP BY visitor ORDER BY visitor;
DROP TABLE echoing;
DROP FUNCTION echo, correct_row;
SELECT drop_session_app('echoing');

DROP VIEW known;
DROP TABLE visits;
DROP FUNCTION look;
