-- Rows that were there before their table was tracked, and rows that were corrected.

CREATE FUNCTION sessionize.rebuild(app_id integer, visitor text) RETURNS void
    AS 'MODULE_PATHNAME', 'sessionize_rebuild' LANGUAGE c;
REVOKE EXECUTE ON FUNCTION sessionize.rebuild(integer, text) FROM PUBLIC;
COMMENT ON FUNCTION sessionize.rebuild(integer, text) IS 'what rebuild_sessions() does, for an application by its id';

CREATE FUNCTION rebuild_sessions(app text, visitor text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF app IS NULL OR visitor IS NULL THEN
        RAISE EXCEPTION 'application and visitor must not be null'
            USING ERRCODE = '22004', HINT = 'Name the application, and the visitor whose rows were corrected.';
    END IF;
    PERFORM sessionize.rebuild(sessionize.app_id(app), visitor);
END $$;
REVOKE EXECUTE ON FUNCTION rebuild_sessions(text, text) FROM PUBLIC;
COMMENT ON FUNCTION rebuild_sessions(text, text) IS
    'works out a visitor''s sessions again from the rows of all tracked tables, after rows were corrected without the triggers. Ids and tokens stay where sessions do, and so does what people said of them; sessions without any row go, except those that people cancelled';

CREATE FUNCTION sessionize.backfill_blocks(tracking integer, leaf regclass, first_block bigint, end_block bigint, passive boolean)
    RETURNS bigint
    AS 'MODULE_PATHNAME', 'sessionize_backfill' LANGUAGE c STRICT;
REVOKE EXECUTE ON FUNCTION sessionize.backfill_blocks(integer, regclass, bigint, bigint, boolean) FROM PUBLIC;
COMMENT ON FUNCTION sessionize.backfill_blocks(integer, regclass, bigint, bigint, boolean) IS
    'assigns the rows without session in a range of blocks of a table or partition: those of passive kinds, or all others; gives their number';

-- Runs in statements under the rights of the table's owner, who need not have any on this extension.
CREATE FUNCTION sessionize.backfilled_session(place tid) RETURNS bigint
    AS 'MODULE_PATHNAME', 'sessionize_backfilled_session' LANGUAGE c STRICT;
COMMENT ON FUNCTION sessionize.backfilled_session(tid) IS
    'the session of a row in the range that a backfill is writing; NULL at any other time';

CREATE FUNCTION sessionize.backfill_plan(tracking integer)
    RETURNS TABLE (passive boolean, leaf regclass, blocks bigint)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT pass.passive, leaf.relid::regclass, pg_relation_size(leaf.relid) / current_setting('block_size')::bigint
      FROM sessionize.tracked_tables AS tracked
      JOIN sessionize.apps AS app ON app.app_id = tracked.app_id
     CROSS JOIN LATERAL (SELECT tree.relid FROM pg_partition_tree(tracked.events) AS tree WHERE tree.isleaf
                          UNION
                         SELECT tracked.events) AS leaf (relid)
      JOIN (VALUES (false), (true)) AS pass (passive)
        ON NOT pass.passive OR tracked.kind IS NOT NULL AND app.passive_kinds <> '{}'
     WHERE tracked.tracking_id = backfill_plan.tracking
       AND pg_relation_size(leaf.relid) > 0
     ORDER BY pass.passive, leaf.relid;
END;
COMMENT ON FUNCTION sessionize.backfill_plan(integer) IS
    'what a backfill goes through, in order: events that start and extend sessions first, then passive ones, each partition by partition';

CREATE FUNCTION sessionize.full_name(relation regclass) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT format('%I.%I', schema.nspname, class.relname)
      FROM pg_class AS class JOIN pg_namespace AS schema ON schema.oid = class.relnamespace WHERE class.oid = full_name.relation;
END;
COMMENT ON FUNCTION sessionize.full_name(regclass) IS 'the name of a table with its schema, whatever the search path';

-- Without a SET clause, because it commits; so every name is qualified.
CREATE PROCEDURE backfill_sessions(events regclass)
    LANGUAGE plpgsql
AS $$
DECLARE
    tracking integer;
    batch_blocks CONSTANT bigint := 16000;
    table_name CONSTANT pg_catalog.text := sessionize.full_name(events);
    step record;
    first_block bigint;
    stored_in pg_catalog.oid;
    done_before bigint := 0;
    total bigint;
    assigned bigint := 0;
    patience CONSTANT pg_catalog.text := pg_catalog.current_setting('lock_timeout');
BEGIN
    IF events IS NULL THEN
        RAISE EXCEPTION 'table of events must not be null' USING ERRCODE = '22004', HINT = 'Name a tracked table.';
    END IF;
    SELECT tracked.tracking_id INTO tracking FROM sessionize.tracked_tables AS tracked
     WHERE tracked.events OPERATOR(pg_catalog.=) backfill_sessions.events;
    IF tracking IS NULL THEN
        RAISE EXCEPTION 'table % is not tracked', events
            USING ERRCODE = '55000', HINT = 'Call track_sessions() first.';
    END IF;
    PERFORM sessionize.require_owner(events);
    SELECT pg_catalog.sum(plan.blocks) INTO total FROM sessionize.backfill_plan(tracking) AS plan;
    INSERT INTO sessionize.progress AS known (process, subject, total)
    VALUES ('backfill', table_name, COALESCE(total, 0))
        ON CONFLICT (process, subject) DO UPDATE
       SET started_at = pg_catalog.now(), updated_at = pg_catalog.now(), done = 0, total = excluded.total, state = 'running';
    COMMIT;
    FOR step IN SELECT plan.passive, plan.leaf, plan.blocks FROM sessionize.backfill_plan(tracking) AS plan LOOP
        first_block := 0;
        stored_in := pg_catalog.pg_relation_filenode(step.leaf);
        WHILE first_block OPERATOR(pg_catalog.<) step.blocks LOOP
            -- Whoever corrects one of these rows may wait for a visitor that is locked here: then let go of all and try again.
            LOOP
                BEGIN
                    PERFORM pg_catalog.set_config('lock_timeout', '200ms', true);
                    assigned := assigned OPERATOR(pg_catalog.+) sessionize.backfill_blocks(
                        tracking, step.leaf, first_block, first_block OPERATOR(pg_catalog.+) batch_blocks, step.passive);
                    PERFORM pg_catalog.set_config('lock_timeout', patience, true);
                    EXIT;
                EXCEPTION WHEN lock_not_available THEN
                    PERFORM pg_catalog.pg_sleep(0.1);
                END;
            END LOOP;
            IF NOT EXISTS (SELECT FROM sessionize.tracked_tables AS tracked WHERE tracked.tracking_id OPERATOR(pg_catalog.=) tracking) THEN
                RAISE EXCEPTION 'table % is not tracked any more', events
                    USING ERRCODE = '55000', HINT = 'Rows that have no session yet get one once it is tracked again.';
            END IF;
            first_block := first_block OPERATOR(pg_catalog.+) batch_blocks;
            IF pg_catalog.pg_relation_filenode(step.leaf) OPERATOR(pg_catalog.<>) stored_in THEN
                -- VACUUM FULL and its like have put the rows elsewhere.
                stored_in := pg_catalog.pg_relation_filenode(step.leaf);
                first_block := 0;
            END IF;
            UPDATE sessionize.progress AS known
               SET updated_at = pg_catalog.clock_timestamp(),
                   done = done_before OPERATOR(pg_catalog.+) LEAST(first_block, step.blocks),
                   position = pg_catalog.format('%s, block %s', step.leaf, first_block)
             WHERE known.process OPERATOR(pg_catalog.=) 'backfill'
               AND known.subject OPERATOR(pg_catalog.=) table_name;
            COMMIT;
            RAISE NOTICE 'backfill of %: block % of %, % rows assigned', step.leaf, LEAST(first_block, step.blocks), step.blocks, assigned;
        END LOOP;
        done_before := done_before OPERATOR(pg_catalog.+) step.blocks;
    END LOOP;
    UPDATE sessionize.progress AS known
       SET updated_at = pg_catalog.clock_timestamp(), done = known.total, state = 'finished', position = NULL
     WHERE known.process OPERATOR(pg_catalog.=) 'backfill'
       AND known.subject OPERATOR(pg_catalog.=) table_name;
    COMMIT;
END $$;
REVOKE EXECUTE ON PROCEDURE backfill_sessions(regclass) FROM PUBLIC;
COMMENT ON PROCEDURE backfill_sessions(regclass) IS
    'assigns the rows that were in a tracked table before, as if every event had arrived on time. Commits as it goes, tells how far it is in notices and in sessionize.progress, can be stopped and called again, and tolerates events that keep arriving. The caller must own the table';
