-- Every way in which a row gets into a table, each followed by the oracle: its rows are in their sessions.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
\set oracle :folder /../oracle.sql
\i :oracle

CREATE TABLE ways (n bigint PRIMARY KEY, visitor text, at timestamptz NOT NULL, kind text, amount numeric DEFAULT 1);
SELECT create_session_app('ways', passive_kinds => '{beat}', conversion_kinds => '{order}') > 0 AS made;
SELECT track_sessions('ways', 'visitor', 'at', kind => 'kind') > 0 AS tracked;

-- What is stored by now, and what is wrong with it.
CREATE FUNCTION look() RETURNS TABLE (rows bigint, assigned bigint, sessions bigint, merges bigint, wrong text) LANGUAGE sql AS $$
    SELECT (SELECT count(*) FROM ways), (SELECT count(session_id) FROM ways), count(*),
           (SELECT count(*) FROM sessionize.merged_sessions JOIN sessionize.apps USING (app_id) WHERE name = 'ways'),
           (SELECT string_agg(wrong, E'\n') FROM suite.wrong('ways') AS wrong)
      FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'ways'
$$;

-- One row at a time: a visit, the next one exactly a timeout later, and one that starts in between
INSERT INTO ways VALUES (1, 'ann', '2026-01-01 10:00+00');
INSERT INTO ways VALUES (2, 'ann', '2026-01-01 10:29:59.999999+00');
INSERT INTO ways VALUES (3, 'ann', '2026-01-01 10:59:59.999999+00');
SELECT * FROM look();
INSERT INTO ways VALUES (4, 'ann', '2026-01-01 10:30+00') RETURNING session_id = (SELECT session_id FROM ways WHERE n = 1) AS joined;
SELECT * FROM look();

-- Several rows: of several visitors, out of order, the same instant twice
INSERT INTO ways (n, visitor, at) VALUES
    (11, 'bob', '2026-01-01 12:00+00'), (12, 'ann', '2026-01-01 12:00+00'), (13, 'bob', '2026-01-01 11:00+00'),
    (14, 'bob', '2026-01-01 11:29+00'), (15, 'cat', '2026-01-01 11:29+00'), (16, 'bob', '2026-01-01 12:00+00'),
    (17, 'bob', '2026-01-01 11:31+00');
SELECT * FROM look();

-- INSERT … SELECT, also from the table itself
INSERT INTO ways SELECT 100 + n, 'v' || n % 7, timestamptz '2026-01-02+00' + n * n % 97 * interval '11 minutes' FROM generate_series(1, 100) AS n;
SELECT * FROM look();
INSERT INTO ways SELECT n + 10000, visitor || '2', at - interval '17 minutes' FROM ways;
SELECT * FROM look();

-- RETURNING and data-modifying WITH; two tracked inserts in one statement
WITH gone AS (DELETE FROM ways WHERE n = 10016 AND false RETURNING *),
     one AS (INSERT INTO ways SELECT 201, 'ann', '2026-01-03 10:00+00' RETURNING *),
     two AS (INSERT INTO ways VALUES (202, 'ann', '2026-01-03 10:20+00'), (203, 'bob', '2026-01-03 10:20+00') RETURNING *)
SELECT count(*) FROM one, two;
SELECT * FROM look();
SELECT count(DISTINCT session_id) AS sessions FROM ways WHERE n IN (201, 202);

-- COPY: text, with a WHERE clause, with few columns, binary
COPY ways (n, visitor, at) FROM stdin;
301	ann	2026-01-04 10:00+00
302	dee	2026-01-04 10:00+00
303	ann	2026-01-04 10:40+00
304	ann	2026-01-04 10:20+00
\.
COPY ways (n, visitor, at) FROM stdin WITH (FORMAT csv) WHERE n <> 306;
305,ann,2026-01-04 11:00+00
306,eve,2026-01-04 11:00+00
307,dee,2026-01-04 09:45+00
\.
SELECT * FROM look();
CREATE TEMPORARY TABLE to_copy AS SELECT n + 50000 AS n, visitor, at + interval '1 day' AS at FROM ways WHERE n BETWEEN 301 AND 310;
COPY to_copy TO PROGRAM 'cat >live_ways.data' WITH (FORMAT binary);
COPY ways (n, visitor, at) FROM PROGRAM 'cat live_ways.data; rm live_ways.data' WITH (FORMAT binary);
SELECT * FROM look();

