-- Bad input of the functions that manage applications and tracked tables: SQLSTATE, message, DETAIL and HINT.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
\pset format unaligned
\pset tuples_only on
CREATE SCHEMA bad;
SET search_path = bad, public;
CREATE FUNCTION try(VARIADIC statements text[]) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT statement || E'\n    ' || replace(suite.complaint(statement), E'\n', E'\n    ') FROM unnest(statements) AS statement
$$;

-- Applications
SELECT try(
    $$SELECT create_session_app(NULL)$$, $$SELECT create_session_app('')$$, format('SELECT create_session_app(%L)', repeat('x', 201)),
    $$SELECT create_session_app('bad', 'hourly')$$, $$SELECT create_session_app('bad', NULL)$$, $$SELECT create_session_app('bad', 'TIMEOUT')$$,
    $$SELECT create_session_app('bad', timeout => '59.999999 seconds')$$, $$SELECT create_session_app('bad', timeout => '24:00:00.000001')$$,
    $$SELECT create_session_app('bad', timeout => '-1 hour')$$, $$SELECT create_session_app('bad', timeout => NULL)$$,
    $$SELECT create_session_app('bad', timeout => '1 month -29 days')$$,
    $$SELECT create_session_app('bad', grace => '-1 microsecond')$$, $$SELECT create_session_app('bad', grace => '24:00:00.000001')$$,
    $$SELECT create_session_app('bad', grace => NULL)$$, $$SELECT create_session_app('bad', grace => '1 month -30 days')$$,
    $$SELECT create_session_app('bad', boundary => 'open')$$, $$SELECT create_session_app('bad', boundary => NULL)$$,
    $$SELECT create_session_app('bad', max_skew => '-1 second')$$, $$SELECT create_session_app('bad', max_skew => '367 days')$$,
    $$SELECT create_session_app('bad', max_skew => '1 month')$$, $$SELECT create_session_app('bad', max_skew => NULL)$$,
    $$SELECT create_session_app('bad', time_zone => 'Europe/Atlantis')$$, $$SELECT create_session_app('bad', time_zone => NULL)$$,
    $$SELECT create_session_app('bad', 'midnight', time_zone => '')$$);
-- the limits themselves are allowed, and kinds may be NULL
SELECT create_session_app('limits', timeout => '1 minute', grace => '0', max_skew => '0', passive_kinds => NULL, conversion_kinds => NULL, cancellation_kinds => NULL) > 0,
       create_session_app(repeat('x', 200), 'midnight', timeout => '1 day', grace => '24 hours', max_skew => '366 days', time_zone => 'Pacific/Apia') > 0;
SELECT try(
    $$SELECT create_session_app('limits')$$,
    $$SELECT alter_session_app(NULL)$$, $$SELECT alter_session_app('nothing', grace => '1 hour')$$,
    $$SELECT alter_session_app('limits', timeout => '30 seconds')$$, $$SELECT alter_session_app('limits', policy => 'none')$$,
    $$SELECT alter_session_app('limits', time_zone => 'Nowhere')$$, $$SELECT alter_session_app('limits', boundary => 'half')$$,
    $$SELECT alter_session_app('limits', grace => '2 days')$$, $$SELECT alter_session_app('limits', max_skew => '-1 day')$$,
    $$SELECT drop_session_app(NULL)$$, $$SELECT drop_session_app('nothing')$$);
SELECT policy, timeout, boundary, time_zone, grace, max_skew, passive_kinds FROM sessionize.apps WHERE name = 'limits';

-- Tables
CREATE TYPE pair AS (one integer, two integer);
CREATE TABLE events (visitor text, at timestamptz, plain timestamp, day date, tags text[], place point, count integer, document jsonb,
                     numbers pair, span int4range);
