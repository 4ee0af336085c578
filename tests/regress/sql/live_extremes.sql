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