-- ON CONFLICT: what is skipped or updated is no event
INSERT INTO ways VALUES (301, 'zoe', '2026-01-05 10:00+00'), (401, 'ann', '2026-01-05 10:00+00') ON CONFLICT DO NOTHING;
INSERT INTO ways VALUES (301, 'zoe', '2026-01-05 10:00+00') ON CONFLICT (n) DO NOTHING RETURNING *;
INSERT INTO ways VALUES (301, 'zoe', '2026-01-05 10:00+00'), (402, 'ann', '2026-01-05 10:10+00')
    ON CONFLICT (n) DO UPDATE SET amount = ways.amount + 1 RETURNING n, visitor, amount;
SELECT * FROM look();
INSERT INTO ways VALUES (402, 'zoe', '2026-01-05 10:00+00') ON CONFLICT (n) DO UPDATE SET amount = 7 WHERE false;
SELECT * FROM look();
-- … unless the update says so: then it is a correction
INSERT INTO ways VALUES (402, 'zoe', '2026-01-05 10:00+00'), (403, 'zoe', '2026-01-05 10:01+00')
    ON CONFLICT (n) DO UPDATE SET visitor = excluded.visitor, at = excluded.at;
SELECT * FROM look();
SELECT visitor, event_count FROM sessionize.sessions WHERE visitor = 'zoe';

-- MERGE
MERGE INTO ways USING (VALUES (403, 'zoe', timestamptz '2026-01-05 10:02+00'), (404, 'zoe', '2026-01-05 10:25+00'), (405, 'fay', '2026-01-05 10:25+00'))
    AS new (n, visitor, at) ON ways.n = new.n
    WHEN MATCHED THEN UPDATE SET at = new.at
    WHEN NOT MATCHED THEN INSERT (n, visitor, at) VALUES (new.n, new.visitor, new.at);
SELECT * FROM look();

