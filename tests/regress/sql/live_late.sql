-- Late events, closing and expiry, events without a session, kinds that do something, and what events say about a session.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
\set oracle :folder /../oracle.sql
\i :oracle
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE TABLE late (
    n bigint GENERATED ALWAYS AS IDENTITY, visitor text, at timestamptz, arrived timestamptz, kind text DEFAULT 'view',
    account integer, address inet, country text, source text, items integer, value numeric, currency char(3));
SELECT create_session_app('late', max_skew => '5 minutes', passive_kinds => '{heartbeat,push_received}',
                          conversion_kinds => '{purchase,order}', cancellation_kinds => '{logout}') > 0 AS made;
SELECT track_sessions('late', 'visitor', 'at', kind => 'kind', received_at => 'arrived', customer => 'account', ip => 'address',
                      country => 'country', channel => 'source', cart_items => 'items', cart_value => 'value', currency => 'currency') > 0 AS tracked;
CREATE VIEW shown AS
SELECT visitor, dense_rank() OVER (PARTITION BY visitor ORDER BY session_id) AS made, started_at, last_event_at, closes_at, expires_at, event_count AS events,
       passive_count AS passive, late_count AS late
  FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'late' ORDER BY visitor, started_at, session_id;
-- Which sessions the events of a visitor are in: the how-manieth that was made, by event in order of insertion
CREATE FUNCTION trail(who text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(coalesce(rank::text, '-'), ' ' ORDER BY n)
      FROM late LEFT JOIN (SELECT session_id, rank() OVER (ORDER BY session_id) FROM sessionize.sessions WHERE visitor = who) AS s USING (session_id)
     WHERE late.visitor = who
$$;
-- An event that arrives so long after it happened
CREATE PROCEDURE event(who text, at timestamptz, after interval DEFAULT '0', what text DEFAULT 'view') LANGUAGE sql AS $$
    INSERT INTO late (visitor, at, arrived, kind) VALUES (who, at, at + after, what)
$$;

-- On time: closes a timeout after the last event, expires a day later
CALL event('ann', '2026-01-01 10:00+00');
CALL event('ann', '2026-01-01 10:20+00', '1 minute');
SELECT * FROM shown WHERE visitor = 'ann';
-- A late event within the grace reopens nothing but is taken, at either end
CALL event('ann', '2026-01-01 10:25+00', '20 hours');
CALL event('ann', '2026-01-01 09:50+00', '20 hours');
SELECT trail('ann'), * FROM shown WHERE visitor = 'ann';
-- a microsecond before the expiry, and at it: the visit is over then, and a session opens beside it
CALL event('ann', '2026-01-01 10:30+00', interval '24 hours 24 minutes 59.999999 seconds');
SELECT trail('ann'), * FROM shown WHERE visitor = 'ann';
CALL event('ann', '2026-01-01 10:31+00', interval '24 hours 29 minutes');
SELECT trail('ann'), * FROM shown WHERE visitor = 'ann';
-- which collects what comes with it, even what lies within the other
CALL event('ann', '2026-01-01 10:10+00', interval '25 hours');
CALL event('ann', '2026-01-01 10:32+00', interval '25 hours');
SELECT trail('ann'), * FROM shown WHERE visitor = 'ann';

-- A visit that is synced days later is closed when it appears, and still collects the rest of its sync
CALL event('bob', '2026-01-01 10:00+00', '5 days');
SELECT * FROM shown WHERE visitor = 'bob';
CALL event('bob', '2026-01-01 10:29+00', '5 days');
CALL event('bob', '2026-01-01 09:31+00', '5 days 23 hours');
SELECT trail('bob'), * FROM shown WHERE visitor = 'bob';
CALL event('bob', '2026-01-01 10:10+00', '6 days');
SELECT trail('bob'), * FROM shown WHERE visitor = 'bob';

-- At most 48 hours after the last event: a session with a long timeout and full grace does not get there, one that was opened late may
SELECT create_session_app('cap', timeout => '24 hours', grace => '24 hours') > 0 AS made;
CREATE TABLE cap (visitor text, at timestamptz, arrived timestamptz);
SELECT track_sessions('cap', 'visitor', 'at', 'cap', received_at => 'arrived') > 0 AS tracked;
INSERT INTO cap VALUES ('ann', '2026-01-01 10:00+00', '2026-01-01 10:00+00'), ('bob', '2026-01-01 10:00+00', '2026-01-02 09:00+00'),
                       ('cat', '2026-01-01 10:00+00', '2026-01-09 10:00+00');
INSERT INTO cap VALUES ('bob', '2026-01-02 09:00+00', '2026-01-02 09:00+00');
SELECT visitor, closes_at, expires_at, expires_at - last_event_at AS after_last FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'cap' ORDER BY visitor;
SELECT * FROM suite.wrong('cap');
-- Closing never moves backwards: not by a shorter timeout, nor by less grace
SELECT alter_session_app('cap', timeout => '1 minute', grace => '0') > 0 AS altered;
INSERT INTO cap VALUES ('ann', '2026-01-01 10:00:30+00', '2026-01-01 10:00:30+00');
SELECT visitor, closes_at, expires_at FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'cap' AND visitor = 'ann';
INSERT INTO cap VALUES ('ann', '2026-01-01 10:02+00', '2026-01-01 10:02+00');
SELECT visitor, started_at, closes_at, expires_at FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'cap' AND visitor = 'ann' ORDER BY 2;
-- Without grace a session takes nothing from the instant at which it closes
INSERT INTO cap VALUES ('dee', '2026-01-01 10:00+00', '2026-01-01 10:00+00'), ('dee', '2026-01-01 10:00:30+00', '2026-01-01 10:01:00+00'),
                       ('eve', '2026-01-01 10:00+00', '2026-01-01 10:00+00'), ('eve', '2026-01-01 10:00:30+00', '2026-01-01 10:00:59.999999+00');
SELECT visitor, event_count FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'cap' AND visitor IN ('dee', 'eve') ORDER BY 1, 2;
-- … under the inclusive boundary it is active at that instant too
SELECT alter_session_app('cap', boundary => 'inclusive') > 0 AS altered;
INSERT INTO cap VALUES ('fay', '2026-01-01 10:00+00', '2026-01-01 10:00+00'), ('fay', '2026-01-01 10:01:00+00', '2026-01-01 10:01:00+00'),
                       ('gus', '2026-01-01 10:00+00', '2026-01-01 10:00+00'), ('gus', '2026-01-01 10:01:00+00', '2026-01-01 10:01:00.000001+00');
SELECT visitor, event_count FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'cap' AND visitor IN ('fay', 'gus') ORDER BY 1, 2;
DROP TABLE cap;
SELECT drop_session_app('cap');

-- Late ones are counted: those that arrive after a later event of their visitor
CALL event('cat', '2026-01-01 10:00+00');
CALL event('cat', '2026-01-01 10:00+00', '1 minute');
CALL event('cat', '2026-01-01 10:10+00');
CALL event('cat', '2026-01-01 10:05+00', '6 minutes');
CALL event('cat', '2026-01-01 12:00+00');
CALL event('cat', '2026-01-01 10:15+00', '2 hours');
CALL event('cat', '2026-01-01 08:00+00', '5 hours');
SELECT trail('cat'), * FROM shown WHERE visitor = 'cat';

-- Events that can have no session are stored and counted by reason
BEGIN;
INSERT INTO late (visitor, at, arrived) VALUES (NULL, '2026-01-01 10:00+00', '2026-01-01 10:00+00'), ('dee', NULL, '2026-01-01 10:00+00'),
    ('dee', 'infinity', '2026-01-01 10:00+00'), ('dee', '-infinity', '2026-01-01 10:00+00'), (NULL, NULL, NULL),
    ('dee', '2026-01-01 10:05:00.000001+00', '2026-01-01 10:00+00'), ('eve', '2026-01-01 10:05+00', '2026-01-01 10:00+00'),
    ('eve', now() + interval '5 minutes 1 second', NULL), ('eve', '2026-01-01 10:06+00', 'infinity'), ('dee', '2026-01-01 10:06+00', '-infinity');
INSERT INTO late (visitor, at, arrived) VALUES (NULL, '2026-01-01 10:00+00', '2026-01-01 10:00+00');
SELECT trail('dee'), trail('eve');
SELECT reason, sum(event_count) FROM sessionize.unassigned_events JOIN sessionize.apps USING (app_id) WHERE name = 'late' GROUP BY reason ORDER BY reason;
-- an arrival that is infinite is none: the event arrived now
SELECT visitor, event_count, opened_at = now() AS just_now FROM sessionize.sessions JOIN sessionize.apps USING (app_id)
 WHERE name = 'late' AND visitor IN ('dee', 'eve') ORDER BY session_id;
COMMIT;

-- Passive events: inside a session, until it would close; they neither start nor extend one
CALL event('fay', '2026-01-01 10:00+00', what => 'heartbeat');
CALL event('fay', '2026-01-01 10:00+00');
CALL event('fay', '2026-01-01 10:00+00', what => 'heartbeat');
CALL event('fay', '2026-01-01 09:59:59.999999+00', '1 minute', 'heartbeat');
CALL event('fay', '2026-01-01 10:29:59.999999+00', what => 'push_received');
CALL event('fay', '2026-01-01 10:30+00', what => 'heartbeat');
CALL event('fay', '2026-01-01 10:30+00');
CALL event('fay', '2026-01-01 10:29:59.999999+00', '2 minutes', 'Heartbeat');
SELECT trail('fay'), * FROM shown WHERE visitor = 'fay';
INSERT INTO late (visitor, at, arrived, kind) VALUES
    ('gus', '2026-01-01 10:10+00', '2026-01-01 10:10+00', 'heartbeat'), ('gus', '2026-01-01 10:00+00', '2026-01-01 10:10+00', 'view'),
    ('gus', '2026-01-01 10:10+00', '2026-01-01 10:10+00', 'heartbeat'), ('gus', '2026-01-01 10:20+00', '2026-01-01 10:20+00', NULL);
SELECT trail('gus'), * FROM shown WHERE visitor = 'gus';
SELECT reason, sum(event_count) FROM sessionize.unassigned_events JOIN sessionize.apps USING (app_id) WHERE name = 'late' AND reason = 'passive' GROUP BY reason;

-- Conversion: the session goes on, and remembers the first one
CALL event('hal', '2026-01-01 10:00+00');
CALL event('hal', '2026-01-01 10:20+00', what => 'purchase');
CALL event('hal', '2026-01-01 10:40+00');
CALL event('hal', '2026-01-01 10:30+00', '30 minutes', 'order');
SELECT trail('hal'), started_at, last_event_at, event_count, converted_at FROM sessionize.sessions WHERE visitor = 'hal';
CALL event('hal', '2026-01-01 10:10+00', '1 hour', 'order');
SELECT converted_at FROM sessionize.sessions WHERE visitor = 'hal';
SELECT what, old_value, new_value, reason FROM sessionize.session_changes JOIN sessionize.sessions USING (session_id) WHERE visitor = 'hal' ORDER BY change_id;
-- two sessions that become one were converted when the first of them was
CALL event('ian', '2026-01-01 10:00+00', what => 'order');
CALL event('ian', '2026-01-01 10:50+00', what => 'order');
CALL event('ian', '2026-01-01 10:25+00', '1 hour');
SELECT trail('ian'), event_count, converted_at FROM sessionize.sessions WHERE visitor = 'ian';

-- Cancellation: the session takes no more, the next event starts a new one beside it
CALL event('joe', '2026-01-01 10:00+00');
CALL event('joe', '2026-01-01 10:10+00', what => 'logout');
CALL event('joe', '2026-01-01 10:11+00');
CALL event('joe', '2026-01-01 10:05+00', '10 minutes');
CALL event('joe', '2026-01-01 10:12+00', what => 'heartbeat');
SELECT trail('joe');
SELECT started_at, last_event_at, event_count, passive_count, cancelled_at, cancel_reason FROM sessionize.sessions WHERE visitor = 'joe' ORDER BY session_id;
SELECT what, new_value, reason FROM sessionize.session_changes JOIN sessionize.sessions USING (session_id) WHERE visitor = 'joe' ORDER BY change_id;
-- in one statement too; twice; and as the first event of a visit
INSERT INTO late (visitor, at, arrived, kind) SELECT 'kim', at, at, kind FROM (VALUES
    (timestamptz '2026-01-01 10:00+00', 'logout'), ('2026-01-01 10:01+00', 'view'), ('2026-01-01 10:02+00', 'logout'), ('2026-01-01 10:03+00', 'logout'),
    ('2026-01-01 10:04+00', 'view')) AS e (at, kind);
SELECT trail('kim');
SELECT started_at, last_event_at, event_count, cancelled_at FROM sessionize.sessions WHERE visitor = 'kim' ORDER BY session_id;
-- a converted session is not cancelled by an event
CALL event('lea', '2026-01-01 10:00+00', what => 'order');
CALL event('lea', '2026-01-01 10:10+00', what => 'logout');
CALL event('lea', '2026-01-01 10:11+00');
SELECT trail('lea'), event_count, converted_at, cancelled_at FROM sessionize.sessions WHERE visitor = 'lea';

-- What events say: entry values from the earliest that has one, cart and customer from the latest, in whatever order they arrive
INSERT INTO late (visitor, at, arrived, account, address, country, source, items, value, currency) VALUES
    ('mia', '2026-01-01 10:10+00', '2026-01-01 10:10+00', NULL, '10.0.0.2', 'CZ', NULL, 1, 10.50, 'CZK');
SELECT customer, ip, country, channel, cart_items, cart_value, currency FROM sessionize.sessions WHERE visitor = 'mia';
INSERT INTO late (visitor, at, arrived, account, address, country, source, items, value, currency) VALUES
    ('mia', '2026-01-01 10:20+00', '2026-01-01 10:20+00', 7, '10.0.0.3', 'DE', 'mail', 3, NULL, 'EUR');
SELECT customer, ip, country, channel, cart_items, cart_value, currency FROM sessionize.sessions WHERE visitor = 'mia';
INSERT INTO late (visitor, at, arrived, account, address, country, source, items, value, currency) VALUES
    ('mia', '2026-01-01 10:00+00', '2026-01-01 10:30+00', 8, NULL, 'AT', 'app', 9, 99.99, 'USD');
SELECT customer, ip, country, channel, cart_items, cart_value, currency FROM sessionize.sessions WHERE visitor = 'mia';
-- of sessions that become one, too; a passive event says nothing
INSERT INTO late (visitor, at, arrived, account, address, country, items, value) VALUES
    ('ned', '2026-01-01 10:00+00', '2026-01-01 10:00+00', 1, '10.0.0.1', NULL, 1, 1), ('ned', '2026-01-01 10:50+00', '2026-01-01 10:50+00', 2, '10.0.0.2', 'CZ', 2, NULL);
INSERT INTO late (visitor, at, arrived, kind, account, country) VALUES ('ned', '2026-01-01 10:55+00', '2026-01-01 10:55+00', 'heartbeat', 9, 'XX');
INSERT INTO late (visitor, at, arrived) VALUES ('ned', '2026-01-01 10:25+00', '2026-01-01 11:00+00');
SELECT event_count, passive_count, customer, ip, country, cart_items, cart_value FROM sessionize.sessions WHERE visitor = 'ned';
-- values that are no use are passed over
ALTER TABLE late ALTER COLUMN address TYPE text, ALTER COLUMN items TYPE bigint, ALTER COLUMN value TYPE double precision;
INSERT INTO late (visitor, at, arrived, address, country, items, value) VALUES
    ('oda', '2026-01-01 10:00+00', '2026-01-01 10:00+00', 'nowhere', '', 3000000000, 'NaN'),
    ('oda', '2026-01-01 10:01+00', '2026-01-01 10:01+00', '2001:db8::1/64', 'CZ', 5, 2.25),
    ('oda', '2026-01-01 10:02+00', '2026-01-01 10:02+00', '10.0.0.1/99', 'DE', NULL, 'Infinity');
SELECT event_count, ip, country, cart_items, cart_value FROM sessionize.sessions WHERE visitor = 'oda';
-- so are masks that no address has; the mask of one that has stays through late events and a rebuild
INSERT INTO late (visitor, at, arrived, address) SELECT 'pat ' || n, '2026-01-01 10:00+00', '2026-01-01 10:00+00', address
  FROM unnest('{10.0.0.1/99, 10.0.0.1/33, 10.0.0.1/+5, 10.0.0.1/024, 2001:db8::1/129, 10.0.0.1/32, 10.0.0.0/24, 2001:db8::/48}'::text[]) WITH ORDINALITY AS a (address, n);
INSERT INTO late (visitor, at, arrived) SELECT 'pat ' || n, '2026-01-01 09:50+00', '2026-01-01 10:00+00' FROM generate_series(1, 8) AS n;
SELECT visitor, event_count, ip FROM sessionize.sessions WHERE visitor LIKE 'pat%' ORDER BY visitor;
SELECT rebuild_sessions('late', 'pat ' || n) FROM generate_series(6, 8) AS n;
SELECT visitor, event_count, ip FROM sessionize.sessions WHERE visitor IN ('pat 6', 'pat 7', 'pat 8') ORDER BY visitor;

-- The midnight policy: the day of the zone, closing at its end, late events within the grace
SELECT create_session_app('days', 'midnight', time_zone => 'America/Sao_Paulo', grace => '2 hours', passive_kinds => '{beat}') > 0 AS made;
CREATE TABLE days (visitor text, at timestamptz, arrived timestamptz, kind text);
SELECT track_sessions('days', 'visitor', 'at', 'days', kind => 'kind', received_at => 'arrived') > 0 AS tracked;
-- 2017-10-15 began at one o'clock there, which is 03:00 in UTC
INSERT INTO days SELECT 'ann', at, at FROM unnest('{2017-10-14 03:00:00+00, 2017-10-15 02:59:59.999999+00, 2017-10-15 03:00+00, 2017-10-16 01:59:59+00}'::timestamptz[]) AS at;
INSERT INTO days VALUES ('ann', '2017-10-16 02:00+00', '2017-10-16 03:59:59+00'), ('ann', '2017-10-15 12:00+00', '2017-10-16 03:59:59.999999+00'),
                        ('ann', '2017-10-16 01:00+00', '2017-10-16 04:00:00+00');
SELECT started_at, last_event_at, closes_at, expires_at, event_count, late_count FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'days' ORDER BY 1, 2;
-- passive events of the day belong to it
INSERT INTO days VALUES ('bob', '2026-01-01 15:00+00', '2026-01-01 15:00+00', 'view'), ('bob', '2026-01-01 14:00+00', '2026-01-01 15:00+00', 'beat'),
                        ('bob', '2026-01-02 02:59+00', '2026-01-02 02:59+00', 'beat'), ('bob', '2026-01-02 03:00+00', '2026-01-02 03:00+00', 'beat');
SELECT started_at, last_event_at, event_count, passive_count FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'days' AND visitor = 'bob';
DROP TABLE days;
SELECT drop_session_app('days');
-- 1969-09-30 lasted for 47 hours on Kwajalein: live and batch agree on events that are 46 hours apart, in either order
SELECT create_session_app('twice', 'midnight', time_zone => 'Pacific/Kwajalein') > 0 AS made;
CREATE TABLE twice (visitor text, at timestamptz, arrived timestamptz);
SELECT track_sessions('twice', 'visitor', 'at', 'twice', received_at => 'arrived') > 0 AS tracked;
INSERT INTO twice VALUES ('ann', '1969-09-29 13:30+00', '1969-09-29 13:30+00');
INSERT INTO twice VALUES ('ann', '1969-10-01 11:30+00', '1969-10-01 11:30+00');
INSERT INTO twice VALUES ('bob', '1969-10-01 11:30+00', '1969-10-01 11:30+00');
INSERT INTO twice VALUES ('bob', '1969-09-29 13:30+00', '1969-10-01 11:30+00');
SELECT visitor, started_at, last_event_at, closes_at, event_count FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'twice' ORDER BY 1, 2;
SELECT * FROM suite.wrong('twice');
DROP TABLE twice;
SELECT drop_session_app('twice');

-- Altering an application holds for what arrives afterwards, in connections that know the old rules too
CREATE TABLE altered (visitor text, at timestamptz, kind text);
SELECT track_sessions('altered', 'visitor', 'at', kind => 'kind') > 0 AS tracked;
INSERT INTO altered VALUES ('ann', '2026-01-01 10:00+00'), ('ann', '2026-01-01 10:40+00');
SELECT alter_session_app('altered', timeout => '1 hour', passive_kinds => '{beat}') > 0 AS altered;
INSERT INTO altered VALUES ('ann', '2026-01-01 11:30+00', 'view'), ('bob', '2026-01-01 11:30+00', 'beat');
SELECT visitor, started_at, last_event_at, event_count FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'altered' ORDER BY 1, 2;
SELECT alter_session_app('altered', policy => 'midnight', time_zone => 'Asia/Tokyo') > 0 AS altered;
INSERT INTO altered VALUES ('ann', '2026-01-01 15:00+00'), ('ann', '2026-01-02 14:59+00');
SELECT visitor, started_at, last_event_at, event_count FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'altered' ORDER BY 1, 2;
DROP TABLE altered;
SELECT drop_session_app('altered');

DROP VIEW shown;
DROP TABLE late;
SELECT drop_session_app('late');
DROP FUNCTION trail;
DROP PROCEDURE event;
