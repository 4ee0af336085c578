-- What belongs to sessions: tracked tables and registered dependents, and how their rows go with a session.

CREATE VIEW sessionize.attached_tables AS
    SELECT tracked.events AS relation, tracked.session_id, tracked.on_purge, true AS events
      FROM sessionize.tracked_tables AS tracked
     WHERE EXISTS (SELECT FROM pg_catalog.pg_class AS class WHERE class.oid = tracked.events)
    UNION ALL
    SELECT dependent.relation, dependent.session_id, dependent.on_purge, false
      FROM sessionize.dependents AS dependent
     WHERE EXISTS (SELECT FROM pg_catalog.pg_class AS class WHERE class.oid = dependent.relation);
COMMENT ON VIEW sessionize.attached_tables IS
    'all tables whose rows belong to sessions, and what becomes of the rows when the session goes: delete, detach or keep';

CREATE VIEW sessionize.holding_tables AS
    SELECT reference.conrelid::regclass AS relation, attribute.attname AS session_id, reference.conname AS reference,
           deferral.waits
      FROM pg_catalog.pg_constraint AS reference
      JOIN pg_catalog.pg_attribute AS attribute
        ON attribute.attrelid = reference.conrelid AND attribute.attnum = reference.conkey[1]
      JOIN pg_catalog.pg_attribute AS referenced
        ON referenced.attrelid = reference.confrelid AND referenced.attnum = reference.confkey[1],
           LATERAL (SELECT reference.condeferred AND reference.confdeltype = 'a') AS deferral (waits)
     WHERE reference.contype = 'f'
       AND reference.confrelid = 'sessionize.sessions'::regclass
       AND referenced.attname = 'session_id'
       AND reference.confdeltype IN ('a', 'r')
       AND reference.conparentid = 0
       AND NOT (deferral.waits AND EXISTS (
               SELECT FROM sessionize.attached_tables AS attached
                WHERE attached.relation = reference.conrelid AND attached.session_id = attribute.attname AND attached.on_purge <> 'keep'));
COMMENT ON VIEW sessionize.holding_tables IS
    'tables with a foreign key to sessions that forbids deleting them: a session that one of their rows names stays in every purge. A key that waits for the end of the transaction does not hold rows that go with their session';

CREATE FUNCTION sessionize.attached_beside(relation regclass) RETURNS regclass
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT attached.relation FROM sessionize.attached_tables AS attached
     WHERE attached.relation = attached_beside.relation
        OR attached.relation IN (SELECT relid FROM pg_partition_ancestors(attached_beside.relation))
        OR attached_beside.relation IN (SELECT relid FROM pg_partition_ancestors(attached.relation))
     ORDER BY attached.relation <> attached_beside.relation
     LIMIT 1;
END;
COMMENT ON FUNCTION sessionize.attached_beside(regclass) IS
    'the attached table that shares rows with a table: itself, or one that it is a partition of or has as one';

