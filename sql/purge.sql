-- Sessions go: how that is done without losing any of a visitor who is just coming back, and what is left in writing.

CREATE TABLE sessionize.purges (
    purge_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    app_id integer,
    filter jsonb NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    run_by name NOT NULL DEFAULT current_user,
    sessions bigint NOT NULL DEFAULT 0,
    visitors bigint NOT NULL DEFAULT 0,
    events bigint NOT NULL DEFAULT 0,
    dependents jsonb NOT NULL DEFAULT '{}',
    kept bigint NOT NULL DEFAULT 0,
    outcome text NOT NULL DEFAULT 'running',
    detail text
);
COMMENT ON SEQUENCE sessionize.purges_purge_id_seq IS 'where the ids of purges come from';
COMMENT ON TABLE sessionize.purges IS
    'every purge, sweep and erasure: who, when, what was asked for, what went, how many sessions had to stay (kept). outcome: done, stopped (max_runtime), failed, interrupted (killed; the next sweep says so), or running';
SELECT pg_catalog.pg_extension_config_dump('sessionize.purges', '');
SELECT pg_catalog.pg_extension_config_dump('sessionize.purges_purge_id_seq', '');

CREATE FUNCTION sessionize.check_removal(dry_run boolean) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF dry_run IS NULL THEN
        RAISE EXCEPTION 'dry_run must not be null' USING ERRCODE = '22004', HINT = 'Leave it out to delete, or say true.';
    ELSIF NOT dry_run AND current_setting('session_replication_role') = 'replica' THEN
        RAISE EXCEPTION 'sessions cannot be deleted while triggers are off'
            USING ERRCODE = '55000', DETAIL = 'What belongs to them would stay: session_replication_role is "replica".',
                  HINT = 'SET session_replication_role = origin;';
    END IF;
END $$;
COMMENT ON FUNCTION sessionize.check_removal(boolean) IS
    'refuses a purge that does not say whether it is one (22004), or whose cascade would not take place (55000)';

-- As owner of the extension, since keys are named by schemas that whoever sweeps need not see. Keys run no code of users.
CREATE FUNCTION sessionize.check_deferred() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keys constant text := (SELECT string_agg(format('%I.%I', schema.nspname, key.conname), ', ')
                             FROM pg_constraint AS key JOIN pg_namespace AS schema ON schema.oid = key.connamespace
                            WHERE key.contype = 'f' AND key.condeferred AND key.conparentid = 0);
BEGIN
    -- A sweep cannot see an error of its COMMIT. In a transaction of somebody else keys wait for its end, as they were told to.
    IF current_setting('pg_sessionize.sweeping', true) = 'on' AND keys IS NOT NULL THEN
        EXECUTE format('SET CONSTRAINTS %s IMMEDIATE', keys);
        EXECUTE format('SET CONSTRAINTS %s DEFERRED', keys);
    END IF;
END $$;
COMMENT ON FUNCTION sessionize.check_deferred() IS
    'checks, in a sweep, the foreign keys that wait for the end of the transaction, so that they keep sessions as others do';

CREATE FUNCTION sessionize.lock_sessions(candidates sessionize.chosen_sessions, since timestamptz, condition text, wait boolean)
    RETURNS sessionize.chosen_sessions
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off -- a batch of a sweep holds locks meanwhile, however large the tables are
AS $$
DECLARE
    chosen sessionize.chosen_sessions;
    apps integer[];
    names text[];
