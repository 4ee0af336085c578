-- One session in full: what happened in it, and everything that is known of it.

CREATE FUNCTION sessionize.event_column(tracked sessionize.tracked_tables, place integer, recorded name) RETURNS name
    LANGUAGE sql STABLE
BEGIN ATOMIC
    -- numbers follow a renamed column; after a restore the table has another oid, and names are what there is
    SELECT coalesce((SELECT attribute.attname FROM pg_attribute AS attribute
                      WHERE tracked.mapped_relation = tracked.events AND attribute.attrelid = tracked.events
                        AND attribute.attnum = tracked.mapped_columns[place] AND NOT attribute.attisdropped),
                    recorded);
END;
COMMENT ON FUNCTION sessionize.event_column(sessionize.tracked_tables, integer, name) IS
    'the present name of a column of a tracked table, by its place in mapped_columns';

CREATE FUNCTION sessionize.timeline_sources(app_id integer)
    RETURNS TABLE (relation regclass, instant text, event text, session_id name)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT tracked.events,
           format('happened.%I::pg_catalog.timestamptz', sessionize.event_column(tracked, 2, tracked.occurred_at)),
           CASE WHEN tracked.kind IS NULL THEN '''event''' ELSE
                format('COALESCE(happened.%I::pg_catalog.text, ''event'')', sessionize.event_column(tracked, 4, tracked.kind)) END,
           sessionize.event_column(tracked, 3, tracked.session_id)
      FROM sessionize.tracked_tables AS tracked JOIN pg_class AS class ON class.oid = tracked.events
     WHERE tracked.app_id = timeline_sources.app_id
    UNION ALL
    -- of other tables only the session is known: their first instant is taken for when it happened
    SELECT dependent.relation,
           coalesce((SELECT format('happened.%I::pg_catalog.timestamptz', attribute.attname) FROM pg_attribute AS attribute
                      WHERE attribute.attrelid = dependent.relation AND attribute.attnum > 0 AND NOT attribute.attisdropped
                        AND attribute.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype)
                      ORDER BY attribute.attnum LIMIT 1), 'NULL::pg_catalog.timestamptz'),
           quote_literal(class.relname), dependent.session_id
      FROM sessionize.dependents AS dependent JOIN pg_class AS class ON class.oid = dependent.relation;
END;
COMMENT ON FUNCTION sessionize.timeline_sources(integer) IS
    'the tables whose rows belong to sessions of an application, and what to read from them: SQL expressions over a row called happened, to be evaluated with the rights of the table''s owner';

CREATE FUNCTION sessionize.timeline_rows(relation regclass, app_id integer, session_id bigint)
    RETURNS TABLE (at timestamptz, event text, detail jsonb)
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'sessionize_timeline_rows';
COMMENT ON FUNCTION sessionize.timeline_rows(regclass, integer, bigint) IS
    'the rows of a table that belong to a session of an application, read with the rights of the table''s owner; takes the right to read the table in full (42501)';

CREATE FUNCTION sessionize.missing_right(relation regclass) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN NOT has_schema_privilege(class.relnamespace, 'USAGE') THEN
                    format('GRANT USAGE ON SCHEMA %s TO %I; is missing.', class.relnamespace::regnamespace, current_user)
                WHEN NOT has_table_privilege(class.oid, 'SELECT') THEN
                    format('GRANT SELECT ON %s TO %I; is missing.', relation, current_user)
                WHEN row_security_active(class.oid) THEN
                    format('Row security hides some of its rows from "%s".', current_user) END
      FROM pg_class AS class WHERE class.oid = relation;
END;
COMMENT ON FUNCTION sessionize.missing_right(regclass) IS 'what the caller lacks to read a table in full; NULL if nothing';

CREATE FUNCTION sessionize.existing_session(session_id bigint) RETURNS sessionize.sessions
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    existing sessionize.sessions;
BEGIN
    IF session_id IS NULL THEN
        RAISE EXCEPTION 'session must not be null' USING ERRCODE = '22004', HINT = 'Pass the id of a session.';
    END IF;
    SELECT session.* INTO existing FROM sessionize.sessions AS session
     WHERE session.session_id = @extschema@.resolve_session(existing_session.session_id);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'session % does not exist', session_id
            USING ERRCODE = 'P0002', HINT = 'It may have been purged. See list_sessions().';
    END IF;
    RETURN existing;
