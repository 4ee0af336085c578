-- What goes with a session, what stays, and who may say so.
\getenv source PG_ABS_SRCDIR
\set shop :source /retention_shop.psql
\i :shop
\set SHOW_CONTEXT never

-- Bad input.
SELECT add_session_dependent(NULL, 'session_id');
SELECT add_session_dependent('no_such_table', 'session_id');
SELECT add_session_dependent('customers', 'session_id');
SELECT add_session_dependent('customers', 'customer');
SELECT add_session_dependent('remaining', 'sessions');
SELECT add_session_dependent('sessionize.session_changes', 'session_id');
SELECT add_session_dependent('reviews', 'session_id');
SELECT add_session_dependent('events', 'session_id');
SELECT remove_session_dependent('events');
SELECT remove_session_dependent('customers');
CREATE TEMPORARY TABLE temporary (session_id bigint);
SELECT add_session_dependent('temporary', 'session_id');
CREATE TABLE strict (session_id bigint NOT NULL);
SELECT add_session_dependent('strict', 'session_id', 'vanish');
SELECT add_session_dependent('strict', 'session_id', 'detach');

-- Without an index it works, with a warning that names it.
SELECT add_session_dependent('strict', 'session_id', 'keep');

-- Names that have to be quoted, partitions, rows that other tables hang on.
CREATE TABLE "Größe ""x""" ("Sitzung %s" bigint, day integer) PARTITION BY LIST (day);
CREATE TABLE one PARTITION OF "Größe ""x""" FOR VALUES IN (1);
CREATE TABLE two PARTITION OF "Größe ""x""" FOR VALUES IN (2);
CREATE INDEX ON "Größe ""x""" ("Sitzung %s");
SELECT add_session_dependent('"Größe ""x"""', 'Sitzung %s');
CREATE TABLE chats (chat integer PRIMARY KEY, session_id bigint);
CREATE INDEX ON chats (session_id);
CREATE TABLE messages (chat integer REFERENCES chats ON DELETE CASCADE);
SELECT add_session_dependent('chats', 'session_id');
INSERT INTO strict SELECT session_id FROM sessions;
INSERT INTO "Größe ""x""" SELECT session_id, day FROM sessions, generate_series(1, 2) AS day;
INSERT INTO chats SELECT row_number() OVER (ORDER BY session_id), session_id FROM sessions;
INSERT INTO messages SELECT chat FROM chats;

-- Sessions deleted by hand take along the same.
DELETE FROM sessionize.sessions WHERE visitor = 'bob 200';
SELECT (SELECT count(*) FROM strict) AS strict, (SELECT count(*) FROM one) AS one, (SELECT count(*) FROM two) AS two,
       (SELECT count(*) FROM chats) AS chats, (SELECT count(*) FROM messages) AS messages, * FROM remaining;
SELECT count(*) FROM visitors WHERE visitor = 'bob 200';
TRUNCATE sessionize.sessions;

-- A session that a table still references stays and is reported, the rest goes: referenced itself, or what belongs to it.
CREATE TABLE court_cases (session_id bigint REFERENCES sessionize.sessions);
SELECT add_session_dependent('court_cases', 'session_id');
SELECT remove_session_dependent('court_cases');
INSERT INTO court_cases SELECT session_id FROM sessions WHERE visitor = 'cid 100';
CREATE TABLE evidence (chat integer REFERENCES chats);
INSERT INTO evidence SELECT chat FROM chats JOIN sessions USING (session_id) WHERE visitor = 'dora 70';
SELECT count_inactive_sessions(30, 'shop');
SELECT * FROM purge_inactive_sessions(30, 'shop', expected => 5);
SELECT visitor FROM sessions ORDER BY visitor, started_at;
SELECT sessions, kept, outcome, detail FROM sessionize.purges;
SELECT count(*) FROM events WHERE session_id NOT IN (SELECT session_id FROM sessions);
DROP TABLE court_cases, evidence;
-- A key that waits for the end of the transaction holds a session only where the rows stay.
CREATE TABLE receipts (session_id bigint REFERENCES sessionize.sessions DEFERRABLE INITIALLY DEFERRED);
CREATE INDEX ON receipts (session_id);
SELECT add_session_dependent('receipts', 'session_id', 'keep');
INSERT INTO events (visitor, at) VALUES ('ivy', now());
INSERT INTO receipts SELECT session_id FROM sessions WHERE visitor = 'ivy';
SELECT * FROM erase_visitor('shop', 'ivy');
UPDATE sessionize.dependents SET on_purge = 'delete' WHERE relation = 'receipts'::regclass;
SELECT * FROM erase_visitor('shop', 'ivy');
SELECT count(*) FROM receipts;
DROP TABLE receipts;

-- An error of a user's trigger arrives as it was raised, with a code of their own.
CREATE FUNCTION object() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'needed for the audit' USING ERRCODE = 'P0042', DETAIL = 'Case 7.', HINT = 'Ask Ada.', TABLE = 'case';
END $$;
CREATE TRIGGER object BEFORE DELETE ON reviews FOR EACH ROW EXECUTE FUNCTION object();
UPDATE sessionize.dependents SET on_purge = 'delete' WHERE relation = 'reviews'::regclass;
DO $$
DECLARE
    code text; message text; detail text; hint text; object text;
