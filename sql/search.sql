-- Finding sessions: what the filters of a list mean, as conditions that indexes serve.

CREATE FUNCTION sessionize.read_search(search text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- a token may come from a list, where it is cut
    SELECT nullif(coalesce(nullif(regexp_replace(bare.text, '[\s\u00a0\u2026]+$', ''), ''), bare.text), '')
      FROM regexp_replace(search, '^[\s\u00a0]+|[\s\u00a0]+$', '', 'g') AS bare (text);
END;
COMMENT ON FUNCTION sessionize.read_search(text) IS
    'what is searched for, without blanks around and the ellipsis of a short token; NULL for nothing but blanks';

CREATE FUNCTION sessionize.known_countries() RETURNS SETOF text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    -- from one value to the next through the index; there are few, and who has thousands of them has no countries
    WITH RECURSIVE known AS (
        SELECT app.app_id, first.country
          FROM sessionize.apps AS app,
               LATERAL (SELECT session.country FROM sessionize.sessions AS session
                         WHERE session.app_id = app.app_id AND session.country IS NOT NULL ORDER BY session.country LIMIT 1) AS first
        UNION ALL
        SELECT known.app_id, next.country
          FROM known,
               LATERAL (SELECT session.country FROM sessionize.sessions AS session
                         WHERE session.app_id = known.app_id AND session.country > known.country ORDER BY session.country LIMIT 1) AS next
    )
    SELECT DISTINCT found.country FROM (SELECT known.country FROM known LIMIT 2000) AS found;
END;
COMMENT ON FUNCTION sessionize.known_countries() IS 'the countries of sessions, as applications spell them';

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

CREATE FUNCTION sessionize.search_conditions(search text) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
    wanted text := sessionize.read_search(search);
    network inet := sessionize.read_network(wanted);
    code text := sessionize.country_code(wanted);
    conditions text[] := '{}';
    who text;
    spelling text;
    known boolean;
BEGIN
    IF wanted IS NULL THEN
        RETURN ARRAY['true'];
    END IF;
    -- names may end as a short token does
    FOR who, spelling IN SELECT place.who, name.spelling FROM unnest('{visitor,customer}'::text[]) AS place (who),
                                (SELECT wanted UNION SELECT search) AS name (spelling) LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM sessionize.apps AS app JOIN sessionize.sessions AS session '
                       'ON session.app_id = app.app_id AND session.%I = $1)', who) INTO known USING spelling;
        IF known THEN
            conditions := conditions || format('session.%I = %L', who, spelling);
        END IF;
    END LOOP;
    IF network IS NOT NULL THEN
        -- as bounds, which an index need not check once more, or all the addresses of a network could not be counted quickly
        conditions := conditions || CASE WHEN wanted ~ '/' THEN
            format('session.ip BETWEEN %L::inet AND %L::inet', network, set_masklen(broadcast(network), CASE family(network) WHEN 4 THEN 32 ELSE 128 END))
            ELSE format('session.ip = %L::inet', network) END;
    END IF;
    IF wanted ~ '^[A-Za-z0-9_-]{16}$' THEN
        conditions := conditions || format('session.token = %L', wanted);
    ELSIF wanted ~ '^[A-Za-z0-9_-]{1,15}$' AND code IS NULL AND conditions = '{}' THEN
        -- what names something else is not taken for a part of a token, which anything short can be by chance
        -- one or two characters are in so many tokens that these are met soon, and an index of three would be read as a whole
        conditions := conditions || CASE WHEN length(wanted) < 3 THEN format('strpos(session.token, %L) > 0', wanted)
                                         ELSE format('session.token LIKE %L', '%' || replace(wanted, '_', '\_') || '%') END;
        IF length(wanted) >= 3 AND to_regclass('sessionize.sessions_by_part_of_token') IS NULL THEN
            RAISE NOTICE 'searching for a part of a token reads many sessions'
                USING HINT = 'CREATE EXTENSION pg_trgm; SELECT index_session_tokens(); makes it quick.';
        END IF;
    END IF;
    -- each excludes the ones before it, so that no session is found twice
    RETURN ARRAY(SELECT concat_ws(' AND ', listed.condition,
                                  (SELECT string_agg(format('(%s) IS NOT TRUE', earlier.condition), ' AND ')
                                     FROM unnest(conditions) WITH ORDINALITY AS earlier (condition, place)
                                    WHERE earlier.place < listed.place))
                   -- a country as its code, or as an application spells it, which is no address; these exclude each other as they are
                   FROM (SELECT * FROM unnest(conditions) WITH ORDINALITY
                         UNION ALL
                         SELECT format('session.country = %L', country), cardinality(conditions) + 1
                           FROM sessionize.known_countries() AS country
                          WHERE lower(country) IN (lower(wanted), lower(code)) AND network IS NULL) AS listed (condition, place));
END $$;
COMMENT ON FUNCTION sessionize.search_conditions(text) IS
    'SQL conditions on sessionize.sessions AS session that exclude each other: any of them is what the search means';