END $$;
COMMENT ON FUNCTION sessionize.existing_session(bigint) IS 'the session that an id stands for; NULL: 22004; unknown: P0002';

CREATE FUNCTION sessionize.timeline(session_id bigint)
    RETURNS TABLE (at timestamptz, relation regclass, source text, event text, detail jsonb)
    LANGUAGE plpgsql STABLE ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    session sessionize.sessions := sessionize.existing_session($1);
    known record;
BEGIN
    FOR known IN SELECT place.relation, sessionize.missing_right(place.relation) AS missing
                   FROM sessionize.timeline_sources(session.app_id) AS place LOOP
        IF known.missing IS NULL THEN
            RETURN QUERY
                SELECT happened.at, known.relation, NULL, happened.event, happened.detail
                  FROM sessionize.timeline_rows(known.relation, session.app_id, session.session_id) AS happened;
        ELSE
            RAISE NOTICE 'rows of table "%" are left out of the timeline', known.relation
                USING DETAIL = format('Role "%s" may not read all of it.', current_user), HINT = known.missing;
        END IF;
    END LOOP;
    RETURN QUERY
        SELECT change.changed_at, NULL::regclass, 'change', change.what, jsonb_strip_nulls(jsonb_build_object(
                   'from', change.old_value, 'to', change.new_value, 'by', change.changed_by, 'reason', change.reason))
          FROM sessionize.session_changes AS change
         WHERE change.session_id = ANY ((sessionize.ids_of_sessions(ARRAY[session.session_id])).ids)
        UNION ALL
        SELECT merged.merged_at, NULL, 'merge', 'merged', jsonb_build_object('absorbed', merged.absorbed)
          FROM sessionize.merged_sessions AS merged WHERE merged.survivor = session.session_id;
END $$;
COMMENT ON FUNCTION sessionize.timeline(bigint) IS 'what session_timeline() shows, in any order';

-- Without a SET clause, so that tables are named as the caller would name them.
CREATE FUNCTION session_timeline(session_id bigint)
    RETURNS TABLE (at timestamptz, source text, event text, detail jsonb)
    LANGUAGE sql STABLE ROWS 100
BEGIN ATOMIC
    SELECT line.at, coalesce(line.relation::text, line.source), line.event, line.detail
      FROM sessionize.timeline(session_timeline.session_id) AS line ORDER BY 1, 2, 3;
END;
COMMENT ON FUNCTION session_timeline(bigint) IS
    'what happened in a session, oldest first: rows of all tables that belong to it and that the caller may read in full, changes of status and risk, merges';

CREATE FUNCTION sessionize.status_history(session sessionize.sessions, app sessionize.apps, at timestamptz) RETURNS jsonb
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH step (place, at, status, by, reason) AS (
        SELECT 1, session.started_at, 'active', NULL, NULL
        UNION ALL
        SELECT 3, session.closes_at, 'closed', NULL, NULL
         WHERE session.closes_at < session.expires_at
           AND session.closes_at < least(at, session.converted_at, session.cancelled_at)
        UNION ALL
        SELECT 4, session.expires_at, 'expired', NULL, NULL
         WHERE session.expires_at < least(at, session.converted_at, session.cancelled_at)
        UNION ALL
        SELECT 2, change.changed_at, change.new_value, change.changed_by::text, change.reason
          FROM sessionize.session_changes AS change
         WHERE change.what = 'status'
           AND change.session_id = ANY (ARRAY[session.session_id] || ARRAY(SELECT merged.absorbed FROM sessionize.merged_sessions AS merged
                                                                            WHERE merged.survivor = session.session_id))
    ), taken AS (
        -- sessions that became one may each have taken the same step
        SELECT step.*, lag(step.status) OVER (ORDER BY step.at, step.place) IS DISTINCT FROM step.status AS anew FROM step
    )
    SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('at', taken.at, 'status', taken.status, 'by', taken.by, 'reason', taken.reason))
                     ORDER BY taken.at, taken.place)
      FROM taken WHERE taken.anew;
END;
COMMENT ON FUNCTION sessionize.status_history(sessionize.sessions, sessionize.apps, timestamptz) IS
    'the steps of a session through its statuses: those that time brought, and those that somebody took';

