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

CREATE FUNCTION sessionize.read_place(query text, cursor text, detail text, OUT started_at timestamptz, OUT session_id bigint)
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT known.* INTO started_at, session_id FROM sessionize.read_cursor(query, cursor) AS known;
    IF cursor IS NOT NULL AND session_id IS NULL THEN
        RAISE EXCEPTION 'cursor "%" does not belong to this list', left(cursor, 100)
            USING ERRCODE = '22023', DETAIL = detail,
                  HINT = 'Pass the cursor of the last row of the same list, or none for the first page.';
    END IF;
END $$;
COMMENT ON FUNCTION sessionize.read_place(text, text, text) IS
    'the place that a cursor stands for, NULL without one; made up or of another query: 22023';

CREATE FUNCTION sessionize.read_page(
    app text, status text, risk text, search text, page_size integer, after text, at timestamptz,
    OUT session_ids bigint[], OUT query text
)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted_app constant integer := sessionize.app_id(app);
    wanted_status constant text := sessionize.read_status(status);
    wanted_risk constant text := sessionize.read_risk(risk);
    size constant integer := sessionize.check_page_size(page_size);
    place record;
BEGIN
    query := sessionize.list_query(app, wanted_status, wanted_risk, sessionize.read_search(search));
    place := sessionize.read_place(query, after, 'It was made up, or given by a list with another application, status, risk or search.');
    session_ids := sessionize.find_sessions(wanted_app, wanted_status, wanted_risk, search, size,
                                            place.started_at, place.session_id, at);
END $$;
COMMENT ON FUNCTION sessionize.read_page(text, text, text, text, integer, text, timestamptz) IS
    'checks what is asked of list_sessions() and finds the sessions of the page';

-- In PL/pgSQL, which keeps its plan; there an argument cannot have the name of a column.
CREATE FUNCTION sessionize.show_page(
    wanted_app text, wanted_status text, wanted_risk text, wanted text, page_size integer, after text, moment timestamptz
) RETURNS TABLE (
    session_id bigint, token text, short_token text, icon text, visitor text, customer text, ip inet, country text,
    flag text, cart_items integer, cart_value numeric, currency text, cart text, status text, status_color text,
    risk text, started_at timestamptz, started text, event_count bigint, cursor text
)
    LANGUAGE plpgsql STABLE ROWS 50 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    page constant record := sessionize.read_page(wanted_app, wanted_status, wanted_risk, wanted, page_size, after, moment);
BEGIN
    RETURN QUERY
        SELECT session.session_id, session.token, sessionize.short_token(session.token),
               sessionize.session_icon(session.cart_items, session.customer),
               session.visitor, session.customer, session.ip, session.country, sessionize.flag(session.country),
               session.cart_items, session.cart_value, session.currency,
               sessionize.cart_text(session.cart_items, session.cart_value::text, session.currency),
               state.status, sessionize.status_color(state.status), session.risk,
               session.started_at, sessionize.time_ago(session.started_at, moment),
               session.event_count, sessionize.write_cursor(page.query, session.started_at, session.session_id)
          FROM unnest(page.session_ids) WITH ORDINALITY AS found (session_id, place)
          JOIN sessionize.sessions AS session ON session.session_id = found.session_id
          JOIN sessionize.apps AS app ON app.app_id = session.app_id,
               LATERAL (SELECT sessionize.session_status(session.converted_at, session.cancelled_at, session.closes_at,
                                                         session.expires_at, moment, sessionize.is_inclusive(app))) AS state (status)
         ORDER BY found.place;
END $$;
COMMENT ON FUNCTION sessionize.show_page(text, text, text, text, integer, text, timestamptz) IS 'does what list_sessions() says';

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
    LANGUAGE sql STABLE ROWS 50
BEGIN ATOMIC
    SELECT shown.* FROM sessionize.show_page($1, $2, $3, $4, $5, $6, sessionize.moment($7)) AS shown;
