-- Tracked tables: the triggers that put each inserted event into its session, and who installs them.

CREATE FUNCTION begin_sessions() RETURNS trigger AS 'MODULE_PATHNAME', 'sessionize_begin' LANGUAGE c;
CREATE FUNCTION assign_session() RETURNS trigger AS 'MODULE_PATHNAME', 'sessionize_assign' LANGUAGE c;
CREATE FUNCTION record_session() RETURNS trigger AS 'MODULE_PATHNAME', 'sessionize_record' LANGUAGE c;
CREATE FUNCTION correct_session() RETURNS trigger AS 'MODULE_PATHNAME', 'sessionize_correct' LANGUAGE c;
CREATE FUNCTION settle_sessions() RETURNS trigger AS 'MODULE_PATHNAME', 'sessionize_settle' LANGUAGE c;
COMMENT ON FUNCTION begin_sessions() IS
    'trigger BEFORE INSERT and BEFORE UPDATE FOR EACH STATEMENT: what is noted from here on waits for settle_sessions(). Argument: the tracking_id of sessionize.tracked_tables';
COMMENT ON FUNCTION assign_session() IS
    'trigger BEFORE INSERT FOR EACH ROW: writes the session that the event most likely belongs to into the row. Argument: the tracking_id';
COMMENT ON FUNCTION record_session() IS
    'trigger AFTER INSERT FOR EACH ROW: notes a row that went in; without begin_sessions() it settles at once. Argument: the tracking_id';
COMMENT ON FUNCTION correct_session() IS
    'trigger AFTER UPDATE OF visitor and instant FOR EACH ROW: notes whose events were corrected. Argument: the tracking_id';
COMMENT ON FUNCTION settle_sessions() IS
    'trigger AFTER INSERT and AFTER UPDATE FOR EACH STATEMENT: writes the sessions of the recorded rows, and corrects rows that were assigned wrongly. Argument: the tracking_id';

CREATE FUNCTION sessionize.settings_changed() RETURNS trigger
    AS 'MODULE_PATHNAME', 'sessionize_settings_changed' LANGUAGE c;
COMMENT ON FUNCTION sessionize.settings_changed() IS
    'trigger of sessionize.apps and sessionize.tracked_tables: makes all connections read the settings again';
CREATE TRIGGER settings_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON sessionize.apps
    FOR EACH STATEMENT EXECUTE FUNCTION sessionize.settings_changed();
CREATE TRIGGER settings_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON sessionize.tracked_tables
    FOR EACH STATEMENT EXECUTE FUNCTION sessionize.settings_changed();

CREATE FUNCTION sessionize.require_owner(relation regclass) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT (SELECT pg_has_role(current_user, class.relowner, 'USAGE') FROM pg_class AS class WHERE class.oid = relation) THEN
        RAISE EXCEPTION 'must be owner of table %', relation
            USING ERRCODE = '42501',
                  HINT = 'Let the owner of the table call the function, or become a member of the owning role.';
    END IF;
END $$;
COMMENT ON FUNCTION sessionize.require_owner(regclass) IS 'refuses (42501) unless the caller owns the table or is a member of its owner';

CREATE FUNCTION sessionize.require_utf8() RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'live tracking does not work in a database with encoding %', getdatabaseencoding()
            USING ERRCODE = '0A000',
                  DETAIL = 'Visitors are kept as text in UTF8.',
                  HINT = 'Create a database with ENCODING ''UTF8'' and load a dump of this one into it. The aggregates work in any encoding.';
    END IF;
END $$;
COMMENT ON FUNCTION sessionize.require_utf8() IS 'refuses (0A000) where the database has another encoding than UTF8';

-- What is written on the events of a table happens under its owner's rights, so only its owner may say what is.
CREATE FUNCTION sessionize.check_owner() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM sessionize.require_utf8();
    PERFORM sessionize.require_owner(NEW.events);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sessionize.check_owner() IS
    'trigger of sessionize.tracked_tables: only the owner of a table may have it tracked (42501), and only where text is UTF8 (0A000)';
