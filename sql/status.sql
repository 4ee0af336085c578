-- The status of a session, and what makes sessions of one status quick to find.

CREATE FUNCTION sessionize.earlier(instant timestamptz, distance interval) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT greatest(instant, '4714-11-24 00:00+00 BC'::timestamptz + distance) - distance;
END;
COMMENT ON FUNCTION sessionize.earlier(timestamptz, interval) IS
    'the instant so long before another one that is not null, or the first that there is';

CREATE FUNCTION sessionize.later(instant timestamptz, distance interval) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT least(instant, '294276-12-31 23:59:59.999999+00'::timestamptz - distance) + distance;
END;
COMMENT ON FUNCTION sessionize.later(timestamptz, interval) IS
    'the instant so long after another one that is not null, or the last that there is';

-- Session::status() in src/core/src/assignment/session.rs says the same of sessions that are being written, and status_condition() below
-- in a way that indexes and the planner's statistics understand.
CREATE FUNCTION sessionize.session_status(
    converted_at timestamptz, cancelled_at timestamptz, closes_at timestamptz, expires_at timestamptz,
    at timestamptz, inclusive boolean
) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN cancelled_at IS NOT NULL THEN 'cancelled'
                WHEN converted_at IS NOT NULL THEN 'converted'
                WHEN at < closes_at OR at = closes_at AND inclusive THEN 'active'
                WHEN at < expires_at THEN 'closed'
                ELSE 'expired' END;
END;
COMMENT ON FUNCTION sessionize.session_status(timestamptz, timestamptz, timestamptz, timestamptz, timestamptz, boolean) IS
    'what status a stored session has at an instant; inclusive: whether it is still active at closes_at';

CREATE FUNCTION sessionize.is_inclusive(app sessionize.apps) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT app.policy = 'timeout' AND app.boundary = 'inclusive';
END;
COMMENT ON FUNCTION sessionize.is_inclusive(sessionize.apps) IS
    'whether sessions of the application are still active at closes_at';

