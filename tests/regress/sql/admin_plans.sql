-- How pages are found: by going down an index, whatever the filters, and without sorting more than a page.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
SET client_min_messages = warning;

-- 60,000 sessions of 30 days in two applications, one of them with the inclusive boundary; many of every status and risk.
SELECT create_session_app('plans') > 0 AND create_session_app('more plans', boundary => 'inclusive') > 0 AS made;
\set moment '''2026-05-10 12:00+00'''
INSERT INTO sessionize.sessions (session_id, started_at, last_event_at, closes_at, expires_at, opened_at, event_count, app_id, last_event_day,
       visitor, token, risk, converted_at, cancelled_at, country, ip)
SELECT nextval('sessionize.session_ids'), began, ended, ended + '30 minutes', ended + '24 hours 30 minutes', began, 3, app_id, (ended AT TIME ZONE 'UTC')::date,
       'visitor-' || n % 9000, left(md5('plans' || n), 16),
       CASE WHEN n % 13 = 0 THEN 'restricted' WHEN n % 11 = 0 THEN 'review' WHEN n % 9 = 0 THEN 'monitored' ELSE 'normal' END,
       CASE WHEN n % 7 = 0 THEN ended END, CASE WHEN n % 17 = 0 THEN ended END, CASE WHEN n % 3 = 0 THEN 'DE' END, inet '10.0.0.0' + n % 5000
  FROM generate_series(1, 60000) AS n JOIN sessionize.apps ON name = CASE WHEN n % 4 = 0 THEN 'more plans' ELSE 'plans' END,
       LATERAL (SELECT timestamptz :moment - n * interval '43 seconds', timestamptz :moment - n * interval '43 seconds' + n % 40 * interval '1 minute') AS time (began, ended);
ANALYZE sessionize.sessions, sessionize.apps;

CREATE TABLE filters AS
SELECT app, status, risk
  FROM unnest(ARRAY['plans', NULL]) AS app, unnest('{all,active,closed,expired,converted,cancelled}'::text[]) AS status,
       unnest('{all,normal,monitored,review,restricted}'::text[]) AS risk;

