-- Whole tables at once: the type sessionset, the aggregates that make one, and what can be asked of it.

CREATE TYPE sessionset;

CREATE FUNCTION sessionset_in(cstring) RETURNS sessionset
    AS 'MODULE_PATHNAME', 'sessionset_input' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION sessionset_out(sessionset) RETURNS cstring
    AS 'MODULE_PATHNAME', 'sessionset_output' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION sessionset_recv(internal) RETURNS sessionset
    AS 'MODULE_PATHNAME', 'sessionset_receive' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION sessionset_send(sessionset) RETURNS bytea
    AS 'MODULE_PATHNAME', 'sessionset_send' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;

CREATE TYPE sessionset (
    INPUT = sessionset_in,
    OUTPUT = sessionset_out,
    RECEIVE = sessionset_recv,
    SEND = sessionset_send,
    STORAGE = extended,
    ALIGNMENT = int4
);

COMMENT ON TYPE sessionset IS
    'the sessions of one visitor under one rule; a compact, versioned value that can be stored, dumped and merged by rollup()';
COMMENT ON FUNCTION sessionset_in(cstring) IS 'JSON text to sessionset; other text is refused (22P02)';
COMMENT ON FUNCTION sessionset_out(sessionset) IS 'sessionset to JSON text';
COMMENT ON FUNCTION sessionset_recv(internal) IS 'binary form to sessionset; corrupt or foreign bytes are refused (22P03)';
COMMENT ON FUNCTION sessionset_send(sessionset) IS 'sessionset to its binary form';

-- Equal sets have equal bytes. That lets rows that hold sets be compared: for GROUP BY, DISTINCT, and REPLICA IDENTITY FULL.

CREATE FUNCTION sessionset_eq(sessionset, sessionset) RETURNS boolean
    AS 'byteaeq' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION sessionset_ne(sessionset, sessionset) RETURNS boolean
    AS 'byteane' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION sessionset_hash(sessionset) RETURNS integer
    AS 'hashvarlena' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION sessionset_hash_extended(sessionset, bigint) RETURNS bigint
    AS 'hashvarlenaextended' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE OPERATOR = (
    FUNCTION = sessionset_eq, LEFTARG = sessionset, RIGHTARG = sessionset,
    COMMUTATOR = =, NEGATOR = <>, RESTRICT = eqsel, JOIN = eqjoinsel, HASHES
);
CREATE OPERATOR <> (
    FUNCTION = sessionset_ne, LEFTARG = sessionset, RIGHTARG = sessionset,
    COMMUTATOR = <>, NEGATOR = =, RESTRICT = neqsel, JOIN = neqjoinsel
);
CREATE OPERATOR CLASS sessionset_ops DEFAULT FOR TYPE sessionset USING hash AS
    OPERATOR 1 =,
    FUNCTION 1 sessionset_hash(sessionset),
    FUNCTION 2 sessionset_hash_extended(sessionset, bigint);

COMMENT ON FUNCTION sessionset_eq(sessionset, sessionset) IS 'implementation of =';
COMMENT ON FUNCTION sessionset_ne(sessionset, sessionset) IS 'implementation of <>';
COMMENT ON FUNCTION sessionset_hash(sessionset) IS 'hash of a set, for sessionset_ops';
COMMENT ON FUNCTION sessionset_hash_extended(sessionset, bigint) IS 'hash of a set with a seed, for sessionset_ops';
COMMENT ON OPERATOR = (sessionset, sessionset) IS 'whether rule and sessions are the same';
COMMENT ON OPERATOR <> (sessionset, sessionset) IS 'whether rule or sessions differ';
COMMENT ON OPERATOR CLASS sessionset_ops USING hash IS 'equality of session sets';
COMMENT ON OPERATOR FAMILY sessionset_ops USING hash IS 'equality of session sets';

-- Support functions of the aggregates. Their first argument is internal, so SQL cannot call them.

