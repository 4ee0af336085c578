-- Counts are those of looking at every session, whichever filters come together and whatever they are counted from.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
SET client_min_messages = warning;

-- Sessions of twelve days, some of which appeared long after they had begun; of three applications with different ends.
SELECT create_session_app('counting') > 0 AND create_session_app('counting by day', 'midnight', time_zone => 'America/Sao_Paulo', grace => '2 hours') > 0
   AND create_session_app('counting inclusive', boundary => 'inclusive', grace => '0') > 0 AS made;
SELECT setseed(0.5) \g /dev/null
INSERT INTO sessionize.sessions (session_id, started_at, last_event_at, closes_at, expires_at, opened_at, event_count, app_id, last_event_day,
       visitor, token, risk, converted_at, cancelled_at, customer, country, ip)
SELECT nextval('sessionize.session_ids'), began, ended, closes, least(closes + app.grace, greatest(ended, opened) + interval '48 hours'), opened, 3, app_id,
       (ended AT TIME ZONE 'UTC')::date, 'visitor-' || n % 700, left(md5('counts' || n), 16),
       (ARRAY['normal', 'normal', 'normal', 'normal', 'monitored', 'review', 'restricted'])[1 + floor(7 * random())],
       CASE WHEN random() < 0.2 THEN ended END, CASE WHEN random() < 0.1 THEN ended END, CASE WHEN random() < 0.3 THEN 'customer-' || n % 50 END,
       (ARRAY['US', 'us', 'DE', NULL])[1 + floor(4 * random())], CASE WHEN random() < 0.8 THEN inet '10.0.0.0' + n % 5000 END
  FROM generate_series(1, 6000) AS n JOIN sessionize.apps AS app ON name = (ARRAY['counting', 'counting by day', 'counting inclusive'])[1 + n % 3],
       LATERAL (SELECT now() - (random() + 0 * n) * interval '12 days') AS start (began),
       LATERAL (SELECT began + random() * random() * least(interval '20 hours', now() - began),
                       CASE WHEN random() < 0.1 THEN began + random() * (now() - began) ELSE began END) AS time (ended, opened),
       LATERAL (SELECT greatest(opened, CASE policy WHEN 'timeout' THEN ended + timeout
                                        ELSE (date_trunc('day', ended AT TIME ZONE app.time_zone) + interval '1 day') AT TIME ZONE app.time_zone END)) AS ending (closes);
ANALYZE sessionize.sessions, sessionize.apps;

CREATE FUNCTION means(session sessionize.sessions, search text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT CASE search WHEN '' THEN true WHEN 'United States' THEN coalesce(session.country IN ('US', 'us'), false) WHEN 'customer-7' THEN coalesce(session.customer = search, false)
                       WHEN '10.0.0.0/21' THEN coalesce(session.ip <<= inet '10.0.0.0/21', false) WHEN '10.0.0.9' THEN coalesce(session.ip = inet '10.0.0.9', false)
                       WHEN 'visitor-9' THEN session.visitor = search WHEN 'f5' THEN session.token LIKE '%f5%' END
$$;
-- how many filters there are, how many find something, and those whose count differs
CREATE FUNCTION disagreeing(moment timestamptz, OUT filters bigint, OUT that_find bigint, OUT disagreeing text) LANGUAGE sql AS $$
    WITH known AS MATERIALIZED (
        SELECT app.name, sessionize.session_status(converted_at, cancelled_at, closes_at, expires_at, moment, sessionize.is_inclusive(app)) AS status, risk, search, count(*) AS sessions
          FROM sessionize.sessions AS session JOIN sessionize.apps AS app USING (app_id), unnest(ARRAY['', 'United States', '10.0.0.0/21', '10.0.0.9', 'customer-7', 'visitor-9', 'f5']) AS search
         WHERE means(session, search) GROUP BY 1, 2, 3, 4
    )
    SELECT count(*), count(*) FILTER (WHERE sessions > 0), string_agg(DISTINCT concat_ws(' ', coalesce(app, 'all'), wanted_status, wanted_risk, wanted), '; ') FILTER (WHERE counted <> sessions)
      FROM unnest('{counting,counting by day,counting inclusive,NULL}'::text[]) AS app, unnest('{all,active,closed,expired,converted,cancelled}'::text[]) AS wanted_status,
           unnest('{all,normal,review}'::text[]) AS wanted_risk, unnest(ARRAY['', 'United States', '10.0.0.0/21', '10.0.0.9', 'customer-7', 'visitor-9', 'f5']) AS wanted,
           LATERAL (SELECT coalesce(sum(known.sessions), 0) FROM known
                     WHERE (app IS NULL OR known.name = app) AND (wanted_status = 'all' OR known.status = wanted_status)
                       AND (wanted_risk = 'all' OR known.risk = wanted_risk) AND known.search = wanted) AS naive (sessions),
           LATERAL count_sessions(app, wanted_status, wanted_risk, wanted, moment) AS counted
$$;

CREATE FUNCTION at_all_moments() RETURNS TABLE (moment text, filters bigint, most_find boolean, disagreeing text) LANGUAGE sql AS $$
    SELECT moment.name, counted.filters, counted.that_find > 200, counted.disagreeing
      FROM (SELECT closes_at FROM sessionize.sessions WHERE app_id = sessionize.app_id('counting inclusive') AND expires_at < now() - interval '2 days'
             ORDER BY session_id LIMIT 1) AS one,
           LATERAL (VALUES (1, 'now', now()), (2, 'an hour ago', now() - interval '1 hour'), (3, 'one closes', one.closes_at), (4, 'tomorrow', now() + interval '1 day')) AS moment (place, name, at),
           LATERAL disagreeing(moment.at) AS counted ORDER BY place
$$;
SELECT * FROM at_all_moments();
\qecho 'The same after days have been added up and some have changed.'
SELECT refresh_statistics() > 0 AS refreshed;
DELETE FROM sessionize.sessions WHERE app_id = sessionize.app_id('counting') AND last_event_day = (now() AT TIME ZONE 'UTC')::date - 7;
SELECT * FROM at_all_moments();
\qecho 'Late ones are among them: not expired, though their days have been added up.'
SELECT count(*) > 10 AS some FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name LIKE 'counting%' AND last_event_day < sessionize.first_open_day() AND expires_at > now();

\qecho 'Where many are counted, an index has all that it takes, whichever filters come together.'
VACUUM (ANALYZE) sessionize.sessions;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT count(*) AS filters, string_agg(concat_ws(' ', search, status, risk), '; ') FILTER (WHERE NOT in_an_index) AS others
  FROM unnest('{US,10.0.0.0/8}'::text[]) AS search, unnest('{all,expired,converted,cancelled}'::text[]) AS status, unnest('{all,normal,review}'::text[]) AS risk,
       LATERAL (SELECT bool_and(line LIKE '%Index Only Scan%') FILTER (WHERE line LIKE '%on sessions session%')
                  FROM (SELECT * FROM sessionize.sources(sessionize.app_id('counting'), sessionize.read_status(status), sessionize.read_risk(risk), search, now()) LIMIT 1) AS source,
                       suite.plan(format('SELECT count(*) FROM sessionize.sessions AS session WHERE %s AND %s', source.walk, source.counted[1])) AS line) AS plan (in_an_index);
RESET enable_seqscan;
RESET enable_bitmapscan;

DELETE FROM sessionize.sessions WHERE app_id IN (SELECT app_id FROM sessionize.apps WHERE name LIKE 'counting%');
SELECT drop_session_app(name) FROM sessionize.apps WHERE name LIKE 'counting%';
DROP FUNCTION at_all_moments, disagreeing, means;
