-- Events to measure on: :visits visits over 30 days by visitors of whom a few come often and most seldom, ten events
-- a visit on average. A million visits make ten million events of about 193,000 visitors. Rows lie in order of
-- arrival; the instants in them are up to two minutes older or newer than their neighbours'.
SET client_min_messages = warning;
DROP TABLE IF EXISTS events;
CREATE UNLOGGED TABLE events (visitor_id bigint, occurred_at timestamptz, kind text, amount numeric);

SELECT setseed(0.2026);
INSERT INTO events
WITH visits AS MATERIALIZED (
    SELECT trunc(200000 * random() ^ 2)::bigint AS visitor_id,
           timestamptz '2026-01-01+00' + random() * interval '30 days' AS started_at,
           round(1 - 9 * ln(1 - 0.9999 * random()))::integer AS pages
    FROM generate_series(1, :visits)
), pages AS (
    SELECT visitor_id, started_at + page * random() * interval '4 minutes' AS arrived_at
    FROM visits, generate_series(0, pages - 1) AS page
    ORDER BY arrived_at
)
SELECT visitor_id, arrived_at + random() * interval '2 minutes',
       (ARRAY['page_view', 'page_view', 'page_view', 'search', 'heartbeat', 'add_to_cart'])[1 + trunc(6 * random())::integer],
       round((100 * random())::numeric, 2)
FROM pages;

VACUUM ANALYZE events;
SELECT format('COMMENT ON TABLE events IS %L', :'visits') \gexec
