-- A purge in batches that commit, for tables that cannot wait.

CREATE TYPE sessionize.sweep_state AS (
    purge_id bigint, locked_app integer, app_id integer, day date, ids bigint[], counted text, begun timestamptz,
    outcome text, failure text, message text, detail text, hint text
);
COMMENT ON TYPE sessionize.sweep_state IS
    'how far a sweep has come: the application that it has locked (NULL: all), the day whose sessions are gone through, those of them still to come, the visitor of these who is counted already, when the batch began, and how it ended';

CREATE FUNCTION sessionize.lock_sweep(app_id integer, unlock boolean) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- The extension's own id keeps these locks apart from those of others. They outlive transactions.
    space constant integer := (SELECT oid::bigint % 2147483647 FROM pg_extension WHERE extname = 'pg_sessionize');
BEGIN
    IF unlock THEN
        RETURN CASE WHEN app_id IS NULL THEN pg_advisory_unlock(space, 0)
                    ELSE pg_advisory_unlock(space, app_id) AND pg_advisory_unlock_shared(space, 0) END;
    ELSIF app_id IS NULL THEN
        RETURN pg_try_advisory_lock(space, 0);
    ELSIF NOT pg_try_advisory_lock_shared(space, 0) THEN
        RETURN false;
    ELSIF NOT pg_try_advisory_lock(space, app_id) THEN
        PERFORM pg_advisory_unlock_shared(space, 0);
        RETURN false;
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION sessionize.lock_sweep(integer, boolean) IS
    'lets one sweep per application run, or one of all applications; false if another one does';

CREATE FUNCTION sessionize.begin_sweep(
    days integer, app text, anonymous boolean, batch_size integer, max_runtime interval, pause interval
) RETURNS sessionize.sweep_state
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
    SET max_parallel_workers_per_gather = 0 -- leaves the other processors to others
AS $$
#variable_conflict use_column
DECLARE
    state sessionize.sweep_state;
    wanted_app constant integer := sessionize.app_id($2);
BEGIN
    PERFORM sessionize.check_removal(false), sessionize.inactive_since($1, now()); -- refuses days that are none
    IF $4 IS NULL THEN
        RAISE EXCEPTION 'batch size must not be null' USING ERRCODE = '22004', HINT = 'Leave it out for 5000 sessions.';
    ELSIF $4 NOT BETWEEN 1 AND 1000000 THEN
        RAISE EXCEPTION 'batch size "%" is out of range', $4
            USING ERRCODE = '22023', HINT = 'Use 1 to 1000000 sessions, such as 5000.';
    ELSIF $5 < '0' OR $6 NOT BETWEEN '0' AND '1 day' THEN
        RAISE EXCEPTION '% is out of range', CASE WHEN $5 < '0' THEN format('max_runtime "%s"', $5) ELSE format('pause "%s"', $6) END
            USING ERRCODE = '22023', HINT = 'Neither is negative, and a pause has at most a day.';
    ELSIF NOT sessionize.lock_sweep(wanted_app, false) THEN
        RAISE NOTICE 'another sweep is running'
            USING DETAIL = 'This one ends without having done anything.', HINT = 'See sessionize.progress.';
        state.outcome := 'refused';
        RETURN state;
    END IF;
    BEGIN
        state.locked_app := wanted_app;
        -- Nobody else holds the lock, so whoever is still said to be running was killed.
        UPDATE sessionize.purges AS known
           SET outcome = 'interrupted', detail = 'It ended without saying so. What it had committed is gone, the rest was left as it was.'
         WHERE known.kind = 'sweep' AND known.outcome = 'running'
           AND (wanted_app IS NULL OR known.app_id IS NULL OR known.app_id = wanted_app);
        INSERT INTO sessionize.purges AS begun (kind, app_id, filter, started_at)
        VALUES ('sweep', wanted_app,
                jsonb_strip_nulls(jsonb_build_object('days', $1, 'app', $2, 'anonymous', $3, 'batch_size', $4, 'max_runtime', $5, 'pause', $6)), now())
        RETURNING begun.purge_id INTO state.purge_id;
        INSERT INTO sessionize.progress AS known (process, subject, total)
        VALUES ('sweep', coalesce($2, '(all applications)'), @extschema@.count_inactive_sessions($1, $2, $3))
            ON CONFLICT (process, subject) DO UPDATE
           SET started_at = now(), updated_at = now(), done = 0, total = excluded.total, state = 'running', position = NULL;
        RETURN state;
    EXCEPTION WHEN query_canceled OR OTHERS THEN
        PERFORM sessionize.lock_sweep(wanted_app, true);
        RAISE;
    END;