CREATE FUNCTION sessionize.sources(
    app_id integer, status text, risk text, search text, at timestamptz,
    OUT walk text, OUT start text, OUT filter text, OUT recent text[], OUT counted text[], OUT too_many text
) RETURNS SETOF record
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT concat_ws(' AND ', format('session.app_id = %s', app.app_id), CASE WHEN NOT found.by_looking THEN found.condition END,
                     'session.risk = ' || quote_literal(nullif(sources.risk, 'normal'))),
           coalesce('session.started_at <= ' || quote_literal(sessionize.latest_start(app, sources.status, sources.at)), 'true'),
           concat_ws(' AND ', other.conditions, sessionize.status_condition(app, sources.status, sources.at)),
           sessionize.recent_conditions(app, sources.status, sources.at),
           ARRAY(SELECT concat_ws(' AND ', other.conditions, condition) FROM unnest(of_status.counted) AS condition),
           other.conditions || ' AND ' || of_status.too_many
      FROM sessionize.apps AS app,
           -- no index serves this one
           LATERAL (SELECT condition, starts_with(condition, 'strpos') FROM unnest(sessionize.search_conditions(sources.search)) AS condition) AS found (condition, by_looking),
           LATERAL sessionize.counted_conditions(app, sources.status, sources.at) AS of_status,
           LATERAL (SELECT concat_ws(' AND ', 'true', CASE WHEN found.by_looking THEN found.condition END,
                                     'session.risk = ' || quote_literal(sources.risk))) AS other (conditions)
     WHERE sources.app_id IS NULL OR app.app_id = sources.app_id;
END;
COMMENT ON FUNCTION sessionize.sources(integer, text, text, text, timestamptz) IS
    'where the sessions that filters ask for come from: SQL conditions on sessionize.sessions AS session. An index in order of start serves walk and start; filter says the rest; recent narrows down what is active or closed. Who only counts takes those that meet walk and one of the conditions of counted, less those that meet too_many';

CREATE FUNCTION sessionize.page_statements(
    app_id integer, status text, risk text, search text, page_size integer,
    after_started_at timestamptz, after_session_id bigint, at timestamptz
) RETURNS TABLE (walk text, narrow text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' -- instants as text that reads the same everywhere
AS $$
DECLARE
    page constant text := 'SELECT session.session_id, session.started_at FROM (%s) AS session WHERE %s ' || '%s LIMIT ' || page_size;
    after constant text := CASE WHEN after_session_id IS NULL THEN 'true' ELSE
        format('(session.started_at, session.session_id) < (%L, %s)', after_started_at, after_session_id) END;
    newest_first constant text := 'ORDER BY session.started_at DESC, session.session_id DESC';
    -- The newest are active, then come the closed ones; who lasts longer is not looked for any further in this order.
    reach constant text := CASE WHEN status IN ('active', 'closed')
        THEN ' LIMIT ' || page_size + CASE WHEN coalesce(risk, 'normal') = 'normal' THEN 2000 ELSE 200 END ELSE '' END;
BEGIN
    RETURN QUERY
        SELECT format(page, format('SELECT session.* FROM sessionize.sessions AS session WHERE %s AND %s AND %s %s', source.walk, source.start, after, newest_first || reach),
                      source.filter, ''),
               format(page, (SELECT string_agg(format('(SELECT session.* FROM sessionize.sessions AS session WHERE %s AND %s AND %s AND %s OFFSET 0)',
                                                      source.walk, source.filter, condition, after), ' UNION ALL ')
                               FROM unnest(source.recent) AS condition),
                      'true', newest_first)
          FROM sessionize.sources(app_id, status, risk, search, at) AS source;
END $$;
COMMENT ON FUNCTION sessionize.page_statements(integer, text, text, text, integer, timestamptz, bigint, timestamptz) IS
    'SQL that finds a page, for each place where the sessions come from: walk goes from session to session in order of start; narrow looks at all that can be active or closed, for where walk finds less than a page of them';

CREATE FUNCTION sessionize.find_sessions(
    app_id integer, status text, risk text, search text, page_size integer,
    after_started_at timestamptz, after_session_id bigint, at timestamptz
) RETURNS bigint[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    SET max_parallel_workers_per_gather = 0 -- a page is found before workers have started
AS $$
DECLARE
    collect constant text := 'SELECT coalesce(array_agg(page.session_id), ''{}''), array_agg(page.started_at) FROM (%s) AS page';
    statements record;
    page_ids bigint[];
    page_starts timestamptz[];
    ids bigint[] := '{}';
    starts timestamptz[] := '{}';
BEGIN
    FOR statements IN SELECT * FROM sessionize.page_statements(app_id, status, risk, search, page_size, after_started_at, after_session_id, at) LOOP
        EXECUTE format(collect, statements.walk) INTO page_ids, page_starts;
        IF status IN ('active', 'closed') AND cardinality(page_ids) < page_size THEN
            EXECUTE format(collect, statements.narrow) INTO page_ids, page_starts;
        END IF;
        ids := ids || page_ids;
        starts := starts || page_starts;
    END LOOP;
    RETURN ARRAY(SELECT session_id FROM unnest(ids, starts) AS page (session_id, started_at)
                  ORDER BY started_at DESC, session_id DESC LIMIT page_size);
END $$;
COMMENT ON FUNCTION sessionize.find_sessions(integer, text, text, text, integer, timestamptz, bigint, timestamptz) IS
    'the ids of a page of sessions, newest first; filters have been checked';
