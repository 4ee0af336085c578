-- Finding sessions: what the filters of a list mean, as conditions that indexes serve.

CREATE FUNCTION sessionize.read_network(search text) RETURNS inet
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF search !~ '^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$' THEN
        RETURN NULL;
    END IF;
    RETURN CASE WHEN search ~ '/' THEN network(search::inet) ELSE search::inet END;
EXCEPTION WHEN invalid_text_representation THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION sessionize.read_network(text) IS 'an IP address or a network in CIDR notation; NULL for other text';

CREATE FUNCTION sessionize.has_token_index() RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT to_regclass('sessionize.sessions_by_part_of_token') IS NOT NULL;
END;
COMMENT ON FUNCTION sessionize.has_token_index() IS 'whether index_session_tokens() has been called';

CREATE FUNCTION index_session_tokens() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    home name := (SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'pg_trgm');
BEGIN
    IF home IS NULL THEN
        RAISE EXCEPTION 'extension "pg_trgm" is not installed'
            USING ERRCODE = '55000', HINT = 'Run CREATE EXTENSION pg_trgm; first.';
    END IF;
    EXECUTE format('CREATE INDEX IF NOT EXISTS sessions_by_part_of_token ON sessionize.sessions USING gin (token %I.gin_trgm_ops)', home);
END $$;
COMMENT ON FUNCTION index_session_tokens() IS
    'makes the search for a part of a token quick, at some cost for each new session; needs the extension pg_trgm';

CREATE FUNCTION sessionize.is_visitor(search text) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM sessionize.apps AS app JOIN sessionize.sessions AS session
                       ON session.app_id = app.app_id AND session.visitor = search);
END;
COMMENT ON FUNCTION sessionize.is_visitor(text) IS 'whether a visitor of that name has sessions';

CREATE FUNCTION sessionize.is_customer(search text) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM sessionize.apps AS app JOIN sessionize.sessions AS session
                       ON session.app_id = app.app_id AND session.customer = search);
END;
COMMENT ON FUNCTION sessionize.is_customer(text) IS 'whether a customer of that name has sessions';

CREATE FUNCTION sessionize.is_part_of_token(search text) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    -- what names something else is not taken for a part of a token, which anything short can be by chance
    SELECT search ~ '^[A-Za-z0-9_-]{1,15}$' AND sessionize.read_network(search) IS NULL
           AND sessionize.country_code(search) IS NULL
           AND NOT sessionize.is_visitor(search) AND NOT sessionize.is_customer(search);
END;
COMMENT ON FUNCTION sessionize.is_part_of_token(text) IS 'whether a search is for tokens that have it in them';

