\set ECHO none
-- The oracle of the live tests: what the stored sessions of an application must be, recomputed from its event tables by
-- the aggregates. To be included by suites; nothing in here looks at how the triggers work.
SET client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS suite;

-- The events of an application's tables in one form, of visitors whose names match a pattern.
CREATE OR REPLACE FUNCTION suite.events_of(app text, visitors text DEFAULT '%')
RETURNS TABLE (source regclass, visitor text, at timestamptz, session_id bigint, effect text, converts boolean, facts text[])
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    tracked record;
BEGIN
    FOR tracked IN
        SELECT t.*, a.max_skew, a.passive_kinds, a.conversion_kinds
          FROM sessionize.tracked_tables AS t JOIN sessionize.apps AS a USING (app_id) WHERE a.name = app
    LOOP
        RETURN QUERY EXECUTE format(
            'SELECT $1, who, at, session_id,
                    CASE WHEN who IS NULL OR octet_length(who) > 1000 OR at IS NULL OR NOT isfinite(at) OR at > arrival + $2 THEN ''none''
                         WHEN kind = ANY ($3) THEN ''passive'' ELSE ''qualifies'' END,
                    coalesce(kind = ANY ($4), false), facts
               FROM (SELECT CASE WHEN %2$I IS NULL THEN NULL WHEN pg_typeof(%2$I) = ''bpchar''::regtype THEN %2$I::text
                                 ELSE format(''%%s'', %2$I) END AS who,
                            %3$I AS at, %4$I AS session_id,
                            CASE WHEN isfinite(%5$s) THEN %5$s ELSE now() END AS arrival, %6$s::text AS kind,
                            ARRAY[%7$s]::text[] AS facts FROM %1$s) AS event
              WHERE who LIKE $5 OR who IS NULL',
            tracked.events, tracked.visitor, tracked.occurred_at, tracked.session_id,
            coalesce(quote_ident(tracked.received_at), 'NULL::timestamptz'), coalesce(quote_ident(tracked.kind), 'NULL'),
            (SELECT string_agg(coalesce(CASE place WHEN 1 THEN 'abbrev(' || quote_ident(name) || '::inet)' ELSE quote_ident(name) || '::text' END,
                                        'NULL'), ', ' ORDER BY place)
               FROM unnest(ARRAY[tracked.ip, tracked.country, tracked.channel, tracked.customer, tracked.cart_items,
                                 tracked.cart_value, tracked.currency]) WITH ORDINALITY AS fact (name, place)))
        USING tracked.events, tracked.max_skew, tracked.passive_kinds, tracked.conversion_kinds, visitors;
    END LOOP;
END $$;

-- All that is wrong with an application's sessions; no rows if nothing is. It takes for granted that no session was
-- cancelled, that no event found its session expired, that the rules were not altered, and that all facts are of use.
CREATE OR REPLACE FUNCTION suite.wrong(app text, visitors text DEFAULT '%') RETURNS SETOF text
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
#variable_conflict use_column
DECLARE
    rules sessionize.apps;