BEGIN
    SELECT array_agg(owner.app_id), array_agg(owner.visitor) INTO apps, names
      FROM (SELECT DISTINCT candidate.app_id, candidate.visitor
              FROM unnest(candidates.apps, candidates.visitors) AS candidate (app_id, visitor)) AS owner;
    -- First the visitors, whose lock every new session needs, then all of their sessions, both in the order that
    -- everybody follows. From here on nothing can come that would make a visitor active.
    EXECUTE format('SELECT FROM sessionize.visitors AS visitor JOIN unnest($1, $2) AS owner (app_id, visitor) USING (app_id, visitor) '
                   'ORDER BY visitor.app_id, visitor.visitor FOR UPDATE OF visitor %s', CASE WHEN NOT wait THEN 'NOWAIT' END)
      USING apps, names;
    -- What is locked is read as it is now, so the conditions are judged afresh.
    EXECUTE format('WITH locked AS MATERIALIZED ('
                   'SELECT session.session_id, session.app_id, session.visitor, session.last_event_at, session.expires_at, session.customer '
                   'FROM sessionize.sessions AS session JOIN unnest($1, $2) AS owner (app_id, visitor) USING (app_id, visitor) '
                   'ORDER BY session.session_id FOR UPDATE OF session'
                   '), judged AS ('
                   'SELECT *, max(last_event_at) OVER (PARTITION BY app_id, visitor) AS last_of_visitor FROM locked) '
                   'SELECT array_agg(session.session_id), array_agg(session.app_id), array_agg(session.visitor) '
                   'FROM judged AS session JOIN unnest($3) AS candidate (session_id) USING (session_id) '
                   'WHERE session.last_of_visitor <= $4 AND %s', condition)
       INTO chosen USING apps, names, candidates.ids, since;
    chosen.ids := coalesce(chosen.ids, '{}');
    RETURN chosen;
END $$;
COMMENT ON FUNCTION sessionize.lock_sessions(sessionize.chosen_sessions, timestamptz, text, boolean) IS
    'locks the visitors of these sessions (55P03 if it would have to wait for one and must not), and all sessions of these visitors, until the transaction ends; gives those of the sessions that still meet a condition on session and whose visitor has no later event';

CREATE FUNCTION sessionize.held_sessions(ids bigint[]) RETURNS TABLE (session_id bigint, relation regclass)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT named.session, holding.relation
      FROM sessionize.holding_tables AS holding,
           LATERAL sessionize.attached_rows(holding.relation, holding.session_id, ids, false) AS named;
END;
COMMENT ON FUNCTION sessionize.held_sessions(bigint[]) IS
    'those of the sessions that rows name by a foreign key that forbids deleting them, and the tables of these rows';

