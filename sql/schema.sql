-- The tables, in a schema of their own so that an application's "sessions" table is no obstacle.

CREATE SCHEMA sessionize;
COMMENT ON SCHEMA sessionize IS 'the tables and views of pg_sessionize';

CREATE TABLE sessionize.apps (
    app_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    policy text NOT NULL,
    timeout interval NOT NULL,
    boundary text NOT NULL,
    time_zone text NOT NULL,
    grace interval NOT NULL,
    max_skew interval NOT NULL,
    passive_kinds text[] NOT NULL,
    conversion_kinds text[] NOT NULL,
    cancellation_kinds text[] NOT NULL,
    monitored_from smallint NOT NULL DEFAULT 30,
    review_from smallint NOT NULL DEFAULT 60,
    restricted_from smallint NOT NULL DEFAULT 85,
    created_at timestamptz NOT NULL DEFAULT now(),
    shortest_timeout interval,
    longest_timeout interval,
    shortest_grace interval,
    longest_grace interval
);
COMMENT ON TABLE sessionize.apps IS 'applications: named sets of rules; see create_session_app()';

CREATE TABLE sessionize.tracked_tables (
    tracking_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app_id integer NOT NULL,
    events regclass NOT NULL UNIQUE,
    visitor name NOT NULL,
    occurred_at name NOT NULL,
    session_id name NOT NULL,
    kind name,
    received_at name,
    customer name,
    ip name,
    country name,
    channel name,
    cart_items name,
    cart_value name,
    currency name,
    on_purge text NOT NULL,
    mapped_columns smallint[] NOT NULL,
    mapped_relation oid NOT NULL,
    tracked_at timestamptz NOT NULL DEFAULT now(),
    tracked_by name NOT NULL DEFAULT current_user
);
COMMENT ON TABLE sessionize.tracked_tables IS
    'event tables and which of their columns says what; see track_sessions(). mapped_columns holds the column numbers in mapped_relation, to follow renamed columns';

CREATE TABLE sessionize.dependents (
    relation regclass PRIMARY KEY,
    session_id name NOT NULL,
    on_purge text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),
    added_by name NOT NULL DEFAULT current_user,
    column_number smallint NOT NULL,
    mapped_relation oid NOT NULL
);
COMMENT ON TABLE sessionize.dependents IS
    'further tables whose rows belong to a session, and what a purge does with them: delete, detach or keep; see add_session_dependent(). column_number is that of session_id in mapped_relation, to follow when it is renamed';

CREATE TABLE sessionize.visitors (
    app_id integer NOT NULL,
    visitor text COLLATE "C" NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    revision bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (app_id, visitor)
) WITH (fillfactor = 80);
COMMENT ON TABLE sessionize.visitors IS
    'whoever has sessions. Changes to a visitor''s sessions other than growing the newest end of one lock the row here first, in order of (app_id, visitor), and count revision up';

CREATE SEQUENCE sessionize.session_ids AS bigint;
COMMENT ON SEQUENCE sessionize.session_ids IS 'where session ids come from';

-- The columns that change with each event come first, have a fixed width and are not indexed: such a change finds
-- its place at once and stays on its page (HOT). last_event_day changes once a day and carries the index instead.
CREATE TABLE sessionize.sessions (
    session_id bigint NOT NULL PRIMARY KEY,
    started_at timestamptz NOT NULL,
    last_event_at timestamptz NOT NULL,
    closes_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    opened_at timestamptz NOT NULL,
    next_started_at timestamptz NOT NULL DEFAULT 'infinity',
    event_count bigint NOT NULL,
    passive_count bigint NOT NULL DEFAULT 0,
    late_count bigint NOT NULL DEFAULT 0,
    app_id integer NOT NULL,
    last_event_day date NOT NULL,
    visitor text COLLATE "C" NOT NULL,
    token text COLLATE "C" NOT NULL UNIQUE,
    risk text NOT NULL DEFAULT 'normal',
    risk_score smallint NOT NULL DEFAULT 0,
    risk_reasons jsonb,
    converted_at timestamptz,
    order_ref text,
    cancelled_at timestamptz,
    cancel_reason text,
    customer text,
    ip inet,
    country text,
    channel text,
    cart_items integer,
    cart_value numeric,
    currency text,
    facts_at timestamptz[]
) WITH (fillfactor = 75, autovacuum_vacuum_insert_scale_factor = 0.01); -- counts rely on pages being known as visible to all
COMMENT ON TABLE sessionize.sessions IS
    'one row per session. Deleting a row deletes or detaches what belongs to it, as registered; see purge_inactive_sessions()';
COMMENT ON COLUMN sessionize.sessions.started_at IS 'the earliest qualifying event';
COMMENT ON COLUMN sessionize.sessions.last_event_at IS 'the latest qualifying event';
COMMENT ON COLUMN sessionize.sessions.closes_at IS 'until then the session is active';
COMMENT ON COLUMN sessionize.sessions.expires_at IS 'until then a closed session still takes late events';
COMMENT ON COLUMN sessionize.sessions.opened_at IS 'when the event that opened the session arrived';
COMMENT ON COLUMN sessionize.sessions.next_started_at IS
    'when the visitor''s next session begins; -infinity where another session lies beside this one, so that each change looks at both';
