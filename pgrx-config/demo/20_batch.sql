\qecho
\qecho '== Sessions: events of one visitor belong together while the gap between them is shorter than 30 minutes'
\qecho

\set ECHO queries
CREATE TABLE visits AS
SELECT visitor, sessionize(occurred_at, '30 minutes') AS sessions
FROM events
GROUP BY visitor;
\qecho

SELECT count(*) AS sessions,
       date_trunc('second', avg(duration)) AS average_duration,
       round(100 * avg((event_count = 1)::integer), 1) AS bounce_rate_in_percent
FROM visits, session_spans(sessions);

\set ECHO none
\qecho
\qecho '== The busiest visitors'
\qecho

\set ECHO queries
SELECT visitor, event_count(sessions) AS events, session_count(sessions) AS sessions,
       date_trunc('second', average_duration(sessions)) AS average_duration,
       round(bounce_rate(sessions)::numeric, 2) AS bounce_rate
FROM visits
ORDER BY sessions DESC, visitor
LIMIT 5;

\set ECHO none
\qecho
\qecho '== The sessions of one visitor'
\qecho

-- one with about ten sessions of several events, so that it can be read
SELECT visitor AS one
FROM visits
ORDER BY abs(session_count(sessions) - 10), bounce_rate(sessions), visitor
LIMIT 1
\gset

\set ECHO queries
SELECT s.*
FROM visits, session_spans(sessions) AS s
WHERE visitor = :'one'
ORDER BY session_number
LIMIT 12;

\set ECHO none
\qecho
\qecho '== How long sessions last'
\qecho

WITH spans AS (
    SELECT s.event_count, s.duration FROM visits, session_spans(sessions) AS s
), classes (position, lasts, low, high) AS (
    VALUES (0, 'one event', NULL, NULL),
           (1, 'under 10 s', interval '0', interval '10 s'),
           (2, '10 to 30 s', '10 s', '30 s'),
           (3, '30 s to 1 min', '30 s', '1 min'),
           (4, '1 to 3 min', '1 min', '3 min'),
           (5, '3 to 10 min', '3 min', '10 min'),
           (6, '10 to 30 min', '10 min', '30 min'),
           (7, '30 min to 1 h', '30 min', '1 h'),
           (8, 'over 1 h', '1 h', '1000 years')
), counted AS (
    SELECT position, lasts,
           (SELECT count(*) FROM spans
            WHERE CASE WHEN low IS NULL THEN event_count = 1
                       ELSE event_count > 1 AND duration >= low AND duration < high END) AS sessions
    FROM classes
)
SELECT lasts, sessions, repeat('█', ceil(50.0 * sessions / max(sessions) OVER ())::integer) AS " "
FROM counted
ORDER BY position;
