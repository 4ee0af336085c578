-- Roles that have nothing, or only the rights of a reader or an administrator.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
SET client_min_messages = warning;
GRANT USAGE ON SCHEMA suite TO PUBLIC;
CREATE ROLE regress_nobody;
CREATE ROLE regress_reader;
CREATE ROLE regress_manager;
SELECT grant_session_reader('regress_reader');
SELECT grant_session_admin('regress_manager');
CREATE TABLE right_events (visitor text, occurred_at timestamptz);
SELECT track_sessions('right_events', 'visitor', 'occurred_at', app => 'rights') > 0 AS tracked FROM create_session_app('rights');
GRANT INSERT ON right_events TO regress_nobody;
SET ROLE regress_nobody;
INSERT INTO right_events VALUES ('anna', now());
RESET ROLE;
SELECT session_id FROM sessionize.sessions WHERE app_id = sessionize.app_id('rights') \gset

CREATE FUNCTION suite.outcome(role name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    outcome text;
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    outcome := split_part(suite.complaint(statement), E'\n', 1);
    RESET ROLE;
    RETURN CASE WHEN outcome LIKE '42501:%' THEN 'no' WHEN outcome = 'no error' THEN 'yes' ELSE outcome END;
END $$;
CREATE TABLE steps (place serial, step text);
INSERT INTO steps (step) VALUES
    ('SELECT list_sessions()'), ('SELECT count_sessions()'), (format('SELECT session_details(%s)', :session_id)),
    (format('SELECT session_timeline(%s)', :session_id)), ('SELECT * FROM sessionize.app_statistics'),
    ('SELECT visitor_risk(''rights'', ''anna'')'), ('SELECT * FROM sessionize.session_facts'),
    (format('SELECT set_cart(%s, 1, 1, ''EUR'')', :session_id)), (format('SELECT link_customer(%s, ''c'')', :session_id)),
    (format('SELECT set_session_risk(%s, ''review'', ''x'')', :session_id)), (format('SELECT convert_session(%s)', :session_id)),
    (format('SELECT cancel_session(%s, ''x'')', :session_id)),
    ('SELECT assess_session_risk()'), ('SELECT refresh_statistics()'), ('SELECT set_risk_thresholds(''rights'', 20)'),
    ('UPDATE sessionize.risk_rules SET weight = weight'), ('SELECT create_session_app(''mine'')'), ('SELECT drop_session_app(''mine'')'),
    ('SELECT grant_session_reader(''regress_nobody'')'), ('SELECT grant_session_admin(''regress_nobody'')'),
    ('SELECT index_session_tokens()'), ('SELECT sessionize(now())');
SELECT step, suite.outcome('regress_nobody', step) AS nobody, suite.outcome('regress_reader', step) AS reader
  FROM steps
 WHERE step !~ ('\(' || :session_id) ORDER BY place;
SELECT regexp_replace(step, '\(\d+', '(…') AS step, suite.outcome('regress_nobody', step) AS nobody,
       suite.outcome('regress_reader', step) AS reader
  FROM steps WHERE step ~ ('\(' || :session_id) ORDER BY place;
SELECT regexp_replace(step, '\(\d+', '(…') AS step, regexp_replace(suite.outcome('regress_manager', step), 'session \d+', 'session …') AS manager FROM steps ORDER BY place;

\qecho 'Rights are given by who asks, not by whose session it is: here a function of somebody else in an index.'
CREATE SCHEMA AUTHORIZATION regress_nobody;
SET ROLE regress_nobody;
CREATE FUNCTION regress_nobody.take() RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    PERFORM public.grant_session_admin('regress_nobody');
    RETURN 1;
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE '%', SQLERRM;
    RETURN 1;
END $$;
CREATE FUNCTION regress_nobody.key(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN regress_nobody.take(); END $$;
CREATE TABLE regress_nobody.bait (n integer);
SET client_min_messages = warning;
INSERT INTO regress_nobody.bait VALUES (1);
CREATE INDEX ON regress_nobody.bait (regress_nobody.key(n));
RESET ROLE;
SET client_min_messages = notice;
ANALYZE regress_nobody.bait;
SET client_min_messages = warning;
SELECT has_table_privilege('regress_nobody', 'sessionize.sessions', 'DELETE') AS taken;
DROP TABLE regress_nobody.bait;

\qecho 'The triggers of our own tables are nobody else''s.'
GRANT CREATE ON SCHEMA suite TO regress_reader;
SET ROLE regress_reader;
CREATE TABLE suite.bait (session_id bigint, app_id integer, visitor text, last_event_day date);
SELECT routine, suite.complaint(format('CREATE TRIGGER own AFTER DELETE ON suite.bait REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION %s', routine))
  FROM sessionize.functions WHERE open_to = 'nobody' ORDER BY routine::text;
RESET ROLE;
DROP TABLE suite.bait;
REVOKE CREATE ON SCHEMA suite FROM regress_reader;
DROP SCHEMA regress_nobody CASCADE;

\qecho 'An extension that a plain user made: the maker manages it and gives rights to others.'
CREATE DATABASE regress_rights;
CREATE ROLE regress_owner LOGIN;
GRANT CREATE ON DATABASE regress_rights TO regress_owner;
\set here :DBNAME
\c regress_rights
GRANT CREATE ON SCHEMA public TO regress_owner;
SET ROLE regress_owner;
CREATE EXTENSION pg_sessionize;
\set VERBOSITY terse
SELECT grant_session_reader('regress_reader');
SELECT create_session_app('mine') > 0 AS made;
SELECT count_sessions('mine');
SET ROLE regress_reader;
SELECT count_sessions('mine');
SELECT grant_session_admin('regress_reader');
SET ROLE regress_nobody;
SELECT count_sessions('mine');
RESET ROLE;
\set VERBOSITY default
\c :here
DROP DATABASE regress_rights;

DROP FUNCTION suite.outcome;
DROP TABLE steps, right_events;
DROP OWNED BY regress_nobody, regress_reader, regress_manager, regress_owner;
DROP ROLE regress_nobody, regress_reader, regress_manager, regress_owner;
