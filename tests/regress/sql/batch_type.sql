-- The type sessionset: stored, copied, toasted, and everything that is no set refused.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper

CREATE TABLE stored (visitor integer, sessions sessionset);
INSERT INTO stored
SELECT visitor, sessionize(at, '10 minutes')
FROM (SELECT visitor, timestamptz '2026-01-01+00' + abs(hashint8(visitor * 1000 + n)) % 100000 * interval '1 second' AS at
      FROM generate_series(1, 50) AS visitor, generate_series(1, 60) AS n) AS events
GROUP BY visitor;
INSERT INTO stored SELECT 51, sessionize_daily('2026-01-01 10:00+00', 'europe/prague');
INSERT INTO stored VALUES (52, NULL);
SELECT sessions FROM stored WHERE visitor = 51;

-- Through text, and through COPY in both formats.
SELECT count(*) FROM stored WHERE sessions::text::sessionset::text IS DISTINCT FROM sessions::text;
CREATE TABLE copied (LIKE stored);
SELECT current_setting('data_directory') || '/sessionize_regress.copy' AS file \gset
COPY stored TO :'file';
COPY copied FROM :'file';
SELECT suite.differences('SELECT visitor, sessions::text FROM stored', 'SELECT visitor, sessions::text FROM copied');
TRUNCATE copied;
COPY stored TO :'file' (FORMAT binary);
COPY copied FROM :'file' (FORMAT binary);
SELECT suite.differences('SELECT visitor, sessions::text FROM stored', 'SELECT visitor, sessions::text FROM copied');
SELECT count(*) FROM stored JOIN copied USING (visitor) WHERE sessionset_send(stored.sessions) IS DISTINCT FROM sessionset_send(copied.sessions);

-- A set of 50,000 sessions, compressed and out of line.
CREATE TABLE toasted (sessions sessionset);
INSERT INTO toasted
SELECT sessionize(timestamptz '2000-01-01+00' + n * interval '1 hour' + abs(hashint8(n)) % 1000000 * interval '1 microsecond')
FROM generate_series(1, 50000) AS n;
SELECT pg_column_size(sessions) > 100000 AS large, session_count(sessions), event_count(sessions), bounce_rate(sessions),
       session_count(sessions::text::sessionset) AS through_text
FROM toasted;
SELECT (pg_relation_size(reltoastrelid) > 0) AS out_of_line FROM pg_class WHERE oid = 'toasted'::regclass;
SELECT count(*), sum(span.event_count) FROM toasted, session_spans(sessions) AS span;
SELECT session_count(rollup(sessions)) FROM (SELECT sessions FROM toasted UNION ALL SELECT sessions FROM toasted) AS twice;
ALTER TABLE toasted ALTER sessions SET STORAGE external;
CREATE TABLE external (LIKE toasted INCLUDING STORAGE);
INSERT INTO external SELECT sessions FROM toasted;
SELECT external.sessions::text = toasted.sessions::text AS equal FROM external, toasted;

-- In an array.
CREATE TABLE arrays AS SELECT array_agg(sessions ORDER BY visitor) AS sets FROM stored;
SELECT sum(event_count(set)) FROM arrays, unnest(sets) AS set;

-- Text that is no set.
SELECT suite.complaint(format('SELECT %L::sessionset', given)) AS complaint
FROM unnest(ARRAY[
    '', 'null', '[]', '{}', 'sessions',
    '{"version":2,"policy":"timeout","timeout_microseconds":1,"boundary":"exclusive","sessions":[]}',
    '{"version":1,"policy":"weekly","sessions":[]}',
    '{"version":1,"policy":"midnight","sessions":[]}',
    '{"version":1,"policy":"midnight","time_zone":"Mars/Olympus","sessions":[]}',
    '{"version":1,"policy":"midnight","time_zone":"UTC","boundary":"exclusive","sessions":[]}',
    '{"version":1,"policy":"timeout","timeout_microseconds":0,"boundary":"exclusive","sessions":[]}',
    '{"version":1,"policy":"timeout","timeout_microseconds":1,"boundary":"open","sessions":[]}',
    '{"version":1,"policy":"timeout","timeout_microseconds":1,"boundary":"exclusive","sessions":[],"note":"x"}',
    '{"version":1,"policy":"timeout","timeout_microseconds":1,"boundary":"exclusive","sessions":[{"started_at":2,"last_event_at":1,"event_count":2}]}',
    '{"version":1,"policy":"timeout","timeout_microseconds":1,"boundary":"exclusive","sessions":[{"started_at":"today","last_event_at":1,"event_count":2}]}',
    '{"version":1,"policy":"timeout","timeout_microseconds":1,"boundary":"exclusive","sessions":[{"started_at":9223372036854775807,"last_event_at":9223372036854775807,"event_count":1}]}'
]) AS given;