CREATE FUNCTION sessionize.moment(at timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN at < '4713-01-01 BC' THEN '-infinity' ELSE coalesce(at, now()) END;
END;
COMMENT ON FUNCTION sessionize.moment(timestamptz) IS
    'the moment that is asked for; NULL: now; one from which no timeout can be subtracted: before all time';

-- How far start, last event, closing and expiry can lie apart in an application, whatever its settings were when a
-- session was made. It tells where in an index the sessions of a status can be.
CREATE FUNCTION sessionize.keep_extremes() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- a calendar day closes at once, or after LONGEST_DAY of src/core/src/calendar.rs
    shortest interval := CASE WHEN NEW.policy = 'timeout' THEN NEW.timeout ELSE '0' END;
    longest interval := CASE WHEN NEW.policy = 'timeout' THEN NEW.timeout ELSE '50 hours' END;
BEGIN
    NEW.shortest_timeout := least(NEW.shortest_timeout, shortest);
    NEW.longest_timeout := greatest(NEW.longest_timeout, longest);
    NEW.shortest_grace := least(NEW.shortest_grace, NEW.grace);
    NEW.longest_grace := greatest(NEW.longest_grace, NEW.grace);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sessionize.keep_extremes() IS
    'trigger of sessionize.apps: remembers the shortest and longest timeout and grace that ever held';
-- After check_app, by name: the settings are in their final form.
CREATE TRIGGER keep_extremes BEFORE INSERT OR UPDATE ON sessionize.apps
    FOR EACH ROW EXECUTE FUNCTION sessionize.keep_extremes();

-- None of these indexes has a column that changes with each event: those updates stay on their page (HOT). What they
-- include lets sessions be counted without a look at the table, whatever filters come together.
CREATE INDEX sessions_converted ON sessionize.sessions (app_id, started_at, session_id) INCLUDE (risk, country, ip)
    WHERE converted_at IS NOT NULL AND cancelled_at IS NULL;
CREATE INDEX sessions_cancelled ON sessionize.sessions (app_id, started_at, session_id) INCLUDE (risk, country, ip)
    WHERE cancelled_at IS NOT NULL;
CREATE INDEX sessions_at_risk ON sessionize.sessions (app_id, risk, started_at, session_id)
    INCLUDE (converted_at, cancelled_at, last_event_day, country, ip)
    WHERE risk <> 'normal';
CREATE INDEX sessions_opened_late ON sessionize.sessions (app_id, opened_at)
    WHERE opened_at - started_at >= interval '1 minute';
CREATE INDEX sessions_of_customer ON sessionize.sessions (app_id, customer, started_at, session_id)
    WHERE customer IS NOT NULL;
CREATE INDEX sessions_of_ip ON sessionize.sessions (app_id, ip, started_at, session_id)
    INCLUDE (converted_at, cancelled_at, last_event_day, risk)
    WHERE ip IS NOT NULL;
CREATE INDEX sessions_of_country ON sessionize.sessions (app_id, country, started_at, session_id)
    INCLUDE (converted_at, cancelled_at, last_event_day, risk)
    WHERE country IS NOT NULL;

CREATE FUNCTION sessionize.read_filter(choice text, name text, names text, VARIADIC choices text[]) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF lower(choice) = ANY (choices) THEN
        RETURN lower(choice);
    ELSIF choice IS NULL OR lower(choice) = 'all' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% "%" is not known', name, left(choice, 100)
        USING ERRCODE = '22023',
              HINT = format('Valid %s are "all", "%s" and "%s".', names,
                            array_to_string(trim_array(choices, 1), '", "'), choices[cardinality(choices)]);
END $$;
COMMENT ON FUNCTION sessionize.read_filter(text, text, text, text[]) IS
    'one of several choices in lower case; NULL for all; unknown: 22023';

CREATE FUNCTION sessionize.read_status(status text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT sessionize.read_filter(status, 'status', 'statuses', 'active', 'closed', 'expired', 'converted', 'cancelled');
END;
COMMENT ON FUNCTION sessionize.read_status(text) IS 'a status in lower case; NULL for all; unknown: 22023';

CREATE FUNCTION sessionize.read_risk(risk text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT sessionize.read_filter(risk, 'risk level', 'levels', 'normal', 'monitored', 'review', 'restricted');
END;
COMMENT ON FUNCTION sessionize.read_risk(text) IS 'a risk level in lower case; NULL for all; unknown: 22023';

CREATE FUNCTION sessionize.state_condition(app sessionize.apps, state text, at timestamptz) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT format(CASE state WHEN 'active' THEN 'session.closes_at %s %L'
                             WHEN 'closed' THEN 'NOT session.closes_at %s %L AND session.expires_at > %2$L'
                             ELSE 'NOT session.closes_at %s %L AND session.expires_at <= %2$L' END,
                  CASE WHEN sessionize.is_inclusive(app) THEN '>=' ELSE '>' END, at);
END;
COMMENT ON FUNCTION sessionize.state_condition(sessionize.apps, text, timestamptz) IS
    'SQL condition on sessionize.sessions AS session for what time makes of it: active, closed or expired at an instant';

CREATE FUNCTION sessionize.status_condition(app sessionize.apps, status text, at timestamptz) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE status
        WHEN 'cancelled' THEN 'session.cancelled_at IS NOT NULL'
        WHEN 'converted' THEN 'session.cancelled_at IS NULL AND session.converted_at IS NOT NULL'
        ELSE 'session.cancelled_at IS NULL AND session.converted_at IS NULL AND '
             || sessionize.state_condition(app, status, at)
        END
     WHERE status IS NOT NULL;
END;
COMMENT ON FUNCTION sessionize.status_condition(sessionize.apps, text, timestamptz) IS
    'SQL condition on sessionize.sessions AS session for a status at an instant; NULL for any status';

CREATE FUNCTION sessionize.latest_start(app sessionize.apps, status text, at timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT sessionize.earlier(at, CASE status WHEN 'closed' THEN app.shortest_timeout
                                              WHEN 'expired' THEN app.shortest_timeout + app.shortest_grace END);
END;
COMMENT ON FUNCTION sessionize.latest_start(sessionize.apps, text, timestamptz) IS
    'no session of that status can have started later; NULL where nothing is known of it';

CREATE FUNCTION sessionize.recent_conditions(app sessionize.apps, status text, at timestamptz) RETURNS text[]
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN status IN ('active', 'closed') THEN
        ARRAY[format('session.last_event_day >= %L', last_event.day),
              -- a visit that was synced late closes when it appears, whenever its last event was
              format('session.last_event_day < %L AND session.opened_at - session.started_at >= ''1 minute'' AND session.opened_at >= %L',
                     last_event.day, reach.earliest)]
        ELSE ARRAY['true'] END
      FROM (SELECT sessionize.earlier(at, app.longest_timeout + CASE WHEN status = 'closed' THEN app.longest_grace ELSE '0' END)) AS reach (earliest),
           LATERAL (SELECT (reach.earliest AT TIME ZONE 'UTC')::date) AS last_event (day);
END;
COMMENT ON FUNCTION sessionize.recent_conditions(sessionize.apps, text, timestamptz) IS
    'SQL conditions that exclude each other, one of which every active or closed session meets, and that an index on days serves';

-- No index has the instants at which a session closes and expires, since these change with each event. But who had the
-- last event long ago has expired, unless the visit appeared late. That many are counted in an index; the sessions of the
-- day on which they expire just now, and those that appeared late, are looked at.
CREATE FUNCTION sessionize.counted_conditions(
    app sessionize.apps, status text, at timestamptz, OUT counted text[], OUT too_many text
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE
        WHEN status = 'expired' THEN ARRAY[
            format('%s AND session.last_event_day < %L', outcome.open, long_ago.day),
            format('%s AND session.last_event_day BETWEEN %L AND %L AND %s', outcome.open, long_ago.day,
                   (sessionize.latest_start(app, status, at) AT TIME ZONE 'UTC')::date, sessionize.state_condition(app, status, at))]
        ELSE ARRAY(SELECT concat_ws(' AND ', sessionize.status_condition(app, status, at), recent)
                     FROM unnest(sessionize.recent_conditions(app, status, at)) AS recent) END,
        CASE WHEN status = 'expired' THEN
            format('%s AND session.last_event_day < %L AND session.opened_at - session.started_at >= ''1 minute'' AND session.opened_at >= %L AND NOT (%s)',
                   outcome.open, long_ago.day, reach.earliest, sessionize.state_condition(app, status, at)) END
      FROM (SELECT sessionize.earlier(at, app.longest_timeout + app.longest_grace)) AS reach (earliest),
           LATERAL (SELECT (reach.earliest AT TIME ZONE 'UTC')::date) AS long_ago (day),
           (VALUES ('session.cancelled_at IS NULL AND session.converted_at IS NULL')) AS outcome (open);
END;
COMMENT ON FUNCTION sessionize.counted_conditions(sessionize.apps, text, timestamptz) IS
    'says the same as status_condition(), in a way that lets sessions be counted quickly: those that meet one of the conditions, which exclude each other, less those that meet too_many';
