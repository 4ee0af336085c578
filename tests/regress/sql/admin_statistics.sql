-- sessionize.app_statistics says the same whether days have been added up, have changed since, or neither.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
SET client_min_messages = warning;
CREATE TABLE stat_events (visitor text, occurred_at timestamptz, received_at timestamptz, kind text);
SELECT track_sessions('stat_events', 'visitor', 'occurred_at', app => 'statistics', kind => 'kind', received_at => 'received_at') > 0 AS tracked
  FROM create_session_app('statistics', passive_kinds => '{heartbeat}', conversion_kinds => '{order}');
INSERT INTO stat_events
SELECT 'visitor-' || i % 40, instant, instant, CASE WHEN i % 9 = 0 THEN 'order' WHEN i % 7 = 0 THEN 'heartbeat' ELSE 'view' END
  FROM generate_series(1, 2000) AS i, LATERAL (SELECT now() - make_interval(mins => i * 17)) AS at (instant) ORDER BY instant;
INSERT INTO stat_events VALUES (NULL, now(), now(), 'view');

-- what the view says, and what counting everything says
CREATE VIEW said AS SELECT sessions, active, closed, expired, converted, cancelled, normal, monitored, review, restricted, events, passive_events, late_events
  FROM sessionize.app_statistics WHERE app = 'statistics';
CREATE VIEW counted (sessions, active, closed, expired, converted, cancelled, normal, monitored, review, restricted, events, passive_events, late_events) AS
SELECT count(*), count(*) FILTER (WHERE status = 'active'), count(*) FILTER (WHERE status = 'closed'), count(*) FILTER (WHERE status = 'expired'),
       count(*) FILTER (WHERE status = 'converted'), count(*) FILTER (WHERE status = 'cancelled'), count(*) FILTER (WHERE risk = 'normal'),
       count(*) FILTER (WHERE risk = 'monitored'), count(*) FILTER (WHERE risk = 'review'), count(*) FILTER (WHERE risk = 'restricted'),
       sum(event_count)::bigint, sum(passive_count)::bigint, sum(late_count)::bigint
  FROM (SELECT *, sessionize.status_now(session) AS status FROM sessionize.sessions AS session WHERE app_id = sessionize.app_id('statistics')) AS sessions;
CREATE FUNCTION agree() RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN NOT EXISTS ((TABLE said EXCEPT TABLE counted) UNION ALL (TABLE counted EXCEPT TABLE said))
                     AND count_sessions('statistics', 'expired') = (SELECT expired FROM said)
                     AND count_sessions('statistics', 'expired', 'normal') = (SELECT count(*) FROM sessionize.sessions AS session
                            WHERE app_id = sessionize.app_id('statistics') AND risk = 'normal' AND sessionize.status_now(session) = 'expired')
                THEN 'they agree' ELSE format('said %s, counted %s', (SELECT said FROM said), (SELECT counted FROM counted)) END
$$;

SELECT agree() AS nothing_added_up, (SELECT sessions > 500 AND expired > 100 AND converted > 100 AND closed > 0 AND active > 0 FROM said) AS all_kinds;
SELECT refresh_statistics() > 10 AS refreshed;
SELECT agree() AS added_up;
SELECT refresh_statistics() AS nothing_new;

\qecho 'changes on days that were added up'
SELECT set_session_risk(session_id, 'review', 'odd') FROM sessionize.sessions
 WHERE app_id = sessionize.app_id('statistics') AND last_event_day < (now() AT TIME ZONE 'UTC')::date - 9 ORDER BY session_id LIMIT 1;
SELECT agree() AS risk_by_hand;
DELETE FROM sessionize.sessions WHERE app_id = sessionize.app_id('statistics') AND last_event_day = (now() AT TIME ZONE 'UTC')::date - 8;
SELECT agree() AS a_day_was_deleted;
INSERT INTO stat_events (visitor, occurred_at) SELECT 'late', now() - make_interval(days => i) FROM generate_series(3, 15) AS i;
SELECT agree() AS appeared_late, (SELECT count(*) > 0 FROM sessionize.changed_days) AS noted;
SELECT refresh_statistics() > 0 AS refreshed;
SELECT agree() AS added_up_again, (SELECT count(*) FROM sessionize.changed_days) AS noted;
BEGIN;
UPDATE sessionize.sessions SET cancelled_at = now(), converted_at = NULL
 WHERE app_id = sessionize.app_id('statistics') AND last_event_day = (now() AT TIME ZONE 'UTC')::date - 5;
SELECT agree() AS inside_a_transaction;
ROLLBACK;
SELECT agree() AS rolled_back;

SELECT merges, unassigned_events - 'passive' AS unassigned_events, last_event_at <= now() AS has_last_event
  FROM sessionize.app_statistics WHERE app = 'statistics';

\qecho 'a day is added up when nobody is left who began before it had settled'
CREATE EXTENSION dblink;
SELECT dblink_connect('other', format('dbname=%s host=%s port=%s user=%s', current_database(), current_setting('unix_socket_directories'), current_setting('port'), current_user));
SELECT sessionize.earliest_transaction() = now() AS nobody_else;
SELECT dblink_exec('other', 'BEGIN');
SELECT sessionize.earliest_transaction() = began AS somebody_else FROM dblink('other', 'SELECT now()') AS other (began timestamptz);
SELECT dblink_exec('other', 'COMMIT');

\qecho 'a change that began before the first refresh of an application, and goes on after it, is noted'
SELECT create_session_app('fresh') > 0 AS made;
CREATE TABLE fresh_events (visitor text, at timestamptz, received timestamptz);
SELECT track_sessions('fresh_events', 'visitor', 'at', app => 'fresh', received_at => 'received') > 0 AS tracked;
INSERT INTO fresh_events VALUES ('anna', now() - interval '20 days', now() - interval '20 days');
SELECT pg_advisory_lock(4711);
SELECT dblink_send_query('other', 'SELECT pg_advisory_xact_lock(4711)::text, sessionize.has_totals(sessionize.app_id($$fresh$$))');
DO $$ BEGIN
    LOOP
        PERFORM FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted;
        EXIT WHEN FOUND;
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
SELECT refresh_statistics() > 0 AS refreshed;
SELECT pg_advisory_unlock(4711);
SELECT has_totals FROM dblink_get_result('other') AS other (lock text, has_totals boolean);
SELECT dblink_disconnect('other');
DROP EXTENSION dblink;
DROP TABLE fresh_events;
SELECT drop_session_app('fresh');

DROP FUNCTION agree;
DROP VIEW said, counted;
DROP TABLE stat_events;
