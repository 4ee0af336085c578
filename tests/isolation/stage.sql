-- What the specs share. Instants are minutes of one visit day that lies a few hours back, so that nothing has expired.
SET check_function_bodies = off; -- the table of events is made by each spec
CREATE TABLE day AS SELECT date_trunc('minute', now()) - interval '8 hours' AS begins;
CREATE FUNCTION at(minute numeric) RETURNS timestamptz STABLE LANGUAGE sql
    RETURN (SELECT begins FROM day) + minute * interval '1 minute';

CREATE FUNCTION minute(instant timestamptz) RETURNS bigint STABLE LANGUAGE sql
    RETURN (extract(epoch FROM instant - (SELECT begins FROM day)) / 60)::bigint;

-- A table of events, tracked, with some events: visitor and minute.
CREATE FUNCTION stage(variadic events text[] DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE visits (visitor text, at timestamptz, note text);
    PERFORM create_session_app('visits');
    PERFORM track_sessions('visits', 'visitor', 'at', 'visits');
    INSERT INTO visits SELECT split_part(event, ' ', 1), at(split_part(event, ' ', 2)::numeric) FROM unnest(events) AS event;
END $$;
CREATE FUNCTION unstage() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DROP TABLE visits;
    PERFORM drop_session_app('visits');
END $$;

-- Events, by one statement.
CREATE FUNCTION arrive(variadic events text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO visits SELECT split_part(event, ' ', 1), at(split_part(event, ' ', 2)::numeric) FROM unnest(events) AS event
$$;

-- The sessions, in minutes, and what the oracle says about them.
CREATE FUNCTION look() RETURNS TABLE (sessions text, events bigint, wrong text) STABLE LANGUAGE sql AS $$
    SELECT (SELECT string_agg(format('%s %s-%s', visitor, minute(started_at), minute(last_event_at)), ', ' ORDER BY visitor, started_at)
              FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'visits'),
           (SELECT count(*) FROM visits),
           (SELECT string_agg(wrong, E'\n') FROM suite.wrong('visits') AS wrong)
$$;