-- The filters whose statements, as they are run, have a sequential scan, or sort more rows than a page has.
CREATE FUNCTION suite.dear_plan(statement text, page_size integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ' || statement INTO plan;
    RETURN (SELECT string_agg(DISTINCT node ->> 'Node Type', ', ')
              FROM jsonb_path_query(plan, 'strict $.** ? (@."Node Type" like_regex "Scan|Sort")') AS node
             WHERE node ->> 'Node Type' = 'Seq Scan' AND node ->> 'Relation Name' = 'sessions'
                OR node ->> 'Node Type' LIKE '%Sort%' AND (node #>> '{Plans,0,Actual Rows}')::numeric > page_size);
END $$;
CREATE FUNCTION suite.dear_pages(page_size integer, after_started_at timestamptz, after_session_id bigint) RETURNS TABLE (app text, status text, risk text, nodes text)
LANGUAGE sql AS $$
    SELECT filter.app, filter.status, filter.risk, nodes
      FROM filters AS filter,
           LATERAL sessionize.page_statements(sessionize.app_id(filter.app), sessionize.read_status(filter.status), sessionize.read_risk(filter.risk), NULL,
                                              page_size, after_started_at, after_session_id, '2026-05-10 12:00+00') AS page,
           LATERAL (SELECT suite.dear_plan(page.walk, page_size)) AS found (nodes)
     WHERE nodes IS NOT NULL
$$;
\qecho 'No filter makes a sequential scan or a sort of more than a page: the first page, pages by cursor.'
SELECT count(*) AS filters FROM filters;
SELECT * FROM suite.dear_pages(10, NULL, NULL);
SELECT * FROM suite.dear_pages(10, '2026-05-10 06:00+00', 0);
SELECT * FROM suite.dear_pages(10, '2026-04-20 12:00+00', 0);
\qecho 'The check does find what it looks for.'
SELECT suite.dear_plan('SELECT session_id FROM sessionize.sessions ORDER BY event_count LIMIT 50', 50);

-- What list_sessions() itself does to the table, whichever statements it runs: tables scanned from end to end, rows read.
CREATE FUNCTION suite.cost_of_page(app text, status text, risk text, after text, OUT scans bigint, OUT reads bigint) LANGUAGE plpgsql AS $$
DECLARE
    sessions constant oid := 'sessionize.sessions'::regclass;
    before record;
    now record;
BEGIN
    SELECT pg_stat_get_xact_numscans(sessions) AS scans, pg_stat_get_xact_tuples_fetched(sessions) AS reads INTO before;
    PERFORM FROM list_sessions(app, status, risk, after => after, at => '2026-05-10 12:00+00');
    SELECT pg_stat_get_xact_numscans(sessions) AS scans, pg_stat_get_xact_tuples_fetched(sessions) AS reads INTO now;
    scans := now.scans - before.scans;
    reads := now.reads - before.reads;
END $$;
\qecho 'No page reads the table itself; the dearest page reads a small part of it.'
SELECT page.name AS page, count(*) AS filters, sum(cost.scans) AS scans, max(cost.reads) < 5000 AS reads_little
  FROM filters AS filter,
       LATERAL (VALUES ('first', NULL),
                       ('by cursor', sessionize.write_cursor(sessionize.list_query(filter.app, sessionize.read_status(filter.status), sessionize.read_risk(filter.risk), NULL),
                                                             '2026-05-01 12:00+00', 0))) AS page (name, cursor),
       LATERAL suite.cost_of_page(filter.app, filter.status, filter.risk, page.cursor) AS cost
 GROUP BY page.name ORDER BY page.name DESC;

\qecho 'Nor does what asks all applications for somebody.'
CREATE FUNCTION suite.scans(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    before constant bigint := pg_stat_get_xact_numscans('sessionize.sessions'::regclass);
BEGIN
    EXECUTE statement;
    RETURN pg_stat_get_xact_numscans('sessionize.sessions'::regclass) - before;
END $$;
SELECT call, suite.scans('SELECT ' || call) AS scans
  FROM unnest(ARRAY['count_inactive_sessions(3, search => $$visitor-5$$)', 'count_inactive_sessions(3, search => $$10.0.0.7$$)',
                    'count_sessions(search => $$visitor-5$$)', 'visitor_risk(NULL, $$visitor-5$$)']) AS call ORDER BY call;
SELECT count_inactive_sessions(3, search => 'visitor-5') = (SELECT count(*) FROM inactive_sessions(3, search => 'visitor-5')) AS counted_as_listed;
DROP FUNCTION suite.scans;

\qecho 'Lists, counts and session_status() mean the same by a status, also at the very moment when a session closes or expires.'
CREATE VIEW wanted AS
SELECT app.name AS app, moment.name AS moment, moment.at, status, place,
       ARRAY(SELECT session_id FROM sessionize.sessions AS session
              WHERE session.app_id = app.app_id
                AND sessionize.session_status(converted_at, cancelled_at, closes_at, expires_at, moment.at, sessionize.is_inclusive(app)) = status
              ORDER BY started_at DESC, session_id DESC) AS ids
  FROM sessionize.apps AS app,
       LATERAL (SELECT * FROM sessionize.sessions AS session WHERE session.app_id = app.app_id AND risk = 'normal'
                   AND cancelled_at IS NULL AND converted_at IS NULL ORDER BY session_id OFFSET 50 LIMIT 1) AS one,
       LATERAL (VALUES ('closes', one.closes_at), ('expires', one.expires_at)) AS moment (name, at),
       unnest('{active,closed,expired,converted,cancelled}'::text[]) WITH ORDINALITY AS filter (status, place)
 WHERE app.name IN ('plans', 'more plans');
SELECT app, moment, status, cardinality(ids) > 0 AS some, count_sessions(app, status, at => at) = cardinality(ids) AS counted,
       ARRAY(SELECT session_id FROM list_sessions(app, status, page_size => 1000, at => at)) = ids[:1000] AS listed
  FROM wanted ORDER BY app, moment, place;
\qecho 'Also where instants are written in a style that does not tell their zone (IST: India or Israel).'
SET datestyle = 'SQL, DMY';
SET timezone = 'Asia/Kolkata';
SELECT app, moment, bool_and(count_sessions(app, status, at => at) = cardinality(ids)) AS counted,
       bool_and(ARRAY(SELECT session_id FROM list_sessions(app, status, page_size => 1000, at => at)) = ids[:1000]) AS listed
  FROM wanted GROUP BY app, moment ORDER BY app, moment;
RESET datestyle;
RESET timezone;
DROP VIEW wanted;

DROP FUNCTION suite.dear_plan, suite.dear_pages, suite.cost_of_page;
DROP TABLE filters;
DELETE FROM sessionize.sessions WHERE app_id IN (sessionize.app_id('plans'), sessionize.app_id('more plans'));
SELECT drop_session_app('plans'), drop_session_app('more plans');
