-- What is inactive, cheap to count: visitors whose sessions have all settled are added up once.
--
-- Each visitor who has sessions stands rightly in visitor_totals, or is noted in changed_visitors, or has a session on a
-- day after those that have been added up (see covered_days) and does not stand there. Those who are noted are looked at
-- afresh, whatever the totals say; those who are in neither are inactive for less time than these days are old.

CREATE TABLE sessionize.visitor_totals (
    app_id integer NOT NULL,
    sessions integer NOT NULL,
    anonymous_sessions integer NOT NULL,
    last_event_at timestamptz NOT NULL,
    events bigint NOT NULL,
    visitor text COLLATE "C" NOT NULL,
    PRIMARY KEY (app_id, visitor)
);
CREATE INDEX visitor_totals_by_last_event ON sessionize.visitor_totals (app_id, last_event_at);
COMMENT ON TABLE sessionize.visitor_totals IS
    'visitors all of whose sessions had settled when refresh_statistics() last looked: how many, those without customer, all events in them, the last qualifying event';

CREATE TABLE sessionize.inactivity_totals (
    app_id integer NOT NULL,
    day date NOT NULL,
    visitors bigint NOT NULL,
    sessions bigint NOT NULL,
    anonymous_sessions bigint NOT NULL,
    events numeric NOT NULL
);
CREATE INDEX inactivity_totals_by_day ON sessionize.inactivity_totals (app_id, day);
COMMENT ON TABLE sessionize.inactivity_totals IS
    'sums of visitor_totals by the day of the last event. Rows of a day are to be summed: whoever takes visitors out adds a negative one and waits for nobody';

CREATE TABLE sessionize.changed_visitors (
    app_id integer NOT NULL,
    visitor text COLLATE "C" NOT NULL,
    returned_from date
);
COMMENT ON TABLE sessionize.changed_visitors IS
    'visitors whose settled sessions changed after all, or who came back: they are counted afresh until refresh_statistics() has added them up again';
COMMENT ON COLUMN sessionize.changed_visitors.returned_from IS
    'the day of the last session before, of visitors who came back and of whom nothing else changed: limits before it need not care';

CREATE FUNCTION sessionize.apps_without_totals(app_id integer) RETURNS integer[]
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(array_agg(app.app_id), '{}') FROM sessionize.apps AS app
     WHERE (apps_without_totals.app_id IS NULL OR app.app_id = apps_without_totals.app_id)
       AND NOT EXISTS (SELECT FROM sessionize.covered_days AS covered WHERE covered.app_id = app.app_id);
END;
COMMENT ON FUNCTION sessionize.apps_without_totals(integer) IS
    'the application, or all, if none of its sessions have been added up: they have to be counted one by one';

CREATE FUNCTION sessionize.uncount_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET work_mem = '64MB' SET jit = off
AS $$
DECLARE
    -- Who looks at an earlier moment cannot see what was added up since.
    takes_out boolean := current_setting('transaction_isolation') = 'read committed';
BEGIN
    IF NOT sessionize.has_totals(NULL) THEN
        RETURN NULL;
    END IF;
    IF takes_out THEN
        BEGIN
            LOCK TABLE sessionize.visitor_totals IN ROW EXCLUSIVE MODE NOWAIT;
        EXCEPTION WHEN lock_not_available THEN
            takes_out := false; -- the totals are just being refreshed
        END;
    END IF;
    IF NOT takes_out THEN
        INSERT INTO sessionize.changed_visitors (app_id, visitor) SELECT DISTINCT gone.app_id, gone.visitor FROM gone;
        RETURN NULL;
    END IF;
    WITH leaving AS MATERIALIZED (
        SELECT gone.app_id, gone.visitor, count(*) FILTER (WHERE gone.last_event_day <= covered.day) AS sessions
          FROM gone JOIN sessionize.covered_days AS covered USING (app_id)
         GROUP BY gone.app_id, gone.visitor
         ORDER BY gone.app_id, gone.visitor
    ), taken AS (
        DELETE FROM sessionize.visitor_totals AS known USING leaving
         WHERE known.app_id = leaving.app_id AND known.visitor = leaving.visitor
        RETURNING known.*, known.sessions = leaving.sessions AS with_all
    ), corrected AS (
        INSERT INTO sessionize.inactivity_totals (app_id, day, visitors, sessions, anonymous_sessions, events)
        SELECT taken.app_id, (taken.last_event_at AT TIME ZONE 'UTC')::date, -count(*), -sum(taken.sessions), -sum(taken.anonymous_sessions), -sum(taken.events)
          FROM taken GROUP BY 1, 2
    )
    INSERT INTO sessionize.changed_visitors (app_id, visitor)
    SELECT leaving.app_id, leaving.visitor FROM leaving
    EXCEPT
    SELECT taken.app_id, taken.visitor FROM taken WHERE taken.with_all;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION sessionize.uncount_deleted() IS
    'trigger of sessionize.sessions: takes visitors out of the totals, and notes those who may have sessions left';