COMMENT ON COLUMN sessionize.sessions.event_count IS 'events assigned, passive ones not counted';
COMMENT ON COLUMN sessionize.sessions.passive_count IS 'passive events assigned';
COMMENT ON COLUMN sessionize.sessions.late_count IS 'events assigned that arrived after later events of the visitor';
COMMENT ON COLUMN sessionize.sessions.last_event_day IS 'the day of last_event_at in UTC';
COMMENT ON COLUMN sessionize.sessions.facts_at IS
    'when the values of customer, ip, country, channel, cart_items, cart_value and currency were set, in this order';

CREATE INDEX sessions_of_visitor ON sessionize.sessions (app_id, visitor, started_at);
CREATE INDEX sessions_by_start ON sessionize.sessions (app_id, started_at, session_id);
CREATE INDEX sessions_by_last_day ON sessionize.sessions (app_id, last_event_day, risk);

CREATE TABLE sessionize.merged_sessions (
    absorbed bigint PRIMARY KEY,
    survivor bigint NOT NULL,
    app_id integer NOT NULL,
    merged_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX merged_sessions_by_survivor ON sessionize.merged_sessions (survivor);
COMMENT ON TABLE sessionize.merged_sessions IS 'sessions that became part of another one: old ids still resolve; see resolve_session()';

CREATE TABLE sessionize.session_changes (
    change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id bigint NOT NULL,
    app_id integer NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_by name NOT NULL DEFAULT current_user,
    what text NOT NULL,
    old_value text,
    new_value text,
    reason text,
    said jsonb
);
CREATE INDEX session_changes_of_session ON sessionize.session_changes (session_id);
COMMENT ON TABLE sessionize.session_changes IS
    'every change of status or risk (what), with who, when, from, to and why';
COMMENT ON COLUMN sessionize.session_changes.said IS
    'what a person said: values of sessions, and the instant ("at") from which they count. NULL for what events or rules brought about. A rebuild keeps what people said, and works out all else again';

CREATE TABLE sessionize.unassigned_events (
    app_id integer NOT NULL,
    reason text NOT NULL,
    slot smallint NOT NULL,
    event_count bigint NOT NULL,
    PRIMARY KEY (app_id, reason, slot)
) WITH (fillfactor = 50);
COMMENT ON TABLE sessionize.unassigned_events IS
    'how many events got no session, by reason: no_visitor, no_instant, ahead_of_time, passive. Slots keep connections from waiting for each other; sum them';

CREATE TABLE sessionize.progress (
    process text NOT NULL,
    subject text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    done bigint NOT NULL DEFAULT 0,
    total bigint,
    state text NOT NULL DEFAULT 'running',
    position text,
    PRIMARY KEY (process, subject)
);
COMMENT ON TABLE sessionize.progress IS 'how far backfills and sweeps have come; position says where they are';

COMMENT ON SEQUENCE sessionize.apps_app_id_seq IS 'where the ids of applications come from';
COMMENT ON SEQUENCE sessionize.tracked_tables_tracking_id_seq IS 'where tracking numbers come from';
COMMENT ON SEQUENCE sessionize.session_changes_change_id_seq IS 'where the ids of changes come from';

CREATE FUNCTION sessionize.raise_session_ids(highest bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF highest >= (SELECT last_value FROM sessionize.session_ids) THEN
        ALTER SEQUENCE sessionize.session_ids NO CYCLE; -- changes nothing, but keeps others from taking ids meanwhile
        PERFORM setval('sessionize.session_ids', greatest(highest, last_value)) FROM sessionize.session_ids;
    END IF;
END $$;
COMMENT ON FUNCTION sessionize.raise_session_ids(bigint) IS 'lets new sessions have ids above this one';

CREATE FUNCTION sessionize.spare_ids(relation regclass, session_id name, OUT lowest bigint, OUT highest bigint)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('SELECT min(%1$I), max(%1$I) FROM %2$s', session_id, relation) INTO lowest, highest;
    IF highest > 1::bigint << 62 THEN
        RAISE EXCEPTION 'column "%" of table % holds no ids of sessions', session_id, relation
            USING ERRCODE = '22003', DETAIL = format('After %s there would be hardly any left for new sessions.', highest),
                  HINT = 'Set such values to NULL, or name another column.';
    END IF;
    PERFORM sessionize.raise_session_ids(highest);
END $$;
COMMENT ON FUNCTION sessionize.spare_ids(regclass, name) IS
    'sees to it that no new session gets an id that rows of a table have already, from whatever time; gives the lowest and the highest of these';

SELECT pg_catalog.pg_extension_config_dump('sessionize.apps', '');
SELECT pg_catalog.pg_extension_config_dump('sessionize.apps_app_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('sessionize.tracked_tables', '');
SELECT pg_catalog.pg_extension_config_dump('sessionize.tracked_tables_tracking_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('sessionize.dependents', '');
SELECT pg_catalog.pg_extension_config_dump('sessionize.visitors', '');
SELECT pg_catalog.pg_extension_config_dump('sessionize.session_ids', '');
SELECT pg_catalog.pg_extension_config_dump('sessionize.sessions', '');
SELECT pg_catalog.pg_extension_config_dump('sessionize.merged_sessions', '');
SELECT pg_catalog.pg_extension_config_dump('sessionize.session_changes', '');
SELECT pg_catalog.pg_extension_config_dump('sessionize.session_changes_change_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('sessionize.unassigned_events', '');
SELECT pg_catalog.pg_extension_config_dump('sessionize.progress', '');