CREATE TRIGGER check_owner BEFORE INSERT OR UPDATE ON sessionize.tracked_tables
    FOR EACH ROW EXECUTE FUNCTION sessionize.check_owner();

CREATE FUNCTION sessionize.mapped_columns(table_row sessionize.tracked_tables) RETURNS name[]
    LANGUAGE sql IMMUTABLE
    RETURN ARRAY[table_row.visitor, table_row.occurred_at, table_row.session_id, table_row.kind, table_row.received_at,
                 table_row.customer, table_row.ip, table_row.country, table_row.channel,
                 table_row.cart_items, table_row.cart_value, table_row.currency];
COMMENT ON FUNCTION sessionize.mapped_columns(sessionize.tracked_tables) IS
    'the columns that a tracked table maps, in the order of mapped_columns';

CREATE FUNCTION sessionize.column_numbers(relation regclass, columns name[]) RETURNS smallint[]
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT array_agg(attribute.attnum ORDER BY wanted.place)
      FROM unnest(columns) WITH ORDINALITY AS wanted (column_name, place)
      LEFT JOIN pg_attribute AS attribute
             ON attribute.attrelid = relation AND attribute.attname = wanted.column_name
            AND attribute.attnum > 0 AND NOT attribute.attisdropped;
END;
COMMENT ON FUNCTION sessionize.column_numbers(regclass, name[]) IS 'the numbers of columns of a table; NULL for those it does not have';

CREATE FUNCTION sessionize.check_column(relation regclass, wanted name, purpose text, types regtype[]) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found regtype;
BEGIN
    IF wanted IS NULL THEN
        RETURN;
    END IF;
    SELECT attribute.atttypid INTO found FROM pg_attribute AS attribute
     WHERE attribute.attrelid = relation AND attribute.attname = wanted AND attribute.attnum > 0 AND NOT attribute.attisdropped;
    IF found IS NULL THEN
        RAISE EXCEPTION 'column "%" of table % does not exist', wanted, relation
            USING ERRCODE = '42703',
                  HINT = format('Name the column that holds the %s.', purpose);
    END IF;
    IF types IS NOT NULL AND found <> ALL (types) THEN
        RAISE EXCEPTION 'column "%" of table % has the wrong type', wanted, relation
            USING ERRCODE = '42804',
                  DETAIL = format('It is %s; the %s must be %s.', found, purpose, array_to_string(types, ' or ')),
                  HINT = 'Name another column, or change its type with ALTER TABLE.';
    END IF;
    IF types IS NULL AND (SELECT type.typtype NOT IN ('b', 'e', 'd') OR type.typelem <> 0 AND type.typlen = -1
                            FROM pg_type AS type WHERE type.oid = found) THEN
        RAISE EXCEPTION 'column "%" of table % has the wrong type', wanted, relation
            USING ERRCODE = '42804',
                  DETAIL = format('It is %s; the %s must be a single value.', found, purpose),
                  HINT = 'Name a column of a scalar type, such as bigint, uuid or text.';
    END IF;
END $$;
COMMENT ON FUNCTION sessionize.check_column(regclass, name, text, regtype[]) IS
    'refuses a column that does not exist (42703) or has none of the types (42804); without types any scalar one will do';

CREATE FUNCTION sessionize.check_reference(events regclass, session_number smallint) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reference name;
BEGIN
    SELECT known.conname INTO reference FROM pg_constraint AS known
     WHERE known.contype = 'f' AND known.conrelid = events AND known.confrelid = 'sessionize.sessions'::regclass
       AND session_number = ANY (known.conkey) AND NOT known.condeferred;
    IF FOUND THEN
        RAISE EXCEPTION 'foreign key "%" of table % would refuse the first event of each session', reference, events
            USING ERRCODE = '55000', DETAIL = 'It is checked before the end of the statement, which writes the session.',
                  HINT = 'Make it DEFERRABLE INITIALLY DEFERRED, or do without it.';
    END IF;
END $$;
COMMENT ON FUNCTION sessionize.check_reference(regclass, smallint) IS
    'refuses (55000) a foreign key of the session column that looks for a session before it is written';