CREATE TRIGGER uncount_deleted AFTER DELETE ON sessionize.sessions REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION sessionize.uncount_deleted();

CREATE FUNCTION sessionize.uncount_visitor(app_id integer, visitor text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    LOCK TABLE sessionize.visitor_totals IN ROW EXCLUSIVE MODE;
    WITH taken AS (
        DELETE FROM sessionize.visitor_totals AS known
         USING sessionize.apps AS app
         WHERE known.app_id = app.app_id AND known.visitor = $2 AND ($1 IS NULL OR app.app_id = $1)
        RETURNING known.*
    )
    INSERT INTO sessionize.inactivity_totals (app_id, day, visitors, sessions, anonymous_sessions, events)
    SELECT taken.app_id, (taken.last_event_at AT TIME ZONE 'UTC')::date, -1, -taken.sessions, -taken.anonymous_sessions, -taken.events FROM taken;
    -- At other levels somebody may have added the visitor up unseen: then the note stays until the next refresh.
    IF current_setting('transaction_isolation') = 'read committed' THEN
        DELETE FROM sessionize.changed_visitors AS noted WHERE noted.visitor = $2 AND ($1 IS NULL OR noted.app_id = $1);
    END IF;
    INSERT INTO sessionize.changed_visitors (app_id, visitor)
    SELECT app.app_id, $2 FROM sessionize.apps AS app
     WHERE ($1 IS NULL OR app.app_id = $1)
       AND EXISTS (SELECT FROM sessionize.sessions AS kept WHERE kept.app_id = app.app_id AND kept.visitor = $2);
END $$;
COMMENT ON FUNCTION sessionize.uncount_visitor(integer, text) IS
    'takes a visitor''s name out of the totals and the notes of an application, or of all; whoever has sessions left is counted afresh';

CREATE FUNCTION sessionize.uncount_app(app_id integer) RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    DELETE FROM sessionize.daily_totals AS known WHERE known.app_id = uncount_app.app_id;
    DELETE FROM sessionize.changed_days AS noted WHERE noted.app_id = uncount_app.app_id;
    DELETE FROM sessionize.visitor_totals AS known WHERE known.app_id = uncount_app.app_id;
    DELETE FROM sessionize.inactivity_totals AS known WHERE known.app_id = uncount_app.app_id;
    DELETE FROM sessionize.changed_visitors AS noted WHERE noted.app_id = uncount_app.app_id;
END;
COMMENT ON FUNCTION sessionize.uncount_app(integer) IS 'forgets all totals of an application';

CREATE FUNCTION sessionize.refresh_visitor_totals(new_apps integer[], open_day date) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET work_mem = '64MB' SET jit = off
AS $$
BEGIN
    IF new_apps <> '{}' THEN
        DELETE FROM sessionize.visitor_totals AS known WHERE known.app_id = ANY (new_apps);
        DELETE FROM sessionize.inactivity_totals AS known WHERE known.app_id = ANY (new_apps);
        -- in order of time, in which limits look them up
        INSERT INTO sessionize.visitor_totals (app_id, visitor, last_event_at, sessions, anonymous_sessions, events)
        SELECT session.app_id, session.visitor, max(session.last_event_at), count(*), count(*) - count(session.customer),
               sum(session.event_count + session.passive_count)
          FROM sessionize.sessions AS session
         WHERE session.app_id = ANY (new_apps)
         GROUP BY session.app_id, session.visitor
        HAVING max(session.last_event_day) < open_day AND max(session.expires_at) <= now()
         ORDER BY 1, 3;
        INSERT INTO sessionize.inactivity_totals (app_id, day, visitors, sessions, anonymous_sessions, events)
        SELECT known.app_id, (known.last_event_at AT TIME ZONE 'UTC')::date, count(*), sum(known.sessions), sum(known.anonymous_sessions), sum(known.events)
          FROM sessionize.visitor_totals AS known
         WHERE known.app_id = ANY (new_apps)
         GROUP BY 1, 2;
        -- on an old day, but not expired
        INSERT INTO sessionize.changed_visitors (app_id, visitor)
        SELECT DISTINCT session.app_id, session.visitor
          FROM sessionize.sessions AS session
         WHERE session.app_id = ANY (new_apps) AND session.last_event_day < open_day AND session.expires_at > now();
    END IF;
    -- one statement, one moment: a change is either added up with its note, or its note remains
    WITH noted AS (
        DELETE FROM sessionize.changed_visitors RETURNING app_id, visitor
    ), due AS MATERIALIZED (
        SELECT noted.app_id, noted.visitor FROM noted
        UNION
        SELECT covered.app_id, session.visitor
          FROM sessionize.covered_days AS covered,
               LATERAL (SELECT late.visitor FROM sessionize.sessions AS late
                         WHERE late.app_id = covered.app_id AND late.last_event_day > covered.day AND late.last_event_day < open_day OFFSET 0) AS session
    ), before AS MATERIALIZED (
        SELECT known.* FROM due,
               LATERAL (SELECT * FROM sessionize.visitor_totals AS total
                         WHERE total.app_id = due.app_id AND total.visitor = due.visitor OFFSET 0) AS known
    ), found AS MATERIALIZED (
        SELECT due.app_id, due.visitor, summed.*
          FROM due,
               LATERAL (SELECT max(session.last_event_at) AS last_event_at, max(session.last_event_day) AS last_event_day,
                               max(session.expires_at) <= now() AS expired,
                               count(*) AS sessions, count(*) - count(session.customer) AS anonymous_sessions,
                               sum(session.event_count + session.passive_count) AS events
                          FROM sessionize.sessions AS session
                         WHERE session.app_id = due.app_id AND session.visitor = due.visitor OFFSET 0) AS summed
         WHERE summed.last_event_day < open_day
    ), settled AS MATERIALIZED (
        SELECT found.app_id, found.visitor, found.last_event_at, found.sessions, found.anonymous_sessions, found.events
          FROM found WHERE found.expired
    ), noted_again AS (
        INSERT INTO sessionize.changed_visitors (app_id, visitor)
        SELECT found.app_id, found.visitor FROM found WHERE NOT found.expired
    ), removed AS (
        DELETE FROM sessionize.visitor_totals AS known
         USING (SELECT before.app_id, before.visitor FROM before EXCEPT SELECT settled.app_id, settled.visitor FROM settled) AS gone
         WHERE known.app_id = gone.app_id AND known.visitor = gone.visitor
    ), written AS (
        INSERT INTO sessionize.visitor_totals AS known (app_id, visitor, last_event_at, sessions, anonymous_sessions, events)
        SELECT * FROM settled ORDER BY settled.app_id, settled.last_event_at
        ON CONFLICT ON CONSTRAINT visitor_totals_pkey
        DO UPDATE SET last_event_at = excluded.last_event_at, sessions = excluded.sessions,
                      anonymous_sessions = excluded.anonymous_sessions, events = excluded.events
    ), summed_before AS (
        DELETE FROM sessionize.inactivity_totals RETURNING *
    ), changes AS (
        SELECT app_id, day, visitors, sessions, anonymous_sessions, events FROM summed_before
        UNION ALL
        SELECT app_id, (last_event_at AT TIME ZONE 'UTC')::date, -1, -sessions, -anonymous_sessions, -events FROM before
        UNION ALL
        SELECT app_id, (last_event_at AT TIME ZONE 'UTC')::date, 1, sessions, anonymous_sessions, events FROM settled
    )
    INSERT INTO sessionize.inactivity_totals (app_id, day, visitors, sessions, anonymous_sessions, events)
    SELECT app_id, day, sum(visitors), sum(sessions), sum(anonymous_sessions), sum(events) FROM changes
     GROUP BY app_id, day HAVING sum(visitors) <> 0;
END $$;
COMMENT ON FUNCTION sessionize.refresh_visitor_totals(integer[], date) IS
    'part of refresh_statistics(): adds up the visitors of applications that are new to it, and those who changed or have settled since the last time. Days before open_day have settled';

CREATE FUNCTION sessionize.count_inactive(limits timestamptz[], app_id integer)
    RETURNS TABLE (since timestamptz, visitors bigint, sessions bigint, anonymous_sessions bigint, events bigint)
    -- the planner cannot know how few days are left to look at
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET jit = off SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH covered AS MATERIALIZED (
        SELECT known.app_id, known.day FROM sessionize.covered_days AS known WHERE $2 IS NULL OR known.app_id = $2
    ), latest AS MATERIALIZED (
        SELECT max(named) AS limit_at, (max(named) AT TIME ZONE 'UTC')::date AS limit_day FROM unnest(limits) AS named
    ), changed AS MATERIALIZED (
        SELECT found.app_id, found.visitor, max(found.seen_at) AS seen_at
          FROM (SELECT noted.app_id, noted.visitor, NULL AS seen_at
                  FROM sessionize.changed_visitors AS noted JOIN covered USING (app_id), latest
                 WHERE noted.returned_from IS NULL OR noted.returned_from <= latest.limit_day
                UNION ALL
                -- who came back on a later day is noted; others are asked for by limits on these days only
                SELECT covered.app_id, recent.visitor, recent.last_event_at
                  FROM latest JOIN covered ON covered.day < latest.limit_day,
                       -- through the indexes, however the planner guesses: here and below
                       LATERAL (SELECT session.visitor, session.last_event_at FROM sessionize.sessions AS session
                                 WHERE session.app_id = covered.app_id AND session.last_event_day > covered.day OFFSET 0) AS recent) AS found
         GROUP BY found.app_id, found.visitor
    ), outdated AS MATERIALIZED (
        SELECT known.* FROM changed,
               LATERAL (SELECT * FROM sessionize.visitor_totals AS total
                         WHERE total.app_id = changed.app_id AND total.visitor = changed.visitor OFFSET 0) AS known
    ), counted_now AS MATERIALIZED (
        SELECT visitor_now.* FROM changed,
               LATERAL (SELECT max(session.last_event_at) AS last_event_at,
                               count(*) FILTER (WHERE session.expires_at <= now()) AS sessions,
                               count(*) FILTER (WHERE session.expires_at <= now() AND session.customer IS NULL) AS anonymous_sessions,
                               sum(session.event_count + session.passive_count) FILTER (WHERE session.expires_at <= now()) AS events
                          FROM (SELECT * FROM sessionize.sessions AS any_session
                                 WHERE any_session.app_id = changed.app_id AND any_session.visitor = changed.visitor OFFSET 0) AS session
                       ) AS visitor_now
         WHERE changed.seen_at IS NULL OR changed.seen_at <= (SELECT latest.limit_at FROM latest)
    )
    SELECT wanted.since, coalesce(sum(part.visitors), 0)::bigint, coalesce(sum(part.sessions), 0)::bigint,
           coalesce(sum(part.anonymous_sessions), 0)::bigint, coalesce(sum(part.events), 0)::bigint
      FROM unnest(limits) AS wanted (since)
      LEFT JOIN LATERAL (
               SELECT total.visitors, total.sessions, total.anonymous_sessions, total.events
                 FROM covered JOIN sessionize.inactivity_totals AS total USING (app_id)
                WHERE total.day < (wanted.since AT TIME ZONE 'UTC')::date
               UNION ALL
               SELECT 1, known.sessions, known.anonymous_sessions, known.events
                 FROM covered,
                      LATERAL (SELECT * FROM sessionize.visitor_totals AS total
                                WHERE total.app_id = covered.app_id AND total.last_event_at <= wanted.since
                                  AND total.last_event_at >= (wanted.since AT TIME ZONE 'UTC')::date::timestamp AT TIME ZONE 'UTC' OFFSET 0) AS known
               UNION ALL
               SELECT -1, -outdated.sessions, -outdated.anonymous_sessions, -outdated.events FROM outdated WHERE outdated.last_event_at <= wanted.since
               UNION ALL
               SELECT (counted_now.sessions > 0)::integer, counted_now.sessions, counted_now.anonymous_sessions, counted_now.events
                 FROM counted_now WHERE counted_now.last_event_at <= wanted.since
           ) AS part ON true
     GROUP BY wanted.since;
END $$;
COMMENT ON FUNCTION sessionize.count_inactive(timestamptz[], integer) IS
    'what is inactive in an application (or in all) where the visitor''s last event was at each of these instants or earlier; applications without totals are left out';
