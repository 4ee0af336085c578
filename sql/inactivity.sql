-- Sessions of visitors who have not come back: found, counted, summed up, exported.

CREATE FUNCTION sessionize.inactive_since(days integer, at timestamptz) RETURNS timestamptz
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF days IS NULL THEN
        RAISE EXCEPTION 'days must not be null'
            USING ERRCODE = '22004', HINT = 'Say for how many days a visitor must have been away, such as 90.';
    END IF;
    IF days NOT BETWEEN 1 AND 1000000 THEN
        RAISE EXCEPTION 'days "%" is out of range', days
            USING ERRCODE = '22023', HINT = 'Use 1 or more, such as 90.';
    END IF;
    RETURN at - make_interval(hours => 24 * days);
END $$;
COMMENT ON FUNCTION sessionize.inactive_since(integer, timestamptz) IS
    'the latest instant of a last event that makes a visitor inactive for that many days of 24 hours';

CREATE FUNCTION sessionize.old_condition(since timestamptz, at timestamptz, anonymous boolean) RETURNS text
    LANGUAGE sql STABLE SET datestyle = 'ISO' -- instants as text that reads the same everywhere
BEGIN ATOMIC
    SELECT format('session.last_event_at <= %L AND session.expires_at <= %L%s', since, at,
                  CASE WHEN anonymous THEN ' AND session.customer IS NULL'
                       WHEN NOT anonymous THEN ' AND session.customer IS NOT NULL' END);
END;
COMMENT ON FUNCTION sessionize.old_condition(timestamptz, timestamptz, boolean) IS
    'what inactivity asks of a session by itself, as an SQL condition on sessionize.sessions AS session';

CREATE FUNCTION sessionize.inactive_condition(since timestamptz, at timestamptz, anonymous boolean) RETURNS text
    LANGUAGE sql STABLE SET datestyle = 'ISO'
BEGIN ATOMIC
    SELECT format('session.last_event_day <= %1$L AND %3$s AND NOT EXISTS ('
                      'SELECT FROM sessionize.sessions AS later'
                      ' WHERE later.app_id = session.app_id AND later.visitor = session.visitor'
                      ' AND later.last_event_day >= %1$L AND later.last_event_at > %2$L)',
                  (since AT TIME ZONE 'UTC')::date, since, sessionize.old_condition(since, at, anonymous));
END;
COMMENT ON FUNCTION sessionize.inactive_condition(timestamptz, timestamptz, boolean) IS
    'the one place that says which sessions are inactive, as an SQL condition on sessionize.sessions AS session: expired, and nothing later of the visitor in the application. An index on days narrows it down';

CREATE TYPE sessionize.chosen_sessions AS (ids bigint[], apps integer[], visitors text[]);
COMMENT ON TYPE sessionize.chosen_sessions IS 'sessions, and the application and visitor of each';

CREATE FUNCTION sessionize.choose_sessions(app_id integer, condition text) RETURNS sessionize.chosen_sessions
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    chosen sessionize.chosen_sessions;
BEGIN
    EXECUTE format('SELECT array_agg(session.session_id), array_agg(session.app_id), array_agg(session.visitor) '
                   'FROM sessionize.sessions AS session WHERE %s AND %s', coalesce('session.app_id = ' || app_id, 'true'), condition)
       INTO chosen;
    chosen.ids := coalesce(chosen.ids, '{}');
    RETURN chosen;
END $$;
COMMENT ON FUNCTION sessionize.choose_sessions(integer, text) IS
    'the sessions that meet a condition on sessionize.sessions AS session';

CREATE FUNCTION sessionize.inactive_query(days integer, app text, anonymous boolean, search text) RETURNS text
    LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT jsonb_build_array('inactive', days, app, anonymous, sessionize.read_search(search))::text;
END;
COMMENT ON FUNCTION sessionize.inactive_query(integer, text, boolean, text) IS 'what a cursor of inactive_sessions() is bound to';