CREATE FUNCTION sessionize.refuse_attached(relation regclass, beside regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'table % belongs to sessions already', relation
        USING ERRCODE = '55000', DETAIL = CASE WHEN beside <> relation THEN format('It shares partitions with %s, which does.', beside)
                                               ELSE 'Its rows would be deleted or detached in two ways.' END,
              HINT = 'Call remove_session_dependent() or untrack_sessions() first.';
END $$;
COMMENT ON FUNCTION sessionize.refuse_attached(regclass, regclass) IS 'says why a table cannot be attached to sessions once more (55000)';

CREATE FUNCTION sessionize.check_dependent() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    class pg_class;
    beside regclass;
BEGIN
    IF NEW.relation IS NULL OR NEW.session_id IS NULL OR NEW.on_purge IS NULL THEN
        RAISE EXCEPTION 'table, column and on_purge of a dependent must not be null'
            USING ERRCODE = '22004', HINT = 'For example: add_session_dependent(''wishlist_interactions'', ''session_id'').';
    END IF;
    IF NEW.on_purge NOT IN ('delete', 'detach', 'keep') THEN
        RAISE EXCEPTION 'on_purge "%" is not known', NEW.on_purge
            USING ERRCODE = '22023', HINT = 'Valid are "delete", "detach" (the column becomes null) and "keep".';
    END IF;
    SELECT * INTO class FROM pg_class WHERE oid = NEW.relation;
    IF NOT FOUND THEN
        -- A dump may hold a table that was dropped before; all others shall be restored.
        RAISE WARNING 'a dependent of sessions is left out' USING DETAIL = format('Relation with id %s does not exist.', NEW.relation::oid);
        RETURN NULL;
    END IF;
    IF class.relkind NOT IN ('r', 'p') OR class.relpersistence = 't'
       OR class.relnamespace IN ('sessionize'::regnamespace, 'pg_catalog'::regnamespace) THEN
        RAISE EXCEPTION '% cannot be a dependent', NEW.relation
            USING ERRCODE = '42809', DETAIL = 'A dependent is a table of yours, partitioned or not, that is not temporary.',
                  HINT = 'Register the table that holds the rows.';
    END IF;
    -- The cascade runs with the rights of the table's owner.
    PERFORM sessionize.require_owner(NEW.relation);
    PERFORM sessionize.check_session_column(NEW.relation, NEW.session_id, NEW.on_purge);
    IF TG_OP = 'INSERT' OR NEW.relation <> OLD.relation THEN
        beside := sessionize.attached_beside(NEW.relation);
        IF beside IS NOT NULL THEN
            PERFORM sessionize.refuse_attached(NEW.relation, beside);
        END IF;
    END IF;
    NEW.column_number := (sessionize.column_numbers(NEW.relation, ARRAY[NEW.session_id]))[1];
    NEW.mapped_relation := NEW.relation;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sessionize.check_dependent() IS
    'trigger of sessionize.dependents: refuses tables that cannot be dependents or that somebody else owns, and leaves out those that do not exist';
CREATE TRIGGER check_dependent BEFORE INSERT OR UPDATE OF relation, session_id, on_purge ON sessionize.dependents
    FOR EACH ROW EXECUTE FUNCTION sessionize.check_dependent();

CREATE FUNCTION sessionize.follow_dependents() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    relations constant oid[] := sessionize.altered_relations(TG_EVENT);
    altered record;
BEGIN
    -- A table that was restored from a dump has new column numbers; the name is that of the dump. This is found out by the
    -- next ALTER TABLE of any table: where the dump disabled triggers, that is the one by which it enables them.
    UPDATE sessionize.dependents AS dependent
       SET column_number = coalesce((sessionize.column_numbers(dependent.relation, ARRAY[dependent.session_id]))[1], 0),
           mapped_relation = dependent.relation
     WHERE dependent.mapped_relation <> dependent.relation;
    FOR altered IN
        SELECT dependent.*, attribute.attname, attribute.atttypid
          FROM sessionize.dependents AS dependent
          JOIN pg_class AS class ON class.oid = dependent.relation
          LEFT JOIN pg_attribute AS attribute
                 ON attribute.attrelid = dependent.relation AND attribute.attnum = dependent.column_number AND NOT attribute.attisdropped
         WHERE dependent.relation = ANY (relations)
    LOOP
        IF altered.attname IS NULL THEN
            DELETE FROM sessionize.dependents AS dependent WHERE dependent.relation = altered.relation;
            RAISE WARNING 'table % is a dependent of sessions no more', altered.relation
                USING DETAIL = format('It has no column "%s" any more.', altered.session_id);
        ELSIF altered.atttypid <> 'bigint'::regtype THEN
            RAISE EXCEPTION 'column "%" of table % names sessions', altered.attname, altered.relation
                USING ERRCODE = '55000', HINT = 'Call remove_session_dependent() first to change its type.';
        ELSIF altered.attname <> altered.session_id THEN
            UPDATE sessionize.dependents AS dependent SET session_id = altered.attname WHERE dependent.relation = altered.relation;
        ELSE
            PERFORM sessionize.check_session_column(altered.relation, altered.session_id, altered.on_purge);
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION sessionize.follow_dependents() IS
    'event trigger: keeps the names of dependents'' columns true when they are renamed, forgets dependents that lose them, and refuses what would keep them from being written';
CREATE EVENT TRIGGER sessionize_follow_dependents ON ddl_command_end WHEN TAG IN ('ALTER TABLE', 'ALTER TYPE')
    EXECUTE FUNCTION sessionize.follow_dependents();
COMMENT ON EVENT TRIGGER sessionize_follow_dependents IS 'keeps the names of dependents'' columns true';
CREATE EVENT TRIGGER sessionize_follow_dependents_drops ON sql_drop EXECUTE FUNCTION sessionize.follow_dependents();
COMMENT ON EVENT TRIGGER sessionize_follow_dependents_drops IS 'forgets dependents whose columns are dropped';

CREATE FUNCTION add_session_dependent(relation regclass, session_id name, on_purge text DEFAULT 'delete') RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    holds name;
BEGIN
    IF $1 IS NOT NULL AND NOT EXISTS (SELECT FROM pg_class WHERE oid = $1) THEN
        RAISE EXCEPTION 'relation with id % does not exist', $1::oid USING ERRCODE = '42P01', HINT = 'Name a table that exists.';
    END IF;
    INSERT INTO sessionize.dependents (relation, session_id, on_purge) VALUES ($1, $2, $3);
    -- What follows is for whoever registers a table. A restore makes indexes and keys later.
    IF NOT EXISTS (SELECT FROM pg_index AS index
                    WHERE index.indrelid = $1 AND index.indkey[0] = (sessionize.column_numbers($1, ARRAY[$2]))[1]
                      AND index.indisvalid AND index.indpred IS NULL) THEN
        RAISE WARNING 'column "%" of table % has no index', $2, $1
            USING DETAIL = 'Whenever sessions go, the whole table has to be read.',
                  HINT = format('CREATE INDEX ON %s (%I);', $1, $2);
    END IF;
    SELECT held.reference INTO holds FROM sessionize.holding_tables AS held WHERE held.relation = $1 AND NOT held.waits;
    IF FOUND AND $3 <> 'keep' THEN
        RAISE WARNING 'foreign key "%" of table % keeps sessions from being purged', holds, $1
            USING DETAIL = 'A session stays as long as a row of the table names it.',
                  HINT = 'Drop the foreign key, or make it DEFERRABLE INITIALLY DEFERRED.';
    END IF;
    PERFORM sessionize.spare_ids($1, $2);
END $$;
COMMENT ON FUNCTION add_session_dependent(regclass, name, text) IS
    'registers a table of yours whose rows belong to sessions. When a session goes, its rows are deleted, detached (the column becomes null) or kept';

CREATE FUNCTION remove_session_dependent(relation regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM sessionize.require_owner($1);
    DELETE FROM sessionize.dependents AS dependent WHERE dependent.relation = $1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'table % is not a dependent', coalesce($1::text, 'null')
            USING ERRCODE = '55000', HINT = 'See sessionize.dependents; an event table is removed by untrack_sessions().';
    END IF;
END $$;
COMMENT ON FUNCTION remove_session_dependent(regclass) IS
    'forgets a dependent and leaves its rows alone; from then on they stay when their session goes';

-- ---- the cascade -----------------------------------------------------------------------------------------

CREATE FUNCTION sessionize.ids_of_sessions(sessions bigint[], OUT ids bigint[], OUT meant bigint[])
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
    SET enable_hashjoin = on SET enable_seqscan = on -- which purges turn off for statements of theirs
AS $$
BEGIN
    SELECT sessions || array_agg(merged.absorbed), sessions || array_agg(merged.survivor) INTO ids, meant
      FROM unnest(sessions) AS asked (id) JOIN sessionize.merged_sessions AS merged ON merged.survivor = asked.id;
END $$;
COMMENT ON FUNCTION sessionize.ids_of_sessions(bigint[]) IS
    'the ids by which rows may name sessions, and which one each means: the sessions themselves, and what became part of them';

CREATE FUNCTION sessionize.cascade() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'sessionize_cascade';
COMMENT ON FUNCTION sessionize.cascade() IS
    'trigger of sessionize.sessions: deletes or detaches what belongs to deleted sessions, one statement per table, with the rights of the table''s owner';

CREATE FUNCTION sessionize.take_cascaded() RETURNS TABLE (relation oid, row_count bigint)
    LANGUAGE c AS 'MODULE_PATHNAME', 'sessionize_take_cascaded';
COMMENT ON FUNCTION sessionize.take_cascaded() IS
    'how many rows of each table were deleted or detached with sessions in this connection since this was last called';

CREATE FUNCTION sessionize.attached_rows(relation regclass, session_id name, sessions bigint[], contents boolean)
    RETURNS TABLE (session bigint, row_count bigint, rows jsonb)
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'sessionize_attached_rows';
COMMENT ON FUNCTION sessionize.attached_rows(regclass, name, bigint[], boolean) IS
    'for each of the sessions that has rows in an attached or holding table: how many, and with contents the rows themselves, which takes the right to read the table';

CREATE FUNCTION sessionize.forget() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan SET enable_hashjoin = on SET enable_seqscan = off
AS $$
DECLARE
    -- set by purges, which hold the visitors: 'gone' or 'locked'
    visitors constant text := coalesce(current_setting('pg_sessionize.visitors', true), '');
    apps integer[];
    names text[];
BEGIN
    DELETE FROM sessionize.merged_sessions AS merged USING gone WHERE merged.survivor = gone.session_id;
    DELETE FROM sessionize.session_changes AS change USING gone WHERE change.session_id = gone.session_id;
    IF visitors = 'gone' THEN
        RETURN NULL;
    ELSIF visitors = 'locked' THEN
        SELECT array_agg(owner.app_id), array_agg(owner.visitor) INTO apps, names
          FROM (SELECT DISTINCT gone.app_id, gone.visitor FROM gone) AS owner;
    ELSE
        -- New sessions come under the lock of the visitor. So lock first, then look again: the second statement sees
        -- what was committed while the first one waited. A DELETE by hand has not locked visitors in order, hence does
        -- not wait.
        SELECT array_agg(locked.app_id), array_agg(locked.visitor) INTO apps, names
          FROM (SELECT visitor.app_id, visitor.visitor FROM sessionize.visitors AS visitor
                  JOIN (SELECT DISTINCT gone.app_id, gone.visitor FROM gone) AS owner USING (app_id, visitor)
                   FOR UPDATE OF visitor SKIP LOCKED) AS locked;
    END IF;
    DELETE FROM sessionize.visitors AS visitor
     USING unnest(apps, names) AS locked (app_id, visitor)
     WHERE visitor.app_id = locked.app_id AND visitor.visitor = locked.visitor
       AND NOT EXISTS (SELECT FROM sessionize.sessions AS left_over
                        WHERE left_over.app_id = visitor.app_id AND left_over.visitor = visitor.visitor);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION sessionize.forget() IS
    'trigger of sessionize.sessions: forgets merges, changes and visitors that nothing is left of';

CREATE TRIGGER cascade AFTER DELETE ON sessionize.sessions
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION sessionize.cascade();
CREATE TRIGGER forget AFTER DELETE ON sessionize.sessions
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION sessionize.forget();

CREATE FUNCTION sessionize.refuse_truncate() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'sessions cannot be truncated'
        USING ERRCODE = '55000', DETAIL = 'What belongs to them would be left without a session.',
              HINT = 'Use DELETE, or purge_inactive_sessions().';
END $$;
COMMENT ON FUNCTION sessionize.refuse_truncate() IS 'trigger of sessionize.sessions: TRUNCATE would cascade to nothing';
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON sessionize.sessions
    FOR EACH STATEMENT EXECUTE FUNCTION sessionize.refuse_truncate();