CREATE FUNCTION sessionize.hint_at_token_index(search text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF sessionize.is_part_of_token(btrim(search)) AND NOT sessionize.has_token_index() THEN
        RAISE NOTICE 'searching for a part of a token reads many sessions'
            USING HINT = 'CREATE EXTENSION pg_trgm; SELECT index_session_tokens(); makes it quick.';
    END IF;
END $$;
COMMENT ON FUNCTION sessionize.hint_at_token_index(text) IS 'says how a search could be quicker';

CREATE FUNCTION sessionize.search_conditions(search text) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted text := btrim(search);
    network inet := sessionize.read_network(wanted);
    code text := sessionize.country_code(wanted);
    conditions text[] := '{}';
BEGIN
    IF wanted IS NULL OR wanted = '' THEN
        RETURN ARRAY['true'];
    END IF;
    IF sessionize.is_visitor(wanted) THEN
        conditions := conditions || format('session.visitor = %L', wanted);
    END IF;
    IF sessionize.is_customer(wanted) THEN
        conditions := conditions || format('session.customer = %L', wanted);
    END IF;
    IF network IS NOT NULL THEN
        conditions := conditions || format(CASE WHEN wanted ~ '/' THEN 'session.ip <<= %L::inet' ELSE 'session.ip = %L::inet' END, network);
    END IF;
    IF wanted ~ '^[A-Za-z0-9_-]{16}$' THEN
        conditions := conditions || format('session.token = %L', wanted);
    ELSIF sessionize.is_part_of_token(wanted) THEN
        conditions := conditions || format('session.token LIKE %L', '%' || replace(wanted, '_', '\_') || '%');
    END IF;
    -- each excludes the ones before it, so that no session is found twice
    RETURN ARRAY(SELECT concat_ws(' AND ', listed.condition,
                                  (SELECT string_agg(format('(%s) IS NOT TRUE', earlier.condition), ' AND ')
                                     FROM unnest(conditions) WITH ORDINALITY AS earlier (condition, place)
                                    WHERE earlier.place < listed.place))
                   -- a country as its code, or as an application spells it; these exclude each other as they are
                   FROM (SELECT * FROM unnest(conditions) WITH ORDINALITY
                         UNION ALL
                         SELECT DISTINCT format('session.country = %L', spelling), cardinality(conditions) + 1
                           FROM unnest(ARRAY[wanted, code, lower(code)]) AS spelling
                          WHERE spelling IS NOT NULL) AS listed (condition, place));
END $$;
COMMENT ON FUNCTION sessionize.search_conditions(text) IS
    'SQL conditions on sessionize.sessions AS session that exclude each other: any of them is what the search means';

CREATE FUNCTION sessionize.sources(
    app_id integer, status text, risk text, search text, at timestamptz,
    OUT walk text, OUT filter text, OUT recent text[]
) RETURNS SETOF record
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT concat_ws(' AND ', format('session.app_id = %s', app.app_id), found.condition,
                     'session.risk = ' || quote_literal(nullif(sources.risk, 'normal'))),
           concat_ws(' AND ', 'true', 'session.risk = ' || quote_literal(sources.risk),
                     sessionize.status_condition(app, sources.status, sources.at)),
           sessionize.recent_conditions(app, sources.status, sources.at)
      FROM sessionize.apps AS app, unnest(sessionize.search_conditions(sources.search)) AS found (condition)
     WHERE sources.app_id IS NULL OR app.app_id = sources.app_id;
END;
COMMENT ON FUNCTION sessionize.sources(integer, text, text, text, timestamptz) IS
    'where the sessions that filters ask for come from: SQL conditions on sessionize.sessions AS session. An index in order of start serves walk; filter says the rest; recent narrows down what is active or closed';

CREATE FUNCTION sessionize.find_sessions(
    app_id integer, status text, risk text, search text, page_size integer,
    after_started_at timestamptz, after_session_id bigint, at timestamptz
) RETURNS bigint[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    newest_first constant text := 'ORDER BY session.started_at DESC, session.session_id DESC LIMIT %s';
    after constant text := CASE WHEN after_session_id IS NULL THEN 'true' ELSE
        format('(session.started_at, session.session_id) < (%L, %s)', after_started_at, after_session_id) END;
    walks text[];
    recents text[];
    ids bigint[];
BEGIN
    -- Many are active or closed, then they are among the newest; or few, then an index on days narrows them down.
    IF status IN ('active', 'closed') THEN
        SELECT array_agg(format('(SELECT session.session_id, session.started_at FROM (SELECT session.* FROM sessionize.sessions AS session '
                                'WHERE %s AND %s %s) AS session WHERE %s LIMIT %s)',
                                walk, after, format(newest_first, page_size + CASE WHEN coalesce(risk, 'normal') = 'normal' THEN 2000 ELSE 200 END), filter, page_size))
          INTO walks FROM sessionize.sources(app_id, status, risk, search, at);
        SELECT array_agg(format('(SELECT session.session_id, session.started_at FROM sessionize.sessions AS session '
                                'WHERE %s AND %s AND %s AND %s OFFSET 0)', walk, filter, condition, after))
          INTO recents FROM sessionize.sources(app_id, status, risk, search, at), unnest(recent) AS condition;
    ELSE
        SELECT array_agg(format('(SELECT session.session_id, session.started_at FROM sessionize.sessions AS session '
                                'WHERE %s AND %s AND %s %s)', walk, filter, after, format(newest_first, page_size)))
          INTO walks FROM sessionize.sources(app_id, status, risk, search, at);
    END IF;
    IF walks IS NULL THEN
        RETURN '{}'; -- there is no application yet
    END IF;
    EXECUTE format('SELECT array_agg(session_id ORDER BY started_at DESC, session_id DESC) FROM (%s) AS session',
                   array_to_string(walks, ' UNION ALL ')) INTO ids;
    IF recents IS NOT NULL AND coalesce(cardinality(ids), 0) < page_size * cardinality(walks) THEN
        EXECUTE format('SELECT array_agg(session_id ORDER BY started_at DESC, session_id DESC) FROM (SELECT * FROM (%s) AS session %s) AS session',
                       array_to_string(recents, ' UNION ALL '), format(newest_first, page_size)) INTO ids;
    END IF;
    RETURN coalesce(ids[:page_size], '{}');
END $$;
COMMENT ON FUNCTION sessionize.find_sessions(integer, text, text, text, integer, timestamptz, bigint, timestamptz) IS
    'the ids of a page of sessions, newest first; filters have been checked';
