-- What an application or a person does with a session. Every step is recorded in sessionize.session_changes.

CREATE FUNCTION sessionize.lock_session(session_id bigint) RETURNS sessionize.sessions
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    locked sessionize.sessions;
BEGIN
    IF session_id IS NULL THEN
        RAISE EXCEPTION 'session must not be null' USING ERRCODE = '22004', HINT = 'Pass the id of a session.';
    END IF;
    -- It can be merged while we wait for the lock: then the survivor is meant.
    FOR attempt IN 1..10 LOOP
        SELECT session.* INTO locked FROM sessionize.sessions AS session
         WHERE session.session_id = @extschema@.resolve_session(lock_session.session_id) FOR UPDATE;
        IF FOUND THEN
            RETURN locked;
        END IF;
        EXIT WHEN NOT EXISTS (SELECT FROM sessionize.merged_sessions WHERE absorbed = lock_session.session_id);
    END LOOP;
    RAISE EXCEPTION 'session % does not exist', session_id
        USING ERRCODE = 'P0002', HINT = 'It may have been purged. See list_sessions().';
END $$;
COMMENT ON FUNCTION sessionize.lock_session(bigint) IS
    'the session that an id stands for, locked; NULL: 22004; unknown: P0002';

CREATE FUNCTION sessionize.status_now(session sessionize.sessions) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT sessionize.session_status(session.converted_at, session.cancelled_at, session.closes_at, session.expires_at,
                                     now(), sessionize.is_inclusive(app))
      FROM sessionize.apps AS app WHERE app.app_id = session.app_id;
END;
COMMENT ON FUNCTION sessionize.status_now(sessionize.sessions) IS 'the status of a session at this moment';

CREATE FUNCTION sessionize.record_change(session sessionize.sessions, what text, old_value text, new_value text, reason text,
                                         said jsonb DEFAULT NULL) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    -- Who says the same again says it from now on.
    WITH again AS (
        UPDATE sessionize.session_changes AS change SET said = record_change.said
         WHERE change.change_id = (SELECT max(latest.change_id) FROM sessionize.session_changes AS latest
                                    WHERE latest.session_id = session.session_id AND latest.what = record_change.what)
           AND record_change.what <> 'status' AND change.said - 'at' = record_change.said - 'at'
           AND record_change.old_value IS NOT DISTINCT FROM record_change.new_value
        RETURNING change.change_id
    )
    INSERT INTO sessionize.session_changes (session_id, app_id, what, old_value, new_value, reason, said)
    SELECT session.session_id, session.app_id, what, old_value, new_value, reason, said
     WHERE (old_value IS DISTINCT FROM new_value OR what = 'status' OR said IS NOT NULL)
       AND NOT EXISTS (SELECT FROM again);
END;
COMMENT ON FUNCTION sessionize.record_change(sessionize.sessions, text, text, text, text, jsonb) IS
    'writes a row of sessionize.session_changes, if there was a change or a person said that it stays so';

