\qecho
\qecho '== Live: every event gets its session as it arrives'
\qecho

\set ECHO queries
CREATE TABLE live_events (visitor text, occurred_at timestamptz, received_at timestamptz, kind text);

\o /dev/null
SELECT create_session_app('live', timeout => '30 minutes', grace => '24 hours');
SELECT track_sessions('live_events', 'visitor', 'occurred_at', app => 'live', kind => 'kind', received_at => 'received_at');
\o

\set ECHO none
-- The same events once more, each with the moment at which it reaches the database: one in five comes up to twenty
-- hours late, as from a phone that was offline. With a column for it (received_at) the past can be replayed.
CREATE TEMPORARY TABLE deliveries AS
SELECT row_number() OVER (ORDER BY visitor, occurred_at, luck) AS delivery, 0 AS step, visitor, occurred_at, kind,
       occurred_at + CASE WHEN luck % 5 = 0 THEN make_interval(secs => luck % 72000) ELSE interval '1 second' END AS received_at
FROM events, LATERAL (SELECT abs(hashtext(visitor || occurred_at || coalesce(kind, ''))::bigint)) AS chance (luck);

-- A visit to look at closely: without one of its events it falls apart in two. Rather one of about seven events.
CREATE TEMPORARY TABLE chosen AS
WITH numbered AS (
    SELECT delivery, visitor, occurred_at, session_number(occurred_at, '30 minutes') OVER w AS number,
           lag(occurred_at) OVER w AS before, lead(occurred_at) OVER w AS after
    FROM deliveries
    WINDOW w AS (PARTITION BY visitor ORDER BY occurred_at)
), counted AS (
    SELECT *, count(*) OVER v AS size, rank() OVER (v ORDER BY occurred_at) AS place FROM numbered WINDOW v AS (PARTITION BY visitor, number)
), bridge AS (
    SELECT * FROM counted
    WHERE occurred_at - before < '30 minutes' AND after - occurred_at < '30 minutes' AND after - before >= '30 minutes'
    ORDER BY place < 4, abs(size - 7), visitor, occurred_at
    LIMIT 1
)
SELECT counted.delivery,
       CASE WHEN counted.delivery = bridge.delivery THEN 4
            WHEN counted.occurred_at > bridge.occurred_at THEN 3
            WHEN rank() OVER (ORDER BY counted.occurred_at, counted.delivery) = 1 THEN 1 ELSE 2 END AS step,
       max(counted.occurred_at) OVER () AS last_event_at
FROM counted JOIN bridge USING (visitor, number);

UPDATE deliveries
SET step = chosen.step, received_at = CASE chosen.step WHEN 4 THEN last_event_at + interval '10 minutes' ELSE occurred_at + interval '1 second' END
FROM chosen WHERE chosen.delivery = deliveries.delivery;
ALTER TABLE deliveries ADD COLUMN hour timestamptz;
UPDATE deliveries SET hour = date_trunc('hour', received_at);
CREATE INDEX ON deliveries (step, hour);
ANALYZE deliveries;

\set look 'SELECT session_id, started_at, last_event_at, closes_at, event_count, late_count FROM sessionize.sessions ORDER BY started_at;'
SELECT count(*) > 0 AS found FROM chosen
\gset
\if :found

\qecho
\qecho '== A visitor comes'
\qecho
\set ECHO queries
INSERT INTO live_events SELECT visitor, occurred_at, received_at, kind FROM deliveries WHERE step = 1 RETURNING *;
\set ECHO none

\qecho '== and looks around: the session grows'
\qecho
\set ECHO queries
INSERT INTO live_events SELECT visitor, occurred_at, received_at, kind FROM deliveries WHERE step = 2 ORDER BY received_at;
\set ECHO none
:look

\qecho '== More than 30 minutes later: a second session'
\qecho
\set ECHO queries
INSERT INTO live_events SELECT visitor, occurred_at, received_at, kind FROM deliveries WHERE step = 3 ORDER BY received_at;
\set ECHO none
:look

\qecho '== One event from in between was held up on its way. It bridges the two sessions, and they become one'
\qecho
\set ECHO queries
INSERT INTO live_events SELECT visitor, occurred_at, received_at, kind FROM deliveries WHERE step = 4;

SELECT occurred_at, received_at, kind, session_id FROM live_events ORDER BY occurred_at;
\set ECHO none
:look
\set ECHO queries
SELECT absorbed, survivor, resolve_session(absorbed) FROM sessionize.merged_sessions;
\set ECHO none
\endif

\qecho
\qecho '== All other events, hour by hour as they arrive, one in five of them late'
\qecho

\set ECHO queries
DO $$
DECLARE
    now_it_is timestamptz;
BEGIN
    FOR now_it_is IN SELECT DISTINCT hour FROM deliveries WHERE step = 0 ORDER BY hour LOOP
        INSERT INTO live_events
        SELECT visitor, occurred_at, received_at, kind FROM deliveries WHERE step = 0 AND hour = now_it_is ORDER BY received_at;
    END LOOP;
END $$;
\qecho

SELECT events, late_events, sessions, merges AS merged_sessions FROM sessionize.app_statistics WHERE app = 'live';

\set ECHO none
\qecho
\qecho '== Live equals batch: what the triggers made of them against what the aggregate makes of the whole table'
\qecho

\set ECHO queries
CREATE TEMPORARY VIEW live AS
SELECT visitor, started_at, last_event_at, event_count FROM sessionize.sessions JOIN sessionize.apps USING (app_id) WHERE name = 'live';
CREATE TEMPORARY VIEW batch AS
SELECT visitor, s.started_at, s.last_event_at, s.event_count FROM visits, session_spans(sessions) AS s;

SELECT (SELECT count(*) FROM live) AS live_sessions, (SELECT count(*) FROM batch) AS batch_sessions,
       (SELECT count(*) FROM (TABLE live EXCEPT ALL TABLE batch) AS only_live)
       + (SELECT count(*) FROM (TABLE batch EXCEPT ALL TABLE live) AS only_batch) || ' differences' AS compared;

SELECT count(*) AS events, count(*) FILTER (WHERE occurred_at BETWEEN started_at AND last_event_at) AS inside_their_session
FROM live_events JOIN sessionize.sessions USING (session_id, visitor);
\set ECHO none