CREATE FUNCTION sessionize.sum_counts(one jsonb, other jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT coalesce(jsonb_object_agg(summed.key, summed.total), '{}')
      FROM (SELECT entry.key, sum(entry.value::bigint) AS total
              FROM (SELECT * FROM jsonb_each_text(one) UNION ALL SELECT * FROM jsonb_each_text(other)) AS entry
             GROUP BY entry.key) AS summed;
END;
COMMENT ON FUNCTION sessionize.sum_counts(jsonb, jsonb) IS 'the sums of two objects of numbers';

CREATE FUNCTION sessionize.delete_sessions(ids bigint[], OUT sessions bigint, OUT cascaded jsonb, OUT kept bigint[], OUT detail text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
    SET pg_sessionize.visitors = 'locked'
AS $$
DECLARE
    half constant integer := cardinality(ids) / 2;
    lower record;
    upper record;
BEGIN
    kept := '{}';
    BEGIN
        PERFORM sessionize.take_cascaded();
        DELETE FROM sessionize.sessions AS session
         USING unnest(ids) AS going (session_id) WHERE session.session_id = going.session_id;
        GET DIAGNOSTICS sessions = ROW_COUNT;
        SELECT coalesce(jsonb_object_agg(taken.relation, taken.row_count), '{}') INTO cascaded
          FROM sessionize.take_cascaded() AS taken;
        PERFORM sessionize.check_deferred();
        RETURN;
    EXCEPTION WHEN foreign_key_violation OR restrict_violation THEN
        GET STACKED DIAGNOSTICS detail = MESSAGE_TEXT;
    END;
    -- Something that hangs on one of them must not go. Halving finds which, and lets the others go.
    IF half = 0 THEN
        SELECT 0, '{}', ids INTO sessions, cascaded, kept;
    ELSE
        lower := sessionize.delete_sessions(ids[:half]);
        upper := sessionize.delete_sessions(ids[half + 1:]);
        sessions := lower.sessions + upper.sessions;
        cascaded := sessionize.sum_counts(lower.cascaded, upper.cascaded);
        kept := lower.kept || upper.kept;
        detail := coalesce(lower.detail, upper.detail);
    END IF;
END $$;
COMMENT ON FUNCTION sessionize.delete_sessions(bigint[]) IS
    'deletes sessions of locked visitors and what belongs to them, except where a foreign key further down forbids it: how many went, rows that went with them by table, which were kept, and an example of why';

CREATE FUNCTION sessionize.choose_by_id(ids bigint[]) RETURNS sessionize.chosen_sessions
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    chosen sessionize.chosen_sessions;
BEGIN
    SELECT coalesce(array_agg(session.session_id), '{}'), array_agg(session.app_id), array_agg(session.visitor) INTO chosen
      FROM sessionize.sessions AS session JOIN unnest(ids) AS named (session_id) USING (session_id);
    RETURN chosen;
END $$;
COMMENT ON FUNCTION sessionize.choose_by_id(bigint[]) IS 'those of the sessions that there are';

CREATE FUNCTION sessionize.find_visitors(apps integer[], visitors text[], OUT places tid[], OUT revisions bigint[])
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
    SET max_parallel_workers_per_gather = 0 -- each would go through all names
AS $$
BEGIN
    SELECT array_agg(found.place), array_agg(found.revision) INTO places, revisions
      FROM (SELECT known.ctid AS place, known.revision FROM sessionize.visitors AS known
             WHERE EXISTS (SELECT FROM unnest(apps, visitors) AS named (app_id, visitor)
                            WHERE named.app_id = known.app_id AND named.visitor COLLATE "C" = known.visitor)
             ORDER BY known.app_id, known.visitor) AS found;
END $$;
COMMENT ON FUNCTION sessionize.find_visitors(integer[], text[]) IS
    'the rows of visitors, who may be named several times, in the order in which everybody locks them, and their revisions';

CREATE TYPE sessionize.inactive_sessions AS (whole bigint[], places tid[], revisions bigint[], parts bigint[]);
COMMENT ON TYPE sessionize.inactive_sessions IS
    'what goes: all sessions of visitors (whole), with the places and revisions of these visitors in the order in which everybody locks them, and sessions of visitors who keep others (parts)';

-- Reads all at one moment, since it is STABLE: visitors are found at the revision at which they had these sessions.
CREATE FUNCTION sessionize.choose_inactive(scope text, ids bigint[], since timestamptz, at timestamptz, anonymous boolean)
    RETURNS sessionize.inactive_sessions
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    chosen sessionize.inactive_sessions;
    apps integer[];
    names text[];
    staying bigint[];
BEGIN
    -- of visitors who are away all sessions, whether they have expired or not and whatever the filter
    EXECUTE format('SELECT array_agg(session_id) FILTER (WHERE goes), array_agg(app_id) FILTER (WHERE goes), '
                          'array_agg(visitor) FILTER (WHERE goes), array_agg(session_id) FILTER (WHERE NOT goes) '
                     'FROM (SELECT session.session_id, session.app_id, session.visitor, %s AND %s AS goes '
                             'FROM sessionize.sessions AS session WHERE %s AND %s OFFSET 0) AS session',
                   sessionize.old_condition(since, at, anonymous), CASE WHEN ids IS NULL THEN 'true' ELSE 'session.session_id = ANY ($1)' END,
                   scope, sessionize.inactive_condition(since, 'infinity', NULL))
       INTO chosen.whole, apps, names, staying USING ids;
    chosen.whole := coalesce(chosen.whole, '{}');
    chosen.parts := '{}';
    IF staying IS NOT NULL THEN
        SELECT coalesce(array_agg(going.session_id) FILTER (WHERE keeping.visitor IS NULL), '{}'),
               array_agg(going.app_id) FILTER (WHERE keeping.visitor IS NULL), array_agg(going.visitor) FILTER (WHERE keeping.visitor IS NULL),
               coalesce(array_agg(going.session_id) FILTER (WHERE keeping.visitor IS NOT NULL), '{}')
          INTO chosen.whole, apps, names, chosen.parts
          FROM unnest(chosen.whole, apps, names) AS going (session_id, app_id, visitor)
          LEFT JOIN (SELECT DISTINCT kept.app_id, kept.visitor
                       FROM sessionize.sessions AS kept JOIN unnest(staying) AS stays (session_id) USING (session_id)) AS keeping
               USING (app_id, visitor);
    END IF;
    SELECT found.places, found.revisions INTO chosen.places, chosen.revisions FROM sessionize.find_visitors(apps, names) AS found;
    RETURN chosen;
END $$;
COMMENT ON FUNCTION sessionize.choose_inactive(text, bigint[], timestamptz, timestamptz, boolean) IS
    'the inactive sessions of visitors to whom a condition on session applies, all or only certain ones; anonymous filters them';

-- Deleting the visitors locks them. Who has got another session since they were seen has another revision. The sessions
-- of the others need no lock before: each is judged afresh as it goes. Nearly always that is all.
CREATE FUNCTION sessionize.delete_visitors(
    chosen sessionize.inactive_sessions, condition text,
    OUT sessions bigint, OUT visitors bigint, OUT cascaded jsonb, OUT others bigint[]
)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
    -- rows go in the order in which they are named, or in that of an index
    SET enable_hashjoin = off SET enable_seqscan = off SET pg_sessionize.visitors = 'gone'
AS $$
DECLARE
    going bigint[] := chosen.whole;
BEGIN
    others := '{}';
    DELETE FROM sessionize.visitors AS visitor USING unnest(chosen.places, chosen.revisions) AS seen (place, revision)
     WHERE visitor.ctid = seen.place AND visitor.revision <= seen.revision; -- judged again where it had to wait
    GET DIAGNOSTICS visitors = ROW_COUNT;
    IF visitors < cardinality(chosen.places) THEN
        SELECT coalesce(array_agg(session.session_id) FILTER (WHERE visitor.visitor IS NULL), '{}'),
               coalesce(array_agg(session.session_id) FILTER (WHERE visitor.visitor IS NOT NULL), '{}') INTO going, others
          FROM sessionize.sessions AS session JOIN unnest(chosen.whole) AS named (session_id) USING (session_id)
          LEFT JOIN sessionize.visitors AS visitor USING (app_id, visitor);
    END IF;
    PERFORM sessionize.take_cascaded();
    -- The condition is part of the join. As part of the scan it would make that go on to the end of the table.
    EXECUTE format('DELETE FROM sessionize.sessions AS session USING unnest($1) AS going (session_id) '
                   'WHERE session.session_id = going.session_id AND CASE WHEN going.session_id IS NOT NULL THEN %s END', condition)
      USING going;
    GET DIAGNOSTICS sessions = ROW_COUNT;
    SELECT coalesce(jsonb_object_agg(taken.relation, taken.row_count), '{}') INTO cascaded FROM sessionize.take_cascaded() AS taken;
    IF sessions < cardinality(going) THEN
        RAISE EXCEPTION 'sessions have changed' USING ERRCODE = 'serialization_failure';
    END IF;
    PERFORM sessionize.check_deferred();
END $$;
COMMENT ON FUNCTION sessionize.delete_visitors(sessionize.inactive_sessions, text) IS
    'deletes visitors with all of their sessions. Those who have got others since they were seen stay, and others are their sessions. Fails (40001) if a session no longer meets a condition on session';

CREATE FUNCTION sessionize.name_counts(counts jsonb, OUT events bigint, OUT dependents jsonb)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT coalesce(sum((counts ->> attached.relation::oid::text)::bigint) FILTER (WHERE attached.events), 0)::bigint,
           coalesce(jsonb_object_agg(attached.relation::text, coalesce((counts ->> attached.relation::oid::text)::bigint, 0))
                    FILTER (WHERE NOT attached.events), '{}')
      FROM sessionize.attached_tables AS attached
     WHERE attached.on_purge <> 'keep';
END;
COMMENT ON FUNCTION sessionize.name_counts(jsonb) IS
    'numbers of rows by id of table as a purge reports them: events, and the others by name of table';

CREATE FUNCTION sessionize.remove_sessions(
    chosen sessionize.chosen_sessions, dry_run boolean,
    OUT sessions bigint, OUT visitors bigint, OUT events bigint, OUT dependents jsonb, OUT kept bigint, OUT detail text
)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    going bigint[] := chosen.ids;
    stay bigint[] := '{}';
    deleted record;
    cascaded jsonb;
BEGIN
    IF EXISTS (SELECT FROM sessionize.holding_tables) THEN
        SELECT coalesce(array_agg(held.session_id), '{}'),
               format('%s still named by %s', count(DISTINCT held.session_id), string_agg(DISTINCT held.relation::text, ', '))
          INTO stay, detail FROM sessionize.held_sessions(going) AS held;
        IF stay = '{}' THEN
            detail := NULL;
        ELSE
            going := ARRAY(SELECT unnest(going) EXCEPT SELECT unnest(stay));
        END IF;
    END IF;
    IF dry_run THEN
        sessions := cardinality(going);
        SELECT jsonb_object_agg(attached.relation::oid, (SELECT coalesce(sum(belonging.row_count), 0)
                                                           FROM sessionize.attached_rows(attached.relation, attached.session_id, going, false) AS belonging))
          INTO cascaded FROM sessionize.attached_tables AS attached WHERE attached.on_purge <> 'keep';
    ELSE
        deleted := sessionize.delete_sessions(going);
        sessions := deleted.sessions;
        cascaded := deleted.cascaded;
        stay := stay || deleted.kept;
        detail := nullif(concat_ws('; ', detail, deleted.detail), '');
    END IF;
    SELECT count(*) INTO visitors
      FROM (SELECT DISTINCT gone.app_id, gone.visitor
              FROM unnest(chosen.ids, chosen.apps, chosen.visitors) AS gone (session_id, app_id, visitor)
             WHERE gone.session_id <> ALL (stay)) AS owner;
    SELECT named.events, named.dependents INTO events, dependents FROM sessionize.name_counts(coalesce(cascaded, '{}')) AS named;
    kept := cardinality(chosen.ids) - sessions;
END $$;
COMMENT ON FUNCTION sessionize.remove_sessions(sessionize.chosen_sessions, boolean) IS
    'deletes locked sessions with all that belongs to them, or with dry_run counts what would go; says which foreign keys keep some';

CREATE FUNCTION sessionize.remove_inactive(
    chosen sessionize.inactive_sessions, since timestamptz, condition text,
    OUT sessions bigint, OUT visitors bigint, OUT events bigint, OUT dependents jsonb, OUT kept bigint, OUT detail text
)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    locked sessionize.chosen_sessions;
    gone record;
    rest record;
    all_slowly boolean := chosen.whole = '{}' OR EXISTS (SELECT FROM sessionize.holding_tables);
BEGIN
    IF NOT all_slowly THEN
        BEGIN
            gone := sessionize.delete_visitors(chosen, condition);
            -- Others may hold these visitors and want the ones that are locked here: whoever is out of order does not wait.
            locked := sessionize.lock_sessions(sessionize.choose_by_id(chosen.parts || gone.others), since, condition, false);
        EXCEPTION WHEN serialization_failure OR lock_not_available OR foreign_key_violation OR restrict_violation THEN
            all_slowly := true; -- from the beginning, for nothing has been done
        END;
    END IF;
    IF all_slowly THEN
        SELECT 0::bigint AS sessions, 0::bigint AS visitors, '{}'::jsonb AS cascaded INTO gone;
        locked := sessionize.lock_sessions(sessionize.choose_by_id(chosen.parts || chosen.whole), since, condition, true);
    END IF;
    rest := sessionize.remove_sessions(locked, false);
    SELECT named.events + rest.events, sessionize.sum_counts(named.dependents, rest.dependents) INTO events, dependents
      FROM sessionize.name_counts(gone.cascaded) AS named;
    sessions := gone.sessions + rest.sessions;
    visitors := gone.visitors + rest.visitors;
    kept := rest.kept;
    detail := rest.detail;
END $$;
COMMENT ON FUNCTION sessionize.remove_inactive(sessionize.inactive_sessions, timestamptz, text) IS
    'deletes those of the chosen sessions that are still inactive once they are locked, with all that belongs to them';

CREATE FUNCTION sessionize.report_kept(kept bigint, detail text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF kept > 0 THEN
        RAISE WARNING 'sessions that had to stay: %', kept
            USING DETAIL = detail,
                  HINT = 'Foreign keys forbid deleting them (see sessionize.holding_tables), or rows that would go with them.';
    END IF;
END $$;
COMMENT ON FUNCTION sessionize.report_kept(bigint, text) IS 'warns of sessions that foreign keys keep';

CREATE FUNCTION sessionize.note_purge(
    kind text, app_id integer, filter jsonb, begun timestamptz,
    sessions bigint, visitors bigint, events bigint, dependents jsonb, kept bigint, detail text
) RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT sessionize.report_kept(kept, detail);
    INSERT INTO sessionize.purges (kind, app_id, filter, started_at, finished_at, sessions, visitors, events, dependents, kept, outcome, detail)
    VALUES (kind, app_id, jsonb_strip_nulls(filter), begun, clock_timestamp(), sessions, visitors, events, dependents, kept, 'done', detail);
END;
COMMENT ON FUNCTION sessionize.note_purge(text, integer, jsonb, timestamptz, bigint, bigint, bigint, jsonb, bigint, text) IS
    'writes down what went, and warns of sessions that had to stay';

CREATE FUNCTION sessionize.require_expected(expected bigint, going bigint, kept bigint) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What stays in any case may have been left out of the count: a dry run does that.
    IF expected NOT IN (going, going + kept) THEN
        RAISE EXCEPTION 'expected % inactive sessions, found %', expected, going + kept
            USING ERRCODE = '55000', DETAIL = 'Nothing was deleted.',
                  HINT = 'Look at the list again: count_inactive_sessions() with the same filters gives the number to expect.';
    END IF;
END $$;
COMMENT ON FUNCTION sessionize.require_expected(bigint, bigint, bigint) IS 'refuses (55000) another number of sessions than the one confirmed';

CREATE FUNCTION purge_inactive_sessions(
    days integer,
    app text DEFAULT NULL,
    anonymous boolean DEFAULT NULL,
    expected bigint DEFAULT NULL,
    dry_run boolean DEFAULT false,
    OUT sessions bigint, OUT visitors bigint, OUT events bigint, OUT dependents jsonb
)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET work_mem = '64MB'
AS $$
DECLARE
    begun constant timestamptz := clock_timestamp();
    since constant timestamptz := sessionize.inactive_since($1, now());
    wanted_app constant integer := sessionize.app_id($2);
    chosen constant sessionize.inactive_sessions :=
        sessionize.choose_inactive(coalesce('session.app_id = ' || wanted_app, 'true'), NULL, since, now(), $3);
    ids constant bigint[] := chosen.whole || chosen.parts;
    held constant bigint := (SELECT count(DISTINCT held.session_id) FROM sessionize.held_sessions(ids) AS held);
    removed record;
BEGIN
    PERFORM sessionize.check_removal($5);
    PERFORM sessionize.require_expected($4, cardinality(ids) - held, held);
    IF $5 THEN
        removed := sessionize.remove_sessions(sessionize.choose_by_id(ids), true);
        PERFORM sessionize.report_kept(removed.kept, removed.detail);
    ELSE
        removed := sessionize.remove_inactive(chosen, since, sessionize.old_condition(since, now(), $3));
        PERFORM sessionize.require_expected($4, removed.sessions, removed.kept);
        PERFORM sessionize.note_purge('purge', wanted_app, jsonb_build_object('days', $1, 'app', $2, 'anonymous', $3, 'expected', $4), begun,
                                      removed.sessions, removed.visitors, removed.events, removed.dependents, removed.kept, removed.detail);
    END IF;
    SELECT removed.sessions, removed.visitors, removed.events, removed.dependents INTO sessions, visitors, events, dependents;
END $$;
COMMENT ON FUNCTION purge_inactive_sessions(integer, text, boolean, bigint, boolean) IS
    'deletes all sessions that inactive_sessions() shows, with what belongs to them, for good and in one transaction. expected: the number of sessions confirmed; with another one nothing is deleted (55000). dry_run: only says what would go';

CREATE FUNCTION erase_visitor(
    app text,
    visitor text,
    dry_run boolean DEFAULT false,
    OUT sessions bigint, OUT visitors bigint, OUT events bigint, OUT dependents jsonb
)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET work_mem = '64MB'
AS $$
DECLARE
    begun constant timestamptz := clock_timestamp();
    condition constant text := format('session.visitor = %L', $2);
    wanted_app constant integer := sessionize.app_id($1);
    apps constant integer[] := ARRAY(SELECT known.app_id FROM sessionize.apps AS known WHERE wanted_app IS NULL OR known.app_id = wanted_app);
    chosen sessionize.chosen_sessions;
    removed record;
BEGIN
    PERFORM sessionize.check_removal($3);
    IF $2 IS NULL THEN
        RAISE EXCEPTION 'visitor must not be null' USING ERRCODE = '22004', HINT = 'Name the visitor to erase.';
    END IF;
    chosen := sessionize.choose_sessions(wanted_app, condition);
    IF $3 THEN
        removed := sessionize.remove_sessions(chosen, true);
        PERFORM sessionize.report_kept(removed.kept, removed.detail);
    ELSE
        -- Also a visitor without sessions, of whom the name alone is left.
        PERFORM FROM sessionize.visitors AS known WHERE known.visitor = $2 AND known.app_id = ANY (apps) ORDER BY known.app_id FOR UPDATE;
        PERFORM sessionize.lock_sessions(chosen, 'infinity', 'true', true);
        removed := sessionize.remove_sessions(sessionize.choose_sessions(wanted_app, condition), false);
        DELETE FROM sessionize.visitors AS known
         WHERE known.visitor = $2 AND known.app_id = ANY (apps)
           AND NOT EXISTS (SELECT FROM sessionize.sessions AS kept WHERE kept.app_id = known.app_id AND kept.visitor = known.visitor);
        PERFORM sessionize.uncount_visitor(wanted_app, $2);
        -- Who was erased is not written down; whoever knows the name can find the row by its hash.
        PERFORM sessionize.note_purge('erase', wanted_app, jsonb_build_object('app', $1, 'visitor_sha256', encode(sha256(convert_to($2, 'UTF8')), 'hex')), begun,
                                      removed.sessions, removed.visitors, removed.events, removed.dependents, removed.kept, removed.detail);
    END IF;
    SELECT removed.sessions, removed.visitors, removed.events, removed.dependents INTO sessions, visitors, events, dependents;
END $$;
COMMENT ON FUNCTION erase_visitor(text, text, boolean) IS
    'deletes all sessions of one visitor, whatever their state, with what belongs to them. dry_run: only says what would go';
