-- Counts of what is inactive are those of counting every session, whatever has been added up, has changed since, or has
-- come too late: after random histories, at limits that fall on instants of events.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
SET client_min_messages = warning;
CREATE SCHEMA counts;
SET search_path = counts, public;
CREATE TABLE one (visitor text, at timestamptz, received timestamptz, customer text);
CREATE TABLE two (LIKE one);
SELECT count(track_sessions(app::regclass, 'visitor', 'at', app => 'counts ' || app, received_at => 'received', customer => 'customer')) AS tracked
  FROM unnest('{one,two}'::text[]) AS app, create_session_app('counts ' || app);

CREATE TABLE asked (days integer, app text, anonymous boolean);
-- each session looked at by itself
CREATE FUNCTION inactive(days integer, app text, anonymous boolean) RETURNS SETOF sessionize.sessions LANGUAGE sql STABLE AS $$
    SELECT session.*
      FROM (SELECT session_id, max(last_event_at) OVER (PARTITION BY app_id, visitor) AS latest FROM sessionize.sessions) AS came
      JOIN sessionize.sessions AS session USING (session_id) JOIN sessionize.apps USING (app_id)
     WHERE ($2 IS NULL OR name = $2) AND expires_at <= now() AND ($3 IS NULL OR $3 = (customer IS NULL)) AND latest <= now() - make_interval(hours => 24 * $1)
$$;
CREATE VIEW said AS SELECT *, count_inactive_sessions(days, app, anonymous) FROM asked;
CREATE VIEW counted AS SELECT *, (SELECT count(*) FROM inactive(days, app, anonymous)) FROM asked;
CREATE VIEW said_in_sum AS SELECT app, summary.* FROM unnest('{counts one,counts two,NULL}'::text[]) AS app, inactive_session_summary(app) AS summary;
CREATE VIEW counted_in_sum (app, days, sessions, anonymous_sessions, visitors, events) AS
SELECT app, days, totals.* FROM unnest('{counts one,counts two,NULL}'::text[]) AS app, unnest('{30,60,90,180,365}'::integer[]) AS days,
       LATERAL (SELECT count(*), count(*) FILTER (WHERE customer IS NULL), count(DISTINCT (app_id, visitor)), coalesce(sum(event_count + passive_count), 0)::bigint
                  FROM inactive(days, app, NULL)) AS totals;
-- how many answers differ, of eight questions and of all sums
CREATE FUNCTION wrong() RETURNS bigint LANGUAGE sql AS $$
    TRUNCATE asked;
    INSERT INTO asked SELECT days, app, anonymous
      FROM unnest('{1,2,3,5,9,30,60,90,400}'::integer[]) AS days, unnest('{counts one,counts two,NULL}'::text[]) AS app, unnest('{true,false,NULL}'::boolean[]) AS anonymous
     ORDER BY random() LIMIT 8;
    -- both sides answer the same questions, so one direction finds all
    SELECT (SELECT count(*) FROM (TABLE said EXCEPT ALL TABLE counted) AS wrong) + (SELECT count(*) FROM (TABLE said_in_sum EXCEPT ALL TABLE counted_in_sum) AS wrong)
         + (SELECT count(*) FROM ((SELECT app_id, day, sum(visitors), sum(sessions), sum(anonymous_sessions), sum(events)
                                     FROM sessionize.inactivity_totals GROUP BY 1, 2 HAVING sum(visitors) <> 0)
                                  EXCEPT ALL
                                  (SELECT app_id, (last_event_at AT TIME ZONE 'UTC')::date, count(*), sum(sessions), sum(anonymous_sessions), sum(events)
                                     FROM sessionize.visitor_totals GROUP BY 1, 2)) AS wrong)
$$;

CREATE FUNCTION below(bound integer) RETURNS integer LANGUAGE sql VOLATILE AS $$ SELECT floor(random() * $1)::integer $$;
CREATE FUNCTION any_name() RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT 'visitor ' || below(50) $$;
CREATE FUNCTION any_session() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT session_id FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name LIKE 'counts %' ORDER BY random() LIMIT 1
$$;
-- an instant in the past: any, or one at which a limit falls, or a microsecond beside it
CREATE FUNCTION any_instant() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT CASE below(3) WHEN 0 THEN now() - random() * interval '120 days' WHEN 1 THEN now() - random() * random() * interval '8 days'
           ELSE now() - make_interval(hours => 24 * (ARRAY[1, 2, 3, 5, 9, 30, 60, 90])[1 + below(8)]) + (below(3) - 1) * interval '1 microsecond' END
$$;

