\qecho
\qecho '== A shop that is tracked: what its panel shows'
\qecho

-- A day of a small shop, up to this moment; a bot and a busy hour are among it. The same on every run.
CREATE TABLE boutique_events (
    visitor text NOT NULL, occurred_at timestamptz NOT NULL, received_at timestamptz, kind text,
    customer text, ip inet, country text, items integer, total numeric, currency text
);
SELECT create_session_app('boutique', conversion_kinds => '{order}') \g /dev/null
SELECT track_sessions('boutique_events', 'visitor', 'occurred_at', app => 'boutique', kind => 'kind', received_at => 'received_at',
                      customer => 'customer', ip => 'ip', country => 'country',
                      cart_items => 'items', cart_value => 'total', currency => 'currency') \g /dev/null
INSERT INTO boutique_events
SELECT 'shopper-' || number, instant, instant,
       CASE WHEN step = 1 THEN 'view' WHEN step = 6 AND number % 4 = 0 THEN 'order' WHEN step > 2 THEN 'add_to_cart' ELSE 'view' END,
       CASE WHEN number % 3 = 0 THEN 'customer-' || number END,
       inet '198.51.100.0' + (number * 7 % 250)::integer, (ARRAY['CZ', 'US', 'DE', 'JP', 'GB'])[1 + number % 5],
       CASE WHEN step > 2 THEN step - 2 END, CASE WHEN step > 2 THEN (step - 2) * (15 + number % 40) * 1.25 END, 'USD'
FROM generate_series(1, 400) AS number, generate_series(1, 1 + number % 7) AS step,
     LATERAL (SELECT now() - make_interval(mins => number * number * 7 / 60 + 12, secs => -100 * step)) AS happened (instant)
ORDER BY instant;
INSERT INTO boutique_events
SELECT 'crawler', instant, instant, 'view', NULL, '203.0.113.66', 'US', NULL, NULL, NULL
FROM generate_series(1, 600) AS step, LATERAL (SELECT now() - interval '50 minutes' + step * interval '0.2 seconds') AS happened (instant)
ORDER BY instant;
SELECT cancel_session(session_id, 'stock ran out')
FROM (SELECT session_id FROM list_sessions('boutique') WHERE cart_items > 2 AND status <> 'converted' OFFSET 1 LIMIT 2) AS chosen \g /dev/null
SELECT set_session_risk(session_id, 'restricted', 'card was reported stolen')
FROM (SELECT session_id FROM list_sessions('boutique', 'converted') OFFSET 1 LIMIT 1) AS chosen \g /dev/null

\set ECHO queries
SELECT assess_session_risk('boutique', '2 days') AS scored, count_sessions('boutique') AS total_sessions;

SELECT icon || ' ' || short_token AS session, flag || ' ' || country AS country, cart, status, status_color, risk, started
FROM list_sessions('boutique', page_size => 15);

SELECT visitor, cart, status, started FROM list_sessions('boutique', 'converted', search => 'Czechia', page_size => 3);
\set ECHO none
\qecho
\qecho '== Who needs attention, and why'
\qecho

\set ECHO queries
SELECT session.visitor, session.risk, session.status,
       coalesce(security #>> '{set_by_hand,reason}', security #>> '{reasons,0,description}') AS why
FROM list_sessions('boutique') AS session, LATERAL (SELECT session_details(session_id) -> 'security') AS details (security)
WHERE risk <> 'normal';

\set ECHO none
\qecho
\qecho '== One session in full'
\qecho

SELECT session_id AS one FROM list_sessions('boutique', 'converted', page_size => 1) \gset
\set ECHO queries
SELECT to_char(at, 'HH24:MI:SS') AS at, source, event, detail - '{visitor,ip,country,customer,occurred_at,received_at,kind}'::text[] AS detail
FROM session_timeline(:one);

SELECT jsonb_pretty(session_details(:one) - '{timeline,timestamps}'::text[]) AS details;

SELECT app, sessions, active, closed, converted, cancelled, monitored, review, restricted, events
FROM sessionize.app_statistics WHERE app = 'boutique';
\set ECHO none
