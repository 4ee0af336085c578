-- session_number: the number of each row's session, in a window.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper

CREATE TABLE clicks (visitor text, occurred_at timestamptz);
INSERT INTO clicks
SELECT visitor, timestamptz '2026-01-01 10:00+00' + minute * interval '1 minute'
FROM (VALUES ('anna', 0), ('anna', 5), ('anna', 5), ('anna', 35), ('anna', 36), ('anna', 100), ('anna', 100),
             ('bob', 0), ('bob', 29), ('bob', 60)) AS clicks (visitor, minute);

SELECT visitor, occurred_at,
       session_number(occurred_at) OVER w AS by_default,
       session_number(occurred_at, '30 minutes', 'inclusive') OVER w AS inclusive,
       session_number(occurred_at, '1 minute') OVER w AS a_minute
FROM clicks WINDOW w AS (PARTITION BY visitor ORDER BY occurred_at) ORDER BY visitor, occurred_at;

-- Equal instants share a number also where rows are counted one by one.
SELECT occurred_at, session_number(occurred_at) OVER (ORDER BY occurred_at ROWS UNBOUNDED PRECEDING)
FROM clicks WHERE visitor = 'anna' ORDER BY occurred_at;

-- Latest first: the numbers count from the latest session.
SELECT occurred_at, session_number(occurred_at) OVER (ORDER BY occurred_at DESC)
FROM clicks WHERE visitor = 'bob' ORDER BY occurred_at DESC;

-- NULL and infinity have no number and disturb none.
SELECT occurred_at, session_number(occurred_at) OVER (ORDER BY occurred_at)
FROM (VALUES (timestamptz '-infinity'), ('2026-01-01 10:00+00'), ('2026-01-01 11:00+00'), ('infinity'), (NULL)) AS events (occurred_at);
SELECT occurred_at, session_number(occurred_at) OVER (ORDER BY occurred_at NULLS FIRST ROWS UNBOUNDED PRECEDING)
FROM (VALUES (NULL::timestamptz), ('2026-01-01 10:00+00'), (NULL), ('2026-01-01 11:00+00')) AS events (occurred_at);

-- Against the window query, on many visitors.
CREATE TABLE events AS
SELECT n % 97 AS visitor, timestamptz '2026-01-01+00' + abs(hashint8(n)) % 400000 * interval '1 second' AS occurred_at
FROM generate_series(1, 20000) AS n;
SELECT timeout, boundary, suite.differences(
    format('SELECT visitor, occurred_at, session_number(occurred_at, %L, %L) OVER (PARTITION BY visitor ORDER BY occurred_at) FROM events', timeout, boundary),
    format('SELECT visitor, occurred_at, sum(opens) OVER (PARTITION BY visitor ORDER BY occurred_at)
            FROM (SELECT *, (lag(occurred_at) OVER w IS NULL OR occurred_at - lag(occurred_at) OVER w %s %L)::integer AS opens
                  FROM events WINDOW w AS (PARTITION BY visitor ORDER BY occurred_at)) AS gaps',
           CASE boundary WHEN 'inclusive' THEN '>' ELSE '>=' END, timeout))
FROM unnest(ARRAY[interval '1 second', '1000 seconds', '30 minutes', '1 day']) AS timeout, unnest(ARRAY['exclusive', 'inclusive']) AS boundary
ORDER BY timeout, boundary;
-- As many numbers as sessionize counts sessions.
SELECT count(*) FROM (
    SELECT visitor, max(number) AS numbers, session_count(sessionize(occurred_at)) AS sessions
    FROM (SELECT *, session_number(occurred_at) OVER (PARTITION BY visitor ORDER BY occurred_at) AS number FROM events) AS numbered
    GROUP BY visitor) AS visitors
WHERE numbers <> sessions;

-- Rows that are not in order, and rules that are none.
SELECT suite.complaint('SELECT session_number(occurred_at) OVER (ORDER BY visitor ROWS UNBOUNDED PRECEDING) FROM (SELECT * FROM events LIMIT 100) AS first') AS complaint;
SELECT suite.complaint(format('SELECT session_number(occurred_at, %s) OVER (ORDER BY occurred_at) FROM events', arguments)) AS complaint
FROM unnest(ARRAY['''0''', '''1 month''', 'NULL', '''1 hour'', ''open''', '''1 hour'', NULL']) AS arguments;

DROP TABLE clicks, events;
