-- Risk: what conditions may be, what the shipped rules find in generated traffic, and who has the last word.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
SET client_min_messages = warning;

\qecho 'The shipped rules pass the check that others have to pass.'
UPDATE sessionize.risk_rules SET condition = condition;
SELECT name, weight, condition FROM sessionize.risk_rules ORDER BY weight DESC, name;

\qecho 'A condition that is no single expression over the facts is refused when it is stored.'
CREATE TABLE secrets (secret text);
CREATE FUNCTION own_function(bigint) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';
CREATE DOMAIN own_domain AS text CHECK (length(value) < 5);
SELECT condition, split_part(suite.complaint(format('INSERT INTO sessionize.risk_rules (name, condition, weight) VALUES (''bad'', %L, 10)', condition)), E'\n', 2) AS refused
  FROM unnest(ARRAY[
    'event_count >', 'no_such_fact > 1', 'event_count', '''text''', '', 'true) OR (true', 'true; DROP TABLE secrets', 'true -- rest',
    'true /* rest */', 'EXISTS (SELECT FROM public.secrets)', 'event_count > (SELECT 1)', 'event_count > ALL (SELECT 1)', 'count(*) > 1', 'sum(event_count) OVER () > 1',
    'pg_sleep(1) IS NULL', 'random() > 0.5', 'pg_read_file(''x'') IS NULL', 'query_to_xml(''SELECT 1'', true, true, '''') IS NULL',
    'table_to_xml(''public.secrets'', true, true, '''') IS NULL', 'current_setting(''work_mem'') = ''4MB''', 'public.own_function(event_count)',
    'visitor::public.own_domain = ''x''', 'true UNION SELECT true', 'event_count / (event_count - event_count) > 1 OR visitor::integer > 0 AND false OR ''x''::integer > 0',
    'generate_series(1, 2) > 1', E'visitor = E''\\''''', 'true) FROM secrets WHERE (true', 'true AS x, true', 'nextval(''sessionize.session_ids'') > 0', '$1']) WITH ORDINALITY AS list (condition, place)
 ORDER BY place;
SELECT suite.complaint('INSERT INTO sessionize.risk_rules (name, condition, weight) VALUES (''bad'', ''pg_sleep(1) IS NULL'', 10)');

\qecho 'One that is allowed.'
INSERT INTO sessionize.risk_rules (app_id, name, description, condition, weight)
SELECT create_session_app('risky'), 'night owl', 'events between two and five in the morning',
       'extract(hour FROM started_at AT TIME ZONE ''UTC'') BETWEEN 2 AND 4 AND (channel = ''api'' OR lower(visitor) LIKE ''bot%'') AND country IN (''XA'', ''XB'')', 35;

\qecho 'Generated traffic: 1,140 people, some of them in a shared office, behind one address of a carrier, or reading a lot; bots, farms, card testers, travellers and stock hoarders.'
CREATE TABLE planted (kind text, visitor text, bad boolean);
CREATE FUNCTION plant(kind text, visitor text, bad boolean, starts interval, lasts interval, events bigint, address inet, land text, cart numeric, outcome text DEFAULT '')
RETURNS void LANGUAGE sql AS $$
    INSERT INTO planted VALUES (kind, visitor, bad);
    INSERT INTO sessionize.sessions (session_id, started_at, last_event_at, closes_at, expires_at, opened_at, event_count, app_id, last_event_day,
           visitor, token, ip, country, cart_items, cart_value, currency, converted_at, cancelled_at)
    SELECT nextval('sessionize.session_ids'), began, began + lasts, began + lasts + '30 minutes', began + lasts + '25 hours', began, events,
           sessionize.app_id('risky'), ((began + lasts) AT TIME ZONE 'UTC')::date, visitor, left(md5(random()::text || visitor), 16), address, land,
           CASE WHEN cart > 0 THEN 1 END, nullif(cart, 0), 'EUR',
           CASE WHEN outcome = 'converted' THEN began END, CASE WHEN outcome = 'cancelled' THEN began END
      FROM (VALUES (now() - starts)) AS moments (began);
$$;
DO $$
BEGIN
    PERFORM plant('person', 'person-' || i, false, make_interval(mins => 30 + i % 1200), make_interval(mins => 1 + i % 20), 3 + i % 12,
                  inet '10.1.0.0' + i, 'DE', CASE WHEN i % 3 = 0 THEN 20 + i % 80 ELSE 0 END, CASE WHEN i % 10 = 0 THEN 'converted' ELSE '' END)
       FROM generate_series(1, 940) AS i;
    PERFORM plant('shared office', 'office-' || i, false, make_interval(mins => 40 + i), '5 minutes', 5, '10.2.0.1', 'DE', 30) FROM generate_series(1, 60) AS i;
    PERFORM plant('carrier', 'carrier-' || i, false, make_interval(mins => 30 + 9 * i), '4 minutes', 4, '10.2.0.2', 'DE', CASE WHEN i % 12 = 0 THEN 25 ELSE 0 END) FROM generate_series(1, 120) AS i;
    PERFORM plant('reader', 'reader-' || i, false, make_interval(mins => 90 + i), '55 minutes', 60, inet '10.2.1.0' + i, 'DE', 0) FROM generate_series(1, 20) AS i;
    PERFORM plant('bot', 'bot-' || i, true, make_interval(mins => 60 + i), '2 minutes', 500, inet '10.3.0.0' + i, 'US', 0) FROM generate_series(1, 10) AS i;
    PERFORM plant('slow bot', 'slow-' || i, true, make_interval(mins => 60 + i), '20 minutes', 60, inet '10.4.0.0' + i, 'US', 0) FROM generate_series(1, 5) AS i;
    PERFORM plant('farm', 'farm-' || i, true, make_interval(mins => 100 + i), '1 minute', 3, '10.5.0.1', 'US', 0) FROM generate_series(1, 90) AS i;
    PERFORM plant('stolen account', 'account-' || i, true, make_interval(mins => 300 - 60 * leg), '5 minutes', 5, inet '10.6.0.0' + i * 2 + leg, land, 0)
       FROM generate_series(1, 5) AS i, (VALUES (1, 'DE'), (2, 'BR')) AS legs (leg, land);
    PERFORM plant('card tester', 'tester-' || i, true, '50 minutes', '3 minutes', 4, inet '10.7.0.0' + i, 'DE', 5000) FROM generate_series(1, 5) AS i;
    PERFORM plant('hoarder', 'hoarder-' || i, true, make_interval(mins => 1200 - 60 * leg), '5 minutes', 4, inet '10.8.0.0' + i, 'DE', 40)
       FROM generate_series(1, 2) AS i, generate_series(1, 12) AS leg;
    PERFORM plant('canceller', 'canceller', true, make_interval(mins => 600 - 60 * leg), '5 minutes', 4, '10.9.0.1', 'DE', 0, 'cancelled') FROM generate_series(1, 5) AS leg;
END $$;
SELECT assess_session_risk('risky', '2 days') AS scored;

CREATE VIEW found AS
SELECT kind, bad, session.visitor, bool_or(risk <> 'normal') AS found
  FROM sessionize.sessions AS session JOIN (SELECT DISTINCT * FROM planted) AS planted USING (visitor)
 WHERE app_id = sessionize.app_id('risky') GROUP BY 1, 2, 3;
SELECT kind, bad, count(*) AS visitors, count(*) FILTER (WHERE found) AS found FROM found GROUP BY 1, 2 ORDER BY 2 DESC, 1;
SELECT round(1.0 * count(*) FILTER (WHERE found AND bad) / count(*) FILTER (WHERE found), 2) AS precision,
       round(1.0 * count(*) FILTER (WHERE found AND bad) / count(*) FILTER (WHERE bad), 2) AS recall FROM found;

\qecho 'Scores, reasons and levels; a second assessment changes nothing.'
SELECT risk, risk_score, jsonb_path_query_array(risk_reasons, '$.rules[*].rule') AS rules, count(*)
  FROM sessionize.sessions WHERE app_id = sessionize.app_id('risky') AND risk_score > 0 GROUP BY 1, 2, 3 ORDER BY 2 DESC, 3;
SELECT count(*) AS changes FROM sessionize.session_changes WHERE app_id = sessionize.app_id('risky') \gset
SELECT assess_session_risk('risky', '2 days') AS scored;
SELECT count(*) - :changes AS further_changes FROM sessionize.session_changes WHERE app_id = sessionize.app_id('risky');
SELECT assess_session_risk('risky', '5 minutes') AS touched_lately;

\qecho 'A level set by hand stays until it is cleared; thresholds belong to the application.'
SELECT session_id AS bot FROM sessionize.sessions WHERE visitor = 'bot-1' \gset
SELECT visitor_risk('risky', 'bot-1'), visitor_risk('risky', 'person-1'), visitor_risk('risky', 'nobody');
SELECT set_session_risk(:bot, 'restricted', 'seen it');
SELECT assess_session_risk('risky', '2 days') > 0 AS assessed;
SELECT risk, risk_score, risk_reasons ? 'rules' AS rules_are_known FROM sessionize.sessions WHERE session_id = :bot;
SELECT visitor_risk('risky', 'bot-1');
SELECT set_session_risk(:bot, NULL, 'cleared');
SELECT visitor_risk('risky', 'bot-1');
SELECT set_risk_thresholds('risky', restricted_from => 60);
SELECT assess_session_risk('risky', '2 days') > 0 AS assessed;
SELECT visitor_risk('risky', 'bot-1');

\qecho 'An application can have a rule of its own in place of a shipped one, or turn one off.'
INSERT INTO sessionize.risk_rules (app_id, name, condition, weight, enabled)
SELECT sessionize.app_id('risky'), 'busy address', 'sessions_of_ip_in_a_day > 80', 35, true;
UPDATE sessionize.risk_rules SET enabled = false WHERE name = 'cart value';
SELECT assess_session_risk('risky', '2 days') > 0 AS assessed;
SELECT kind, count(*) FILTER (WHERE found) AS found FROM found WHERE kind IN ('shared office', 'farm', 'card tester') GROUP BY 1 ORDER BY 1;
UPDATE sessionize.risk_rules SET enabled = true WHERE name = 'cart value';

\qecho 'A rule that fails for a session that came later is named.'
INSERT INTO sessionize.risk_rules (rule_id, app_id, name, condition, weight) SELECT 1000, sessionize.app_id('risky'), 'sometimes odd', '10 / (event_count - 12345) > 1', 35;
SELECT assess_session_risk('risky', '2 days') > 0 AS assessed;
UPDATE sessionize.sessions SET event_count = 12345 WHERE visitor = 'bot-1';
SELECT suite.complaint('SELECT assess_session_risk($$risky$$, $$2 days$$)');
UPDATE sessionize.risk_rules SET enabled = false WHERE rule_id = 1000;
SELECT assess_session_risk('risky', '2 days') > 0 AS assessed;

\qecho 'Whatever carts events bring: they can be assessed, and what no cart is worth does not move what is usual.'
CREATE TABLE odd_carts (visitor text, at timestamptz, value numeric, currency text DEFAULT 'XTS');
SELECT track_sessions('odd_carts', 'visitor', 'at', app => 'risky', cart_value => 'value', currency => 'currency') > 0 AS tracked;
INSERT INTO odd_carts SELECT 'usual-' || value, now(), value FROM generate_series(10, 49) AS value;
INSERT INTO odd_carts SELECT 'odd-' || place, now(), value
  FROM unnest('{1e-400,1e400,-1e400,1e131071,-1e131071,NaN,Infinity,-Infinity,1e-16383,0,-1}'::numeric[]) WITH ORDINALITY AS odd (value, place);
SELECT assess_session_risk('risky', '1 minute') AS assessed;
SELECT carts, median, deviation FROM sessionize.cart_norms WHERE currency = 'XTS';
SELECT visitor, CASE WHEN abs(cart_value_deviation) < 1000 THEN cart_value_deviation::text ELSE 'far off' END AS deviation,
       session.risk_reasons #>> '{rules,0,rule}' AS rule
  FROM sessionize.session_facts JOIN sessionize.sessions AS session USING (session_id, visitor) WHERE visitor LIKE 'odd%' ORDER BY session_id;
DROP TABLE odd_carts;

\qecho 'A condition may name the view.'
INSERT INTO sessionize.risk_rules (app_id, name, condition, weight)
SELECT sessionize.app_id('risky'), condition, condition, 1
  FROM unnest('{session_facts.event_count > 0,sessionize.session_facts.event_count > 0,session_facts IS NOT NULL}'::text[]) AS condition;
SELECT assess_session_risk('risky', '1 minute') > 0 AS assessed;
SELECT risk_reasons @> '{"rules": [{"rule": "session_facts.event_count > 0"}, {"rule": "sessionize.session_facts.event_count > 0"}]}' AS both_hold
  FROM sessionize.sessions WHERE visitor = 'usual-10';
SELECT suite.complaint('INSERT INTO sessionize.risk_rules (name, condition, weight) VALUES ($$alias$$, $$fact.event_count > 0$$, 10)');

\qecho 'Who stores a rule needs temporary views, and an application that exists.'
SELECT suite.complaint('INSERT INTO sessionize.risk_rules (app_id, name, condition, weight) VALUES (-1, $$lost$$, $$converted$$, 10)');
CREATE ROLE regress_rules;
SELECT grant_session_admin('regress_rules');
REVOKE TEMPORARY ON DATABASE sessionize_regress FROM PUBLIC;
SET ROLE regress_rules;
INSERT INTO sessionize.risk_rules (name, condition, weight) VALUES ('by a manager', 'converted', 10);
RESET ROLE;
GRANT TEMPORARY ON DATABASE sessionize_regress TO PUBLIC;
SET ROLE regress_rules;
INSERT INTO sessionize.risk_rules (name, condition, weight) VALUES ('by a manager', 'converted', 10);
RESET ROLE;
DELETE FROM sessionize.risk_rules WHERE name = 'by a manager';
DROP OWNED BY regress_rules;
DROP ROLE regress_rules;

\qecho 'The level of a visitor in all applications'
SELECT visitor_risk(NULL, 'bot-1'), visitor_risk(NULL, 'nobody');

DROP VIEW found;
DROP FUNCTION plant, own_function;
DROP TABLE planted, secrets;
DROP DOMAIN own_domain;
SELECT drop_session_app('risky');
SELECT count(*) AS rules_of_an_application FROM sessionize.risk_rules WHERE app_id IS NOT NULL;