CREATE VIEW a_view AS SELECT * FROM events;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM events;
CREATE SEQUENCE a_sequence;
CREATE INDEX an_index ON events (at);
CREATE TEMPORARY TABLE brief (visitor text, at timestamptz);
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE far_away (visitor text, at timestamptz) SERVER nowhere;
SELECT try(
    $$SELECT track_sessions(NULL, 'visitor', 'at')$$, $$SELECT track_sessions('no_such_table', 'visitor', 'at')$$, $$SELECT track_sessions(1::oid, 'visitor', 'at')$$,
    $$SELECT track_sessions('a_view', 'visitor', 'at')$$, $$SELECT track_sessions('a_matview', 'visitor', 'at')$$,
    $$SELECT track_sessions('a_sequence', 'visitor', 'at')$$, $$SELECT track_sessions('an_index', 'visitor', 'at')$$,
    $$SELECT track_sessions('far_away', 'visitor', 'at')$$, $$SELECT track_sessions('pg_temp.brief', 'visitor', 'at')$$,
    $$SELECT track_sessions('pg_class', 'relname', 'oid')$$, $$SELECT track_sessions('sessionize.sessions', 'visitor', 'started_at')$$,
    $$SELECT track_sessions('events', NULL, 'at')$$, $$SELECT track_sessions('events', 'visitor', NULL)$$, $$SELECT track_sessions('events', 'visitor', 'at', session_id => NULL)$$,
    $$SELECT track_sessions('events', 'who', 'at')$$, $$SELECT track_sessions('events', 'visitor', 'when')$$, $$SELECT track_sessions('events', 'ctid', 'at')$$,
    $$SELECT track_sessions('events', 'visitor', 'plain')$$, $$SELECT track_sessions('events', 'visitor', 'day')$$,
    $$SELECT track_sessions('events', 'tags', 'at')$$, $$SELECT track_sessions('events', 'numbers', 'at')$$,
    $$SELECT track_sessions('events', 'visitor', 'at', received_at => 'plain')$$, $$SELECT track_sessions('events', 'visitor', 'at', received_at => 'later')$$,
    $$SELECT track_sessions('events', 'visitor', 'at', session_id => 'count')$$, $$SELECT track_sessions('events', 'visitor', 'at', session_id => 'visitor')$$,
    $$SELECT track_sessions('events', 'visitor', 'at', kind => 'kind')$$, $$SELECT track_sessions('events', 'visitor', 'at', kind => 'tags')$$,
    $$SELECT track_sessions('events', 'visitor', 'at', customer => 'tags')$$, $$SELECT track_sessions('events', 'visitor', 'at', ip => 'count')$$,
    $$SELECT track_sessions('events', 'visitor', 'at', cart_items => 'visitor')$$, $$SELECT track_sessions('events', 'visitor', 'at', cart_value => 'day')$$,
    $$SELECT track_sessions('events', 'visitor', 'at', on_purge => 'burn')$$, $$SELECT track_sessions('events', 'visitor', 'at', on_purge => NULL)$$,
    $$SELECT track_sessions('events', 'visitor', 'at', app => 'nothing')$$, $$SELECT track_sessions('events', 'visitor', 'at', app => '')$$);
-- what failed has left nothing behind
SELECT count(*) FROM sessionize.tracked_tables;
SELECT count(*) FROM sessionize.apps WHERE name = 'events';
SELECT attname FROM pg_attribute WHERE attrelid = 'events'::regclass AND attname = 'session_id';

SELECT track_sessions('events', 'visitor', 'at', 'limits') > 0;
SELECT try(
    $$SELECT track_sessions('events', 'visitor', 'at')$$, $$SELECT drop_session_app('limits')$$,
    $$SELECT untrack_sessions(NULL)$$, $$SELECT untrack_sessions('a_view')$$, $$SELECT untrack_sessions('no_such_table')$$,
    $$SELECT rebuild_sessions(NULL, 'ann')$$, $$SELECT rebuild_sessions('limits', NULL)$$, $$SELECT rebuild_sessions('nothing', 'ann')$$, $$SELECT rebuild_sessions('limits', 'nobody')$$,
    $$CALL backfill_sessions(NULL)$$, $$CALL backfill_sessions('a_view')$$,
    $$SELECT resolve_session(NULL)$$, $$SELECT resolve_session(-1)$$);
SELECT resolve_session(-1), resolve_session(NULL) IS NULL;