CREATE FUNCTION sessionize.check_session_column(relation regclass, session_id name, on_purge text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    attribute pg_attribute;
BEGIN
    PERFORM sessionize.check_column(relation, session_id, 'session', '{bigint}');
    SELECT * INTO attribute FROM pg_attribute AS known WHERE known.attrelid = relation AND known.attname = session_id;
    IF attribute.attgenerated <> '' OR attribute.attidentity <> '' THEN
        RAISE EXCEPTION 'column "%" of table % is generated', session_id, relation
            USING ERRCODE = '428C9', DETAIL = 'The sessions of rows are written into it.',
                  HINT = 'Name a column that PostgreSQL does not fill itself.';
    END IF;
    IF on_purge = 'detach' AND attribute.attnotnull THEN
        RAISE EXCEPTION 'column "%" of table % cannot be detached', session_id, relation
            USING ERRCODE = '22023', DETAIL = 'It must not be null.',
                  HINT = 'Do without the NOT NULL constraint, or use "delete" or "keep".';
    END IF;
END $$;
COMMENT ON FUNCTION sessionize.check_session_column(regclass, name, text) IS
    'refuses a session column of the wrong type (42804), that PostgreSQL fills itself (428C9), or that cannot be detached as on_purge says (22023)';

CREATE FUNCTION sessionize.check_trackable(events regclass) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    class pg_class;
    beside regclass;
BEGIN
    PERFORM sessionize.require_utf8();
    IF events IS NULL THEN
        RAISE EXCEPTION 'table of events must not be null' USING ERRCODE = '22004', HINT = 'Name the table, such as ''events''.';
    END IF;
    SELECT * INTO class FROM pg_class WHERE oid = events;
    IF class.relkind IS NULL THEN
        RAISE EXCEPTION 'relation with id % does not exist', events::oid USING ERRCODE = '42P01', HINT = 'Name a table that exists.';
    END IF;
    IF class.relkind NOT IN ('r', 'p') THEN
        RAISE EXCEPTION '% is not a table', events
            USING ERRCODE = '42809',
                  DETAIL = CASE class.relkind WHEN 'v' THEN 'It is a view.' WHEN 'm' THEN 'It is a materialized view.'
                                              WHEN 'f' THEN 'It is a foreign table.' ELSE 'It is something else.' END,
                  HINT = 'Track the table that the events are inserted into.';
    END IF;
    IF class.relpersistence = 't' THEN
        RAISE EXCEPTION 'temporary table % cannot be tracked', events
            USING ERRCODE = '0A000', HINT = 'Its events would go at the end of the connection and their sessions stay; use sessionize() instead.';
    END IF;
    IF class.relnamespace = 'sessionize'::regnamespace OR class.relnamespace = 'pg_catalog'::regnamespace THEN
        RAISE EXCEPTION 'table % cannot be tracked', events
            USING ERRCODE = '42809', DETAIL = 'It belongs to the system or to this extension.', HINT = 'Track a table of events.';
    END IF;
    PERFORM sessionize.require_owner(events);
    beside := sessionize.attached_beside(events);
    IF EXISTS (SELECT FROM sessionize.tracked_tables AS tracked WHERE tracked.events = beside) THEN
        RAISE EXCEPTION 'table % is already tracked', events
            USING ERRCODE = '55000',
                  DETAIL = CASE WHEN beside <> events THEN format('It shares partitions with %s, which is.', beside)
                                ELSE 'A table is tracked for one application at a time.' END,
                  HINT = 'Call untrack_sessions() first to track it in another way.';
    ELSIF beside IS NOT NULL THEN
        PERFORM sessionize.refuse_attached(events, beside);
    END IF;
END $$;
COMMENT ON FUNCTION sessionize.check_trackable(regclass) IS 'refuses what cannot be tracked, with the reason';

CREATE FUNCTION track_sessions(
    events regclass,
    visitor name,
    occurred_at name,
    app text DEFAULT NULL,
    kind name DEFAULT NULL,
    received_at name DEFAULT NULL,
    session_id name DEFAULT 'session_id',
    customer name DEFAULT NULL,
    ip name DEFAULT NULL,
    country name DEFAULT NULL,
    channel name DEFAULT NULL,
    cart_items name DEFAULT NULL,
    cart_value name DEFAULT NULL,
    currency name DEFAULT NULL,
    on_purge text DEFAULT 'delete'
) RETURNS integer
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    app_name text := app;
    app_number integer;
    number integer;
    indexed boolean;
    ids record;
BEGIN
    PERFORM sessionize.check_trackable(events);
    IF visitor IS NULL OR occurred_at IS NULL OR session_id IS NULL THEN
        RAISE EXCEPTION 'columns of visitor, instant and session must not be null'
            USING ERRCODE = '22004', HINT = 'Write track_sessions(''events'', ''visitor_id'', ''occurred_at'').';
    END IF;
    IF on_purge IS NULL OR on_purge NOT IN ('delete', 'detach', 'keep') THEN
        RAISE EXCEPTION 'purge action "%" is not known', coalesce(on_purge, 'null')
            USING ERRCODE = CASE WHEN on_purge IS NULL THEN '22004' ELSE '22023' END, HINT = 'Valid actions are "delete", "detach" and "keep".';
    END IF;
    IF session_id = ANY (ARRAY[visitor, occurred_at, kind, received_at, customer, ip, country, channel, cart_items, cart_value, currency]) THEN
        RAISE EXCEPTION 'column "%" of table % cannot be that of the session', session_id, events
            USING ERRCODE = '22023', DETAIL = 'It is mapped to something else, and the sessions of events are written over it.',
                  HINT = 'Leave session_id out, or name another column; one that does not exist is added.';
    END IF;
    PERFORM sessionize.check_column(events, visitor, 'visitor', NULL);
    PERFORM sessionize.check_column(events, occurred_at, 'instant of the event', '{timestamptz}');
    PERFORM sessionize.check_column(events, received_at, 'arrival of the event', '{timestamptz}');
    PERFORM sessionize.check_column(events, kind, 'kind of the event', NULL);
    PERFORM sessionize.check_column(events, customer, 'customer', NULL);
    PERFORM sessionize.check_column(events, ip, 'IP address', '{inet,text,character varying}');
    PERFORM sessionize.check_column(events, country, 'country', NULL);
    PERFORM sessionize.check_column(events, channel, 'channel', NULL);
    PERFORM sessionize.check_column(events, cart_items, 'number of items', '{smallint,integer,bigint}');
    PERFORM sessionize.check_column(events, cart_value, 'value of the cart', '{numeric,integer,bigint,real,double precision}');
    PERFORM sessionize.check_column(events, currency, 'currency', NULL);

    IF app_name IS NULL THEN
        SELECT class.relname INTO app_name FROM pg_class AS class WHERE class.oid = events;
        IF NOT EXISTS (SELECT FROM sessionize.apps AS known WHERE known.name = app_name) THEN
            PERFORM @extschema@.create_session_app(app_name);
        END IF;
    END IF;
    app_number := sessionize.app_id(app_name);
    -- nobody drops it from here on
    SELECT known.app_id INTO app_number FROM sessionize.apps AS known WHERE known.app_id = app_number FOR KEY SHARE;

    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = events AND attname = session_id AND NOT attisdropped) THEN
        PERFORM sessionize.check_session_column(events, session_id, on_purge);
        PERFORM sessionize.check_reference(events, (sessionize.column_numbers(events, ARRAY[session_id]))[1]);
    ELSE
        EXECUTE format('ALTER TABLE %s ADD COLUMN %I bigint', events, session_id);
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', events, session_id, 'the session of the event, in sessionize.sessions');
    END IF;
    SELECT EXISTS (SELECT FROM pg_index
                    WHERE indrelid = events AND indisvalid AND indpred IS NULL
                      AND indkey[0] = (SELECT attnum FROM pg_attribute WHERE attrelid = events AND attname = session_id))
      INTO indexed;
    IF NOT indexed THEN
        EXECUTE format('CREATE INDEX ON %s (%I)', events, session_id);
    END IF;

    INSERT INTO sessionize.tracked_tables AS tracked (
           app_id, events, visitor, occurred_at, session_id, kind, received_at,
           customer, ip, country, channel, cart_items, cart_value, currency, on_purge, mapped_columns, mapped_relation)
    VALUES (app_number, events, visitor, occurred_at, session_id, kind, received_at,
            customer, ip, country, channel, cart_items, cart_value, currency, on_purge,
            sessionize.column_numbers(events, ARRAY[visitor, occurred_at, session_id, kind, received_at,
                                                    customer, ip, country, channel, cart_items, cart_value, currency]),
            events)
    RETURNING tracked.tracking_id INTO number;
    PERFORM sessionize.install_triggers(number);
    ids := sessionize.spare_ids(events, session_id);
    IF EXISTS (SELECT FROM unnest(ARRAY[ids.lowest, ids.highest]) AS id
                WHERE id NOTNULL AND NOT EXISTS (SELECT FROM sessionize.sessions AS known WHERE known.session_id = @extschema@.resolve_session(id))) THEN
        RAISE WARNING 'column "%" of table % holds ids of unknown sessions', session_id, events
            USING DETAIL = 'No session gets one of them, and backfill_sessions() leaves their events alone.',
                  HINT = format('To have these events put into sessions, before backfill_sessions(): UPDATE %1$s AS event SET %2$I = NULL '
                                'WHERE NOT EXISTS (SELECT FROM sessionize.sessions AS known WHERE known.session_id = %3$s.resolve_session(event.%2$I));',
                                events, session_id, '@extschema@');
    END IF;
    RETURN number;
