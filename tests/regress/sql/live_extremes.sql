-- Events at both ends of time: whatever is worked out of them can be stored, dumped and asked for.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE TABLE extremes (visitor text, at timestamptz, arrived timestamptz, account text, address inet, items integer, value numeric);
CREATE VIEW shown AS
SELECT visitor, started_at, last_event_at, closes_at, expires_at, event_count AS events
  FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'extremes' ORDER BY started_at, session_id;
CREATE PROCEDURE fill() LANGUAGE sql AS $$
    INSERT INTO extremes SELECT 'last', at, at, 'k', '10.0.0.1', 2, 10 FROM unnest('{294276-12-31 23:58+00, 294276-12-31 23:59+00}'::timestamptz[]) AS at;
    INSERT INTO extremes SELECT 'end', at, at, 'k', '10.0.0.1', 2, 10 FROM (SELECT timestamptz '294276-12-31 23:59:59.999999+00') AS e (at);
    INSERT INTO extremes VALUES ('zero', '4714-11-24 00:00+00 BC', '4714-11-24 00:00+00 BC', 'k', '10.0.0.1', 2, 10);
    INSERT INTO extremes SELECT 'first', at, at, 'k', '10.0.0.1', 2, 10 FROM unnest('{4714-11-24 00:00+00 BC, 4714-11-24 00:01+00 BC}'::timestamptz[]) AS at;
    INSERT INTO extremes VALUES ('ann', '2001-01-01 10:00+00', '2001-01-01 10:00+00', 'k', '10.0.0.1', 2, 10);
$$;
SELECT create_session_app('extremes') > 0 AS made;
SELECT track_sessions('extremes', 'visitor', 'at', 'extremes', received_at => 'arrived', customer => 'account', ip => 'address',
                      cart_items => 'items', cart_value => 'value') > 0 AS tracked;
CALL fill();
SELECT * FROM shown;
-- what a dump writes can be read
SELECT count(session::text::sessionize.sessions) AS restored FROM sessionize.sessions AS session;
-- lists, counts, details
SELECT visitor, status FROM list_sessions('extremes');
SELECT status, count_sessions('extremes', status), count_sessions('extremes', status, at => '2001-01-01 10:10+00') AS then,
       count_sessions('extremes', status, at => '4714-11-24 00:00+00 BC') AS at_first
  FROM unnest('{all, active, closed, expired, converted}'::text[]) AS status;
SELECT session.visitor, session_details(session.session_id) -> 'status' ->> 'status' AS status, (SELECT count(*) FROM session_timeline(session.session_id)) AS lines
  FROM sessionize.sessions AS session JOIN sessionize.apps USING (app_id) WHERE name = 'extremes' ORDER BY started_at;
-- risk
SELECT assess_session_risk('extremes', '1000000 days');
SELECT visitor, sessions_of_ip_in_a_day, sessions_of_visitor_in_a_day, carts_of_visitor, countries_of_visitor_in_a_day
  FROM sessionize.session_facts WHERE app = 'extremes' ORDER BY started_at;
-- what people say
SELECT set_cart(session_id, 3, 30, 'EUR'), link_customer(session_id, 'c'), convert_session(session_id)
  FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'extremes';
-- inactivity and statistics
SELECT visitor, inactive_days > 1000000 AS for_ages FROM inactive_sessions(90, 'extremes');
SELECT days, sessions FROM inactive_session_summary('extremes') WHERE days = 30;
SELECT count_inactive_sessions(90, 'extremes');
SELECT sessions, active, expired, converted, last_event_at FROM sessionize.app_statistics WHERE app = 'extremes';
-- worked out again
SELECT rebuild_sessions('extremes', visitor) FROM unnest('{first, last}'::text[]) AS visitor;
SELECT * FROM shown;
-- an arrival at the other end of time
INSERT INTO extremes (visitor, at, arrived) VALUES ('apart', '4714-11-24 00:00+00 BC', '294276-12-31 23:59:59.999999+00');
SELECT event_count, opened_at - started_at > '0' AS opened_later FROM sessionize.sessions WHERE visitor = 'apart';
-- by days, where one lasts longer than time
SELECT alter_session_app('extremes', policy => 'midnight', time_zone => 'Asia/Tokyo') > 0 AS altered;
DELETE FROM sessionize.sessions USING sessionize.apps WHERE apps.app_id = sessions.app_id AND name = 'extremes';
CALL fill();
SELECT * FROM shown;
SELECT count(session::text::sessionize.sessions) AS restored FROM sessionize.sessions AS session;
DROP VIEW shown;
DROP PROCEDURE fill;
DROP TABLE extremes;
SELECT drop_session_app('extremes');