END $$;
COMMENT ON FUNCTION sessionize.begin_sweep(integer, text, boolean, integer, interval, interval) IS
    'checks the arguments of a sweep, takes its lock and writes down that it runs';

CREATE FUNCTION sessionize.next_day(state sessionize.sweep_state, purge sessionize.purges, since timestamptz, condition text)
    RETURNS sessionize.sweep_state
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last_day constant date := (since AT TIME ZONE 'UTC')::date;
BEGIN
    -- Days on which everybody came back are passed over, but not for long without a rest.
    WHILE coalesce(cardinality(state.ids), 0) = 0 AND state.outcome IS NULL AND clock_timestamp() < state.begun + interval '0.1 seconds' LOOP
        state.day := (SELECT min(session.last_event_day) FROM sessionize.sessions AS session
                       WHERE session.app_id = state.app_id AND session.last_event_day > coalesce(state.day, '-infinity')
                         AND session.last_event_day <= last_day);
        IF state.day IS NULL THEN
            state.app_id := (SELECT min(app.app_id) FROM sessionize.apps AS app
                              WHERE (purge.app_id IS NULL OR app.app_id = purge.app_id) AND app.app_id > coalesce(state.app_id, 0));
            state.outcome := CASE WHEN state.app_id IS NULL THEN 'done' END;
        ELSE
            -- All sessions of those who were last here on this day, visitor by visitor. The latest of each comes last:
            -- where a batch ends between them the next one decides as this one did.
            EXECUTE format('SELECT array_agg(session.session_id ORDER BY session.visitor, session.last_event_at, session.session_id) '
                             'FROM (SELECT DISTINCT known.app_id, known.visitor FROM sessionize.sessions AS known '
                                    'WHERE known.app_id = $1 AND known.last_event_day = $2 '
                                      'AND NOT EXISTS (SELECT FROM sessionize.sessions AS later '
                                                       'WHERE later.app_id = known.app_id AND later.visitor = known.visitor '
                                                         'AND (later.last_event_day > $2 OR later.last_event_at > $3))) AS owner '
                             'JOIN sessionize.sessions AS session USING (app_id, visitor) WHERE %s', condition)
               INTO state.ids USING state.app_id, state.day, since;
        END IF;
    END LOOP;
    RETURN state;
END $$;
COMMENT ON FUNCTION sessionize.next_day(sessionize.sweep_state, sessionize.purges, timestamptz, text) IS
    'moves a sweep on to the sessions of inactive visitors who were last here on the next day, or of the next application';

CREATE FUNCTION sessionize.sweep_batch(state sessionize.sweep_state) RETURNS sessionize.sweep_state
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET work_mem = '64MB'
    SET pg_sessionize.sweeping = 'on'
    SET max_parallel_workers_per_gather = 0 -- leaves the other processors to others
AS $$
DECLARE
    purge sessionize.purges;
    since timestamptz;
    anonymous boolean;
    condition text;
    size integer;
    batch bigint[];
    owners text[];
    removed record;
    concerned text[];