BEGIN
    SELECT * INTO STRICT rules FROM sessionize.apps WHERE name = app;
    RETURN QUERY
    WITH event AS MATERIALIZED (
        SELECT * FROM suite.events_of(app, visitors)
    ), stored AS MATERIALIZED (
        SELECT * FROM sessionize.sessions WHERE app_id = rules.app_id AND visitor LIKE visitors
    ), sets AS (
        SELECT visitor, CASE rules.policy WHEN 'midnight' THEN sessionize_daily(at, rules.time_zone)
                             ELSE sessionize(at, rules.timeout, rules.boundary) END AS spans
          FROM event WHERE effect = 'qualifies' GROUP BY visitor
    ), computed AS (
        SELECT visitor, span.started_at, span.last_event_at, span.event_count FROM sets, session_spans(spans) AS span
    ), live AS (
        SELECT visitor::text COLLATE "default" AS visitor, started_at, last_event_at, event_count FROM stored
    ), neighbours AS (
        SELECT *, coalesce(lead(started_at) OVER (PARTITION BY visitor ORDER BY started_at), 'infinity') AS next_starts FROM stored
    ), ends AS (
        SELECT *, greatest(opened_at, CASE rules.policy
                   WHEN 'midnight' THEN ((last_event_at AT TIME ZONE rules.time_zone)::date + 1)::timestamp AT TIME ZONE rules.time_zone
                   ELSE last_event_at + rules.timeout END) AS closes
          FROM stored
    ), of_session AS (
        SELECT session_id, count(*) FILTER (WHERE effect = 'qualifies') AS qualifying,
               count(*) FILTER (WHERE effect = 'passive') AS passive,
               min(at) FILTER (WHERE converts AND effect = 'qualifies') AS converted
          FROM event WHERE session_id IS NOT NULL GROUP BY session_id
    ), said AS (
        -- Address, country and channel are those of the earliest event that has one, customer and cart those of the latest.
        SELECT session_id, place, array_agg(value) AS among
          FROM (SELECT session_id, place, value, at,
                       CASE WHEN place <= 3 THEN min(at) OVER same ELSE max(at) OVER same END AS decisive
                  FROM event, unnest(facts) WITH ORDINALITY AS fact (value, place)
                 WHERE effect = 'qualifies' AND value <> ''
                WINDOW same AS (PARTITION BY session_id, place)) AS values
         WHERE at = decisive GROUP BY session_id, place
    )
    SELECT 'missing: ' || missing::text FROM (SELECT * FROM computed EXCEPT ALL SELECT * FROM live) AS missing
    UNION ALL
    SELECT 'too many: ' || surplus::text FROM (SELECT * FROM live EXCEPT ALL SELECT * FROM computed) AS surplus
    UNION ALL
    SELECT format('event of %s at %s carries %s, a session of %s from %s to %s', event.visitor, at, event.session_id,
                  stored.visitor, started_at, last_event_at)
      FROM event LEFT JOIN stored USING (session_id)
     WHERE effect = 'qualifies'
       AND (event.visitor = stored.visitor AND at BETWEEN started_at AND last_event_at) IS NOT TRUE
    UNION ALL
    SELECT format('passive event of %s at %s carries %s, a session of %s from %s to %s', event.visitor, at, event.session_id,
                  stored.visitor, started_at, last_event_at)
      FROM event LEFT JOIN stored USING (session_id)
     WHERE effect = 'passive' AND event.session_id IS NOT NULL
       AND (event.visitor = stored.visitor AND CASE rules.policy WHEN 'midnight'
                THEN (at AT TIME ZONE rules.time_zone)::date = (started_at AT TIME ZONE rules.time_zone)::date
                ELSE at >= started_at END) IS NOT TRUE
    UNION ALL
    SELECT format('event of %s at %s carries session %s, but can have none', visitor, at, session_id)
      FROM event WHERE effect = 'none' AND session_id IS NOT NULL
    UNION ALL
    SELECT format('session %s of %s counts %s + %s events and has %s + %s', session_id, visitor,
                  event_count, passive_count, coalesce(qualifying, 0), coalesce(passive, 0))
      FROM stored LEFT JOIN of_session USING (session_id)
     WHERE (event_count, passive_count) <> (coalesce(qualifying, 0), coalesce(passive, 0))
    UNION ALL
    SELECT format('session %s of %s was converted at %s, and should be at %s', session_id, visitor, converted_at, converted)
      FROM stored LEFT JOIN of_session USING (session_id) WHERE converted_at IS DISTINCT FROM converted
    UNION ALL
    SELECT format('session %s of %s knows %s as the next start, which is %s', session_id, visitor, next_started_at, next_starts)
      FROM neighbours WHERE next_started_at <> next_starts
    UNION ALL
    SELECT format('session %s of %s closes %s and expires %s instead of %s and %s', session_id, visitor, closes_at, expires_at, closes,
                  least(closes + rules.grace, greatest(last_event_at, opened_at) + interval '48 hours'))
      FROM ends
     WHERE (closes_at, expires_at)
        <> (closes, least(closes + rules.grace, greatest(last_event_at, opened_at) + interval '48 hours'))
    UNION ALL
    SELECT format('session %s of %s has %s as fact %s, instead of one of %s', session_id, visitor, fact.value, place, said.among)
      FROM stored CROSS JOIN LATERAL unnest(ARRAY[abbrev(ip), country, channel, customer, cart_items::text, cart_value::text, currency]) WITH ORDINALITY AS fact (value, place)
      LEFT JOIN said USING (session_id, place)
     WHERE CASE WHEN said.among IS NULL THEN fact.value IS NOT NULL ELSE fact.value <> ALL (said.among) IS NOT FALSE END
    UNION ALL
    SELECT format('session %s of %s has the last day %s, the token %s, no row in visitors: %s', session_id, visitor, last_event_day, token,
                  known IS NULL)
      FROM stored LEFT JOIN sessionize.visitors AS known USING (app_id, visitor)
     WHERE last_event_day <> (last_event_at AT TIME ZONE 'UTC')::date OR token !~ '^[A-Za-z0-9_-]{16}$' OR known IS NULL
    UNION ALL
    SELECT format('merged session %s should live on as %s', absorbed, survivor)
      FROM sessionize.merged_sessions AS merged
     WHERE merged.app_id = rules.app_id
       AND (NOT EXISTS (SELECT FROM sessionize.sessions AS kept WHERE kept.session_id = merged.survivor AND kept.app_id = rules.app_id)
            OR EXISTS (SELECT FROM sessionize.sessions AS gone WHERE gone.session_id = merged.absorbed)
            OR resolve_session(merged.absorbed) <> merged.survivor)
     LIMIT 20;
END $$;
RESET client_min_messages;
\set ECHO all
