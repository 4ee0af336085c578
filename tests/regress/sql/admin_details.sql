-- The session detail page: metrics, timestamps, security, cart, timeline, technical details.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE TABLE "Detail Events" (who text, occurred_at timestamptz, received_at timestamptz, kind text, url text);
CREATE TABLE wishlist_clicks (session_id bigint, clicked_at timestamptz, item text, happened boolean);
CREATE INDEX ON wishlist_clicks (session_id);
SELECT track_sessions('"Detail Events"', 'who', 'occurred_at', app => 'details', kind => 'kind', received_at => 'received_at') > 0 AS tracked
  FROM create_session_app('details');
INSERT INTO "Detail Events" VALUES ('anna', '2026-05-10 11:27+00', '2026-05-10 11:27+00', 'view', '/'),
                                   ('anna', '2026-05-10 11:30+00', '2026-05-10 11:30+00', 'add_to_cart', '/lamp');
SELECT session_id, token FROM sessionize.sessions WHERE app_id = sessionize.app_id('details') \gset
INSERT INTO sessionize.dependents (relation, session_id, on_purge) VALUES ('wishlist_clicks', 'session_id', 'delete');
INSERT INTO wishlist_clicks VALUES (:session_id, '2026-05-10 11:29+00', 'lamp', true), (:session_id + 1, '2026-05-10 11:29+00', 'chair', true);
SELECT set_cart(:session_id, 1, 59, 'EUR');
SELECT set_session_risk(:session_id, 'review', 'odd address');
SELECT convert_session(:session_id, 'order 9', '2026-05-10 11:40+00');

\qecho 'Click View on any session row to open the detailed session view.'
SELECT key FROM jsonb_object_keys(session_details(:session_id)) AS key ORDER BY key;
SELECT session_details(:'token') = session_details(:session_id) AS same_by_token;

\qecho 'Full session metrics and timestamps'
SELECT (session_details(:session_id) -> 'metrics') - 'started' AS metrics;
SELECT session_details(:session_id) -> 'timestamps' AS timestamps;
SELECT jsonb_path_query_array(session_details(:session_id), '$.status.history[*].status') AS history,
       session_details(:session_id) #>> '{status,status}' AS status, session_details(:session_id) #>> '{status,order_ref}' AS order_ref;

\qecho 'Security analysis with AI fraud detection: here rules, or what somebody or something else has found, with who and why'
SELECT session_details(:session_id) #> '{security,risk}' AS risk, session_details(:session_id) #>> '{security,set_by_hand,reason}' AS why;

\qecho 'Cart contents and timeline'
SELECT session_details(:session_id) -> 'cart' AS cart;
SELECT source, event, detail - 'by' AS detail FROM session_timeline(:session_id);
SELECT jsonb_array_length(session_details(:session_id) -> 'timeline');

\qecho 'Technical details for debugging'
SELECT (session_details(:session_id) -> 'technical') - 'app_id' AS technical;

\qecho 'A session that was merged into another, and a renamed column.'
INSERT INTO "Detail Events" (who, occurred_at, received_at) VALUES
    ('boris', '2026-05-10 11:00+00', '2026-05-10 11:00+00'), ('boris', '2026-05-10 11:40+00', '2026-05-10 11:40+00');
INSERT INTO "Detail Events" (who, occurred_at, received_at) VALUES
    ('boris', '2026-05-10 11:20+00', '2026-05-10 11:41+00');
