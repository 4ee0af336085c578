-- Anybody may use the batch functions, whatever the search path, the schema and the encoding.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper

CREATE TABLE events AS SELECT n % 5 AS visitor, timestamptz '2026-01-01+00' + n * n * interval '1 minute' AS occurred_at FROM generate_series(1, 100) AS n;
CREATE TABLE expected AS
SELECT visitor, sessionize(occurred_at)::text AS sessions, sessionize(occurred_at)::tstzmultirange AS ranges FROM events GROUP BY visitor;

-- A role without any grant.
CREATE ROLE sessionize_stranger;
GRANT SELECT ON events TO sessionize_stranger;
SET ROLE sessionize_stranger;
SELECT sum(session_count(sessions)) AS sessions, sum(event_count(sessions)) AS events, max(total_duration(sessions)) AS total,
       max(average_duration(sessions)) AS average, min(bounce_rate(sessions)) AS bounces, max(upper(sessions::tstzmultirange)) AS upper
FROM (SELECT visitor, sessionize(occurred_at, '30 minutes', 'inclusive') AS sessions FROM events GROUP BY visitor) AS visits;
SELECT count(*) FROM (SELECT sessionize_daily(occurred_at, 'UTC') AS sessions FROM events) AS visit, session_spans(sessions) AS span, session_at(sessions, span.started_at);
SELECT session_count(rollup(sessions)) FROM (SELECT sessionize(occurred_at) AS sessions FROM events GROUP BY visitor) AS visits;
SELECT max(number) FROM (SELECT session_number(occurred_at) OVER (PARTITION BY visitor ORDER BY occurred_at) AS number FROM events) AS numbered;
CREATE TEMPORARY TABLE own (sessions sessionset);
INSERT INTO own SELECT sessionize(occurred_at) FROM events;
SELECT session_count(sessions::text::sessionset) FROM own;
DROP TABLE own;
RESET ROLE;
REVOKE ALL ON events FROM sessionize_stranger;
DROP ROLE sessionize_stranger;

-- A schema in front that has the same names and means harm.
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.session_spans(public.sessionset, OUT session_number bigint, OUT started_at timestamptz, OUT last_event_at timestamptz)
    RETURNS SETOF record LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$;
CREATE FUNCTION hostile.tstzrange(timestamptz, timestamptz, text) RETURNS tstzrange LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$;
CREATE FUNCTION hostile.harm(timestamptz, interval) RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$;
CREATE FUNCTION hostile.harm(timestamptz, timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$;
CREATE OPERATOR hostile.+ (LEFTARG = timestamptz, RIGHTARG = interval, FUNCTION = hostile.harm);
CREATE OPERATOR hostile.= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = hostile.harm);
CREATE FUNCTION hostile.gather(tstzmultirange, tstzrange) RETURNS tstzmultirange LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$;
CREATE AGGREGATE hostile.range_agg(tstzrange) (SFUNC = hostile.gather, STYPE = tstzmultirange);
SET search_path = hostile, pg_catalog;
SELECT count(*) FROM public.expected
WHERE sessions::public.sessionset::tstzmultirange IS DISTINCT FROM ranges OR sessions::public.sessionset::text IS DISTINCT FROM sessions;
SELECT count(*) FROM (SELECT visitor, public.sessionize(occurred_at)::text AS sessions FROM public.events GROUP BY visitor) AS visits
JOIN public.expected USING (visitor, sessions);
RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA hostile CASCADE;
RESET client_min_messages;
DROP TABLE events, expected;

-- In a schema of its own, in other encodings.
SELECT current_database() AS here \gset
CREATE DATABASE sessionize_latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
CREATE DATABASE sessionize_japanese ENCODING 'EUC_JP' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
CREATE DATABASE sessionize_ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;

\c sessionize_latin
CREATE SCHEMA "Odd Name";
CREATE EXTENSION pg_sessionize SCHEMA "Odd Name";
SELECT "Odd Name".sessionize_daily('2026-01-01 10:00+00', 'Europe/Prague') AS sessions;
SELECT "Odd Name".sessionize('2026-01-01 10:00+00', '1 hour')::tstzmultirange AS ranges;
SELECT event_count FROM (SELECT "Odd Name".sessionize('2026-01-01 10:00+00') AS sessions) AS visit, "Odd Name".session_spans(sessions);
SELECT DISTINCT n.nspname FROM pg_depend AS d JOIN pg_proc AS p ON p.oid = d.objid JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_sessionize') AND p.proname IN ('sessionize', 'rollup', 'session_spans');
DROP EXTENSION pg_sessionize;
SELECT count(*) AS left_behind FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname IN ('Odd Name', 'sessionize');

\c sessionize_japanese
CREATE EXTENSION pg_sessionize;
SELECT sessionize_daily('2026-01-01 10:00+00', 'Asia/Tokyo') AS sessions;
SELECT session_count(sessionize(timestamptz '2026-01-01+00' + n * interval '1 hour')) FROM generate_series(1, 10) AS n;
SET client_encoding = 'UTF8';
SELECT sessionize_daily('2026-01-01 10:00+00', '東京');
DROP EXTENSION pg_sessionize;

\c sessionize_ascii
CREATE EXTENSION pg_sessionize;
SELECT session_count(sessionize(timestamptz '2026-01-01+00' + n * interval '1 hour')) FROM generate_series(1, 10) AS n;
SELECT sessionize_daily('2026-01-01 10:00+00', 'Europe/Prague') AS sessions;
DROP EXTENSION pg_sessionize;

\c :here
DROP DATABASE sessionize_latin;
DROP DATABASE sessionize_japanese;
DROP DATABASE sessionize_ascii;
