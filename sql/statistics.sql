-- Totals by application, cheap to ask for: days on which nothing changes any more are added up once.

CREATE TABLE sessionize.daily_totals (
    app_id integer NOT NULL,
    day date NOT NULL,
    outcome text NOT NULL,
    risk text NOT NULL,
    sessions bigint NOT NULL,
    events numeric NOT NULL,
    passive_events numeric NOT NULL,
    late_events numeric NOT NULL,
    PRIMARY KEY (app_id, day, outcome, risk)
);
COMMENT ON TABLE sessionize.daily_totals IS
    'sessions by day of their last event, for days that have settled; refresh_statistics() keeps it, nothing is wrong without it';

CREATE TABLE sessionize.changed_days (
    app_id integer NOT NULL,
    day date NOT NULL,
    changed_in xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (app_id, day, changed_in)
);
COMMENT ON TABLE sessionize.changed_days IS
    'settled days on which something changed after all: they are counted afresh until refresh_statistics() has added them up again. Each transaction has its own rows and waits for nobody';

CREATE FUNCTION sessionize.first_open_day() RETURNS date
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- a session expires 48 hours after its last event, or after it appeared
    SELECT (now() AT TIME ZONE 'UTC')::date - 2;
END;
COMMENT ON FUNCTION sessionize.first_open_day() IS 'sessions whose last event was on an earlier day have settled, unless they appeared late';

CREATE FUNCTION sessionize.totals_known(app_id integer) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM sessionize.daily_totals AS total WHERE totals_known.app_id IS NULL OR total.app_id = totals_known.app_id);
END;
COMMENT ON FUNCTION sessionize.totals_known(integer) IS 'whether sessions of an application (or of any) are known to have been added up';

CREATE FUNCTION sessionize.await_totals(app_id integer) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Who gets the lock need note nothing, for the first refresh will wait, unless it was done before: so look again, at a
    -- later moment. Who does not get it is too late for that refresh.
    IF NOT pg_try_advisory_xact_lock_shared('sessionize.daily_totals'::regclass::oid::integer, 0) THEN
        RETURN true;
    END IF;
    RETURN sessionize.totals_known(app_id);
END $$;
COMMENT ON FUNCTION sessionize.await_totals(integer) IS
    'part of has_totals(): makes the first refresh wait for the transaction, or says that it is too late for that';

-- STABLE, so that a statement asks once.
CREATE FUNCTION sessionize.has_totals(app_id integer) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    -- who looks at an earlier moment does not see what has been added up since, and takes it for granted
    SELECT sessionize.totals_known(has_totals.app_id)
           OR current_setting('transaction_isolation') <> 'read committed'
           OR sessionize.await_totals(has_totals.app_id);
END;
COMMENT ON FUNCTION sessionize.has_totals(integer) IS
    'whether sessions of an application (or of any) have been added up or are just being, so that changes must be noted';

CREATE VIEW sessionize.covered_days AS
    SELECT app.app_id, total.day
      FROM sessionize.apps AS app,
           LATERAL (SELECT max(known.day) AS day FROM sessionize.daily_totals AS known WHERE known.app_id = app.app_id) AS total
     WHERE total.day > '-infinity';
COMMENT ON VIEW sessionize.covered_days IS 'the last day of each application that has been added up; applications without totals are missing';