-- What a later version has added, a character that no text can hold, and input that is not repeated at full length.
SELECT suite.complaint(format('SELECT %L::sessionset', given)) AS complaint
FROM unnest(ARRAY[
    '{"version":2,"policy":"timeout","timeout_microseconds":1,"boundary":"exclusive","sessions":[],"origin":"x"}',
    '{"version":1,"policy":"weekly\u0000","sessions":[]}',
    '{"version":1,"policy":"midnight","time_zone":"' || repeat('x', 100000) || '","sessions":[]}'
]) AS given;

-- Bytes from elsewhere. In binary COPY a bytea looks as a sessionset does, so any bytes can be offered.
CREATE FUNCTION suite.receive(bytes bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    file text := current_setting('data_directory') || '/sessionize_regress.copy';
    problem text;
BEGIN
    CREATE TEMPORARY TABLE IF NOT EXISTS received (sessions sessionset);
    TRUNCATE received;
    EXECUTE format('COPY (SELECT %L::bytea) TO %L (FORMAT binary)', bytes, file);
    problem := suite.complaint(format('COPY received FROM %L (FORMAT binary)', file));
    RETURN CASE problem WHEN 'no error' THEN 'accepted: ' || (SELECT sessions::text FROM received) ELSE problem END;
END $$;
SET client_min_messages = warning;
SELECT pg_backend_pid() AS pid \gset
SELECT what, split_part(suite.receive(decode(bytes, 'hex')), E'\nHINT', 1) AS outcome
FROM (VALUES
    ('nothing', ''), ('a version', '01'), ('no timeout', '0100'), ('version 2', '02000100'), ('version 0', '00000100'),
    ('an unknown kind of rule', '01030100'), ('a timeout of 0', '01000000'), ('a timeout beyond 366 days', '0100ffffffffffffff7f00'),
    ('an endless number', '0100ffffffffffffffffffffffff00'), ('a number of 65 bits', '0100ffffffffffffffffff0200'),
    ('an empty set', '01000100'), ('an empty set and a byte', '0100010000'),
    ('one event', '010001' || '01' || '000001'), ('a session without events', '010001' || '01' || '000000'),
    ('one event that lasts', '010001' || '01' || '000101'), ('two sessions promised', '010001' || '02' || '000001'),
    ('two that are one', '01000a' || '02' || '000001' || '020001'), ('two out of order', '01000a' || '02' || '000001' || '630001'),
    ('infinity', '010001' || '01' || 'feffffffffffffffff01' || '0001'), ('more sessions than fit anywhere', '010001' || 'ffffffffffffffffff01' || '000001'),
    ('a day', '0102' || '03' || '555443' || '00'), ('an unknown zone', '0102' || '03' || '58595a' || '00'),
    ('a zone that is no text', '0102' || '02' || 'fffe' || '00'), ('a zone cut short', '0102' || '09' || '555443'),
    ('a session of two days', '0102' || '03' || '555443' || '01' || '00' || '80c0a2f7a328' || '02')
) AS offers (what, bytes);
-- Every beginning of a good set, and a good set with any byte changed: refused, or another good set.
SELECT substr(suite.receive(substr(bytes, 1, length)), 1, 5) AS outcome, count(*)
FROM (SELECT sessionset_send(sessions) AS bytes FROM stored WHERE visitor = 1) AS good, generate_series(0, octet_length(bytes) - 1) AS length
GROUP BY outcome;
SELECT count(*) FILTER (WHERE outcome !~ '^(22P03|22023|accepted)') AS unexpected, count(*) > 0 AS tried
FROM (SELECT suite.receive(set_byte(bytes, place, value)) AS outcome
      FROM (SELECT sessionset_send(sessions) AS bytes FROM stored WHERE visitor IN (1, 51)) AS good,
           generate_series(0, least(octet_length(bytes), 30) - 1) AS place, unnest(ARRAY[0, 1, 2, 127, 128, 255]) AS value) AS offered;
SELECT pg_backend_pid() = :pid AS backend_alive;

DROP TABLE stored, copied, toasted, external, arrays, received;
DROP FUNCTION suite.receive(bytea);
RESET client_min_messages;
COPY (SELECT) TO :'file';