CREATE FUNCTION inactive_sessions(
    days integer,
    app text DEFAULT NULL,
    anonymous boolean DEFAULT NULL,
    search text DEFAULT NULL,
    page_size integer DEFAULT 50,
    after text DEFAULT NULL
) RETURNS TABLE (
    session_id bigint, token text, short_token text, icon text, visitor text, customer text, ip inet, country text,
    flag text, cart_items integer, cart_value numeric, currency text, cart text, status text, status_color text,
    risk text, started_at timestamptz, started text, last_event_at timestamptz, inactive_days integer,
    event_count bigint, cursor text
)
    LANGUAGE plpgsql STABLE ROWS 50 SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO'
AS $$
#variable_conflict use_column
DECLARE
    since constant timestamptz := sessionize.inactive_since($1, now());
    wanted_app constant integer := sessionize.app_id($2);
    wanted_size constant integer := sessionize.check_page_size($5);
    query constant text := sessionize.inactive_query($1, $2, $3, $4);
    place constant record := sessionize.read_place(query, $6, 'It was made up, or given by a list with other days or filters.');
    walks text;
    ids bigint[];
BEGIN
    -- One walk down the index in order of start for each application and meaning of the search; the newest of all win.
    SELECT string_agg(format('(SELECT session.session_id, session.started_at FROM sessionize.sessions AS session '
                             'WHERE session.app_id = %s AND session.started_at <= %L AND (%s) AND %s AND %s '
                             'ORDER BY session.started_at DESC, session.session_id DESC LIMIT %s)',
                             known.app_id, since, condition,
                             CASE WHEN place.session_id IS NULL THEN 'true'
                                  ELSE format('(session.started_at, session.session_id) < (%L, %s)', place.started_at, place.session_id) END,
                             sessionize.inactive_condition(since, now(), $3), wanted_size), ' UNION ALL ')
      INTO walks
      FROM sessionize.apps AS known, unnest(sessionize.search_conditions($4)) AS condition
     WHERE wanted_app IS NULL OR known.app_id = wanted_app;
    EXECUTE format('SELECT array_agg(found.session_id ORDER BY found.started_at DESC, found.session_id DESC) FROM (%s) AS found',
                   coalesce(walks, 'SELECT NULL::bigint, NULL::timestamptz LIMIT 0')) INTO ids;
    RETURN QUERY
        SELECT session.session_id, session.token, sessionize.short_token(session.token),
               sessionize.session_icon(session.cart_items, session.customer),
               session.visitor, session.customer, session.ip, session.country, sessionize.flag(session.country),
               session.cart_items, session.cart_value, session.currency,
               sessionize.cart_text(session.cart_items, session.cart_value::text, session.currency),
               state.status, sessionize.status_color(state.status), session.risk,
               session.started_at, sessionize.time_ago(session.started_at, now()), session.last_event_at,
               floor(extract(epoch FROM now() - latest.last_event_at) / 86400)::integer,
               session.event_count, sessionize.write_cursor(query, session.started_at, session.session_id)
          FROM unnest(ids[:wanted_size]) WITH ORDINALITY AS found (session_id, position)
          JOIN sessionize.sessions AS session ON session.session_id = found.session_id
          JOIN sessionize.apps AS app ON app.app_id = session.app_id,
               LATERAL (SELECT max(any_session.last_event_at) AS last_event_at FROM sessionize.sessions AS any_session
                         WHERE any_session.app_id = session.app_id AND any_session.visitor = session.visitor) AS latest,
               LATERAL sessionize.session_status(session.converted_at, session.cancelled_at, session.closes_at,
                                                 session.expires_at, now(), sessionize.is_inclusive(app)) AS state (status)
         ORDER BY found.position;
END $$;
COMMENT ON FUNCTION inactive_sessions(integer, text, boolean, text, integer, text) IS
    'a page of the sessions that are inactive for that many days, newest first: expired, and the visitor has not come back to the application since. anonymous: true for those without customer, false for those with; inactive_days: how long the visitor has been away; after: the cursor of the last row seen';

CREATE FUNCTION count_inactive_sessions(
    days integer,
    app text DEFAULT NULL,
    anonymous boolean DEFAULT NULL,
    search text DEFAULT NULL
) RETURNS bigint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    since constant timestamptz := sessionize.inactive_since($1, now());
    wanted_app constant integer := sessionize.app_id($2);
    searches constant boolean := sessionize.read_search($4) IS NOT NULL;
    without_totals constant integer[] := sessionize.apps_without_totals(wanted_app);
    counts text;
    counted bigint := 0;
