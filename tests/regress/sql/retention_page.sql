-- What the page "Inactive Sessions" says, sentence by sentence.
\getenv source PG_ABS_SRCDIR
\set shop :source /retention_shop.psql
\i :shop

-- "Use the filter dropdown to select how long a session must be idle": 30, 60, 90, 180, 365 days.
SELECT * FROM inactive_session_summary('shop');

-- "The page shows a filtered list of sessions that have been idle for a specified period."
SELECT visitor, customer, status, inactive_days, event_count FROM inactive_sessions(30, 'shop');
SELECT visitor FROM inactive_sessions(180, 'shop');

-- "The session count is shown at the top so you know how many records match."
SELECT days, count_inactive_sessions(days, 'shop') FROM unnest('{30,60,90,180,365}'::integer[]) AS days;

-- "Inactivity: the customer has not returned to the app since the session ended": fay has, so the old session is not listed.
SELECT count(*) FROM inactive_sessions(90, 'shop', search => 'fay 5');

-- "Active sessions are never included in the inactive filter." Neither are sessions of the same visitor that expired.
SELECT count(*) FROM inactive_sessions(1, 'shop') WHERE status = 'active' OR visitor = 'gus 0';

-- "30 days: sessions inactive for 30+ days": to the microsecond. Heartbeats are no return, nor are visits to another
-- application, nor does a visit of long ago that has just been synced count as inactive before it has expired.
BEGIN;
INSERT INTO events (visitor, at, received, kind)
SELECT visitor, moment, CASE WHEN visitor = 'synced' THEN now() ELSE moment END, kind
  FROM (VALUES ('exactly', 0, 'view'), ('not yet', 1, 'view'), ('synced', 0, 'view'), ('beats', 0, 'view'), ('beats', 1000000, 'heartbeat'))
         AS visit (visitor, microseconds, kind),
       LATERAL (SELECT now() - interval '720 hours' + microseconds * interval '1 microsecond') AS instant (moment);
INSERT INTO events (visitor, at, received, kind) VALUES ('beats', now(), now(), 'heartbeat');
CREATE TABLE blog (visitor text, at timestamptz);
SELECT track_sessions('blog', 'visitor', 'at', app => 'blog') > 0 AS tracked FROM create_session_app('blog');
INSERT INTO blog VALUES ('exactly', now());
SELECT visitor, inactive_days, event_count FROM inactive_sessions(30, 'shop') WHERE visitor IN ('exactly', 'not yet', 'synced', 'beats') ORDER BY visitor;
SELECT visitor FROM inactive_sessions(29, 'shop') WHERE visitor IN ('exactly', 'not yet', 'synced', 'beats') ORDER BY visitor;
SELECT sessions, visitors, events FROM purge_inactive_sessions(30, 'shop');
SELECT visitor FROM sessions WHERE visitor IN ('exactly', 'not yet', 'synced', 'beats') ORDER BY visitor;
SELECT visitor, count_inactive_sessions(1, 'blog') FROM sessionize.visitors WHERE app_id = sessionize.app_id('blog');
ROLLBACK;

-- "Anonymous sessions with no linked customer are typically the safest to clean up first."
SELECT visitor FROM inactive_sessions(90, 'shop', anonymous => true);
SELECT visitor FROM inactive_sessions(90, 'shop', anonymous => false);

-- A page at a time, without gap or repetition.
SELECT visitor, cursor AS seen FROM inactive_sessions(30, 'shop', page_size => 4) ORDER BY started_at LIMIT 1 \gset
SELECT visitor FROM inactive_sessions(30, 'shop', page_size => 4, after => :'seen');

-- "Export any data you need before deleting."
SELECT document -> 'session' ->> 'visitor' AS visitor, jsonb_array_length(document #> '{events, shop.events}') AS events,
       document -> 'dependents' ? 'shop.wishlist_interactions' AS with_interactions, document -> 'dependents' ? 'shop.reviews' AS with_reviews
  FROM export_inactive_sessions(180, 'shop') AS document ORDER BY document #> '{session, session_id}';

-- "Review the count of matching sessions", "Confirm the action in the prompt."
SELECT * FROM purge_inactive_sessions(365, 'shop', dry_run => true);
SELECT * FROM remaining;
SELECT * FROM purge_inactive_sessions(365, 'shop', expected => 3);
SELECT * FROM remaining;

-- "Start with the longest inactivity period (365 days) and work your way down."
-- "The session record and all associated activity data. Analytics events tied to the session. Wishlist interactions from
-- the session (the wishlist items themselves are not affected)." "Customer profiles are not deleted." "Order data is never affected."
SELECT count(convert_session(session_id, 'order 1')) FROM sessions WHERE visitor = 'ann 400';
SELECT count(*) AS changes FROM sessionize.session_changes WHERE app_id = sessionize.app_id('shop');
SELECT * FROM purge_inactive_sessions(365, 'shop', expected => 2);
SELECT * FROM remaining;
SELECT count(*) AS changes FROM sessionize.session_changes WHERE app_id = sessionize.app_id('shop');
SELECT customer, (SELECT count(*) FROM sessions WHERE sessions.customer = customers.customer) AS sessions, array_agg(order_id) AS orders
  FROM customers LEFT JOIN orders USING (customer) GROUP BY customer ORDER BY customer;
SELECT * FROM purge_inactive_sessions(90, 'shop', anonymous => true);
SELECT * FROM remaining;

-- Of a visitor with and without customer only the one kind goes; the visitor stays.
INSERT INTO events (visitor, at, received, customer)
SELECT 'mia 120', moment, moment, customer
  FROM (VALUES (150, NULL), (120, 'Mia')) AS visit (days, customer), LATERAL (SELECT now() - make_interval(days => days)) AS instant (moment);
SELECT sessions, visitors, events FROM purge_inactive_sessions(90, 'shop', anonymous => true, expected => 1);
SELECT customer, (SELECT count(*) FROM events WHERE events.session_id = sessions.session_id) AS events,
       (SELECT count(*) FROM visitors WHERE visitor = 'mia 120') AS visitors
  FROM sessions WHERE visitor = 'mia 120';

-- "Deletes all matching sessions, not just the visible page."
INSERT INTO events (visitor, at, received)
SELECT 'one of many ' || v, moment, moment FROM generate_series(1, 120) AS v, (SELECT now() - interval '99 days') AS instant (moment);
SELECT count(*) AS on_the_page FROM inactive_sessions(90, 'shop');
SELECT sessions FROM purge_inactive_sessions(90, 'shop');
SELECT count_inactive_sessions(90, 'shop');
SELECT visitor FROM sessions ORDER BY visitor, started_at;

-- "The operation cannot be undone": nothing points to what is gone, and every purge is written down.
SELECT count(*) FROM events WHERE session_id IS NOT NULL AND session_id NOT IN (SELECT session_id FROM sessions);
SELECT count(*) FROM reviews WHERE session_id IS NOT NULL AND session_id NOT IN (SELECT session_id FROM sessions);
SELECT kind, filter, run_by = current_user AS by_me, finished_at >= started_at AS took_time, sessions, visitors, events, dependents, outcome
  FROM sessionize.purges ORDER BY purge_id;

\set shop :source /retention_shop_end.psql
\i :shop
