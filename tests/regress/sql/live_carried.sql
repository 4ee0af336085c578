-- Rows that are corrected take along what they said of their session; what people said of it stays with it.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
\set oracle :folder /../oracle.sql
\i :oracle
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET client_min_messages = warning;

CREATE TABLE carried (n integer PRIMARY KEY, visitor text, at timestamptz, kind text DEFAULT 'view', country text, account text, items integer, value numeric, currency text);
SELECT create_session_app('carried', conversion_kinds => '{order}', cancellation_kinds => '{logout}') > 0 AS made;
SELECT track_sessions('carried', 'visitor', 'at', 'carried', kind => 'kind', country => 'country', customer => 'account',
                      cart_items => 'items', cart_value => 'value', currency => 'currency') > 0 AS tracked;
CREATE VIEW mine AS SELECT s.* FROM sessionize.sessions AS s JOIN sessionize.apps USING (app_id) WHERE name = 'carried';
CREATE FUNCTION look(who text) RETURNS TABLE ("from" text, "to" text, events bigint, converted text, order_ref text, cancelled text, why text,
                                              country text, customer text, cart text) LANGUAGE sql AS $$
    SELECT to_char(started_at, 'HH24:MI'), to_char(last_event_at, 'HH24:MI'), event_count, to_char(converted_at, 'HH24:MI'), order_ref,
           to_char(cancelled_at, 'HH24:MI'), cancel_reason, country, customer, concat_ws(' ', cart_items, cart_value, currency)
      FROM mine WHERE visitor = who ORDER BY started_at, session_id
$$;
CREATE FUNCTION session_of(event integer) RETURNS bigint LANGUAGE sql AS 'SELECT session_id FROM carried WHERE n = event';

-- What events said goes with them to the other part, and is not said twice
INSERT INTO carried VALUES
    (1, 'ann', '2026-01-01 10:00+00', 'view', 'CZ', 'k1', 1, 10, 'CZK'), (2, 'ann', '2026-01-01 10:10+00', 'view', NULL, NULL, 2, 20, 'CZK'),
    (3, 'ann', '2026-01-01 10:20+00', 'order', 'DE', 'k2', 3, 30, 'EUR');
SELECT * FROM look('ann');
UPDATE carried SET at = '2026-01-01 12:00+00' WHERE n = 3;
SELECT * FROM look('ann');
SELECT * FROM suite.wrong('carried');
SELECT what, old_value, new_value, reason FROM sessionize.session_changes JOIN mine USING (session_id) WHERE visitor = 'ann' ORDER BY change_id;
-- … also to another visitor, and back
UPDATE carried SET visitor = 'bob' WHERE n IN (1, 3);
SELECT * FROM look('ann');
SELECT * FROM look('bob');
SELECT * FROM suite.wrong('carried');
UPDATE carried SET visitor = 'ann', at = CASE n WHEN 3 THEN '2026-01-01 10:20+00' ELSE at END WHERE n IN (1, 3);
SELECT * FROM look('ann');
SELECT * FROM suite.wrong('carried');
-- by rebuild_sessions too: rows that went, without the triggers
DELETE FROM carried WHERE n = 3;
SELECT rebuild_sessions('carried', 'ann');
SELECT * FROM look('ann');
SELECT * FROM suite.wrong('carried');

-- What people said stays with the session that they said it of
INSERT INTO carried VALUES
    (11, 'cat', '2026-01-02 10:00+00', 'view', 'CZ', 'k1', 1, 10, 'CZK'), (12, 'cat', '2026-01-02 10:20+00', 'order', 'DE', 'k2', 2, 20, 'EUR');
SELECT convert_session(session_of(11), 'order 7', '2026-01-02 10:15+00'), set_cart(session_of(11), 9, 99.50, 'USD'), link_customer(session_of(11), 'k9');
UPDATE carried SET at = '2026-01-02 12:00+00' WHERE n = 12;
SELECT * FROM look('cat');
-- … through merging and splitting again
UPDATE carried SET at = '2026-01-02 10:20+00' WHERE n = 12;
SELECT * FROM look('cat');
UPDATE carried SET at = '2026-01-02 09:00+00' WHERE n = 12;
SELECT * FROM look('cat');
SELECT rebuild_sessions('carried', 'cat');
SELECT * FROM look('cat');
-- an event that came before the conversion by hand decides when, as long as it is there
INSERT INTO carried VALUES (21, 'dee', '2026-01-03 10:00+00', 'view'), (22, 'dee', '2026-01-03 10:20+00', 'order');
SELECT convert_session(session_of(21), 'order 8', '2026-01-03 10:25+00');
SELECT * FROM look('dee');
UPDATE carried SET at = '2026-01-03 12:00+00' WHERE n = 22;
SELECT * FROM look('dee');
-- the last word of a person counts, and a later event counts more as long as it is there
INSERT INTO carried VALUES (31, 'eve', now() - interval '50 minutes', 'view', NULL, 'k1'), (32, 'eve', now() - interval '40 minutes', 'view', NULL, 'k2');
SELECT link_customer(session_of(31), 'k8'), link_customer(session_of(31), 'k9'), link_customer(session_of(31), 'k9');
INSERT INTO carried VALUES (33, 'eve', clock_timestamp() + interval '10 minutes', 'view', NULL, 'k3'), (34, 'eve', now() - interval '15 minutes', 'view', NULL, NULL);
SELECT event_count, customer FROM mine WHERE visitor = 'eve';
UPDATE carried SET at = now() - interval '30 minutes' WHERE n = 33;
SELECT event_count, customer FROM mine WHERE visitor = 'eve';
SELECT link_customer(session_of(31), NULL);
SELECT rebuild_sessions('carried', 'eve');
SELECT event_count, customer FROM mine WHERE visitor = 'eve';
SELECT what, old_value, new_value FROM sessionize.session_changes JOIN mine USING (session_id) WHERE visitor = 'eve' ORDER BY change_id;

