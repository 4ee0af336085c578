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

DROP VIEW changes, mine;
DROP TABLE cart_events;
