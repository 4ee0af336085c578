-- Applications: named sets of rules.

CREATE FUNCTION sessionize.check_app() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.name IS NULL OR NEW.name = '' OR length(NEW.name) > 200 THEN
        RAISE EXCEPTION 'name of an application must have 1 to 200 characters'
            USING ERRCODE = CASE WHEN NEW.name IS NULL THEN '22004' ELSE '22023' END,
                  DETAIL = format('It has %s.', coalesce(length(NEW.name)::text, 'none: it is null')),
                  HINT = 'Choose a short name, such as "shop".';
    END IF;
    IF NEW.policy IS NULL OR NEW.policy NOT IN ('timeout', 'midnight') THEN
        RAISE EXCEPTION 'policy "%" is not known', coalesce(NEW.policy, 'null')
            USING ERRCODE = CASE WHEN NEW.policy IS NULL THEN '22004' ELSE '22023' END, HINT = 'Valid policies are "timeout" and "midnight".';
    END IF;
    IF NEW.boundary IS NULL OR NEW.boundary NOT IN ('exclusive', 'inclusive') THEN
        RAISE EXCEPTION 'boundary "%" is not known', coalesce(NEW.boundary, 'null')
            USING ERRCODE = CASE WHEN NEW.boundary IS NULL THEN '22004' ELSE '22023' END, HINT = 'Valid boundaries are "exclusive" and "inclusive".';
    END IF;
    IF NEW.timeout IS NULL OR NEW.timeout NOT BETWEEN '1 minute' AND '24 hours' OR extract(month FROM NEW.timeout) <> 0 THEN
        RAISE EXCEPTION 'inactivity timeout "%" is out of range', coalesce(NEW.timeout::text, 'null')
            USING ERRCODE = CASE WHEN NEW.timeout IS NULL THEN '22004' ELSE '22023' END, HINT = 'Use 1 minute to 24 hours, such as ''30 minutes''.';
    END IF;
    IF NEW.grace IS NULL OR NEW.grace NOT BETWEEN '0' AND '24 hours' OR extract(month FROM NEW.grace) <> 0 THEN
        RAISE EXCEPTION 'grace "%" is out of range', coalesce(NEW.grace::text, 'null')
            USING ERRCODE = CASE WHEN NEW.grace IS NULL THEN '22004' ELSE '22023' END, HINT = 'Use 0 to 24 hours, such as ''24 hours''.';
    END IF;
    IF NEW.max_skew IS NULL OR NEW.max_skew NOT BETWEEN '0' AND '366 days' OR extract(month FROM NEW.max_skew) <> 0 THEN
        RAISE EXCEPTION 'clock skew "%" is out of range', coalesce(NEW.max_skew::text, 'null')
            USING ERRCODE = CASE WHEN NEW.max_skew IS NULL THEN '22004' ELSE '22023' END, HINT = 'Use 0 to 366 days without months, such as ''1 day''.';
    END IF;
    -- Hours count alone from here on: a day has 24 of them.
    NEW.timeout := make_interval(secs => extract(epoch FROM NEW.timeout)::double precision);
    NEW.grace := make_interval(secs => extract(epoch FROM NEW.grace)::double precision);
    NEW.max_skew := make_interval(secs => extract(epoch FROM NEW.max_skew)::double precision);
    IF NEW.time_zone IS NULL THEN
        RAISE EXCEPTION 'time zone must not be null' USING ERRCODE = '22004', HINT = 'Name a zone, such as "UTC".';
    END IF;
    -- Refuses a zone that the midnight policy does not know, in the words of the aggregate.
    PERFORM @extschema@.sessionize_daily('2000-01-01 00:00+00', NEW.time_zone);
    NEW.passive_kinds := coalesce(NEW.passive_kinds, '{}');
    NEW.conversion_kinds := coalesce(NEW.conversion_kinds, '{}');
    NEW.cancellation_kinds := coalesce(NEW.cancellation_kinds, '{}');
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sessionize.check_app() IS 'trigger of sessionize.apps: refuses settings out of range (22023, 22004)';
CREATE TRIGGER check_app BEFORE INSERT OR UPDATE ON sessionize.apps
    FOR EACH ROW EXECUTE FUNCTION sessionize.check_app();

CREATE FUNCTION create_session_app(
    name text,
    policy text DEFAULT 'timeout',
    timeout interval DEFAULT '30 minutes',
    time_zone text DEFAULT 'UTC',
    grace interval DEFAULT '24 hours',
    boundary text DEFAULT 'exclusive',
    max_skew interval DEFAULT '1 day',
    passive_kinds text[] DEFAULT '{}',
    conversion_kinds text[] DEFAULT '{}',
    cancellation_kinds text[] DEFAULT '{}'
) RETURNS integer
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    created integer;
BEGIN
    INSERT INTO sessionize.apps AS app (name, policy, timeout, time_zone, grace, boundary, max_skew,
                                        passive_kinds, conversion_kinds, cancellation_kinds)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT ON CONSTRAINT apps_name_key DO NOTHING
    RETURNING app.app_id INTO created;
    IF created IS NULL THEN
        RAISE EXCEPTION 'application "%" exists already', $1
            USING ERRCODE = '42710', HINT = 'Change it with alter_session_app(), or choose another name.';
    END IF;
    RETURN created;
