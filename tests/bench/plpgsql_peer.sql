-- What a careful user writes instead of track_sessions: a trigger that looks for the visitor's session, grows it or
-- opens one. It neither merges nor takes late events into account. Expects the table peer_events.
CREATE TABLE peer_sessions (
    session_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visitor_id bigint NOT NULL,
    started_at timestamptz NOT NULL,
    last_event_at timestamptz NOT NULL,
    event_count bigint NOT NULL
);
CREATE INDEX ON peer_sessions (visitor_id, started_at);

CREATE FUNCTION peer_assign() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- One lock for many visitors: one for each would run out of shared memory in a large load.
    PERFORM pg_advisory_xact_lock(NEW.visitor_id % 1024);
    UPDATE peer_sessions AS session
       SET last_event_at = greatest(session.last_event_at, NEW.occurred_at), event_count = session.event_count + 1
     WHERE session.session_id = (SELECT near.session_id FROM peer_sessions AS near
                                  WHERE near.visitor_id = NEW.visitor_id AND near.started_at <= NEW.occurred_at
                                    AND near.last_event_at > NEW.occurred_at - interval '30 minutes'
                                  ORDER BY near.started_at DESC LIMIT 1)
    RETURNING session.session_id INTO NEW.session_id;
    IF NOT FOUND THEN
        INSERT INTO peer_sessions (visitor_id, started_at, last_event_at, event_count)
        VALUES (NEW.visitor_id, NEW.occurred_at, NEW.occurred_at, 1)
        RETURNING peer_sessions.session_id INTO NEW.session_id;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER peer_assign BEFORE INSERT ON peer_events FOR EACH ROW EXECUTE FUNCTION peer_assign();