END $$;
COMMENT ON FUNCTION track_sessions(regclass, name, name, text, name, name, name, name, name, name, name, name, name, name, text) IS
    'puts every event inserted into a table into its session from now on: names the columns of visitor and instant, and optionally of kind, arrival, session, customer, IP address, country, channel, cart and currency. Adds the session column and its index where missing. Without app it uses, or makes, the one named after the table. on_purge: what a purge does with the events of a purged session: delete, detach or keep. A visitor of more than 1,000 bytes counts as none, and longer values are passed over. Gives the tracking_id. The caller must own the table';

CREATE FUNCTION sessionize.install_triggers(tracking integer) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tracked sessionize.tracked_tables;
    updates text;
BEGIN
    SELECT * INTO STRICT tracked FROM sessionize.tracked_tables WHERE tracking_id = tracking;
    -- Any update of a partitioned table may move rows, which then are inserted elsewhere.
    IF (SELECT relkind = 'p' FROM pg_class WHERE oid = tracked.events) THEN
        updates := 'UPDATE';
    ELSE
        updates := format('UPDATE OF %I, %I', tracked.visitor, tracked.occurred_at);
    END IF;
    -- Triggers fire in order of their names: ours see a row as other triggers leave it. Each one costs every statement.
    -- A table that was restored alone has them already, with an argument that means nothing any more.
    EXECUTE format('CREATE OR REPLACE TRIGGER zz_sessionize_begin BEFORE INSERT OR %s ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s.begin_sessions(%L)',
                   updates, tracked.events, '@extschema@', tracking);
    EXECUTE format('CREATE OR REPLACE TRIGGER zz_sessionize_assign BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION %s.assign_session(%L)',
                   tracked.events, '@extschema@', tracking);
    EXECUTE format('CREATE OR REPLACE TRIGGER zz_sessionize_record AFTER INSERT ON %s FOR EACH ROW EXECUTE FUNCTION %s.record_session(%L)',
                   tracked.events, '@extschema@', tracking);
    EXECUTE format('CREATE OR REPLACE TRIGGER zz_sessionize_correct AFTER UPDATE OF %I, %I ON %s FOR EACH ROW EXECUTE FUNCTION %s.correct_session(%L)',
                   tracked.visitor, tracked.occurred_at, tracked.events, '@extschema@', tracking);
    EXECUTE format('CREATE OR REPLACE TRIGGER zz_sessionize_settle AFTER INSERT OR %s ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s.settle_sessions(%L)',
                   updates, tracked.events, '@extschema@', tracking);
