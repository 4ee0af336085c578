-- The same in batches that commit, with what a database administrator needs to leave it alone.
\getenv source PG_ABS_SRCDIR
\set shop :source /retention_shop.psql
\i :shop

CALL sweep_inactive_sessions(30, 'shop', batch_size => 2, pause => '1 millisecond');
SELECT * FROM remaining;
SELECT kind, filter, sessions, visitors, events, dependents, kept, outcome, detail FROM sessionize.purges;
SELECT process, subject, done, total, state FROM sessionize.progress;

-- It stops in time, and the next one goes on.
INSERT INTO events (visitor, at, received)
SELECT 'another ' || v, moment, moment FROM generate_series(1, 6) AS v, (SELECT now() - interval '99 days') AS instant (moment);
CALL sweep_inactive_sessions(90, 'shop', batch_size => 4, max_runtime => '0');
SELECT count_inactive_sessions(90, 'shop');
CALL sweep_inactive_sessions(90, 'shop', batch_size => 4, max_runtime => '1 hour');
SELECT count_inactive_sessions(90, 'shop');
SELECT outcome, sessions FROM sessionize.purges ORDER BY purge_id;
SELECT count(*) AS locks_left FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();

-- An error ends it, is written down, and is raised as it was.
INSERT INTO events (visitor, at, received) SELECT 'last', moment, moment FROM (SELECT now() - interval '99 days') AS instant (moment);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'these events are needed' USING ERRCODE = 'check_violation', HINT = 'Ask the auditor.';
END $$;
CREATE TRIGGER refuse BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION refuse();
\set VERBOSITY sqlstate
CALL sweep_inactive_sessions(90, 'shop');
\set VERBOSITY default
SELECT outcome, detail, sessions FROM sessionize.purges ORDER BY purge_id DESC LIMIT 1;
SELECT count_inactive_sessions(90, 'shop');
SELECT count(*) AS locks_left FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
DROP TRIGGER refuse ON events;

-- So does one before the first batch, or after the last one, and the lock is given back.
\set VERBOSITY terse
SET default_transaction_read_only = on;
CALL sweep_inactive_sessions(90, 'shop');
CALL sweep_inactive_sessions(90);
RESET default_transaction_read_only;
CREATE TRIGGER refuse BEFORE UPDATE ON sessionize.purges FOR EACH ROW WHEN (NEW.finished_at IS NOT NULL) EXECUTE FUNCTION refuse();
CALL sweep_inactive_sessions(400, 'shop');
DROP TRIGGER refuse ON sessionize.purges;
\set VERBOSITY default
SELECT count(*) AS locks_left FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();

-- A key that waits for the end of the transaction keeps sessions, too, if rows further down hang on what would go.
CREATE TABLE chats (chat integer PRIMARY KEY, session_id bigint);
CREATE INDEX ON chats (session_id);
CREATE TABLE evidence (chat integer REFERENCES chats DEFERRABLE INITIALLY DEFERRED);
SELECT add_session_dependent('chats', 'session_id');
INSERT INTO events (visitor, at, received)
SELECT 'chatting ' || v, moment, moment FROM generate_series(1, 5) AS v, (SELECT now() - interval '95 days') AS instant (moment);
INSERT INTO chats SELECT right(visitor, 1)::integer, session_id FROM sessions WHERE visitor LIKE 'chatting%';
INSERT INTO evidence VALUES (3);
CALL sweep_inactive_sessions(90, 'shop');
SELECT outcome, sessions, visitors, kept, detail FROM sessionize.purges ORDER BY purge_id DESC LIMIT 1;
SELECT visitor FROM sessions WHERE visitor LIKE 'chatting%';
DROP TABLE evidence;