CREATE FUNCTION sessionize.describe_session(session_id bigint) RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
DECLARE
    session sessionize.sessions := sessionize.existing_session($1);
    app sessionize.apps;
    status text;
BEGIN
    SELECT * INTO STRICT app FROM sessionize.apps AS known WHERE known.app_id = session.app_id;
    status := sessionize.session_status(session.converted_at, session.cancelled_at, session.closes_at, session.expires_at,
                                        now(), sessionize.is_inclusive(app));
    RETURN jsonb_build_object(
        'session', jsonb_build_object(
            'session_id', session.session_id, 'token', session.token, 'visitor', session.visitor, 'customer', session.customer,
            'icon', sessionize.session_icon(session.cart_items, session.customer),
            'country', session.country, 'flag', sessionize.flag(session.country)),
        'metrics', jsonb_build_object(
            'event_count', session.event_count, 'passive_count', session.passive_count, 'late_count', session.late_count,
            'duration_seconds', round(extract(epoch FROM session.last_event_at - session.started_at), 3),
            'started', sessionize.time_ago(session.started_at, now())),
        'timestamps', jsonb_build_object(
            'started_at', session.started_at, 'last_event_at', session.last_event_at, 'opened_at', session.opened_at,
            'closes_at', session.closes_at, 'expires_at', session.expires_at,
            'converted_at', session.converted_at, 'cancelled_at', session.cancelled_at),
        'status', jsonb_build_object(
            'status', status, 'color', sessionize.status_color(status), 'order_ref', session.order_ref,
            'cancel_reason', session.cancel_reason, 'history', sessionize.status_history(session, app, now())),
        'security', jsonb_build_object(
            'risk', session.risk, 'score', session.risk_score,
            'set_by_hand', session.risk_reasons -> 'set_by_hand',
            'reasons', coalesce(session.risk_reasons -> 'rules', '[]')),
        'cart', jsonb_build_object(
            'items', session.cart_items, 'value', session.cart_value, 'currency', session.currency,
            'text', sessionize.cart_text(session.cart_items, session.cart_value::text, session.currency)),
        'technical', jsonb_build_object(
            'app', app.name, 'app_id', app.app_id, 'policy', app.policy, 'timeout', app.timeout, 'boundary', app.boundary,
            'time_zone', app.time_zone, 'grace', app.grace, 'ip', session.ip, 'channel', session.channel,
            'merged_ids', ARRAY(SELECT merged.absorbed FROM sessionize.merged_sessions AS merged
                                 WHERE merged.survivor = session.session_id ORDER BY merged.absorbed)));
END $$;
COMMENT ON FUNCTION sessionize.describe_session(bigint) IS 'what session_details() shows, without the timeline';

CREATE FUNCTION session_details(session_id bigint) RETURNS jsonb
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT sessionize.describe_session($1)
           || jsonb_build_object('timeline', (SELECT coalesce(jsonb_agg(line), '[]') FROM session_timeline($1) AS line));
END;
COMMENT ON FUNCTION session_details(bigint) IS
    'all that is known of a session: metrics, timestamps, status and its history, security, cart, technical details, timeline. Unknown: P0002';

CREATE FUNCTION sessionize.named_session(token text) RETURNS bigint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    named bigint := (SELECT session.session_id FROM sessionize.sessions AS session WHERE session.token = named_session.token);
BEGIN
    IF token IS NULL THEN
        RAISE EXCEPTION 'token must not be null' USING ERRCODE = '22004', HINT = 'Pass the token of a session.';
    ELSIF named IS NULL THEN
        RAISE EXCEPTION 'session with token "%" does not exist', left(token, 100)
            USING ERRCODE = 'P0002',
                  HINT = 'Pass a whole token. list_sessions(search => ...) finds sessions by a part of it.';
    END IF;
    RETURN named;
END $$;
COMMENT ON FUNCTION sessionize.named_session(text) IS 'the session with a token; NULL: 22004; unknown: P0002';

CREATE FUNCTION session_details(token text) RETURNS jsonb
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT session_details(sessionize.named_session($1));
END;
COMMENT ON FUNCTION session_details(text) IS 'all that is known of the session with a token. Unknown: P0002';