END $$;
COMMENT ON FUNCTION sessionize.install_triggers(integer) IS 'makes the triggers of a tracked table';

CREATE FUNCTION untrack_sessions(events regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    installed name;
BEGIN
    IF events IS NULL THEN
        RAISE EXCEPTION 'table of events must not be null' USING ERRCODE = '22004', HINT = 'Name a tracked table.';
    END IF;
    IF NOT EXISTS (SELECT FROM sessionize.tracked_tables AS tracked WHERE tracked.events = events) THEN
        RAISE EXCEPTION 'table % is not tracked', events
            USING ERRCODE = '55000', HINT = 'See sessionize.tracked_tables for those that are.';
    END IF;
    PERFORM sessionize.require_owner(events);
    FOR installed IN
        SELECT trigger.tgname FROM pg_trigger AS trigger
         WHERE trigger.tgrelid = events AND trigger.tgparentid = 0
           AND trigger.tgfoid IN ('@extschema@.begin_sessions()'::regprocedure, '@extschema@.assign_session()'::regprocedure, '@extschema@.record_session()'::regprocedure,
                                  '@extschema@.correct_session()'::regprocedure, '@extschema@.settle_sessions()'::regprocedure)
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', installed, events);
    END LOOP;
    DELETE FROM sessionize.tracked_tables AS tracked WHERE tracked.events = events;
END $$;
COMMENT ON FUNCTION untrack_sessions(regclass) IS
    'ends the tracking of a table: removes the triggers, and keeps sessions and the session column. Not tracked: 55000';

-- What people do to tracked tables.

CREATE FUNCTION sessionize.altered_relations(event text) RETURNS oid[]
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF event = 'sql_drop' THEN
        RETURN ARRAY(SELECT dropped.objid FROM pg_event_trigger_dropped_objects() AS dropped
                      WHERE dropped.classid = 'pg_class'::regclass AND dropped.objsubid > 0);
    END IF;
    -- What is named changes, and with it the tables that inherit from it or are of its type.
    RETURN ARRAY(
        WITH RECURSIVE altered (relation) AS (
            SELECT command.objid FROM pg_event_trigger_ddl_commands() AS command WHERE command.classid = 'pg_class'::regclass
             UNION
            SELECT below.relation
              FROM altered, LATERAL (SELECT heir.inhrelid FROM pg_inherits AS heir WHERE heir.inhparent = altered.relation
                                      UNION ALL
                                     SELECT typed.oid FROM pg_class AS type JOIN pg_class AS typed ON typed.reloftype = type.reltype
                                      WHERE type.oid = altered.relation AND type.relkind = 'c') AS below (relation)
        ) SELECT altered.relation FROM altered);
END $$;
COMMENT ON FUNCTION sessionize.altered_relations(text) IS
    'for event triggers: the tables whose columns the command may have changed, or has dropped, by the name of the event';

CREATE FUNCTION sessionize.follow_changes() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    altered constant oid[] := sessionize.altered_relations(TG_EVENT);
    relations constant oid[] := ARRAY(SELECT tracked.events FROM sessionize.tracked_tables AS tracked JOIN pg_class AS class ON class.oid = tracked.events
                                       WHERE tracked.events = ANY (altered));
    headless sessionize.tracked_tables;
BEGIN
    -- A table that was restored from a dump has new column numbers; the names are those of the dump.
    IF EXISTS (SELECT FROM sessionize.tracked_tables AS tracked WHERE tracked.mapped_relation <> tracked.events) THEN
        UPDATE sessionize.tracked_tables AS tracked
           SET mapped_columns = sessionize.column_numbers(tracked.events, sessionize.mapped_columns(tracked)),
               mapped_relation = tracked.events
         WHERE tracked.mapped_relation <> tracked.events;
    END IF;
    IF relations = '{}' THEN
        RETURN;
    END IF;
    -- The columns of visitor and instant cannot go without their triggers; that of the session would leave merges and
    -- purges of all tables without the place to write to.
    SELECT * INTO headless FROM sessionize.tracked_tables AS tracked
     WHERE tracked.events = ANY (relations)
       AND NOT EXISTS (SELECT FROM pg_attribute AS attribute
                        WHERE attribute.attrelid = tracked.events AND attribute.attnum = tracked.mapped_columns[3]
                          AND attribute.atttypid = 'bigint'::regtype AND NOT attribute.attisdropped);
    IF FOUND THEN
        RAISE EXCEPTION 'column "%" of table % holds the sessions of its events', headless.session_id, headless.events
            USING ERRCODE = '55000', HINT = 'Call untrack_sessions() first to drop it or to change its type.';
    END IF;
    UPDATE sessionize.tracked_tables AS tracked
       SET visitor = now_called.names[1], occurred_at = now_called.names[2], session_id = now_called.names[3],
           kind = now_called.names[4], received_at = now_called.names[5], customer = now_called.names[6],
           ip = now_called.names[7], country = now_called.names[8], channel = now_called.names[9],
           cart_items = now_called.names[10], cart_value = now_called.names[11], currency = now_called.names[12]
      FROM (SELECT known.tracking_id,
                   (SELECT array_agg(CASE WHEN number.number IS NOT NULL THEN attribute.attname END ORDER BY number.place)
                      FROM unnest(known.mapped_columns) WITH ORDINALITY AS number (number, place)
                      LEFT JOIN pg_attribute AS attribute
                             ON attribute.attrelid = known.events AND attribute.attnum = number.number
                            AND NOT attribute.attisdropped) AS names
              FROM sessionize.tracked_tables AS known) AS now_called
     WHERE now_called.tracking_id = tracked.tracking_id AND tracked.events = ANY (relations)
       AND now_called.names[1] IS NOT NULL AND now_called.names[2] IS NOT NULL AND now_called.names[3] IS NOT NULL
       AND now_called.names IS DISTINCT FROM sessionize.mapped_columns(tracked);
    PERFORM sessionize.check_session_column(tracked.events, tracked.session_id, tracked.on_purge),
            sessionize.check_reference(tracked.events, tracked.mapped_columns[3])
       FROM sessionize.tracked_tables AS tracked WHERE tracked.events = ANY (relations);
END $$;
COMMENT ON FUNCTION sessionize.follow_changes() IS
    'event trigger: keeps the names of tracked columns true when they are renamed, forgets optional ones that are dropped, and refuses what would make tracking fail';

CREATE FUNCTION sessionize.forget_dropped() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM sessionize.progress AS known
     USING pg_event_trigger_dropped_objects() AS dropped
      JOIN sessionize.tracked_tables AS tracked ON tracked.events = dropped.objid
     WHERE dropped.classid = 'pg_class'::regclass AND dropped.objsubid = 0
       AND known.process = 'backfill' AND known.subject = dropped.object_identity;
    DELETE FROM sessionize.tracked_tables AS tracked
     USING pg_event_trigger_dropped_objects() AS dropped
     WHERE dropped.classid = 'pg_class'::regclass AND dropped.objsubid = 0 AND dropped.objid = tracked.events;
    DELETE FROM sessionize.dependents AS dependent
     USING pg_event_trigger_dropped_objects() AS dropped
     WHERE dropped.classid = 'pg_class'::regclass AND dropped.objsubid = 0 AND dropped.objid = dependent.relation;
END $$;
COMMENT ON FUNCTION sessionize.forget_dropped() IS 'event trigger: a dropped table is tracked no more, depends on no session, and its backfill is forgotten';

CREATE EVENT TRIGGER sessionize_follow_changes ON ddl_command_end WHEN TAG IN ('ALTER TABLE', 'ALTER TYPE')
    EXECUTE FUNCTION sessionize.follow_changes();
COMMENT ON EVENT TRIGGER sessionize_follow_changes IS 'keeps the names of tracked columns true';
CREATE EVENT TRIGGER sessionize_follow_drops ON sql_drop EXECUTE FUNCTION sessionize.follow_changes();
COMMENT ON EVENT TRIGGER sessionize_follow_drops IS 'forgets optional columns that are dropped, whatever they go with';
CREATE EVENT TRIGGER sessionize_forget_dropped ON sql_drop EXECUTE FUNCTION sessionize.forget_dropped();
COMMENT ON EVENT TRIGGER sessionize_forget_dropped IS 'forgets tables that are dropped';
