-- sessionize and sessionize_daily: what they give, and what they refuse.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper

-- The worked example of the rules.
CREATE TABLE example (occurred_at timestamptz);
INSERT INTO example
SELECT timestamptz '2026-03-01 00:00:00+00' + make_interval(mins => minute)
FROM unnest(ARRAY[-33, -32, -31, -1, 0, 1]) AS minute;

SELECT span.* FROM (SELECT sessionize(occurred_at) AS sessions FROM example) AS visit, session_spans(sessions) AS span;
SELECT span.* FROM (SELECT sessionize_daily(occurred_at, 'UTC') AS sessions FROM example) AS visit, session_spans(sessions) AS span;

-- The three arities agree on the defaults.
SELECT sessionize(occurred_at)::text = sessionize(occurred_at, '30 minutes')::text
   AND sessionize(occurred_at)::text = sessionize(occurred_at, '30 minutes', 'exclusive')::text AS equal
FROM example;

-- A gap of exactly the timeout: to the microsecond.
SELECT gap, session_count(sessionize(at, '30 minutes')) AS by_default,
       session_count(sessionize(at, '30 minutes', 'exclusive')) AS exclusive,
       session_count(sessionize(at, '30 minutes', 'Inclusive')) AS inclusive
FROM unnest(ARRAY[interval '00:29:59.999999', '00:30:00', '00:30:00.000001']) AS gap,
     LATERAL (VALUES (timestamptz '2026-01-01 12:00+00'), ('2026-01-01 12:00+00'::timestamptz + gap)) AS events (at)
GROUP BY gap ORDER BY gap;

-- NULL and infinite instants are skipped; without any other the result is NULL.
SELECT sessionize(at) AS sessions
FROM (VALUES (timestamptz '2026-01-01 12:00+00'), (NULL), ('infinity'), ('-infinity')) AS events (at);
SELECT sessionize(at) IS NULL AS nothing, sessionize(at, '1 hour') IS NULL AS nothing,
       sessionize(at, '1 hour', 'inclusive') IS NULL AS nothing, sessionize_daily(at, 'UTC') IS NULL AS nothing
FROM (VALUES (NULL::timestamptz), ('infinity'), ('-infinity')) AS events (at);
SELECT sessionize(occurred_at) IS NULL AS nothing FROM example WHERE false;
SELECT count(*) FROM (SELECT sessionize(occurred_at) FROM example WHERE false GROUP BY occurred_at) AS groups;

-- Both ends of time.
SELECT span.session_number, span.event_count
FROM (SELECT sessionize(at, '366 days', 'inclusive') AS sessions
      FROM (VALUES (timestamptz '4714-11-24 00:00:00+00 BC'), ('294276-12-31 23:59:59.999999+00')) AS events (at)) AS visit,
     session_spans(sessions) AS span;
SELECT session_count(sessionize_daily(at, 'Europe/Prague'))
FROM (VALUES (timestamptz '4714-11-24 00:00:00+00 BC'), ('294276-12-31 23:59:59.999999+00')) AS events (at);

-- Days that are not 24 hours long.
SELECT zone, session_count(sessionize_daily(at, zone)) AS days, count(DISTINCT (at AT TIME ZONE zone)::date) AS dates
FROM (VALUES ('Europe/Prague', timestamptz '2024-03-31 00:00+00'), ('Europe/Prague', '2024-10-27 00:00+00'),
             ('America/Sao_Paulo', '2017-10-15 03:00+00'), ('America/Havana', '2024-11-03 05:00+00'),
             ('America/St_Johns', '2006-10-29 02:30+00'), ('Pacific/Apia', '2011-12-30 10:00+00')) AS nights (zone, night),
     LATERAL (SELECT night + minute * interval '1 minute' AS at FROM generate_series(-2880, 2880) AS minute) AS events
GROUP BY zone, night ORDER BY zone, night;
-- Midnight that comes twice: 28 October again after a minute of 29 October.
SELECT span.*
FROM (SELECT sessionize_daily(at, 'America/St_Johns') AS sessions
      FROM (VALUES (timestamptz '2006-10-29 02:00:00+00'), ('2006-10-29 02:30:30+00'),
                   ('2006-10-29 02:31:30+00'), ('2006-10-29 04:00:00+00')) AS events (at)) AS visit,
     session_spans(sessions) AS span;

-- Timeouts: units, limits and nonsense.
SELECT timeout, session_count(sessionize(at, timeout))
FROM unnest(ARRAY[interval '1 microsecond', '1 day', '24 hours', '1 week', '366 days', '-1 day 25 hours']) AS timeout,
     (VALUES (timestamptz '2026-01-01 00:00+00'), ('2026-01-02 00:00+00')) AS events (at)
GROUP BY timeout ORDER BY timeout, timeout::text;

SELECT timeout, suite.complaint(format('SELECT sessionize(now(), %L::interval)', timeout)) AS complaint
FROM unnest(ARRAY['0', '-1 second', '1 month', '1 year', '1 month -29 days', '366 days 0.000001 seconds',
                  '2147483647 days', '-2147483648 days', '2562047788 hours']) AS timeout;
SELECT suite.complaint('SELECT sessionize(now(), NULL)') AS complaint;
SELECT suite.complaint('SELECT sessionize(NULL::timestamptz, NULL)') AS complaint;
SELECT suite.complaint('SELECT sessionize(now(), ''1 hour'', NULL)') AS complaint;
SELECT suite.complaint(format('SELECT sessionize(now(), ''1 hour'', %L)', boundary)) AS complaint
FROM unnest(ARRAY['', 'open', 'exclusive ', 'ěxclusive']) AS boundary;
SELECT suite.complaint(format('SELECT sessionize_daily(now(), %L)', zone)) AS complaint
FROM unnest(ARRAY['', 'Mars/Olympus', '+02:00', 'Europe/Praha', 'Žižkov', NULL]) AS zone;

-- The rule may differ between groups but not within one.
SELECT timeout, session_count(sessionize(at, timeout))
FROM (VALUES (interval '1 hour', timestamptz '2026-01-01 00:00+00'), ('1 hour', '2026-01-01 00:45+00'),
             ('30 minutes', '2026-01-01 00:00+00'), ('30 minutes', '2026-01-01 00:45+00')) AS events (timeout, at)
GROUP BY timeout ORDER BY timeout;
SELECT suite.complaint($$SELECT sessionize(now(), timeout) FROM (VALUES (interval '1 hour'), ('30 minutes')) AS rules (timeout)$$) AS complaint;
SELECT suite.complaint($$SELECT sessionize(now(), '1 hour', boundary) FROM (VALUES ('inclusive'), ('exclusive')) AS rules (boundary)$$) AS complaint;
SELECT suite.complaint($$SELECT sessionize_daily(now(), zone) FROM (VALUES ('UTC'), ('Europe/Prague')) AS rules (zone)$$) AS complaint;
-- The same rule in other words is the same rule.
SELECT session_count(sessionize(now(), timeout, boundary))
FROM (VALUES (interval '1 day', 'inclusive'), ('24 hours', 'INCLUSIVE')) AS rules (timeout, boundary);
SELECT session_count(sessionize_daily(now(), zone)) FROM (VALUES ('UTC'), ('utc')) AS rules (zone);

DROP TABLE example;