CREATE FUNCTION convert_session(session_id bigint, order_ref text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    session sessionize.sessions := sessionize.lock_session($1);
    moment timestamptz := coalesce($3, now());
BEGIN
    IF NOT isfinite(moment) THEN
        RAISE EXCEPTION 'instant of a conversion must be finite' USING ERRCODE = '22023', HINT = 'Leave it out for now.';
    ELSIF session.cancelled_at IS NOT NULL THEN
        RAISE EXCEPTION 'session % is cancelled and cannot be converted', session.session_id
            USING ERRCODE = '55000', DETAIL = format('It was cancelled at %s.', session.cancelled_at),
                  HINT = 'The visitor''s next event opens a new session, which can be converted.';
    ELSIF session.converted_at IS NOT NULL AND session.order_ref <> $2 THEN
        RAISE EXCEPTION 'session % is converted already', session.session_id
            USING ERRCODE = '55000', DETAIL = format('It belongs to order "%s".', session.order_ref),
                  HINT = 'A session takes one order. Calling again with the same order changes nothing.';
    ELSIF session.converted_at IS NOT NULL AND (session.order_ref IS NOT NULL OR $2 IS NULL) THEN
        RETURN; -- said twice
    END IF;
    UPDATE sessionize.sessions AS target
       SET converted_at = coalesce(target.converted_at, moment), order_ref = $2
     WHERE target.session_id = session.session_id;
    PERFORM sessionize.record_change(session, 'status', sessionize.status_now(session), 'converted', $2, jsonb_build_object('at', moment));
END $$;
COMMENT ON FUNCTION convert_session(bigint, text, timestamptz) IS
    'the visit ended in an order. A cancelled session, or one with another order: 55000; unknown: P0002';

CREATE FUNCTION cancel_session(session_id bigint, reason text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    session sessionize.sessions;
BEGIN
    -- A cancelled session takes no more events: whoever changes that goes through the visitor's row first.
    UPDATE sessionize.visitors AS visitor SET revision = revision + 1
      FROM sessionize.sessions AS target
     WHERE target.session_id = @extschema@.resolve_session($1)
       AND visitor.app_id = target.app_id AND visitor.visitor = target.visitor;
    session := sessionize.lock_session($1);
    IF session.converted_at IS NOT NULL THEN
        RAISE EXCEPTION 'session % is converted and cannot be cancelled', session.session_id
            USING ERRCODE = '55000', DETAIL = format('It was converted at %s.', session.converted_at),
                  HINT = 'Cancel the order instead.';
    ELSIF session.cancelled_at IS NOT NULL THEN
        RETURN; -- said twice
    END IF;
    UPDATE sessionize.sessions AS target SET cancelled_at = now(), cancel_reason = $2
     WHERE target.session_id = session.session_id;
    PERFORM sessionize.record_change(session, 'status', sessionize.status_now(session), 'cancelled', $2, jsonb_build_object('at', now()));
END $$;
COMMENT ON FUNCTION cancel_session(bigint, text) IS
    'the session takes no more events, the visitor''s next one opens a new session. A converted session: 55000; unknown: P0002';

CREATE FUNCTION sessionize.moment_after(facts_at timestamptz[], VARIADIC places integer[]) RETURNS timestamptz
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT sessionize.later(greatest(now() - interval '1 microsecond', max(facts_at[place])), '1 microsecond') FROM unnest(places) AS place;
END;
COMMENT ON FUNCTION sessionize.moment_after(timestamptz[], integer[]) IS
    'now, or just after the instants of some facts of a session where their events are ahead of it';

CREATE FUNCTION sessionize.decide_facts(facts_at timestamptz[], moment timestamptz, VARIADIC places integer[]) RETURNS timestamptz[]
    LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT array_agg(CASE WHEN place = ANY (places) THEN moment ELSE facts_at[place] END ORDER BY place)
      FROM generate_series(1, 7) AS place;
END;
COMMENT ON FUNCTION sessionize.decide_facts(timestamptz[], timestamptz, integer[]) IS
    'facts_at of a session after some of its facts were set at a moment: only later events change them again';

-- As long as LONGEST_FACT in src/core/src/facts.rs: some facts are indexed.
CREATE FUNCTION sessionize.check_length(fact text, value text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF octet_length(value) > 1000 THEN
        RAISE EXCEPTION '% is too long', fact
            USING ERRCODE = '22023', DETAIL = format('It has %s bytes.', octet_length(value)), HINT = 'Use up to 1000 bytes.';
    END IF;
END $$;
COMMENT ON FUNCTION sessionize.check_length(text, text) IS 'refuses a value of a session that is longer than 1,000 bytes (22023)';

CREATE FUNCTION set_cart(session_id bigint, items integer, value numeric, currency text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    session sessionize.sessions := sessionize.lock_session($1);
    moment timestamptz := sessionize.moment_after(session.facts_at, 5, 6, 7);
BEGIN
    IF items < 0 OR value < 0 OR value IN ('NaN', 'Infinity') THEN
        RAISE EXCEPTION 'cart is out of range'
            USING ERRCODE = '22023', DETAIL = format('It has %s items and value %s.', items, value),
                  HINT = 'Pass numbers from 0 on, or NULL for what is not known.';
    END IF;
    PERFORM sessionize.check_length('currency', $4);
    UPDATE sessionize.sessions AS target
       SET cart_items = $2, cart_value = $3, currency = $4, facts_at = sessionize.decide_facts(target.facts_at, moment, 5, 6, 7)
     WHERE target.session_id = session.session_id;
    PERFORM sessionize.record_change(session, 'cart',
        sessionize.cart_text(session.cart_items, session.cart_value::text, session.currency),
        sessionize.cart_text($2, $3::text, $4), NULL,
        jsonb_build_object('at', moment, 'cart_items', $2, 'cart_value', $3, 'currency', $4));
END $$;
COMMENT ON FUNCTION set_cart(bigint, integer, numeric, text) IS
    'what the cart of the session holds now; later events can change it again. Unknown session: P0002';

CREATE FUNCTION link_customer(session_id bigint, customer text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    session sessionize.sessions := sessionize.lock_session($1);
    moment timestamptz := sessionize.moment_after(session.facts_at, 1);
BEGIN
    PERFORM sessionize.check_length('customer', $2);
    UPDATE sessionize.sessions AS target
       SET customer = $2, facts_at = sessionize.decide_facts(target.facts_at, moment, 1)
     WHERE target.session_id = session.session_id;
    PERFORM sessionize.record_change(session, 'customer', session.customer, $2, NULL,
        jsonb_build_object('at', moment, 'customer', $2));
END $$;
COMMENT ON FUNCTION link_customer(bigint, text) IS
    'the session belongs to a known customer; NULL: to nobody known. Unknown session: P0002';

CREATE FUNCTION sessionize.risk_level(app sessionize.apps, score integer) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN score >= app.restricted_from THEN 'restricted'
                WHEN score >= app.review_from THEN 'review'
                WHEN score >= app.monitored_from THEN 'monitored'
                ELSE 'normal' END;
END;
COMMENT ON FUNCTION sessionize.risk_level(sessionize.apps, integer) IS
    'the risk level of a score by the thresholds of the application';

CREATE FUNCTION set_session_risk(session_id bigint, risk text, reason text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    session sessionize.sessions := sessionize.lock_session($1);
    wanted text := sessionize.read_risk($2);
BEGIN
    IF lower($2) = 'all' THEN
        RAISE EXCEPTION 'risk level "all" is a filter, not a level'
            USING ERRCODE = '22023', HINT = 'Use "normal", "monitored", "review" or "restricted"; NULL leaves the level to the rules again.';
    ELSIF wanted IS NOT NULL AND coalesce(btrim($3), '') = '' THEN
        RAISE EXCEPTION 'reason for a risk level must not be empty'
            USING ERRCODE = '22004', HINT = 'Say why the level is set by hand.';
    END IF;
    UPDATE sessionize.sessions AS target
       SET risk = coalesce(wanted, sessionize.risk_level(app, target.risk_score)),
           risk_reasons = CASE WHEN wanted IS NULL THEN target.risk_reasons - 'set_by_hand'
                               ELSE coalesce(target.risk_reasons, '{}') || jsonb_build_object('set_by_hand',
                                    jsonb_build_object('risk', wanted, 'by', current_user, 'at', now(), 'reason', $3)) END
      FROM sessionize.apps AS app
     WHERE target.session_id = session.session_id AND app.app_id = target.app_id
    RETURNING target.risk INTO wanted;
    PERFORM sessionize.record_change(session, 'risk', session.risk, wanted, $3);
END $$;
COMMENT ON FUNCTION set_session_risk(bigint, text, text) IS
    'sets a risk level by hand: it stays, whatever the rules find, until it is cleared with NULL. Unknown session: P0002';