-- Trigger functions where they do not belong: called as functions, at the wrong moment, on a table that is not tracked,
-- without an argument, with that of another table or with none that exists
CREATE TABLE other (visitor text, at timestamptz, session_id bigint);
CREATE FUNCTION misuse(definition text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    complaint text;
BEGIN
    EXECUTE 'CREATE TRIGGER misused ' || definition;
    complaint := suite.complaint(statement);
    EXECUTE format('DROP TRIGGER misused ON %s', substring(definition FROM ' ON (\w+)'));
    RETURN E'\n' || definition || E'\n    ' || replace(complaint, E'\n', E'\n    ');
END $$;
SELECT try('SELECT begin_sessions()', 'SELECT assign_session()', 'SELECT record_session()', 'SELECT correct_session()', 'SELECT settle_sessions()');
SELECT misuse(definition, $$INSERT INTO other VALUES ('ann', '2026-01-01+00')$$) FROM unnest(ARRAY[
    'BEFORE INSERT ON other FOR EACH ROW EXECUTE FUNCTION assign_session(1)', 'BEFORE INSERT ON other FOR EACH ROW EXECUTE FUNCTION assign_session()',
    $$BEFORE INSERT ON other FOR EACH ROW EXECUTE FUNCTION assign_session('one')$$, $$BEFORE INSERT ON other FOR EACH ROW EXECUTE FUNCTION assign_session(99999999999)$$,
    'AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION assign_session(1)', 'BEFORE INSERT ON other FOR EACH STATEMENT EXECUTE FUNCTION assign_session(1)',
    'AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION record_session(1)', 'BEFORE INSERT ON other FOR EACH ROW EXECUTE FUNCTION record_session(1)',
    'AFTER INSERT ON other FOR EACH STATEMENT EXECUTE FUNCTION settle_sessions(1)', 'BEFORE INSERT ON other FOR EACH STATEMENT EXECUTE FUNCTION begin_sessions(1)',
    'AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION correct_session(1)', 'AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION sessionize.settings_changed()',
    'BEFORE INSERT ON other FOR EACH ROW EXECUTE FUNCTION sessionize.check_app()']) AS definition;
-- with the number of a table that is tracked, on another one
SELECT tracking_id FROM sessionize.tracked_tables WHERE events = 'events'::regclass \gset
SELECT replace(misuse(format('BEFORE INSERT ON other FOR EACH ROW EXECUTE FUNCTION assign_session(%s)', :tracking_id), $$INSERT INTO other VALUES ('ann', '2026-01-01+00')$$),
               '(' || :'tracking_id' || ')', '(N)');
SELECT replace(misuse(format('AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION record_session(%s)', :tracking_id), $$INSERT INTO other VALUES ('ann', '2026-01-01+00')$$),
               '(' || :'tracking_id' || ')', '(N)');
SELECT count(*) FROM sessionize.sessions WHERE visitor = 'ann';
-- Session columns that cannot be written, and foreign keys of them
CREATE TABLE numbered (visitor text, at timestamptz, session_id bigint GENERATED ALWAYS AS IDENTITY);
CREATE TABLE computed (visitor text, at timestamptz, session_id bigint GENERATED ALWAYS AS (length(visitor)) STORED);
CREATE TABLE referring (visitor text, at timestamptz, session_id bigint CONSTRAINT has_session REFERENCES sessionize.sessions);
SELECT try($$SELECT track_sessions('numbered', 'visitor', 'at')$$, $$SELECT track_sessions('computed', 'visitor', 'at')$$,
           $$SELECT track_sessions('referring', 'visitor', 'at')$$);
ALTER TABLE referring ALTER CONSTRAINT has_session DEFERRABLE;
SELECT try($$SELECT track_sessions('referring', 'visitor', 'at')$$);
ALTER TABLE referring ALTER CONSTRAINT has_session DEFERRABLE INITIALLY DEFERRED;
SELECT track_sessions('referring', 'visitor', 'at') > 0;
INSERT INTO referring VALUES ('ann', '2026-01-01+00'), ('ann', '2026-01-01 00:40+00');
INSERT INTO referring VALUES ('ann', '2026-01-01 00:20+00');
SELECT count(*) = 3 AND count(DISTINCT session_id) = 1 FROM referring JOIN sessionize.sessions USING (session_id);
SELECT try($$ALTER TABLE referring ALTER CONSTRAINT has_session NOT DEFERRABLE$$,
           $$ALTER TABLE referring ADD FOREIGN KEY (session_id) REFERENCES sessionize.sessions$$);
SELECT sessions, events FROM erase_visitor('referring', 'ann');
SELECT count(*) FROM referring;
-- a table whose tracking was forgotten by hand
DELETE FROM sessionize.tracked_tables WHERE events = 'events'::regclass;
SELECT try($$INSERT INTO events VALUES ('ann', '2026-01-01+00')$$);

SET client_min_messages = warning;
DROP SCHEMA bad CASCADE;
SELECT count(drop_session_app(name)) FROM sessionize.apps WHERE name IN ('limits', 'referring', repeat('x', 200));
DROP FOREIGN DATA WRAPPER nowhere CASCADE;
SELECT count(*) FROM sessionize.apps;

-- A database in another encoding than UTF8: no table can be tracked, not by a restored dump either
SELECT current_database() AS here \gset
CREATE DATABASE sessionize_live_latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
CREATE DATABASE sessionize_live_ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
\c sessionize_live_latin
\i :helper
CREATE EXTENSION pg_sessionize;
CREATE TABLE events (visitor text, at timestamptz);
SELECT suite.complaint($$SELECT track_sessions('events', 'visitor', 'at')$$);
SELECT create_session_app('events');
SELECT suite.complaint($$INSERT INTO sessionize.tracked_tables (app_id, events, visitor, occurred_at, session_id, on_purge, mapped_columns, mapped_relation)
                         VALUES (1, 'events', 'visitor', 'at', 'session_id', 'keep', '{1,2,3}', 'events'::regclass)$$);
SELECT attname FROM pg_attribute WHERE attrelid = 'events'::regclass AND attnum > 0;
INSERT INTO events VALUES ('ann', '2026-01-01 10:00+00'), ('ann', '2026-01-01 10:29+00'), ('ann', '2026-01-01 11:00+00');
SELECT session_count(sessionize(at)), session_count(sessionize_daily(at, 'Europe/Prague')) AS days FROM events;
SELECT at = '2026-01-01 11:00+00' AS last, session_number(at) OVER (ORDER BY at) FROM events ORDER BY at;
SELECT drop_session_app('events');
DROP EXTENSION pg_sessionize;
\c sessionize_live_ascii
\i :helper
CREATE EXTENSION pg_sessionize;
CREATE TABLE events (visitor text, at timestamptz);
SELECT suite.complaint($$SELECT track_sessions('events', 'visitor', 'at')$$);
\c :here
DROP DATABASE sessionize_live_latin;
DROP DATABASE sessionize_live_ascii;