CREATE FUNCTION sessionize.note_changed_day() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- While nothing has been added up there is nothing to correct: a restore or first backfill goes without.
    IF TG_OP = 'DELETE' THEN
        IF NOT sessionize.has_totals(NULL) THEN
            RETURN NULL; -- rather than look at all that went
        END IF;
        INSERT INTO sessionize.changed_days (app_id, day)
        SELECT day.app_id, day.last_event_day
          FROM (SELECT DISTINCT gone.app_id, gone.last_event_day FROM gone OFFSET 0) AS day
         WHERE sessionize.has_totals(day.app_id) ON CONFLICT DO NOTHING;
    ELSIF sessionize.has_totals(NEW.app_id) THEN
        INSERT INTO sessionize.changed_days (app_id, day)
        SELECT NEW.app_id, day.settled
          FROM unnest(ARRAY[NEW.last_event_day, CASE TG_OP WHEN 'UPDATE' THEN OLD.last_event_day END]) AS day (settled)
         WHERE day.settled < sessionize.first_open_day() ON CONFLICT DO NOTHING;
        INSERT INTO sessionize.changed_visitors (app_id, visitor) VALUES (NEW.app_id, NEW.visitor);
        IF TG_OP = 'UPDATE' AND OLD.visitor <> NEW.visitor THEN
            INSERT INTO sessionize.changed_visitors (app_id, visitor) VALUES (OLD.app_id, OLD.visitor);
        END IF;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION sessionize.note_changed_day() IS 'triggers of sessionize.sessions: a settled day, and the visitor, have to be counted again';

