-- What an application does with a session, and what it leaves behind.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
SET client_min_messages = warning;
SET datestyle = 'ISO';
SET timezone = 'UTC';
CREATE TABLE cart_events (visitor text, occurred_at timestamptz DEFAULT now(), kind text, items integer);
SELECT track_sessions('cart_events', 'visitor', 'occurred_at', app => 'carts', kind => 'kind', cart_items => 'items') > 0
  FROM create_session_app('carts', conversion_kinds => '{order}', cancellation_kinds => '{cancel}');
CREATE VIEW mine AS SELECT * FROM sessionize.sessions WHERE app_id = sessionize.app_id('carts');
INSERT INTO cart_events (visitor, items) VALUES ('anna', 1), ('boris', 1), ('cyril', 1), ('dana', 1);
SELECT session_id AS anna FROM mine WHERE visitor = 'anna' \gset
SELECT session_id AS boris FROM mine WHERE visitor = 'boris' \gset
SELECT session_id AS cyril FROM mine WHERE visitor = 'cyril' \gset
CREATE VIEW changes AS
SELECT visitor, what, old_value, new_value, reason, changed_by = current_user AS by_me
  FROM sessionize.session_changes JOIN mine USING (session_id) ORDER BY change_id;

\qecho 'converting: once, and again without harm'
SELECT convert_session(:anna, 'order 1');
SELECT convert_session(:anna, 'order 1');
SELECT convert_session(:anna);
SELECT status FROM list_sessions('carts', search => 'anna');
SELECT order_ref, converted_at IS NOT NULL AS converted FROM sessionize.sessions WHERE session_id = :anna;

\qecho 'an order that becomes known later'
INSERT INTO cart_events (visitor, kind) VALUES ('dana', 'order');
SELECT convert_session(session_id, 'order 2') FROM mine WHERE visitor = 'dana';
SELECT order_ref FROM mine WHERE visitor = 'dana';

\qecho 'cancelling: the next event opens a new session'
SELECT cancel_session(:boris, 'stock ran out');
SELECT cancel_session(:boris, 'again');
INSERT INTO cart_events (visitor, items) VALUES ('boris', 2);
SELECT status, cart_items FROM list_sessions('carts', search => 'boris') ORDER BY session_id;

\qecho 'cart and customer hold until a later event'
SELECT set_cart(:cyril, 4, 99.5, 'EUR');
SELECT link_customer(:cyril, 'customer 7');
SELECT cart, customer FROM list_sessions('carts', search => 'cyril');
INSERT INTO cart_events VALUES ('cyril', now() - interval '1 minute', NULL, 1);
SELECT cart FROM list_sessions('carts', search => 'cyril');
INSERT INTO cart_events VALUES ('cyril', clock_timestamp() + interval '1 minute', NULL, 5);
SELECT cart FROM list_sessions('carts', search => 'cyril');
SELECT link_customer(:cyril, NULL);

\qecho 'every step was recorded'
SELECT * FROM changes;

\qecho 'impossible steps'
SELECT regexp_replace(suite.complaint('SELECT ' || step), '(session|at) \d[^ .]*( [^ ]+\+00)?', '\1 …', 'g') AS complaint
  FROM unnest(ARRAY[
        'cancel_session(:anna, NULL)', 'convert_session(:anna, $$order 3$$)', 'convert_session(:boris)',
        'convert_session(-1)', 'cancel_session(-1, NULL)', 'set_cart(-1, 1, 1, NULL)', 'link_customer(-1, NULL)',
        'set_session_risk(-1, NULL, NULL)', 'session_details(-1)', 'session_details($$no such token$$)', 'session_timeline(-1)',
        'convert_session(NULL)', 'set_cart(:anna, -1, 1, NULL)', 'set_cart(:anna, 1, $$NaN$$, NULL)',
        'convert_session(:anna, at => $$infinity$$)', 'set_session_risk(:anna, $$evil$$, $$x$$)',
        'set_session_risk(:anna, $$all$$, $$x$$)', 'set_session_risk(:anna, $$review$$, $$ $$)']) WITH ORDINALITY AS steps (template, place),
       LATERAL replace(replace(template, ':anna', :'anna'), ':boris', :'boris') AS step
 ORDER BY place;