END $$;
COMMENT ON FUNCTION create_session_app(text, text, interval, text, interval, text, interval, text[], text[], text[]) IS
    'makes an application and gives its id. policy: timeout or midnight; timeout: 1 minute to 24 hours; time_zone: IANA name; grace: 0 to 24 hours; boundary: exclusive or inclusive; max_skew: how far ahead of its arrival an event may be; kinds of events that are passive, convert or cancel a session';

CREATE FUNCTION sessionize.time_zone_release() RETURNS text
    AS 'MODULE_PATHNAME', 'sessionize_time_zone_release' LANGUAGE c IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION sessionize.time_zone_release() IS
    'the release of the IANA time zone database that calendar days are taken from, as in "2025b"; that of PostgreSQL may be another one';

CREATE FUNCTION sessionize.app_id(app text) RETURNS integer
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found integer;
BEGIN
    IF app IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT known.app_id INTO found FROM sessionize.apps AS known WHERE known.name = app;
    IF found IS NULL THEN
        RAISE EXCEPTION 'application "%" is not known', app
            USING ERRCODE = '22023',
                  HINT = coalesce((SELECT 'Known are: ' || string_agg(quote_ident(known.name), ', ' ORDER BY known.name) || '.'
                                     FROM sessionize.apps AS known),
                                  'Make one with create_session_app().');
    END IF;
    RETURN found;
END $$;
COMMENT ON FUNCTION sessionize.app_id(text) IS 'the id of an application; NULL for NULL; unknown: 22023';

CREATE FUNCTION alter_session_app(
    name text,
    policy text DEFAULT NULL,
    timeout interval DEFAULT NULL,
    time_zone text DEFAULT NULL,
    grace interval DEFAULT NULL,
    boundary text DEFAULT NULL,
    max_skew interval DEFAULT NULL,
    passive_kinds text[] DEFAULT NULL,
    conversion_kinds text[] DEFAULT NULL,
    cancellation_kinds text[] DEFAULT NULL
) RETURNS integer
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changed integer := sessionize.app_id($1);
BEGIN
    IF changed IS NULL THEN
        RAISE EXCEPTION 'name of an application must not be null'
            USING ERRCODE = '22004', HINT = 'Name the application to change.';
    END IF;
    UPDATE sessionize.apps AS app
       SET policy = coalesce($2, app.policy),
           timeout = coalesce($3, app.timeout),
           time_zone = coalesce($4, app.time_zone),
           grace = coalesce($5, app.grace),
           boundary = coalesce($6, app.boundary),
           max_skew = coalesce($7, app.max_skew),
           passive_kinds = coalesce($8, app.passive_kinds),
           conversion_kinds = coalesce($9, app.conversion_kinds),
           cancellation_kinds = coalesce($10, app.cancellation_kinds)
     WHERE app.app_id = changed;
    RETURN changed;
END $$;
COMMENT ON FUNCTION alter_session_app(text, text, interval, text, interval, text, interval, text[], text[], text[]) IS
    'changes an application; NULL leaves a setting as it is. Holds for events that arrive afterwards';

CREATE FUNCTION drop_session_app(name text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    dropped integer := sessionize.app_id($1);
    tracked text;
BEGIN
    IF dropped IS NULL THEN
        RAISE EXCEPTION 'name of an application must not be null'
            USING ERRCODE = '22004', HINT = 'Name the application to drop.';
    END IF;
    SELECT string_agg(events::text, ', ' ORDER BY events::text) INTO tracked
      FROM sessionize.tracked_tables WHERE app_id = dropped;
    IF tracked IS NOT NULL THEN
        RAISE EXCEPTION 'application "%" still has tracked tables', $1
            USING ERRCODE = '55000',
                  DETAIL = format('Tracked for it: %s.', tracked),
                  HINT = 'Call untrack_sessions() for each of them first.';
    END IF;
    PERFORM sessionize.uncount_app(dropped);
    DELETE FROM sessionize.sessions WHERE app_id = dropped;
    DELETE FROM sessionize.merged_sessions WHERE app_id = dropped;
    DELETE FROM sessionize.session_changes WHERE app_id = dropped;
    DELETE FROM sessionize.unassigned_events WHERE app_id = dropped;
    DELETE FROM sessionize.visitors WHERE app_id = dropped;
    DELETE FROM sessionize.apps WHERE app_id = dropped;
END $$;
COMMENT ON FUNCTION drop_session_app(text) IS
    'drops an application with its sessions; refused while tables are tracked for it (55000)';

-- Anybody may ask, since it only maps ids.
CREATE FUNCTION resolve_session(session_id bigint) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT coalesce((SELECT merged.survivor FROM sessionize.merged_sessions AS merged
                      WHERE merged.absorbed = resolve_session.session_id),
                    resolve_session.session_id);
END;
COMMENT ON FUNCTION resolve_session(bigint) IS
    'the session that an id stands for today: the survivor if it was merged, else the id itself';