BEGIN
    IF searches OR without_totals <> '{}' THEN
        -- by itself for each application and meaning of the search, so that an index serves each
        SELECT string_agg(format('(SELECT count(*) FROM sessionize.sessions AS session WHERE session.app_id = %s AND (%s) AND %s)',
                                 known.app_id, condition, sessionize.inactive_condition(since, now(), $3)), ' + ')
          INTO counts
          FROM sessionize.apps AS known, unnest(sessionize.search_conditions($4)) AS condition
         WHERE known.app_id = ANY (without_totals) OR searches AND (wanted_app IS NULL OR known.app_id = wanted_app);
        EXECUTE 'SELECT ' || coalesce(counts, '0') INTO counted;
    END IF;
    IF NOT searches THEN
        counted := counted + (SELECT CASE WHEN $3 THEN total.anonymous_sessions WHEN NOT $3 THEN total.sessions - total.anonymous_sessions
                                          ELSE total.sessions END
                                FROM sessionize.count_inactive(ARRAY[since], wanted_app) AS total);
    END IF;
    RETURN counted;
END $$;
COMMENT ON FUNCTION count_inactive_sessions(integer, text, boolean, text) IS
    'how many sessions inactive_sessions() would show on all pages with the same filters';

CREATE FUNCTION inactive_session_summary(app text DEFAULT NULL)
    RETURNS TABLE (days integer, sessions bigint, anonymous_sessions bigint, visitors bigint, events bigint)
    LANGUAGE plpgsql STABLE ROWS 5 SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    wanted_app constant integer := sessionize.app_id($1);
    periods constant integer[] := '{30, 60, 90, 180, 365}';
    -- ascending, for width_bucket()
    limits constant timestamptz[] := ARRAY(SELECT sessionize.inactive_since(period, now()) FROM unnest(periods) AS period ORDER BY period DESC);
    without_totals constant integer[] := sessionize.apps_without_totals(wanted_app);
BEGIN
    RETURN QUERY
        WITH by_visitor AS (
            SELECT width_bucket(sessionize.earlier(max(session.last_event_at), '1 microsecond'), limits) AS passed,
                   count(*) FILTER (WHERE session.expires_at <= now()) AS sessions,
                   count(*) FILTER (WHERE session.expires_at <= now() AND session.customer IS NULL) AS anonymous_sessions,
                   sum((session.event_count + session.passive_count)::float8) FILTER (WHERE session.expires_at <= now()) AS events
              FROM sessionize.sessions AS session
             WHERE without_totals <> '{}' AND session.app_id = ANY (without_totals)
             GROUP BY session.app_id, session.visitor
        ), by_period AS (
            SELECT passed, sum(sessions) AS sessions, sum(anonymous_sessions) AS anonymous_sessions,
                   count(*) FILTER (WHERE sessions > 0) AS visitors, sum(events) AS events
              FROM by_visitor GROUP BY passed
        )
        SELECT period.days, total.sessions + coalesce(sum(by_period.sessions), 0)::bigint,
               total.anonymous_sessions + coalesce(sum(by_period.anonymous_sessions), 0)::bigint,
               total.visitors + coalesce(sum(by_period.visitors), 0)::bigint, total.events + coalesce(sum(by_period.events), 0)::bigint
          FROM unnest(periods) WITH ORDINALITY AS period (days, place)
          JOIN sessionize.count_inactive(limits, wanted_app) AS total ON total.since = limits[cardinality(periods) + 1 - period.place]
          LEFT JOIN by_period ON by_period.passed <= cardinality(periods) - period.place
         GROUP BY period.days, total.sessions, total.anonymous_sessions, total.visitors, total.events
         ORDER BY period.days;
END $$;
COMMENT ON FUNCTION inactive_session_summary(text) IS
    'what is inactive for 30, 60, 90, 180 and 365 days: sessions, those without customer, visitors, and events in these sessions';