BEGIN
    state.begun := clock_timestamp();
    SELECT * INTO purge FROM sessionize.purges AS known WHERE known.purge_id = state.purge_id;
    size := purge.filter ->> 'batch_size';
    anonymous := purge.filter ->> 'anonymous';
    since := sessionize.inactive_since((purge.filter ->> 'days')::integer, purge.started_at);
    condition := sessionize.old_condition(since, purge.started_at, anonymous);
    state := sessionize.next_day(state, purge, since, condition);
    batch := coalesce(state.ids[:size], '{}');
    SELECT array_agg(session.visitor ORDER BY named.place) INTO owners
      FROM unnest(batch) WITH ORDINALITY AS named (session_id, place) LEFT JOIN sessionize.sessions AS session USING (session_id);
    removed := sessionize.remove_inactive(
        sessionize.choose_inactive('(session.app_id, session.visitor) IN (SELECT named.app_id, named.visitor '
                                        'FROM sessionize.sessions AS named JOIN unnest($1) AS batch (session_id) USING (session_id))',
                                   batch, since, purge.started_at, anonymous),
        since, condition);
    state.ids := state.ids[size + 1:];
    -- Those of whom something went. A batch may end between the sessions of one: nobody is counted twice.
    concerned := ARRAY(SELECT DISTINCT gone.visitor FROM unnest(batch, owners) AS gone (session_id, visitor)
                        WHERE gone.visitor IS NOT NULL
                          AND (removed.sessions = cardinality(batch)
                               OR NOT EXISTS (SELECT FROM sessionize.sessions AS kept WHERE kept.session_id = gone.session_id)));
    UPDATE sessionize.purges AS known
       SET sessions = known.sessions + removed.sessions, visitors = known.visitors + cardinality(array_remove(concerned, state.counted)),
           events = known.events + removed.events, dependents = sessionize.sum_counts(known.dependents, removed.dependents),
           kept = known.kept + removed.kept, detail = coalesce(removed.detail, known.detail)
     WHERE known.purge_id = purge.purge_id;
    state.counted := CASE WHEN state.ids <> '{}' AND owners[cardinality(owners)] = ANY (concerned || state.counted)
                          THEN owners[cardinality(owners)] END;
    UPDATE sessionize.progress AS known
       SET done = known.done + removed.sessions, updated_at = clock_timestamp(), position = state.day::text
     WHERE known.process = 'sweep' AND known.subject = coalesce(purge.filter ->> 'app', '(all applications)');
    IF state.outcome IS NULL AND clock_timestamp() >= purge.started_at + (purge.filter ->> 'max_runtime')::interval THEN
        state.outcome := 'stopped';
    END IF;
    RETURN state;
EXCEPTION WHEN query_canceled OR OTHERS THEN
    -- So that it can be written down before it is raised again.
    GET STACKED DIAGNOSTICS state.failure = RETURNED_SQLSTATE, state.message = MESSAGE_TEXT,
                            state.detail = PG_EXCEPTION_DETAIL, state.hint = PG_EXCEPTION_HINT;
    state.outcome := 'failed';
    RETURN state;
END $$;
COMMENT ON FUNCTION sessionize.sweep_batch(sessionize.sweep_state) IS
    'deletes the next batch of a sweep and writes down what went';

CREATE FUNCTION sessionize.rest_sweep(state sessionize.sweep_state) RETURNS sessionize.sweep_state
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF state.outcome IS NULL THEN
        -- Two thirds of the time unless told otherwise: a sweep that never rested would take its share of a processor from others.
        PERFORM pg_sleep_for(coalesce((known.filter ->> 'pause')::interval, 2 * (clock_timestamp() - state.begun)))
           FROM sessionize.purges AS known WHERE known.purge_id = state.purge_id;
    END IF;
    RETURN state;
EXCEPTION WHEN query_canceled THEN
    GET STACKED DIAGNOSTICS state.failure = RETURNED_SQLSTATE, state.message = MESSAGE_TEXT;
    state.outcome := 'failed';
    RETURN state;
END $$;
COMMENT ON FUNCTION sessionize.rest_sweep(sessionize.sweep_state) IS
    'lets others work for as long as the sweep was told to, or else for twice as long as the batch took';