-- The conditions are all that a change of a session of today costs. Events that are being settled note all their days
-- and visitors at once instead of row by row; what is written by hand may be of a visitor who comes back.
CREATE TRIGGER note_inserted_day AFTER INSERT ON sessionize.sessions
    FOR EACH ROW WHEN (current_setting('pg_sessionize.settling', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION sessionize.note_changed_day();
CREATE TRIGGER note_updated_day AFTER UPDATE ON sessionize.sessions
    FOR EACH ROW WHEN ((OLD.last_event_day < (now() AT TIME ZONE 'UTC')::date - 2 OR NEW.visitor <> OLD.visitor)
                       AND current_setting('pg_sessionize.settling', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION sessionize.note_changed_day();
CREATE TRIGGER note_deleted_day AFTER DELETE ON sessionize.sessions REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION sessionize.note_changed_day();

CREATE FUNCTION sessionize.expect_totals() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_apps integer[];
BEGIN
    LOCK TABLE sessionize.daily_totals IN SHARE ROW EXCLUSIVE MODE;
    new_apps := ARRAY(SELECT app.app_id FROM sessionize.apps AS app
                       WHERE NOT EXISTS (SELECT FROM sessionize.daily_totals AS known WHERE known.app_id = app.app_id)
                         AND EXISTS (SELECT FROM sessionize.sessions AS session
                                      WHERE session.app_id = app.app_id AND session.last_event_day < sessionize.first_open_day()));
    IF new_apps <> '{}' THEN
        -- Waits for those who changed settled sessions without noting it. From here on everybody notes, and nobody waits.
        PERFORM pg_advisory_xact_lock('sessionize.daily_totals'::regclass::oid::integer, 0);
        INSERT INTO sessionize.daily_totals (app_id, day, outcome, risk, sessions, events, passive_events, late_events)
        SELECT new_app, '-infinity', 'expired', 'normal', 0, 0, 0, 0 FROM unnest(new_apps) AS new_app;
    END IF;
END $$;
COMMENT ON FUNCTION sessionize.expect_totals() IS
    'part of refresh_statistics(): from here on changes of settled sessions are noted for applications that are added up for the first time';

CREATE FUNCTION sessionize.add_up(until date) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
    new_apps integer[];
    counted_apps integer[];
    open_day date;
    written bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'statistics cannot be refreshed at isolation level %', upper(current_setting('transaction_isolation'))
            USING ERRCODE = '55000', DETAIL = 'They are added up as of now, whatever the transaction sees.',
                  HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED; SELECT refresh_statistics(); COMMIT;';
    END IF;
    PERFORM sessionize.expect_totals();
    counted_apps := ARRAY(SELECT DISTINCT known.app_id FROM sessionize.daily_totals AS known);
    new_apps := ARRAY(SELECT unnest(counted_apps) EXCEPT SELECT covered.app_id FROM sessionize.covered_days AS covered);
    open_day := greatest(until, (SELECT max(covered.day) + 1 FROM sessionize.covered_days AS covered));
    -- Whoever deletes sessions either has finished, or waits, or notes the visitors.
    LOCK TABLE sessionize.visitor_totals IN SHARE ROW EXCLUSIVE MODE;
    PERFORM sessionize.refresh_visitor_totals(new_apps, open_day);
    -- one statement, one moment: a change is either added up with its note, or its note remains
    WITH changed AS (
        DELETE FROM sessionize.changed_days RETURNING app_id, day
    ), due AS (
        SELECT app.app_id, open.day
          FROM sessionize.apps AS app,
               LATERAL (SELECT min(last_event_day) FROM sessionize.sessions WHERE app_id = app.app_id) AS first (day),
               LATERAL generate_series(first.day, open_day - 1, interval '1 day') AS series (instant),
               LATERAL (SELECT series.instant::date) AS open (day)
         WHERE app.app_id = ANY (counted_apps)
           AND NOT EXISTS (SELECT FROM sessionize.daily_totals AS known WHERE known.app_id = app.app_id AND known.day = open.day)
        UNION
        SELECT app_id, day FROM changed WHERE app_id = ANY (counted_apps) AND day < open_day
    ), counted AS (
        SELECT due.app_id, due.day,
               sessionize.session_status(session.converted_at, session.cancelled_at, session.closes_at, session.expires_at, 'infinity', false) AS outcome,
               coalesce(session.risk, 'normal') AS risk,
               count(session.session_id) AS sessions, coalesce(sum(session.event_count), 0) AS events,
               coalesce(sum(session.passive_count), 0) AS passive_events, coalesce(sum(session.late_count), 0) AS late_events
          FROM due
          -- day by day through the index: mostly one day is due, and the planner cannot know
          LEFT JOIN LATERAL (SELECT * FROM sessionize.sessions AS known
                              WHERE known.app_id = due.app_id AND known.last_event_day = due.day OFFSET 0) AS session ON true
         GROUP BY 1, 2, 3, 4
    ), emptied AS (
        UPDATE sessionize.daily_totals AS known SET sessions = 0, events = 0, passive_events = 0, late_events = 0
          FROM due
         WHERE known.app_id = due.app_id AND known.day = due.day
           AND NOT EXISTS (SELECT FROM counted WHERE (counted.app_id, counted.day, counted.outcome, counted.risk)
                                                   = (known.app_id, known.day, known.outcome, known.risk))
    )
    INSERT INTO sessionize.daily_totals AS known SELECT * FROM counted
    ON CONFLICT ON CONSTRAINT daily_totals_pkey
    DO UPDATE SET sessions = excluded.sessions, events = excluded.events,
                  passive_events = excluded.passive_events, late_events = excluded.late_events;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END $$;
COMMENT ON FUNCTION sessionize.add_up(date) IS 'adds up the days before this one, and visitors with no later session';

CREATE FUNCTION sessionize.earliest_transaction() RETURNS timestamptz
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE WHEN EXISTS (SELECT FROM pg_locks AS held JOIN pg_database AS database ON database.oid = held.database
                              WHERE database.datname = current_database()
                                AND held.relation = 'sessionize.sessions'::regclass AND held.pid IS NULL) THEN '-infinity'
                ELSE (SELECT least(min(activity.xact_start), now()) FROM pg_stat_activity AS activity
                       WHERE activity.datname = current_database() AND activity.backend_type <> 'autovacuum worker') END;
END;
COMMENT ON FUNCTION sessionize.earliest_transaction() IS
    'when the oldest transaction began that may still change sessions; -infinity where one is prepared, of which that is not known';

CREATE FUNCTION refresh_statistics() RETURNS bigint
    LANGUAGE sql
BEGIN ATOMIC
    -- Whoever began on a day takes that for today until the end and notes no change of it: so it has to stay open.
    SELECT sessionize.add_up(((sessionize.earliest_transaction() - interval '1 hour') AT TIME ZONE 'UTC')::date - 2);
END;
COMMENT ON FUNCTION refresh_statistics() IS
    'adds up the days and visitors that have settled since the last call; call it once a day so that sessionize.app_statistics and counts of inactive sessions stay cheap';

CREATE VIEW sessionize.settled_totals AS
WITH appeared_late AS (
    SELECT session.app_id, session.risk,
           sessionize.session_status(session.converted_at, session.cancelled_at, session.closes_at, session.expires_at,
                                     now(), sessionize.is_inclusive(app)) AS status
      FROM sessionize.apps AS app,
           -- first through the index of those that appeared late, which are few
           LATERAL (SELECT * FROM sessionize.sessions AS late
                     WHERE late.app_id = app.app_id AND late.opened_at - late.started_at >= interval '1 minute'
                       AND late.opened_at > now() - interval '4 days' OFFSET 0) AS session
     WHERE session.last_event_day < sessionize.first_open_day()
       AND session.converted_at IS NULL AND session.cancelled_at IS NULL
       AND EXISTS (SELECT FROM sessionize.daily_totals AS total WHERE total.app_id = session.app_id AND total.day = session.last_event_day)
       AND NOT EXISTS (SELECT FROM sessionize.changed_days AS changed WHERE changed.app_id = session.app_id AND changed.day = session.last_event_day)
)
    SELECT total.app_id, total.outcome AS status, total.risk, total.sessions, total.events, total.passive_events, total.late_events
      FROM sessionize.daily_totals AS total
     WHERE NOT EXISTS (SELECT FROM sessionize.changed_days AS changed WHERE changed.app_id = total.app_id AND changed.day = total.day)
    UNION ALL -- those stand among the expired, and need not have expired
    SELECT late.app_id, late.status, late.risk, 1, 0, 0, 0 FROM appeared_late AS late
    UNION ALL
    SELECT late.app_id, 'expired', late.risk, -1, 0, 0, 0 FROM appeared_late AS late;
COMMENT ON VIEW sessionize.settled_totals IS 'what has been added up and holds, by application, status and risk';

CREATE VIEW sessionize.unsettled_days AS
    SELECT app.app_id, bounds.from_day, bounds.to_day
      FROM sessionize.apps AS app,
           LATERAL (SELECT coalesce((SELECT max(total.day) + 1 FROM sessionize.daily_totals AS total WHERE total.app_id = app.app_id), '-infinity'),
                           'infinity'::date
                    UNION ALL
                    SELECT DISTINCT changed.day, changed.day FROM sessionize.changed_days AS changed
                     WHERE changed.app_id = app.app_id
                       AND changed.day <= (SELECT max(total.day) FROM sessionize.daily_totals AS total WHERE total.app_id = app.app_id)
                    UNION ALL
                    -- before the first day that was added up
                    SELECT '-infinity', (SELECT min(total.day) - 1 FROM sessionize.daily_totals AS total WHERE total.app_id = app.app_id)
                   ) AS bounds (from_day, to_day);
COMMENT ON VIEW sessionize.unsettled_days IS 'ranges of days whose sessions have to be counted, because they have not been added up or have changed since';

CREATE INDEX merged_sessions_by_app ON sessionize.merged_sessions (app_id);

CREATE VIEW sessionize.statistics_by_app AS
WITH recent AS (
    SELECT session.app_id,
           sessionize.session_status(session.converted_at, session.cancelled_at, session.closes_at, session.expires_at,
                                     now(), sessionize.is_inclusive(app)) AS status,
           session.risk, count(*) AS sessions, sum(session.event_count) AS events,
           sum(session.passive_count) AS passive_events, sum(session.late_count) AS late_events
      FROM sessionize.unsettled_days AS days JOIN sessionize.apps AS app USING (app_id),
           -- range by range through the index, however the planner guesses their size
           LATERAL (SELECT any_session.app_id, any_session.converted_at, any_session.cancelled_at, any_session.closes_at, any_session.expires_at,
                           any_session.risk, any_session.event_count, any_session.passive_count, any_session.late_count
                      FROM sessionize.sessions AS any_session
                     WHERE any_session.app_id = days.app_id AND any_session.last_event_day BETWEEN days.from_day AND days.to_day OFFSET 0) AS session
     GROUP BY 1, 2, 3
), counted AS (
    SELECT part.app_id, sum(part.sessions) AS sessions,
           sum(part.sessions) FILTER (WHERE part.status = 'active') AS active,
           sum(part.sessions) FILTER (WHERE part.status = 'closed') AS closed,
           sum(part.sessions) FILTER (WHERE part.status = 'expired') AS expired,
           sum(part.sessions) FILTER (WHERE part.status = 'converted') AS converted,
           sum(part.sessions) FILTER (WHERE part.status = 'cancelled') AS cancelled,
           sum(part.sessions) FILTER (WHERE part.risk = 'normal') AS normal,
           sum(part.sessions) FILTER (WHERE part.risk = 'monitored') AS monitored,
           sum(part.sessions) FILTER (WHERE part.risk = 'review') AS review,
           sum(part.sessions) FILTER (WHERE part.risk = 'restricted') AS restricted,
           sum(part.events) AS events, sum(part.passive_events) AS passive_events, sum(part.late_events) AS late_events
      FROM (SELECT * FROM sessionize.settled_totals UNION ALL SELECT * FROM recent) AS part
     GROUP BY part.app_id
)
SELECT app.app_id, app.name AS app,
       coalesce(counted.sessions, 0)::bigint AS sessions,
       coalesce(counted.active, 0)::bigint AS active, coalesce(counted.closed, 0)::bigint AS closed,
       coalesce(counted.expired, 0)::bigint AS expired, coalesce(counted.converted, 0)::bigint AS converted,
       coalesce(counted.cancelled, 0)::bigint AS cancelled,
       coalesce(counted.normal, 0)::bigint AS normal, coalesce(counted.monitored, 0)::bigint AS monitored,
       coalesce(counted.review, 0)::bigint AS review, coalesce(counted.restricted, 0)::bigint AS restricted,
       coalesce(counted.events, 0)::bigint AS events, coalesce(counted.passive_events, 0)::bigint AS passive_events,
       coalesce(counted.late_events, 0)::bigint AS late_events,
       (SELECT count(*) FROM sessionize.merged_sessions AS merged WHERE merged.app_id = app.app_id) AS merges,
       (SELECT coalesce(jsonb_object_agg(reasons.reason, reasons.event_count), '{}')
          FROM (SELECT lost.reason, sum(lost.event_count) AS event_count FROM sessionize.unassigned_events AS lost
                 WHERE lost.app_id = app.app_id GROUP BY lost.reason) AS reasons) AS unassigned_events,
       (SELECT max(session.last_event_at) FROM sessionize.sessions AS session
         WHERE session.app_id = app.app_id
           AND session.last_event_day = (SELECT max(newest.last_event_day) FROM sessionize.sessions AS newest
                                          WHERE newest.app_id = app.app_id)) AS last_event_at,
       (SELECT max(purge.finished_at) FROM sessionize.purges AS purge
         WHERE purge.app_id = app.app_id OR purge.app_id IS NULL) AS last_purge_at,
       @extschema@.count_inactive_sessions(90, app.name) AS purgeable_90_days
  FROM sessionize.apps AS app LEFT JOIN counted USING (app_id);
COMMENT ON VIEW sessionize.statistics_by_app IS 'what sessionize.app_statistics shows';

CREATE FUNCTION sessionize.statistics_now() RETURNS SETOF sessionize.statistics_by_app
    LANGUAGE sql STABLE ROWS 10 SET jit = off -- compiling would take longer than all else
BEGIN ATOMIC
    SELECT * FROM sessionize.statistics_by_app;
END;
COMMENT ON FUNCTION sessionize.statistics_now() IS 'what sessionize.app_statistics shows';

CREATE VIEW sessionize.app_statistics AS SELECT * FROM sessionize.statistics_now();
COMMENT ON VIEW sessionize.app_statistics IS
    'per application: sessions by status and by risk, events, late events, merges, events without a session by reason, the last event, the last purge, sessions that a purge at 90 days would take';