BEGIN
    PERFORM purge_inactive_sessions(60, 'shop');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
                            object = TABLE_NAME;
    RAISE NOTICE '% % % % %', code, message, detail, hint, object;
END $$;
SELECT count(*) FROM purge_inactive_sessions(60, 'shop', dry_run => true) WHERE sessions > 0;
DROP TRIGGER object ON reviews;
UPDATE sessionize.dependents SET on_purge = 'detach' WHERE relation = 'reviews'::regclass;

-- A dependent that was dropped is no obstacle.
DROP TABLE chats CASCADE;
SELECT sessions, dependents FROM purge_inactive_sessions(60, 'shop');

-- One whose column is renamed goes on, for purges and for merges. One that loses the column is forgotten, with a warning.
CREATE TABLE memos (memo text, session_id bigint);
CREATE INDEX ON memos (session_id);
SELECT add_session_dependent('memos', 'session_id');
INSERT INTO events (visitor, at, received)
SELECT 'ivo 45', moment, moment FROM generate_series(0, 40, 40) AS minute, LATERAL (SELECT now() - make_interval(days => 45, mins => -minute)) AS instant (moment);
INSERT INTO memos SELECT 'of ivo', session_id FROM sessions WHERE visitor = 'ivo 45';
ALTER TABLE memos RENAME session_id TO "Sitzung";
ALTER TABLE memos RENAME TO "Mémos";
INSERT INTO events (visitor, at, received) SELECT 'ivo 45', moment, moment FROM (SELECT now() - make_interval(days => 45, mins => -20)) AS instant (moment);
SELECT count(*), count(DISTINCT "Sitzung") FROM "Mémos";
ALTER TABLE "Mémos" ALTER "Sitzung" TYPE text;
SELECT sessions, events, dependents FROM erase_visitor('shop', 'ivo 45', dry_run => true);
SELECT sessions, events, dependents FROM erase_visitor('shop', 'ivo 45');
ALTER TABLE "Mémos" DROP COLUMN "Sitzung";
SELECT relation, session_id FROM sessionize.dependents ORDER BY relation::text;
DROP TABLE "Mémos";

-- Nobody can name somebody else's table, nor let another run what they wrote.
CREATE ROLE retention_admin;
CREATE ROLE retention_shopkeeper;
CREATE ROLE retention_stranger;
GRANT USAGE, CREATE ON SCHEMA shop TO retention_admin, retention_shopkeeper, retention_stranger;
SELECT grant_session_admin('retention_admin'), grant_session_admin('retention_shopkeeper');
CREATE TABLE diary (session_id bigint, note text);
CREATE INDEX ON diary (session_id);
ALTER TABLE diary OWNER TO retention_shopkeeper;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE NOTICE 'deleted by %, session of %', current_user, session_user = 'retention_shopkeeper';
    RETURN OLD;
END $$;
CREATE TRIGGER tell BEFORE DELETE ON diary FOR EACH ROW EXECUTE FUNCTION tell();
ALTER TABLE diary ENABLE ROW LEVEL SECURITY;
ALTER TABLE diary FORCE ROW LEVEL SECURITY;
SET ROLE retention_admin;
SELECT add_session_dependent('diary', 'session_id');
INSERT INTO sessionize.dependents VALUES ('diary', 'session_id', 'delete');
UPDATE sessionize.dependents SET relation = 'diary' WHERE relation = 'reviews'::regclass;
SET ROLE retention_stranger;
SELECT add_session_dependent('diary', 'session_id');
SELECT count_inactive_sessions(30, 'shop');
SELECT * FROM purge_inactive_sessions(30, 'shop');
CALL sweep_inactive_sessions(30, 'shop');
SELECT * FROM erase_visitor('shop', 'eve 40');
SELECT schedule_session_purge(30);
SET ROLE retention_shopkeeper;
SELECT add_session_dependent('diary', 'session_id');
RESET ROLE;
SET row_security = off;
INSERT INTO diary SELECT session_id FROM sessions WHERE visitor = 'hal 29';
RESET row_security;
-- The administrator may purge what he may not read: events, and a diary that hides its rows even from its owner.
SET ROLE retention_admin;
SELECT count(*) FROM export_inactive_sessions(28, 'shop');
SELECT * FROM purge_inactive_sessions(28, 'shop', dry_run => true);
SELECT * FROM purge_inactive_sessions(28, 'shop');
SELECT run_by, sessions FROM sessionize.purges ORDER BY purge_id DESC LIMIT 1;
-- He cannot look into other tables through what looks into dependents.
SELECT * FROM sessionize.attached_rows('orders', 'order_id', '{1}', false);
RESET ROLE;
DROP TABLE diary;
SELECT remove_session_dependent('reviews');
INSERT INTO sessionize.dependents VALUES ('reviews', 'session_id', 'detach');
DROP OWNED BY retention_admin, retention_shopkeeper, retention_stranger;
DROP ROLE retention_admin, retention_shopkeeper, retention_stranger;

\unset SHOW_CONTEXT
\set shop :source /retention_shop_end.psql
\i :shop