SELECT jsonb_array_length(session_details(absorbed) #> '{technical,merged_ids}') AS merged,
       session_details(absorbed) #>> '{metrics,event_count}' AS event_count,
       (SELECT count(*) FROM session_timeline(absorbed) WHERE source = 'merge') AS in_timeline
  FROM sessionize.merged_sessions WHERE app_id = sessionize.app_id('details');

\qecho 'Two that were converted, and then found to be one, were converted once.'
INSERT INTO "Detail Events" (who, occurred_at, received_at) VALUES
    ('cyril', '2026-05-10 11:00+00', '2026-05-10 11:00+00'), ('cyril', '2026-05-10 11:40+00', '2026-05-10 11:40+00');
SELECT count(convert_session(session_id, at => '2026-05-10 11:40+00')) AS converted FROM sessionize.sessions WHERE visitor = 'cyril';
INSERT INTO "Detail Events" (who, occurred_at, received_at) VALUES
    ('cyril', '2026-05-10 11:20+00', '2026-05-10 11:41+00');
SELECT jsonb_path_query_array(session_details(session_id), '$.status.history[*].status') AS history FROM sessionize.sessions WHERE visitor = 'cyril';

ALTER TABLE "Detail Events" RENAME kind TO "What";
SELECT source, event FROM session_timeline(:session_id) LIMIT 1;
DELETE FROM sessionize.dependents;
DROP TABLE "Detail Events", wishlist_clicks;
SELECT count(*) AS changes_remain FROM session_timeline(:session_id);

\qecho 'Tables of others are read with the rights of their owners, whose code runs with the rights of nobody else.'
CREATE ROLE sessionize_details_owner;
CREATE ROLE sessionize_details_viewer;
SELECT grant_session_reader('sessionize_details_viewer');
CREATE SCHEMA details_owner AUTHORIZATION sessionize_details_owner;
SET ROLE sessionize_details_owner;
CREATE TYPE details_owner.mood AS ENUM ('view', 'order');
CREATE FUNCTION details_owner.spy(details_owner.mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN RETURN to_json(current_user); END $$;
CREATE FUNCTION details_owner.spy_text(details_owner.mood) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'read by ' || current_user; END $$;
CREATE CAST (details_owner.mood AS json) WITH FUNCTION details_owner.spy(details_owner.mood);
CREATE CAST (details_owner.mood AS text) WITH FUNCTION details_owner.spy_text(details_owner.mood);
CREATE TABLE details_owner.moods (who text, at timestamptz, happened details_owner.mood, document json);
RESET ROLE;
SELECT track_sessions('details_owner.moods', 'who', 'at', app => 'details', kind => 'happened') > 0 AS tracked;
-- a zero is something that jsonb cannot hold, an escaped backslash before it is not
INSERT INTO details_owner.moods VALUES ('dina', now() - interval '10 days', 'view', '["\u0000\u0000", "\\u0000", "\\\u0000", {"\u0000": 1}]');
SELECT session_id FROM details_owner.moods \gset
SELECT source, event, detail - 'at' AS detail FROM session_timeline(:session_id);
SELECT session_details(:session_id) #>> '{timeline,0,detail,happened}' AS details_read_by;
UPDATE sessionize.sessions SET closes_at = now() - interval '9 days', expires_at = now() - interval '8 days' WHERE session_id = :session_id;
SELECT (document #> '{events,details_owner.moods,0}') - '{at,session_id}'::text[] AS exported FROM export_inactive_sessions(5, 'details') AS document
 WHERE document #>> '{session,visitor}' = 'dina';

\qecho 'What the caller may not read is left out, with what is missing.'
\set SHOW_CONTEXT never
SET client_min_messages = notice;
SET ROLE sessionize_details_viewer;
SELECT count(*) FROM session_timeline(:session_id);
RESET ROLE;
GRANT USAGE ON SCHEMA details_owner TO sessionize_details_viewer;
SET ROLE sessionize_details_viewer;
SELECT count(*) FROM session_timeline(:session_id);
RESET ROLE;
GRANT SELECT ON details_owner.moods TO sessionize_details_viewer;
ALTER TABLE details_owner.moods ENABLE ROW LEVEL SECURITY;
SET ROLE sessionize_details_viewer;
SELECT count(*) FROM session_timeline(:session_id);
SELECT * FROM sessionize.timeline_rows('details_owner.moods', sessionize.app_id('details'), :session_id);
RESET ROLE;
ALTER TABLE details_owner.moods DISABLE ROW LEVEL SECURITY;
SET ROLE sessionize_details_viewer;
SELECT count(*) FROM session_timeline(:session_id);
RESET ROLE;
SET client_min_messages = warning;
DROP TABLE details_owner.moods;
DROP OWNED BY sessionize_details_owner, sessionize_details_viewer CASCADE;
DROP ROLE sessionize_details_owner, sessionize_details_viewer;