END;
COMMENT ON FUNCTION list_sessions(text, text, text, text, integer, text, timestamptz) IS
    'a page of sessions, newest first. status: all, active, closed, expired, converted or cancelled; risk: all, normal, monitored, review or restricted; search: a token or a part of it, an IP address or network, a country code or English name, a visitor or a customer; after: the cursor of the last row seen';

CREATE FUNCTION sessionize.more_expired(app_id integer, risk text, at timestamptz) RETURNS bigint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO'
AS $$
DECLARE
    counts text;
    more bigint;
BEGIN
    SELECT string_agg(format('(SELECT count(*) FILTER (WHERE %s) - count(*) FILTER (WHERE %s) FROM sessionize.sessions AS session '
                             'WHERE session.app_id = %s AND session.cancelled_at IS NULL AND session.converted_at IS NULL AND %s AND %s)',
                             sessionize.state_condition(app, 'expired', $3), sessionize.state_condition(app, 'expired', now()),
                             app.app_id, coalesce('session.risk = ' || quote_literal($2), 'true'), recent), ' + ')
      INTO counts
      FROM sessionize.apps AS app, unnest(sessionize.recent_conditions(app, 'closed', least($3, now()))) AS recent
     WHERE $1 IS NULL OR app.app_id = $1;
    EXECUTE 'SELECT ' || coalesce(counts, '0') INTO more;
    RETURN more;
END $$;
COMMENT ON FUNCTION sessionize.more_expired(integer, text, timestamptz) IS
    'how many more sessions have expired at an instant than at this moment';

CREATE FUNCTION count_sessions(
    app text DEFAULT NULL,
    status text DEFAULT 'all',
    risk text DEFAULT 'all',
    search text DEFAULT NULL,
    at timestamptz DEFAULT now()
) RETURNS bigint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO'
AS $$
DECLARE
    wanted_app constant integer := sessionize.app_id($1);
    wanted_status constant text := sessionize.read_status($2);
    wanted_risk constant text := sessionize.read_risk($3);
    moment constant timestamptz := sessionize.moment($5);
    -- most of a table has expired, and most of that has been added up
    by_totals constant boolean := sessionize.read_search($4) IS NULL AND coalesce(wanted_status, '') NOT IN ('active', 'closed');
    counts text;
    found bigint;
BEGIN
    SELECT string_agg(CASE WHEN by_totals THEN
               format('+ (SELECT count(*) FROM sessionize.unsettled_days AS days, LATERAL (SELECT FROM sessionize.sessions AS session '
                      'WHERE session.app_id = days.app_id AND session.last_event_day BETWEEN days.from_day AND days.to_day '
                      'AND %s AND %s OFFSET 0) AS unsettled)', source.walk, source.filter)
           ELSE (SELECT string_agg(format('%s (SELECT count(*) FROM sessionize.sessions AS session WHERE %s AND %s)', part.sign, source.walk, part.condition), ' ')
                   FROM (SELECT '+', condition FROM unnest(source.counted) AS condition
                         UNION ALL SELECT '-', source.too_many) AS part (sign, condition)
                  WHERE part.condition IS NOT NULL) END, ' ')
      INTO counts
      FROM sessionize.sources(wanted_app, wanted_status, wanted_risk, $4, CASE WHEN by_totals THEN now() ELSE moment END) AS source;
    EXECUTE 'SELECT 0 ' || coalesce(counts, '') INTO found;
    IF by_totals THEN
        found := found + (SELECT coalesce(sum(total.sessions), 0) FROM sessionize.settled_totals AS total
                               WHERE (wanted_app IS NULL OR total.app_id = wanted_app)
                                 AND (wanted_status IS NULL OR total.status = wanted_status) AND (wanted_risk IS NULL OR total.risk = wanted_risk));
        IF wanted_status = 'expired' AND moment <> now() THEN -- totals are those of now
            found := found + sessionize.more_expired(wanted_app, wanted_risk, moment);
        END IF;
    END IF;
    RETURN found;
END $$;
COMMENT ON FUNCTION count_sessions(text, text, text, text, timestamptz) IS
    'how many sessions list_sessions() would show on all pages with the same filters';