CREATE FUNCTION step(kind integer, today date DEFAULT (now() AT TIME ZONE 'UTC')::date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    events text := (ARRAY['one', 'two'])[1 + below(2)];
    app text := 'counts ' || events;
BEGIN
    CASE kind
    WHEN 0, 1 THEN -- on time
        EXECUTE format('INSERT INTO %I SELECT any_name(), instant, instant, CASE WHEN below(3) = 0 THEN ''customer'' END '
                       'FROM (SELECT any_instant() AS instant FROM generate_series(1, 1 + below(8)) OFFSET 0) AS visit', events);
    WHEN 2 THEN -- late, hence not expired
        EXECUTE format('INSERT INTO %I SELECT any_name(), any_instant() FROM generate_series(1, 1 + below(3))', events);
    WHEN 3 THEN -- those of before, between sessions
        EXECUTE format('INSERT INTO %1$I SELECT visitor, at + random() * interval ''40 minutes'', at + interval ''40 minutes'' FROM %1$I WHERE at < now() - interval ''1 hour'' ORDER BY random() LIMIT 4', events);
    WHEN 4 THEN
        PERFORM purge_inactive_sessions((ARRAY[5, 60, 90, 100])[1 + below(4)], (ARRAY[app, NULL])[1 + below(2)], (ARRAY[true, false, NULL])[1 + below(3)]);
    WHEN 5 THEN
        PERFORM erase_visitor((ARRAY[app, NULL])[1 + below(2)], any_name());
    WHEN 6 THEN
        PERFORM rebuild_sessions(app, any_name());
    WHEN 7 THEN
        PERFORM link_customer(any_session(), (ARRAY['customer', NULL])[1 + below(2)]);
    WHEN 8 THEN
        EXECUTE format('UPDATE %1$I SET at = any_instant() WHERE ctid IN (SELECT ctid FROM %1$I ORDER BY random() LIMIT 2)', events);
        EXECUTE format('UPDATE %1$I SET visitor = any_name() WHERE ctid IN (SELECT ctid FROM %1$I ORDER BY random() LIMIT 1)', events);
        EXECUTE format('DELETE FROM %1$I WHERE ctid IN (SELECT ctid FROM %1$I ORDER BY random() LIMIT 2)', events);
    WHEN 9 THEN
        DELETE FROM sessionize.sessions WHERE session_id IN (SELECT any_session() FROM generate_series(1, 5));
    WHEN 10 THEN -- as it would have been some days ago, then up to today
        PERFORM sessionize.add_up(today - 2 - below(30));
    ELSE
        PERFORM refresh_statistics();
    END CASE;
END $$;
CREATE PROCEDURE live(steps integer) LANGUAGE plpgsql AS $$
DECLARE
    history text := '';
    kind integer;
BEGIN
    FOR number IN 1..steps LOOP
        kind := CASE WHEN number < 5 THEN below(10) ELSE below(13) END;
        history := concat_ws(' ', history, kind);
        PERFORM step(kind);
        IF wrong() > 0 THEN
            RAISE 'wrong after the steps%', history;
        END IF;
        IF below(3) = 0 THEN
            COMMIT; -- limits fall on other instants now
            IF wrong() > 0 THEN
                RAISE 'wrong after the steps% and a commit', history;
            END IF;
        END IF;
    END LOOP;
END $$;
SELECT setseed(0.25) \g /dev/null
INSERT INTO one SELECT 'visitor ' || number % 50, instant, instant, CASE WHEN number % 4 = 0 THEN 'customer' END
  FROM generate_series(1, 150) AS number, LATERAL (SELECT now() - number * interval '1 day') AS visit (instant);
INSERT INTO two SELECT 'visitor ' || number / 3, instant, instant
  FROM generate_series(1, 150) AS number, LATERAL (SELECT now() - number * interval '20 hours') AS visit (instant);
CALL live(80);
INSERT INTO one SELECT 'another ' || number, instant, instant FROM generate_series(1, 20) AS number, LATERAL (SELECT now() - number * interval '90 hours') AS visit (instant);
SELECT wrong();
SELECT refresh_statistics() IS NOT NULL AS refreshed;
SELECT wrong(), count(*) > 10 AS some_added_up, (SELECT count(*) > 10 FROM inactive(2, NULL, NULL)) AS some_inactive FROM sessionize.visitor_totals;

-- Rows that were there before, tracked and assigned later, in an application without totals and in one with.
CREATE TABLE three (LIKE one);
INSERT INTO three SELECT any_name(), instant FROM (SELECT any_instant() AS instant FROM generate_series(1, 200)) AS visit;
SELECT track_sessions('three', 'visitor', 'at', app => 'counts one') > 0 AS tracked;
CALL backfill_sessions('three');
SELECT wrong();
SELECT untrack_sessions('three');
SELECT create_session_app('counts three') > 0 AS created;
ALTER TABLE three DROP COLUMN IF EXISTS session_id;
SELECT track_sessions('three', 'visitor', 'at', app => 'counts three') > 0 AS tracked;
SELECT count(*) AS noted FROM sessionize.changed_visitors WHERE app_id = sessionize.app_id('counts three');
CALL backfill_sessions('three');
SELECT wrong();
SELECT refresh_statistics() IS NOT NULL AS refreshed;
SELECT wrong();

-- A settled session costs one note, a session of today none.
INSERT INTO one SELECT 'new today', now(), now();
INSERT INTO one SELECT 'new then', now() - 50 * interval '24 hours', now() - 50 * interval '24 hours';
SELECT visitor FROM sessionize.changed_visitors WHERE visitor LIKE 'new %';

-- Whoever comes back is noted once, however often; no day has to be added up again for it.
SELECT refresh_statistics() IS NOT NULL AS refreshed;
INSERT INTO one SELECT 'new then', now() - hours * interval '1 hour', now() - hours * interval '1 hour' FROM generate_series(0, 20, 5) AS hours;
INSERT INTO one SELECT 'new then', now(), now();
SELECT visitor, (now() AT TIME ZONE 'UTC')::date - returned_from AS days FROM sessionize.changed_visitors WHERE visitor = 'new then';
SELECT count(*) AS days_to_add_up FROM sessionize.changed_days;
SELECT wrong();
SELECT refresh_statistics() IS NOT NULL AS refreshed;
SELECT wrong(), count(*) AS added_up FROM sessionize.visitor_totals WHERE visitor = 'new then';
SELECT sessions FROM erase_visitor('counts one', 'new then');
INSERT INTO one SELECT 'new then', now() - 50 * interval '24 hours', now() - 50 * interval '24 hours';

-- Also who comes back by hand.
SELECT refresh_statistics() IS NOT NULL AS refreshed;
INSERT INTO sessionize.sessions (session_id, started_at, last_event_at, closes_at, expires_at, opened_at, event_count, app_id, last_event_day, visitor, token)
SELECT 0, now(), now(), now(), now(), now(), 1, sessionize.app_id('counts one'), (now() AT TIME ZONE 'UTC')::date, 'new then', 'by hand';
SELECT wrong();
UPDATE sessionize.sessions SET visitor = (SELECT visitor FROM sessionize.visitor_totals WHERE app_id = sessionize.app_id('counts one') AND last_event_at < now() - interval '40 days' LIMIT 1)
 WHERE token = 'by hand';
SELECT wrong();
DELETE FROM sessionize.sessions WHERE token = 'by hand';
SELECT wrong();

-- Whoever is to be forgotten stands nowhere.
SELECT refresh_statistics() IS NOT NULL AS refreshed;
SELECT count(*) AS added_up FROM sessionize.visitor_totals WHERE visitor = 'new then';
SELECT sessions FROM erase_visitor('counts one', 'new then');
SELECT count(*) AS added_up FROM sessionize.visitor_totals WHERE visitor = 'new then';
INSERT INTO one SELECT 'new then', now() - 50 * interval '24 hours', now() - 50 * interval '24 hours';
SELECT count(*) AS noted FROM sessionize.changed_visitors WHERE visitor = 'new then';
SELECT sessions FROM erase_visitor(NULL, 'new then');
SELECT count(*) AS noted FROM sessionize.changed_visitors WHERE visitor = 'new then';
SELECT wrong();

-- A transaction that sees one moment cannot add up, and what it changes is noted.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT suite.complaint('SELECT refresh_statistics()');
DELETE FROM sessionize.sessions WHERE session_id = any_session();
SELECT wrong(), count(*) > 0 AS noted FROM sessionize.changed_visitors;
COMMIT;
SELECT wrong();

-- One meaning of "settled": as SQL says, as triggers say, and as events find it.
CREATE FUNCTION noted(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    noted boolean;
BEGIN
    DELETE FROM sessionize.changed_days;
    EXECUTE statement;
    SELECT count(*) > 0 INTO noted FROM sessionize.changed_days;
    RAISE EXCEPTION USING ERRCODE = 'P0001', MESSAGE = noted;
EXCEPTION WHEN raise_exception THEN
    RETURN SQLERRM::boolean;
END $$;
CREATE FUNCTION noon(day date) RETURNS timestamptz LANGUAGE sql AS $$ SELECT (day + time '12:00') AT TIME ZONE 'UTC' $$;
SELECT day - sessionize.first_open_day() AS day, noted(format('INSERT INTO one VALUES (''edge'', %1$L, %1$L)', noon(day))) AS by_events,
       noted(format('INSERT INTO sessionize.sessions (session_id, started_at, last_event_at, closes_at, expires_at, opened_at, event_count, app_id, last_event_day, visitor, token) '
                    'VALUES (0, %1$L, %1$L, %1$L, %1$L, %1$L, 1, %2$s, %3$L, ''edge'', ''edge'')', noon(day), sessionize.app_id('counts one'), day)) AS by_insert
  FROM generate_series(-1, 1) AS number, LATERAL (SELECT sessionize.first_open_day() + number) AS around (day);

-- An application that goes leaves no totals.
SELECT untrack_sessions('three');
SELECT drop_session_app('counts three');
SELECT untrack_sessions('one');
SELECT untrack_sessions('two');
SELECT drop_session_app('counts one');
SELECT drop_session_app('counts two');
SELECT count(*) AS visitors FROM sessionize.visitor_totals;
SELECT count(*) AS days FROM sessionize.inactivity_totals;
SELECT count(*) AS noted FROM sessionize.changed_visitors;
TRUNCATE sessionize.purges;
DELETE FROM sessionize.progress;
DROP SCHEMA counts CASCADE;