\qecho 'a level set by hand says who and why, and stays until it is cleared'
SELECT set_session_risk(:cyril, 'Restricted', 'stolen card');
SELECT risk, risk_reasons #>> '{set_by_hand,reason}' AS why, risk_reasons #>> '{set_by_hand,by}' = current_user AS by_me
  FROM sessionize.sessions WHERE session_id = :cyril;
SELECT set_session_risk(:cyril, NULL, 'cleared by the bank');
SELECT risk, risk_reasons FROM sessionize.sessions WHERE session_id = :cyril;
SELECT what, old_value, new_value, reason FROM changes WHERE what = 'risk';

\qecho 'sessions that become one keep what people decided: the highest mark, and the order of the earliest conversion'
CREATE TABLE merging (visitor text, at timestamptz, received timestamptz);
SELECT track_sessions('merging', 'visitor', 'at', app => 'carts', received_at => 'received') > 0;
INSERT INTO merging SELECT visitor, now() - ago, now() - ago
  FROM unnest('{marked first,marked last,both marked,two orders}'::text[]) AS visitor, unnest('{3 hours,130 minutes}'::interval[]) AS ago;
CREATE VIEW halves AS SELECT *, row_number() OVER (PARTITION BY visitor ORDER BY started_at) AS half FROM mine;
SELECT count(set_session_risk(session_id, 'monitored', 'watch him')) FROM halves WHERE visitor = 'marked first' AND half = 1;
SELECT count(set_session_risk(session_id, 'normal', 'our own tester')) FROM halves WHERE visitor = 'marked last' AND half = 2;
SELECT count(set_session_risk(session_id, CASE half WHEN 1 THEN 'review' ELSE 'restricted' END, 'as marked ' || half)) FROM halves WHERE visitor = 'both marked';
SELECT count(convert_session(session_id, 'order ' || half, now() - half * interval '10 minutes')) FROM halves WHERE visitor = 'two orders';
INSERT INTO sessionize.risk_rules (name, condition, weight) VALUES ('short', 'event_count = 1 AND visitor = ''marked first''', 70);
SELECT assess_session_risk('carts') > 0 AS assessed;
INSERT INTO merging SELECT visitor, now() - interval '155 minutes', now() FROM merging GROUP BY visitor;
SELECT visitor, event_count, risk, risk_reasons #>> '{set_by_hand,reason}' AS why, risk_reasons #>> '{rules,0,rule}' AS rule, order_ref
  FROM mine JOIN merging USING (session_id, visitor) GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY visitor;
\qecho 'until the next assessment the highest level holds, from then on what was said by hand'
INSERT INTO sessionize.risk_rules (name, condition, weight) VALUES ('all marked', 'visitor LIKE ''%marked%''', 90);
SELECT assess_session_risk('carts') > 0 AS assessed;
SELECT visitor, risk, risk_score FROM mine WHERE visitor LIKE '%marked%' ORDER BY visitor;
DELETE FROM sessionize.risk_rules WHERE NOT shipped;
DROP VIEW halves;
DROP TABLE merging;

\qecho 'a customer is indexed'
SELECT suite.complaint('SELECT link_customer(' || :cyril || ', repeat($$x$$, 1001))');
SELECT link_customer(:cyril, repeat('x', 1000));

\qecho 'anybody may ask what became of a session'
CREATE ROLE regress_stranger;
SET ROLE regress_stranger;
SELECT resolve_session(-5);
RESET ROLE;
DROP ROLE regress_stranger;

DROP VIEW changes, mine;
DROP TABLE cart_events;