-- A session without an event in front of it keeps its id, its token and what people said of it
INSERT INTO carried VALUES (41, 'fay', '2026-01-04 10:00+00');
SELECT convert_session(session_of(41), 'order 9', '2026-01-04 10:05+00');
SELECT session_id, token FROM mine WHERE visitor = 'fay' \gset
SET session_replication_role = replica;
INSERT INTO carried VALUES (42, 'fay', '2026-01-04 09:50+00');
RESET session_replication_role;
SELECT rebuild_sessions('carried', 'fay');
SELECT * FROM look('fay');
SELECT session_id = :session_id AS same_id, token = :'token' AS same_token FROM mine WHERE visitor = 'fay';
-- two that become one: what was said of either
INSERT INTO carried VALUES (43, 'fay', '2026-01-04 11:00+00', 'view', 'AT', 'k1');
SELECT convert_session(session_of(43), at => '2026-01-04 11:05+00'), set_cart(session_of(43), 4, 40, 'EUR');
UPDATE carried SET at = '2026-01-04 10:10+00' WHERE n = 43;
SELECT * FROM look('fay');
SELECT session_id = :session_id AS same_id FROM mine WHERE visitor = 'fay';
SELECT rebuild_sessions('carried', 'fay');
SELECT * FROM look('fay');

-- Cancelled by an event: as long as it is there, and as long as it comes first
INSERT INTO carried VALUES (51, 'gus', '2026-01-05 10:00+00', 'view'), (52, 'gus', '2026-01-05 10:10+00', 'logout'), (53, 'gus', '2026-01-05 10:20+00', 'view');
SELECT * FROM look('gus');
SELECT rebuild_sessions('carried', 'gus');
SELECT * FROM look('gus');
UPDATE carried SET at = '2026-01-05 10:30+00' WHERE n = 52;
SELECT * FROM look('gus');
UPDATE carried SET visitor = 'hal' WHERE n = 52;
SELECT * FROM look('gus');
SELECT * FROM look('hal');
SELECT what, old_value, new_value, reason FROM sessionize.session_changes JOIN mine USING (session_id) WHERE visitor IN ('gus', 'hal') ORDER BY change_id;
-- Cancelled by a person: stays, and takes nothing; a row that is no longer near leaves it
INSERT INTO carried VALUES (61, 'ian', '2026-01-06 10:00+00', 'view', 'CZ'), (62, 'ian', '2026-01-06 10:10+00', 'view', 'DE'), (63, 'ian', '2026-01-06 10:20+00', 'view', NULL);
SELECT cancel_session(session_of(61), 'event');
INSERT INTO carried VALUES (64, 'ian', '2026-01-06 10:25+00');
SELECT rebuild_sessions('carried', 'ian');
SELECT "from", "to", events, cancelled IS NOT NULL AS cancelled, why, country FROM look('ian');
UPDATE carried SET at = '2026-01-06 18:00+00' WHERE n = 61;
UPDATE carried SET visitor = 'joe' WHERE n = 63;
SELECT "from", "to", events, cancelled IS NOT NULL AS cancelled, why, country FROM look('ian');
SELECT * FROM look('joe');
SELECT count(*) AS misplaced FROM carried JOIN sessionize.sessions AS s USING (session_id) WHERE carried.visitor <> s.visitor OR carried.at NOT BETWEEN s.started_at AND s.last_event_at;

-- A second time changes nothing
CREATE TEMPORARY TABLE before AS TABLE mine;
SELECT count(rebuild_sessions('carried', visitor)) AS rebuilt FROM (SELECT DISTINCT visitor FROM before) AS everyone;
SELECT suite.differences('TABLE mine', 'TABLE before') AS differences;

DROP VIEW mine;
DROP TABLE carried;
DROP FUNCTION look, session_of;
SELECT drop_session_app('carried');