-- From functions and other triggers, also of other tables and of the table itself
CREATE FUNCTION log_visit(who text, at timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    session bigint;
BEGIN
    INSERT INTO ways SELECT max(n) + 1, who, log_visit.at FROM ways;
    INSERT INTO ways SELECT max(n) + 1, who, log_visit.at + interval '29 minutes' FROM ways RETURNING session_id INTO session;
    RETURN session;
END $$;
SELECT log_visit('gus', '2026-01-06 10:00+00') = log_visit('gus', '2026-01-06 10:40+00') AS same_session;
SELECT * FROM look();
CREATE TABLE orders (n bigint, customer text, at timestamptz);
CREATE FUNCTION order_is_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ways VALUES (20000 + NEW.n, NEW.customer, NEW.at, 'order');
    RETURN NEW;
END $$;
CREATE TRIGGER order_is_event BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION order_is_event();
INSERT INTO orders SELECT n, 'hal', timestamptz '2026-01-06+00' + n * interval '20 minutes' FROM generate_series(1, 5) AS n;
SELECT * FROM look();
-- a statement on the table within a statement on the table, while rows of the same visitor await their sessions
CREATE FUNCTION echo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.kind = 'echo' THEN
        INSERT INTO ways VALUES (NEW.n + 1000000, NEW.visitor, NEW.at + interval '15 minutes'), (NEW.n + 2000000, NEW.visitor, NEW.at);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER echo_before BEFORE INSERT ON ways FOR EACH ROW EXECUTE FUNCTION echo();
INSERT INTO ways VALUES (501, 'ian', '2026-01-07 10:00+00', 'echo'), (502, 'ian', '2026-01-07 10:31+00', 'view'),
                        (503, 'ian', '2026-01-07 10:50+00', 'echo'), (504, 'ann', '2026-01-07 10:50+00', 'echo');
SELECT * FROM look();
DROP TRIGGER echo_before ON ways;
CREATE TRIGGER echo_after AFTER INSERT ON ways FOR EACH ROW EXECUTE FUNCTION echo();
INSERT INTO ways VALUES (505, 'joe', '2026-01-07 10:00+00', 'echo'), (506, 'joe', '2026-01-07 10:31+00', 'view'),
                        (507, 'joe', '2026-01-07 10:50+00', 'echo'), (508, 'ann', '2026-01-07 10:50+00', 'echo');
SELECT * FROM look();
DROP TRIGGER echo_after ON ways;
CREATE TRIGGER zzz_echo_last AFTER INSERT ON ways FOR EACH ROW EXECUTE FUNCTION echo();
INSERT INTO ways VALUES (509, 'kim', '2026-01-07 10:00+00', 'echo'), (510, 'kim', '2026-01-07 10:31+00', 'view'),
                        (511, 'kim', '2026-01-07 10:50+00', 'echo'), (512, 'ann', '2026-01-07 11:10+00', 'echo');
SELECT * FROM look();
DROP TRIGGER zzz_echo_last ON ways;

-- A trigger of the user that changes the row before ours sees it; what it says counts
CREATE FUNCTION correct_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.visitor := lower(NEW.visitor);
    NEW.session_id := 42;
    RETURN NEW;
END $$;
CREATE TRIGGER correct_row BEFORE INSERT ON ways FOR EACH ROW EXECUTE FUNCTION correct_row();
INSERT INTO ways VALUES (601, 'ANN', '2026-01-08 10:00+00'), (602, 'Ann', '2026-01-08 10:00+00');
SELECT * FROM look();
DROP TRIGGER correct_row ON ways;
-- … and after ours: settling looks at the row that went in
CREATE TRIGGER zzz_correct_row BEFORE INSERT ON ways FOR EACH ROW EXECUTE FUNCTION correct_row();
INSERT INTO ways VALUES (603, 'LEO', '2026-01-08 10:00+00'), (604, 'Leo', '2026-01-08 10:00+00');
SELECT * FROM look();
DROP TRIGGER zzz_correct_row ON ways;

-- A session that the client names is not believed
INSERT INTO ways (n, visitor, at, session_id) VALUES (605, 'mia', '2026-01-08 10:00+00', 1), (606, NULL, '2026-01-08 10:00+00', 1);
SELECT * FROM look();

-- Prepared statements, with generic plans too
PREPARE arrive (bigint, text, timestamptz) AS INSERT INTO ways VALUES ($1, $2, $3);
SET plan_cache_mode = force_generic_plan;
EXECUTE arrive (701, 'ned', '2026-01-09 10:00+00');
EXECUTE arrive (702, 'ned', '2026-01-09 11:00+00');
RESET plan_cache_mode;
EXECUTE arrive (703, 'ned', '2026-01-09 10:30+00');
EXECUTE arrive (704, 'ned', '2026-01-09 10:29+00');
EXECUTE arrive (705, 'ned', '2026-01-09 10:45+00');
SELECT * FROM look();

-- Views and rules
CREATE VIEW ways_view AS SELECT n, visitor, at FROM ways WHERE n > 0;
INSERT INTO ways_view VALUES (801, 'oda', '2026-01-10 10:00+00'), (802, 'oda', '2026-01-10 10:10+00');
CREATE RULE instead AS ON INSERT TO orders DO INSTEAD INSERT INTO ways VALUES (NEW.n, NEW.customer, NEW.at);
INSERT INTO orders VALUES (803, 'oda', '2026-01-10 10:35+00');
SELECT * FROM look();

-- Late events, and a statement without rows, in a transaction that reads at one moment
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO ways VALUES (901, 'pam', '2026-01-11 10:00+00');
INSERT INTO ways VALUES (902, 'pam', '2026-01-11 10:50+00');
INSERT INTO ways VALUES (903, 'pam', '2026-01-11 10:25+00');
INSERT INTO ways SELECT 904, 'pam', '2026-01-11 11:15+00' WHERE false;
COMMIT;
SELECT * FROM look();

-- No assignment where triggers do not fire
SET session_replication_role = replica;
INSERT INTO ways VALUES (1001, 'quo', '2026-01-12 10:00+00') RETURNING session_id;
RESET session_replication_role;
DELETE FROM ways WHERE n = 1001;
SELECT * FROM look();

SELECT reason, sum(event_count) FROM sessionize.unassigned_events JOIN sessionize.apps USING (app_id) WHERE name = 'ways' GROUP BY reason;
SELECT untrack_sessions('ways');
INSERT INTO ways VALUES (1002, 'ann', '2026-01-13 10:00+00') RETURNING session_id;
SELECT drop_session_app('ways');
DROP VIEW ways_view;
DROP TABLE ways, orders;
DROP FUNCTION look, log_visit, order_is_event, echo, correct_row;
