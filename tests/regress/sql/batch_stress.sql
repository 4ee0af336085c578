-- The aggregate's state under stress, against the window query: many sessions, any order, long spans.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper

CREATE TABLE events (shape text, visitor integer, occurred_at timestamptz, n integer);
-- 200 visitors with a few sessions each; one with 20,000; one whose sessions last for years; one whose late events bridge.
INSERT INTO events
SELECT 'usual', n % 200, timestamptz '2026-01-01+00' + abs(hashint8(n)) % 600000 * interval '1 second', n FROM generate_series(1, 20000) AS n
UNION ALL
SELECT 'many', 1, timestamptz '2020-01-01+00' + n * interval '31 minutes' + abs(hashint8(n)) % 120 * interval '1 second', n FROM generate_series(1, 20000) AS n
UNION ALL
SELECT 'long', n % 3, timestamptz '1500-01-01+00' + abs(hashint8(n)) % 900 * interval '199 days 1 second', n FROM generate_series(1, 2000) AS n
UNION ALL
SELECT 'bridged', n % 2, timestamptz '2026-01-01+00' + (CASE WHEN n <= 8000 THEN 2 * n ELSE 2 * (n - 8000) + 1 END) * interval '20 minutes', n FROM generate_series(1, 12000) AS n;
ANALYZE events;

SELECT shape, timeout, boundary, direction, suite.differences(
    suite.by_aggregate(source, timeout, boundary), suite.by_window(source, timeout, boundary)) AS differences
FROM (VALUES ('usual', interval '30 minutes'), ('usual', '1 second'), ('many', '30 minutes'), ('many', '31 minutes 10 seconds'),
             ('long', '199 days 1 second'), ('long', '300 days'), ('bridged', '20 minutes'), ('bridged', '21 minutes')) AS shapes (shape, timeout),
     (VALUES ('exclusive'), ('inclusive')) AS boundaries (boundary),
     (VALUES ('forwards', 'occurred_at'), ('backwards', 'occurred_at DESC'), ('shuffled', 'hashint4(n)'), ('as stored', 'n')) AS orders (direction, keys),
     LATERAL format('(SELECT visitor, occurred_at FROM events WHERE shape = %L ORDER BY %s OFFSET 0) AS source', shape, keys) AS source
ORDER BY shape, timeout, boundary, direction;

-- Days, against PostgreSQL's own calendar, in the same orders.
SELECT shape, direction, suite.differences(
    format('SELECT visitor, span.started_at, span.last_event_at, span.event_count
            FROM (SELECT visitor, sessionize_daily(occurred_at, ''America/Sao_Paulo'') AS sessions FROM %s GROUP BY visitor) AS visits,
                 session_spans(sessions) AS span', source),
    format('SELECT visitor, min(occurred_at), max(occurred_at), count(*) FROM %s
            GROUP BY visitor, (occurred_at AT TIME ZONE ''America/Sao_Paulo'')::date', source)) AS differences
FROM (VALUES ('usual'), ('many'), ('long'), ('bridged')) AS shapes (shape),
     (VALUES ('forwards', 'occurred_at'), ('backwards', 'occurred_at DESC'), ('shuffled', 'hashint4(n)')) AS orders (direction, keys),
     LATERAL format('(SELECT visitor, occurred_at FROM events WHERE shape = %L ORDER BY %s OFFSET 0) AS source', shape, keys) AS source
ORDER BY shape, direction;

-- A million sessions of one visitor, forwards and shuffled.
SELECT direction, session_count(sessions), event_count(sessions), total_duration(sessions)
FROM (SELECT 'forwards' AS direction, sessionize(timestamptz '2000-01-01+00' + n * interval '1 hour') AS sessions FROM generate_series(1, 1000000) AS n
      UNION ALL
      SELECT 'shuffled', sessionize(timestamptz '2000-01-01+00' + (n::bigint * 7919 % 1000003) * interval '1 hour') FROM generate_series(1, 1000000) AS n) AS visits
ORDER BY direction;

-- Sessions that take turns, event by event: what a visitor takes depends on the sessions, not on the events.
CREATE FUNCTION suite.turns(aggregate text, sessions integer, OUT counted bigint, OUT events bigint, OUT is_small boolean) LANGUAGE plpgsql AS $$
BEGIN
    -- Read beside the aggregate, the memory is that of the state which has just been finished.
    EXECUTE format('SELECT session_count(%1$s), event_count(%1$s),
                           (SELECT sum(used_bytes) FROM pg_backend_memory_contexts WHERE name = ''ExprContext'' AND count(at) > 0) < 100000 + 64 * %2$s
                    FROM (SELECT timestamptz ''2026-01-01+00'' + n %% %2$s * interval ''1 day'' + n * interval ''1 millisecond'' AS at
                          FROM (SELECT generate_series(1, 20000) AS n) AS numbers) AS events', aggregate, sessions)
    INTO counted, events, is_small;
END $$;
SELECT aggregate, sessions, turns.*
FROM (VALUES ('sessionize(at)'), ('sessionize_daily(at, ''Europe/Prague'')')) AS aggregates (aggregate),
     unnest(ARRAY[1, 2, 3, 10, 15, 16, 17, 40, 1000]) AS sessions, suite.turns(aggregate, sessions) AS turns
ORDER BY aggregate, sessions;
DROP FUNCTION suite.turns;

DROP TABLE events;