CREATE FUNCTION sessionize_transition(internal, timestamptz) RETURNS internal
    AS 'MODULE_PATHNAME', 'sessionize_transition' LANGUAGE c IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION sessionize_transition(internal, timestamptz, interval) RETURNS internal
    AS 'MODULE_PATHNAME', 'sessionize_transition' LANGUAGE c IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION sessionize_transition(internal, timestamptz, interval, text) RETURNS internal
    AS 'MODULE_PATHNAME', 'sessionize_transition' LANGUAGE c IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION sessionize_daily_transition(internal, timestamptz, text) RETURNS internal
    AS 'MODULE_PATHNAME', 'sessionize_daily_transition' LANGUAGE c IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION sessionize_rollup_transition(internal, sessionset) RETURNS internal
    AS 'MODULE_PATHNAME', 'sessionize_add_set' LANGUAGE c IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION sessionize_combine(internal, internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'sessionize_combine' LANGUAGE c IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION sessionize_serialize(internal) RETURNS bytea
    AS 'MODULE_PATHNAME', 'sessionize_serialize' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION sessionize_deserialize(bytea, internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'sessionize_deserialize' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION sessionize_finish(internal) RETURNS sessionset
    AS 'MODULE_PATHNAME', 'sessionize_finish' LANGUAGE c IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION sessionize_transition(internal, timestamptz) IS 'adds an event to the state of sessionize()';
COMMENT ON FUNCTION sessionize_transition(internal, timestamptz, interval) IS 'adds an event to the state of sessionize()';
COMMENT ON FUNCTION sessionize_transition(internal, timestamptz, interval, text) IS 'adds an event to the state of sessionize()';
COMMENT ON FUNCTION sessionize_daily_transition(internal, timestamptz, text) IS 'adds an event to the state of sessionize_daily()';
COMMENT ON FUNCTION sessionize_rollup_transition(internal, sessionset) IS 'adds a set to the state of rollup()';
COMMENT ON FUNCTION sessionize_combine(internal, internal) IS 'brings together the states of parallel workers';
COMMENT ON FUNCTION sessionize_serialize(internal) IS 'a state as bytes, for parallel workers';
COMMENT ON FUNCTION sessionize_deserialize(bytea, internal) IS 'a state from bytes, for parallel workers';
COMMENT ON FUNCTION sessionize_finish(internal) IS 'the sessionset of a state';

CREATE AGGREGATE sessionize(occurred_at timestamptz) (
    SFUNC = sessionize_transition, STYPE = internal, SSPACE = 128,
    FINALFUNC = sessionize_finish,
    COMBINEFUNC = sessionize_combine, SERIALFUNC = sessionize_serialize, DESERIALFUNC = sessionize_deserialize,
    PARALLEL = SAFE
);
CREATE AGGREGATE sessionize(occurred_at timestamptz, timeout interval) (
    SFUNC = sessionize_transition, STYPE = internal, SSPACE = 128,
    FINALFUNC = sessionize_finish,
    COMBINEFUNC = sessionize_combine, SERIALFUNC = sessionize_serialize, DESERIALFUNC = sessionize_deserialize,
    PARALLEL = SAFE
);
CREATE AGGREGATE sessionize(occurred_at timestamptz, timeout interval, boundary text) (
    SFUNC = sessionize_transition, STYPE = internal, SSPACE = 128,
    FINALFUNC = sessionize_finish,
    COMBINEFUNC = sessionize_combine, SERIALFUNC = sessionize_serialize, DESERIALFUNC = sessionize_deserialize,
    PARALLEL = SAFE
);
CREATE AGGREGATE sessionize_daily(occurred_at timestamptz, time_zone text) (
    SFUNC = sessionize_daily_transition, STYPE = internal, SSPACE = 128,
    FINALFUNC = sessionize_finish,
    COMBINEFUNC = sessionize_combine, SERIALFUNC = sessionize_serialize, DESERIALFUNC = sessionize_deserialize,
    PARALLEL = SAFE
);
CREATE AGGREGATE rollup(sessionset) (
    SFUNC = sessionize_rollup_transition, STYPE = internal, SSPACE = 128,
    FINALFUNC = sessionize_finish,
    COMBINEFUNC = sessionize_combine, SERIALFUNC = sessionize_serialize, DESERIALFUNC = sessionize_deserialize,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE sessionize(timestamptz) IS
    'the sessions of one visitor: events less than 30 minutes apart belong together; the order of events does not matter, NULL and infinite instants are skipped';
COMMENT ON AGGREGATE sessionize(timestamptz, interval) IS
    'the sessions of one visitor: events less than the timeout apart belong together (positive, up to 366 days, no months; else 22023)';
COMMENT ON AGGREGATE sessionize(timestamptz, interval, text) IS
    'the sessions of one visitor; boundary says whether events exactly the timeout apart belong together: ''exclusive'' (no) or ''inclusive'' (yes)';
COMMENT ON AGGREGATE sessionize_daily(timestamptz, text) IS
    'the sessions of one visitor: one for each calendar day of an IANA time zone (unknown zone: 22023)';
COMMENT ON AGGREGATE rollup(sessionset) IS
    'the union of sets, merged: rollup of partial sets equals sessionize of all events; sets of different rules are refused (22023)';

-- What can be asked of a set.

CREATE FUNCTION session_count(sessions sessionset) RETURNS bigint
    AS 'MODULE_PATHNAME', 'sessionset_session_count' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION event_count(sessions sessionset) RETURNS bigint
    AS 'MODULE_PATHNAME', 'sessionset_event_count' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION total_duration(sessions sessionset) RETURNS interval
    AS 'MODULE_PATHNAME', 'sessionset_total_duration' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION average_duration(sessions sessionset) RETURNS interval
    AS 'MODULE_PATHNAME', 'sessionset_average_duration' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION bounce_rate(sessions sessionset) RETURNS double precision
    AS 'MODULE_PATHNAME', 'sessionset_bounce_rate' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION session_spans(
    sessions sessionset,
    OUT session_number bigint, OUT started_at timestamptz, OUT last_event_at timestamptz,
    OUT event_count bigint, OUT duration interval
) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'sessionset_spans' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 5;
CREATE FUNCTION session_at(
    sessions sessionset, at timestamptz,
    OUT session_number bigint, OUT started_at timestamptz, OUT last_event_at timestamptz,
    OUT event_count bigint, OUT duration interval
) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'sessionset_at' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 1;

COMMENT ON FUNCTION session_count(sessionset) IS 'how many sessions the set holds';
COMMENT ON FUNCTION event_count(sessionset) IS 'how many events all sessions of the set hold';
COMMENT ON FUNCTION total_duration(sessionset) IS 'the time from first to last event, summed over all sessions';
COMMENT ON FUNCTION average_duration(sessionset) IS 'the mean time from first to last event; NULL without sessions';
COMMENT ON FUNCTION bounce_rate(sessionset) IS 'the share of sessions with a single event, 0 to 1; NULL without sessions';
COMMENT ON FUNCTION session_spans(sessionset) IS 'one row for each session, earliest first';
COMMENT ON FUNCTION session_at(sessionset, timestamptz) IS
    'the session whose first to last event covers the instant, or no row';

CREATE FUNCTION tstzmultirange(sessions sessionset) RETURNS tstzmultirange
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(range_agg(tstzrange(span.started_at, span.last_event_at, '[]')), '{}'::tstzmultirange)
      FROM session_spans(sessions) AS span;
END;
COMMENT ON FUNCTION tstzmultirange(sessionset) IS 'the range [first event, last event] of each session';

CREATE CAST (sessionset AS tstzmultirange) WITH FUNCTION tstzmultirange(sessionset);
COMMENT ON CAST (sessionset AS tstzmultirange) IS 'the range [first event, last event] of each session';

-- Numbers for each row, in a window.

CREATE FUNCTION session_number(occurred_at timestamptz) RETURNS bigint
    AS 'MODULE_PATHNAME', 'sessionize_number' LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION session_number(occurred_at timestamptz, timeout interval) RETURNS bigint
    AS 'MODULE_PATHNAME', 'sessionize_number' LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION session_number(occurred_at timestamptz, timeout interval, boundary text) RETURNS bigint
    AS 'MODULE_PATHNAME', 'sessionize_number' LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION session_number(timestamptz) IS
    'the number of the session that a row falls into: session_number(occurred_at) OVER (PARTITION BY visitor ORDER BY occurred_at); NULL and infinite instants give NULL';
COMMENT ON FUNCTION session_number(timestamptz, interval) IS
    'the number of the session that a row falls into, under a timeout of one''s own';
COMMENT ON FUNCTION session_number(timestamptz, interval, text) IS
    'the number of the session that a row falls into, under a timeout and a boundary (''exclusive'' or ''inclusive'') of one''s own';