CREATE FUNCTION sessionize.end_sweep(state sessionize.sweep_state) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    purge sessionize.purges;
BEGIN
    IF state.purge_id IS NULL THEN
        RETURN;
    END IF;
    UPDATE sessionize.purges AS known
       SET outcome = state.outcome, finished_at = clock_timestamp(), detail = nullif(concat_ws('; ', known.detail, state.message), '')
     WHERE known.purge_id = state.purge_id
    RETURNING * INTO purge;
    UPDATE sessionize.progress AS known
       SET state = purge.outcome, updated_at = clock_timestamp()
     WHERE known.process = 'sweep' AND known.subject = coalesce(purge.filter ->> 'app', '(all applications)');
    PERFORM sessionize.lock_sweep(state.locked_app, true);
    PERFORM sessionize.report_kept(purge.kept, purge.detail);
EXCEPTION WHEN query_canceled OR OTHERS THEN
    PERFORM sessionize.lock_sweep(state.locked_app, true);
    RAISE;
END $$;
COMMENT ON FUNCTION sessionize.end_sweep(sessionize.sweep_state) IS 'writes down how a sweep ended, and gives its lock back';

CREATE FUNCTION sessionize.raise_failure(state sessionize.sweep_state) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF state.failure IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = state.failure, MESSAGE = state.message,
                              DETAIL = coalesce(nullif(state.detail, ''), 'The sweep ended here. What it had committed is gone, the rest was left as it was.'),
                              HINT = coalesce(nullif(state.hint, ''), 'The next sweep goes on with what is left.');
    END IF;
END $$;
COMMENT ON FUNCTION sessionize.raise_failure(sessionize.sweep_state) IS 'raises the error that ended a sweep, once it is written down';

CREATE FUNCTION sessionize.in_transaction_block() RETURNS boolean
    LANGUAGE c AS 'MODULE_PATHNAME', 'sessionize_in_transaction_block';
COMMENT ON FUNCTION sessionize.in_transaction_block() IS 'whether the client has begun a transaction, so that a procedure cannot commit';

-- Commits, so it can have no search path of its own: it names nothing that another schema could hold.
CREATE PROCEDURE sweep_inactive_sessions(
    days integer,
    app text DEFAULT NULL,
    anonymous boolean DEFAULT NULL,
    batch_size integer DEFAULT 5000,
    max_runtime interval DEFAULT NULL,
    pause interval DEFAULT NULL
)
    LANGUAGE plpgsql
AS $$
DECLARE
    state sessionize.sweep_state;
BEGIN
    IF sessionize.in_transaction_block() THEN
        RAISE EXCEPTION 'a sweep cannot run inside a transaction block'
            USING ERRCODE = '25001', DETAIL = 'It commits after each batch.',
                  HINT = 'Call it outside of BEGIN (in psql with AUTOCOMMIT on), or use purge_inactive_sessions(), which is one transaction.';
    END IF;
    COMMIT; -- inside a function it fails here, before anything was done
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    state := sessionize.begin_sweep(days, app, anonymous, batch_size, max_runtime, pause);
    WHILE state.outcome IS NULL LOOP
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
        state := sessionize.sweep_batch(state);
        COMMIT;
        state := sessionize.rest_sweep(state);
    END LOOP;
    PERFORM sessionize.end_sweep(state);
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    PERFORM sessionize.raise_failure(state);
    IF state.purge_id IS NOT NULL THEN
        PERFORM @extschema@.refresh_statistics();
    END IF;
END $$;
COMMENT ON PROCEDURE sweep_inactive_sessions(integer, text, boolean, integer, interval, interval) IS
    'deletes what purge_inactive_sessions() would, in batches that commit. One at a time; stops after max_runtime; rests for pause after each batch, by default for twice as long as the batch took (''0'': not at all). After a kill the next one goes on. See sessionize.progress and sessionize.purges';