-- Somebody of whom only some sessions can go is counted once, however batches fall.
INSERT INTO events (visitor, at, received)
SELECT 'suspect', moment, moment FROM generate_series(91, 94) AS days, LATERAL (SELECT now() - make_interval(hours => 24 * days)) AS instant (moment);
CREATE TABLE court_cases (session_id bigint REFERENCES sessionize.sessions);
INSERT INTO court_cases SELECT session_id FROM sessions WHERE visitor = 'suspect' AND last_event_at < now() - make_interval(hours => 24 * 93 + 12);
SELECT sessions, visitors FROM purge_inactive_sessions(90, 'shop', dry_run => true);
CALL sweep_inactive_sessions(90, 'shop', batch_size => 1, pause => '0');
SELECT outcome, sessions, visitors, kept FROM sessionize.purges ORDER BY purge_id DESC LIMIT 1;
CALL sweep_inactive_sessions(90, 'shop');
SELECT outcome, sessions, visitors, kept FROM sessionize.purges ORDER BY purge_id DESC LIMIT 1;
INSERT INTO events (visitor, at, received)
SELECT 'suspect', moment, moment FROM generate_series(91, 93) AS days, LATERAL (SELECT now() - make_interval(hours => 24 * days)) AS instant (moment);
CALL sweep_inactive_sessions(90, 'shop');
SELECT outcome, sessions, visitors, kept FROM sessionize.purges ORDER BY purge_id DESC LIMIT 1;
DROP TABLE court_cases, chats;

-- Whatever the isolation level is by default.
SET default_transaction_isolation = 'serializable';
CALL sweep_inactive_sessions(90, 'shop');
RESET default_transaction_isolation;
SELECT count_inactive_sessions(90, 'shop');

-- Bad input.
\set VERBOSITY terse
SELECT count_inactive_sessions(NULL);
SELECT count_inactive_sessions(0);
SELECT * FROM inactive_sessions(-1);
SELECT count_inactive_sessions(1000000);
SELECT count_inactive_sessions(1000001);
SELECT count_inactive_sessions(90, 'no such shop');
SELECT * FROM inactive_session_summary('no such shop');
SELECT * FROM inactive_sessions(90, page_size => 0);
SELECT * FROM inactive_sessions(90, after => 'made up');
SELECT * FROM purge_inactive_sessions(NULL);
SELECT * FROM purge_inactive_sessions(0, dry_run => true);
SELECT * FROM purge_inactive_sessions(90, 'shop', expected => -1);
SELECT * FROM export_inactive_sessions(NULL);
CALL sweep_inactive_sessions(NULL);
CALL sweep_inactive_sessions(90, batch_size => 0);
CALL sweep_inactive_sessions(90, batch_size => NULL);
CALL sweep_inactive_sessions(90, pause => '-1 second');
SELECT * FROM erase_visitor('shop', NULL);
SELECT * FROM erase_visitor('shop', 'fay 5', NULL);
SELECT * FROM purge_inactive_sessions(90, 'shop', dry_run => NULL);
BEGIN;
CALL sweep_inactive_sessions(90, 'shop');
ROLLBACK;
SELECT count(*) AS locks_left FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
\set VERBOSITY default

-- Without pg_cron: what is missing, and how to get it.
\set SHOW_CONTEXT never
SELECT schedule_session_purge(90);
SELECT unschedule_session_purge();
SELECT schedule_session_purge(NULL);

-- While triggers are off nothing would go with the sessions.
SET session_replication_role = replica;
SELECT * FROM purge_inactive_sessions(28, 'shop');
SELECT * FROM erase_visitor('shop', 'fay 5');
CALL sweep_inactive_sessions(28, 'shop');
RESET session_replication_role;
\unset SHOW_CONTEXT

-- A person asks to be forgotten: all sessions, whatever their state.
SELECT * FROM erase_visitor('shop', 'fay 5', dry_run => true);
SELECT * FROM erase_visitor('shop', 'fay 5');
SELECT * FROM erase_visitor('shop', 'fay 5');
SELECT * FROM erase_visitor('shop', 'gus 0');
SELECT count(*) FROM events WHERE visitor IN ('fay 5', 'gus 0');
SELECT filter, sessions FROM sessionize.purges WHERE kind = 'erase' ORDER BY purge_id;
-- also if the name is all that there is
INSERT INTO sessionize.visitors (app_id, visitor) VALUES (:app, 'nameless');
SELECT sessions FROM erase_visitor('shop', 'nameless');
SELECT count(*) FROM visitors WHERE visitor IN ('nameless', 'fay 5');

\set shop :source /retention_shop_end.psql
\i :shop
