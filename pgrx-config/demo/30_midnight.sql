\qecho
\qecho '== The same events, one session per visitor and day in Prague'
\qecho

\set ECHO queries
WITH daily AS (
    SELECT visitor, sessionize_daily(occurred_at, 'Europe/Prague') AS sessions
    FROM events
    GROUP BY visitor
)
SELECT 'one per day' AS policy, sum(session_count(sessions)) AS sessions,
       date_trunc('second', sum(total_duration(sessions)) / sum(session_count(sessions))) AS average_duration
FROM daily
UNION ALL
SELECT '30 minutes', sum(session_count(sessions)),
       date_trunc('second', sum(total_duration(sessions)) / sum(session_count(sessions)))
FROM visits;

\set ECHO none
\qecho
\qecho '== The first events of that one visitor, numbered by session: 30 minutes, and a gap of 5 minutes'
\qecho

\set ECHO queries
SELECT occurred_at, kind,
       session_number(occurred_at, '30 minutes') OVER w AS by_30_minutes,
       session_number(occurred_at, '5 minutes') OVER w AS by_5_minutes
FROM events
WHERE visitor = :'one'
WINDOW w AS (PARTITION BY visitor ORDER BY occurred_at)
ORDER BY occurred_at
LIMIT 12;
\set ECHO none
