\set ECHO none
-- What the suites share. Each includes it, so that each can run alone.
SET client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS suite;

-- How a statement fails: SQLSTATE, message, DETAIL and HINT. Locations in the source stay out.
CREATE OR REPLACE FUNCTION suite.complaint(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text; message text; detail text; hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat(state, ': ', message, E'\nDETAIL: ' || nullif(detail, ''), E'\nHINT: ' || nullif(hint, ''));
END $$;

-- The lines of a statement's plan.
CREATE OR REPLACE FUNCTION suite.plan(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || statement;
END $$;

CREATE OR REPLACE FUNCTION suite.plan_has(statement text, VARIADIC nodes text[]) RETURNS boolean LANGUAGE sql AS $$
    SELECT bool_and(EXISTS (SELECT FROM suite.plan(statement) AS line WHERE line LIKE '%' || node || '%'))
    FROM unnest(nodes) AS node
$$;

-- Whether a hash aggregate of the statement went to disk.
CREATE OR REPLACE FUNCTION suite.spills(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ' || statement INTO plan;
    RETURN EXISTS (SELECT FROM jsonb_path_query(plan, 'strict $.**."HashAgg Batches"') AS batches WHERE batches::integer > 1);
END $$;

-- How many rows two statements do not have in common.
CREATE OR REPLACE FUNCTION suite.differences(one text, other text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    result bigint;
BEGIN
    EXECUTE format('SELECT (SELECT count(*) FROM (%1$s EXCEPT ALL %2$s) AS a) + (SELECT count(*) FROM (%2$s EXCEPT ALL %1$s) AS b)',
                   '(' || one || ')', '(' || other || ')') INTO result;
    RETURN result;
END $$;

-- The usual window-function query for sessions of a table with the columns visitor and occurred_at.
CREATE OR REPLACE FUNCTION suite.by_window(source text, timeout interval, boundary text DEFAULT 'exclusive') RETURNS text
LANGUAGE sql AS $$
    SELECT format($query$
        SELECT visitor, min(occurred_at) AS started_at, max(occurred_at) AS last_event_at, count(*) AS event_count
        FROM (SELECT *, sum(opens) OVER (PARTITION BY visitor ORDER BY occurred_at) AS session
              FROM (SELECT visitor, occurred_at, (lag(occurred_at) OVER w IS NULL
                           OR occurred_at - lag(occurred_at) OVER w %s interval %L)::integer AS opens
                    FROM %s WHERE isfinite(occurred_at)
                    WINDOW w AS (PARTITION BY visitor ORDER BY occurred_at)) AS gaps) AS numbered
        GROUP BY visitor, session$query$,
        CASE boundary WHEN 'inclusive' THEN '>' ELSE '>=' END, timeout, source)
$$;

-- The same from the aggregate, in the order in which the source gives its rows.
CREATE OR REPLACE FUNCTION suite.by_aggregate(source text, timeout interval, boundary text DEFAULT 'exclusive') RETURNS text
LANGUAGE sql AS $$
    SELECT format($query$
        SELECT visitor, span.started_at, span.last_event_at, span.event_count
        FROM (SELECT visitor, sessionize(occurred_at, %L, %L) AS sessions FROM %s GROUP BY visitor) AS visits,
             session_spans(sessions) AS span$query$, timeout, boundary, source)
$$;
RESET client_min_messages;
\set ECHO all
