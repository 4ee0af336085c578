-- Rows written with an id that became part of another session belong to that session.
\getenv source PG_ABS_SRCDIR
\set shop :source /retention_shop.psql
\i :shop

-- An application that keeps the id of its visit, and writes it after two visits were found to be one.
CREATE PROCEDURE bridge(visitor text) LANGUAGE sql AS $$
    INSERT INTO events (visitor, at, received)
    SELECT $1, moment, moment FROM unnest('{0,40}'::integer[]) AS minute, LATERAL (SELECT now() - make_interval(days => 45, mins => -minute)) AS instant (moment);
    INSERT INTO wishlist_interactions SELECT 1, max(session_id) FROM sessions WHERE visitor = $1;
    INSERT INTO events (visitor, at, received) SELECT $1, moment, moment FROM (SELECT now() - make_interval(days => 45, mins => -20)) AS instant (moment);
    INSERT INTO wishlist_interactions SELECT 2, absorbed FROM sessionize.merged_sessions JOIN sessions ON session_id = survivor WHERE visitor = $1;
    INSERT INTO reviews SELECT 'late', absorbed FROM sessionize.merged_sessions JOIN sessions ON session_id = survivor WHERE visitor = $1;
$$;
CALL bridge('mia 45');
CALL bridge('ned 45');
CALL bridge('ole 45');
SELECT source, count(*) FROM sessions, session_timeline(session_id) WHERE visitor = 'mia 45' GROUP BY source ORDER BY source;
SELECT jsonb_array_length(document #> '{dependents,shop.wishlist_interactions}') AS interactions
  FROM export_inactive_sessions(44, 'shop') AS document WHERE document #>> '{session,visitor}' = 'mia 45';
SELECT * FROM erase_visitor('shop', 'mia 45', dry_run => true);
SELECT * FROM erase_visitor('shop', 'mia 45');
SELECT dependents FROM purge_inactive_sessions(44, 'shop', dry_run => true);
DELETE FROM sessions WHERE visitor = 'ole 45';
SELECT dependents FROM purge_inactive_sessions(44, 'shop');
SELECT count(*) FROM wishlist_interactions WHERE item = 2;
SELECT count(*), count(session_id) FROM reviews WHERE review = 'late';
SELECT count(*) FROM sessionize.merged_sessions WHERE app_id = sessionize.app_id('shop');

-- A session that becomes part of another one is not gone: what could not be pointed to that one stays.
CREATE FUNCTION hold_back() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER hold_back BEFORE UPDATE ON wishlist_interactions FOR EACH ROW EXECUTE FUNCTION hold_back();
CALL bridge('pia 45');
SELECT count(*) AS interactions, count(DISTINCT session_id) AS ids, bool_and(resolve_session(session_id) = (SELECT session_id FROM sessions WHERE visitor = 'pia 45')) AS of_pia
  FROM wishlist_interactions;
SELECT dependents FROM erase_visitor('shop', 'pia 45');
SELECT count(*) FROM wishlist_interactions;

\set shop :source /retention_shop_end.psql
\i :shop
