-- What can be asked of a sessionset, and rollup, which brings sets together.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper

CREATE TABLE visits (name text, sessions sessionset);
INSERT INTO visits
SELECT name, sessionize(at)
FROM (VALUES ('two', timestamptz '2026-01-01 10:00+00'), ('two', '2026-01-01 10:10:30.5+00'), ('two', '2026-01-01 12:00+00'),
             ('single', '2026-01-01 10:00+00'),
             ('same instant', '2026-01-01 10:00+00'), ('same instant', '2026-01-01 10:00+00')) AS events (name, at)
GROUP BY name;
INSERT INTO visits VALUES
    ('empty', '{"version":1,"policy":"timeout","timeout_microseconds":1800000000,"boundary":"exclusive","sessions":[]}'),
    ('null', NULL);

SELECT name, session_count(sessions), event_count(sessions), total_duration(sessions), average_duration(sessions), bounce_rate(sessions)
FROM visits ORDER BY name;
SELECT name, span.* FROM visits LEFT JOIN LATERAL session_spans(sessions) AS span ON true ORDER BY name, session_number;
SELECT name, sessions::tstzmultirange FROM visits ORDER BY name;
-- Also in the select list, where each row is one value.
SELECT session_spans(sessions) FROM visits WHERE name = 'two';

-- session_at: from the first event to the last, both included.
SELECT at, number.session_number, number.event_count
FROM visits, unnest(ARRAY[timestamptz '-infinity', '2026-01-01 09:59:59.999999+00', '2026-01-01 10:00+00', '2026-01-01 10:05+00',
                          '2026-01-01 10:10:30.5+00', '2026-01-01 10:10:30.500001+00', '2026-01-01 12:00+00', 'infinity', NULL]) AS at
     LEFT JOIN LATERAL session_at((SELECT sessions FROM visits WHERE name = 'two'), at) AS number ON true
WHERE name = 'two' ORDER BY at;
SELECT count(*) FROM session_at(NULL, now());

-- rollup of parts is the whole.
SELECT rollup(part)::text = (SELECT sessionize(at)::text FROM generate_series(timestamptz '2026-01-01+00', '2026-01-03+00', '7 minutes') AS at
                             WHERE extract(hour FROM at AT TIME ZONE 'UTC') NOT IN (3, 17)) AS equal
FROM (SELECT sessionize(at) AS part FROM generate_series(timestamptz '2026-01-01+00', '2026-01-03+00', '7 minutes') AS at
      WHERE extract(hour FROM at AT TIME ZONE 'UTC') NOT IN (3, 17)
      GROUP BY extract(minute FROM at)) AS parts;
SELECT rollup(sessions)::text = (SELECT sessionize_daily(at, 'Europe/Prague')::text FROM generate_series(timestamptz '2026-03-01+00', '2026-04-03+00', '1 hour') AS at) AS equal
FROM (SELECT sessionize_daily(at, 'Europe/Prague') AS sessions FROM generate_series(timestamptz '2026-03-01+00', '2026-04-03+00', '1 hour') AS at
      GROUP BY extract(hour FROM at)) AS parts;
-- NULL is skipped, the empty set is the identity, nothing is NULL.
SELECT rollup(sessions)::text = (SELECT sessions::text FROM visits WHERE name = 'two') AS identity
FROM visits WHERE name IN ('two', 'empty', 'null');
SELECT session_count(rollup(sessions)) FROM visits WHERE name = 'empty';
SELECT rollup(sessions) IS NULL AS nothing FROM visits WHERE name = 'null';
SELECT rollup(sessions) IS NULL AS nothing FROM visits WHERE false;
-- Sets that overlap count their events twice: they are counted, not compared.
SELECT event_count(rollup(sessions)), session_count(rollup(sessions)) FROM visits, generate_series(1, 2) WHERE name = 'two';

-- Counts that no table could hold, and spans as long as time.
CREATE TABLE huge (sessions sessionset);
INSERT INTO huge
SELECT format('{"version":1,"policy":"timeout","timeout_microseconds":31622400000000,"boundary":"inclusive","sessions":[{"started_at":%s,"last_event_at":%s,"event_count":%s}]}',
              started_at, last_event_at, event_count)::sessionset
FROM (VALUES (0, 0, 20000000), (10, 500000000000000, 20000000), (200000000000000000, 200000000000000000, 1),
             (-211813488000000000, 9223371331199999999, 9223372036854775806),
             (-100, 200, 9223372036854775807)) AS spans (started_at, last_event_at, event_count);
SELECT span.started_at, span.last_event_at, span.event_count, span.duration
FROM (SELECT rollup(sessions) AS sessions FROM huge WHERE event_count(sessions) < 1000000000) AS visit, session_spans(sessions) AS span;
SELECT span.started_at, span.last_event_at, span.event_count, span.duration, event_count(sessions), total_duration(sessions), average_duration(sessions)
FROM (SELECT rollup(sessions) AS sessions FROM huge) AS visit, session_spans(sessions) AS span;
SELECT rollup(sessions)::text::sessionset::text = rollup(sessions)::text AS equal FROM huge;
-- The largest counts, logged behind another session and found again.
SELECT span.session_number, span.event_count
FROM (SELECT rollup(sessions ORDER BY place) AS sessions
      FROM (SELECT 1 AS place, sessions FROM huge WHERE event_count(sessions) = 9223372036854775807
            UNION ALL SELECT 2, sessions FROM huge WHERE event_count(sessions) = 1
            UNION ALL SELECT 3, sessions FROM huge WHERE event_count(sessions) = 9223372036854775807) AS parts) AS visit,
     session_spans(sessions) AS span;

