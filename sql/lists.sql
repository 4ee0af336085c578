-- Lists of sessions, as a panel shows them.

CREATE FUNCTION sessionize.list_query(app text, status text, risk text, search text) RETURNS text
    LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT jsonb_build_array('sessions', app, status, risk, search)::text;
END;
COMMENT ON FUNCTION sessionize.list_query(text, text, text, text) IS 'what a cursor of list_sessions() is bound to';

CREATE FUNCTION sessionize.check_page_size(page_size integer) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF page_size NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'page size % is out of range', page_size
            USING ERRCODE = '22023', HINT = 'Use 1 to 1000 rows, and "after" for the pages that follow.';
    END IF;
    RETURN coalesce(page_size, 50);
END $$;
COMMENT ON FUNCTION sessionize.check_page_size(integer) IS 'a page size; 50 for NULL; out of range: 22023';

CREATE FUNCTION list_sessions(
    app text DEFAULT NULL,
    status text DEFAULT 'all',
    risk text DEFAULT 'all',
    search text DEFAULT NULL,
    page_size integer DEFAULT 50,
    after text DEFAULT NULL,
    at timestamptz DEFAULT now()
) RETURNS TABLE (
    session_id bigint, token text, short_token text, icon text, visitor text, customer text, ip inet, country text,
    flag text, cart_items integer, cart_value numeric, currency text, cart text, status text, status_color text,
    risk text, started_at timestamptz, started text, event_count bigint, cursor text
)
    LANGUAGE plpgsql STABLE ROWS 50 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted_app constant integer := sessionize.app_id($1);
    wanted_status constant text := sessionize.read_status($2);
    wanted_risk constant text := sessionize.read_risk($3);
    wanted_size constant integer := sessionize.check_page_size($5);
    moment constant timestamptz := coalesce($7, now());
    query constant text := sessionize.list_query($1, wanted_status, wanted_risk, btrim($4));
    place record;
BEGIN
    SELECT known.started_at, known.session_id INTO place FROM sessionize.read_cursor(query, $6) AS known;
    IF $6 IS NOT NULL AND place.session_id IS NULL THEN
        RAISE EXCEPTION 'cursor "%" does not belong to this list', left($6, 100)
            USING ERRCODE = '22023',
                  DETAIL = 'It was made up, or given by a list with another application, status, risk or search.',
                  HINT = 'Pass the cursor of the last row of the same list, or none for the first page.';
    END IF;
    RETURN QUERY
        SELECT session.session_id, session.token, sessionize.short_token(session.token),
               sessionize.session_icon(session.cart_items, session.customer),
               session.visitor, session.customer, session.ip, session.country, sessionize.flag(session.country),
               session.cart_items, session.cart_value, session.currency,
               sessionize.cart_text(session.cart_items, session.cart_value::text, session.currency),
               state.status, sessionize.status_color(state.status), session.risk,
               session.started_at, sessionize.time_ago(session.started_at, moment),
               session.event_count, sessionize.write_cursor(query, session.started_at, session.session_id)
          FROM unnest(sessionize.find_sessions(wanted_app, wanted_status, wanted_risk, $4, wanted_size,
                                               place.started_at, place.session_id, moment))
               WITH ORDINALITY AS found (session_id, position)
          JOIN sessionize.sessions AS session ON session.session_id = found.session_id
          JOIN sessionize.apps AS app ON app.app_id = session.app_id,
               LATERAL sessionize.session_status(session.converted_at, session.cancelled_at, session.closes_at,
                                                 session.expires_at, moment, sessionize.is_inclusive(app)) AS state (status)
         ORDER BY found.position;
END $$;
COMMENT ON FUNCTION list_sessions(text, text, text, text, integer, text, timestamptz) IS
    'a page of sessions, newest first. status: all, active, closed, expired, converted or cancelled; risk: all, normal, monitored, review or restricted; search: a token or a part of it, an IP address or network, a country code or English name, a visitor or a customer; after: the cursor of the last row seen';

CREATE FUNCTION count_sessions(
    app text DEFAULT NULL,
    status text DEFAULT 'all',
    risk text DEFAULT 'all',
    search text DEFAULT NULL,
    at timestamptz DEFAULT now()
) RETURNS bigint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counts text;
    counted bigint;
BEGIN
    SELECT string_agg(format('(SELECT count(*) FROM sessionize.sessions AS session WHERE %s AND %s AND %s)', walk, filter, condition), ' + ')
      INTO counts
      FROM sessionize.sources(sessionize.app_id($1), sessionize.read_status($2), sessionize.read_risk($3), $4, coalesce($5, now())),
           unnest(recent) AS condition;
    EXECUTE 'SELECT ' || coalesce(counts, '0') INTO counted;
    RETURN counted;
END $$;
COMMENT ON FUNCTION count_sessions(text, text, text, text, timestamptz) IS
    'how many sessions list_sessions() would show on all pages with the same filters';