-- Names and values too long to be indexed: a text of so many bytes that hardly compresses
CREATE FUNCTION long(bytes integer) RETURNS text LANGUAGE sql AS $$ SELECT left(string_agg(md5(n::text), '' ORDER BY n), bytes) FROM generate_series(1, 1 + bytes / 32) AS n $$;
CREATE TABLE lengthy (n integer GENERATED ALWAYS AS IDENTITY, visitor text, at timestamptz, account text, country text, source text, currency text);
INSERT INTO lengthy (visitor, at) VALUES (long(1000), '2026-01-01 10:00+00'), (long(1001), '2026-01-01 10:00+00'), (long(5000), '2026-01-01 10:00+00');
SELECT create_session_app('lengthy') > 0 AS made;
SELECT track_sessions('lengthy', 'visitor', 'at', 'lengthy', customer => 'account', country => 'country', channel => 'source', currency => 'currency') > 0 AS tracked;
CREATE VIEW shown AS
SELECT length(visitor) AS visitor, started_at, event_count AS events, length(customer) AS customer, length(country) AS country, length(channel) AS channel, length(currency) AS currency
  FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'lengthy' ORDER BY length(visitor), visitor, started_at;
CREATE VIEW without AS SELECT length(visitor) AS visitor, octet_length(visitor) AS bytes, count(*) FROM lengthy WHERE session_id IS NULL GROUP BY 1, 2 ORDER BY 1, 2;
-- rows that were there before
CALL backfill_sessions('lengthy');
SELECT * FROM shown;
SELECT * FROM without;
-- new rows, row by row and many at once
INSERT INTO lengthy (visitor, at) VALUES (long(1000), '2026-01-01 10:01+00');
INSERT INTO lengthy (visitor, at) VALUES (long(3000), '2026-01-01 10:01+00');
INSERT INTO lengthy (visitor, at) SELECT who, '2026-01-01 10:02+00' FROM unnest(ARRAY[long(1001), long(5000), 'ann', repeat('é', 500), repeat('é', 501), repeat('a', 100000)]) AS who;
SELECT * FROM shown;
SELECT * FROM without;
SELECT reason, sum(event_count) FROM sessionize.unassigned_events JOIN sessionize.apps USING (app_id) WHERE name = 'lengthy' GROUP BY reason;
-- rows that are corrected
UPDATE lengthy SET visitor = long(4000) WHERE visitor = 'ann';
SELECT * FROM shown;
UPDATE lengthy SET visitor = long(3500) WHERE visitor = long(4000);
UPDATE lengthy SET visitor = 'ann' WHERE visitor = long(3500);
INSERT INTO lengthy (visitor, at) VALUES ('ann', '2026-01-01 10:03+00');
UPDATE lengthy SET visitor = long(4000) WHERE visitor = 'ann' AND at = '2026-01-01 10:03+00';
SELECT * FROM shown;
SELECT * FROM without;
-- facts that are too long are passed over, and so is nothing else
INSERT INTO lengthy (visitor, at, account, country, source, currency) VALUES
    ('bob', '2026-01-01 10:00+00', long(3000), long(1001), long(1001), long(5000)), ('bob', '2026-01-01 10:01+00', 'k', 'CZ', 'mail', 'CZK'),
    ('bob', '2026-01-01 10:02+00', long(1001), long(3000), long(3000), long(3000)),
    ('cat', '2026-01-01 10:00+00', long(1000), long(1000), long(1000), long(1000));
SELECT * FROM shown WHERE visitor <= 3;
SELECT rebuild_sessions('lengthy', 'bob');
SELECT * FROM shown WHERE visitor <= 3;
-- what people ask of them
SELECT suite.complaint(format('SELECT rebuild_sessions(%L, long(1001))', 'lengthy'));
SELECT suite.complaint(format('SELECT link_customer(%s, long(1001))', session_id)) FROM sessionize.sessions WHERE visitor = 'cat';
SELECT suite.complaint(format('SELECT set_cart(%s, 1, 1, long(1001))', session_id)) FROM sessionize.sessions WHERE visitor = 'cat';
SELECT link_customer(session_id, long(1000)), set_cart(session_id, 1, 1, long(1000)) FROM sessionize.sessions WHERE visitor = 'cat';
SELECT * FROM erase_visitor('lengthy', long(5000));
SELECT visitor_risk('lengthy', long(5000)), count_sessions('lengthy', search => long(5000));
SELECT count(*) FROM lengthy WHERE visitor = long(5000);
-- a character type counts without the blanks that fill it up
CREATE TABLE padded (visitor character(2000), at timestamptz);
SELECT track_sessions('padded', 'visitor', 'at', 'lengthy') > 0 AS tracked;
INSERT INTO padded VALUES ('dee', '2026-01-01 10:00+00'), (long(1001), '2026-01-01 10:00+00');
UPDATE padded SET at = at + interval '1 minute';
SELECT length(padded.visitor), padded.session_id = session.session_id AS assigned, started_at, event_count FROM padded
  LEFT JOIN sessionize.sessions AS session ON session.visitor = padded.visitor::text ORDER BY 1;
DROP VIEW shown, without;
DROP TABLE lengthy, padded;
SELECT drop_session_app('lengthy');
DROP FUNCTION long;