-- On 29 October 2006, one minute after midnight, St. John's went back to 23:01: for an hour both days have sessions.
SELECT at AT TIME ZONE 'America/St_Johns' AS local_time, visit.session_number, visit.started_at, visit.last_event_at
FROM (VALUES (timestamptz '2006-10-28 12:00+00'), ('2006-10-29 02:30:30+00'), ('2006-10-29 03:00+00'), ('2006-10-29 12:00+00')) AS events (at),
     LATERAL (SELECT sessionize_daily(event, 'America/St_Johns') AS sessions
              FROM unnest(ARRAY[timestamptz '2006-10-28 12:00+00', '2006-10-29 02:30:30+00', '2006-10-29 03:00+00', '2006-10-29 12:00+00']) AS event) AS visits,
     session_at(sessions, at) AS visit
ORDER BY at;

-- Egypt took up summer time again in 2023. A set from before that was known, as it lies on disk: a day of Tripoli, which has
-- the offset that Cairo had, under Cairo's name.
CREATE CAST (bytea AS sessionset) WITHOUT FUNCTION;
CREATE TABLE outdated AS
SELECT overlay(sessionset_send(day) PLACING '\x020c' || convert_to('Africa/Cairo', 'UTF8') FROM 2 FOR 2 + length('Africa/Tripoli'))::sessionset AS sessions
FROM (SELECT sessionize_daily(at, 'Africa/Tripoli') AS day
      FROM unnest(ARRAY[timestamptz '2023-04-30 22:00+00', '2023-05-01 21:59+00', '2023-05-01 22:00+00']) AS at) AS days;
DROP CAST (bytea AS sessionset);
SELECT sessions, session_count(sessions), event_count(sessions), total_duration(sessions) FROM outdated;
SELECT sessions::text::sessionset::text = sessions::text AS through_text FROM outdated;
SELECT span.* FROM outdated, session_spans(sessions) AS span;
SELECT visit.session_number FROM outdated, session_at(sessions, '2023-05-01 12:00+00') AS visit;
SELECT event_count(rollup(sessions)) FROM outdated, generate_series(1, 2);
DROP TABLE outdated;

-- Equality: the same rule and the same sessions, however they came about.
SELECT sessionize(at) = (SELECT sessionize(at ORDER BY at DESC) FROM unnest(ARRAY[timestamptz '2026-01-01+00', '2026-01-02+00']) AS at) AS shuffled,
       sessionize(at) = sessionize(at, '30 minutes', 'EXCLUSIVE') AS same_rule,
       sessionize(at) = sessionize(at, '31 minutes') AS other_rule,
       sessionize(at) <> sessionize(at + interval '1 microsecond') AS other_time,
       sessionize(at) = sessionize(at)::text::sessionset AS through_text,
       sessionize(at) = NULL AS unknown
FROM unnest(ARRAY[timestamptz '2026-01-01+00', '2026-01-02+00']) AS at;
CREATE TABLE twice AS
SELECT n, sessionize(timestamptz '2026-01-01+00' + n % 3 * interval '1 day') AS sessions FROM generate_series(1, 9) AS n GROUP BY n;
SELECT count(*) FROM (SELECT DISTINCT sessions FROM twice) AS sets;
SELECT min(n), count(*) FROM twice GROUP BY sessions ORDER BY min(n);
SELECT count(*) FROM twice AS one JOIN twice AS other USING (sessions);
CREATE INDEX ON twice USING hash (sessions);
SET enable_seqscan = off;
SELECT suite.plan_has('SELECT * FROM twice WHERE sessions = (SELECT sessions FROM twice WHERE n = 1)', 'twice_sessions_idx') AS by_index;
SELECT count(*) FROM twice WHERE sessions = (SELECT sessions FROM twice WHERE n = 1);
RESET enable_seqscan;
DROP TABLE twice;

-- Sets of different rules.
SELECT suite.complaint(format('SELECT rollup(sessions) FROM (SELECT %s AS sessions UNION ALL SELECT %s) AS parts', one, other)) AS complaint
FROM (VALUES ('sessionize(now())', 'sessionize(now(), ''1 hour'')'),
             ('sessionize(now())', 'sessionize(now(), ''30 minutes'', ''inclusive'')'),
             ('sessionize(now())', 'sessionize_daily(now(), ''UTC'')'),
             ('sessionize_daily(now(), ''UTC'')', 'sessionize_daily(now(), ''Europe/Prague'')')) AS rules (one, other);

-- Only the executor can call what works on states.
SELECT suite.complaint('SELECT sessionize_finish(NULL::bytea)') AS complaint;
SELECT suite.complaint('SELECT sessionize_finish(NULL)') ~ '^(42883|0A000): ' AS refused; -- versions differ in the code
SELECT suite.complaint('SELECT sessionize_transition(1, now())') AS complaint;

DROP TABLE visits, huge;
