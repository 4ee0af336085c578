\qecho
\qecho '== A shop cleans up: sessions of visitors who never came back'
\qecho

-- Four hundred visitors of the last two years; a third have a customer's profile, some ordered, some kept a wishlist.
CREATE TABLE customers (customer text PRIMARY KEY);
CREATE TABLE orders (order_id integer PRIMARY KEY, customer text REFERENCES customers);
CREATE TABLE wishlists (wishlist integer PRIMARY KEY, customer text REFERENCES customers);
CREATE TABLE wishlist_items (item integer PRIMARY KEY, wishlist integer REFERENCES wishlists);
CREATE TABLE wishlist_interactions (item integer REFERENCES wishlist_items, action text, session_id bigint);
CREATE INDEX ON wishlist_interactions (session_id);
CREATE TABLE visits_of_shop (visitor text, occurred_at timestamptz, received_at timestamptz, customer text);
SELECT create_session_app('wishlist shop') \g /dev/null
SELECT track_sessions('visits_of_shop', 'visitor', 'occurred_at', app => 'wishlist shop', received_at => 'received_at',
                      customer => 'customer') \g /dev/null
INSERT INTO customers SELECT 'customer-' || number FROM generate_series(3, 400, 3) AS number;
INSERT INTO orders SELECT row_number() OVER (), customer FROM customers WHERE hashtext(customer) % 2 = 0;
INSERT INTO wishlists SELECT row_number() OVER (), customer FROM customers;
INSERT INTO wishlist_items SELECT wishlist * 10 + item, wishlist FROM wishlists, generate_series(1, 3) AS item;
INSERT INTO visits_of_shop
SELECT 'guest-' || number, instant, instant, CASE WHEN number % 3 = 0 THEN 'customer-' || number END
FROM generate_series(1, 400) AS number, generate_series(0, number % 3) AS visit, generate_series(1, 3) AS page,
     LATERAL (SELECT now() - make_interval(days => number * 7 / 4 + visit * 40, mins => 10 - page)) AS happened (instant)
ORDER BY instant;
INSERT INTO wishlist_interactions
SELECT item, 'added', session_id FROM sessionize.sessions JOIN wishlists USING (customer) JOIN wishlist_items USING (wishlist);

\set ECHO queries
SELECT add_session_dependent('wishlist_interactions', 'session_id', on_purge => 'delete');

SELECT * FROM inactive_session_summary('wishlist shop');

SELECT visitor, customer, started, inactive_days, event_count FROM inactive_sessions(180, 'wishlist shop', page_size => 5);

SELECT * FROM purge_inactive_sessions(180, 'wishlist shop', dry_run => true);

-- a backup first: \copy (SELECT export_inactive_sessions(180, 'wishlist shop')) TO 'backup.jsonl'
SELECT jsonb_pretty(document -> 'dependents') AS goes_with_one_of_them
FROM export_inactive_sessions(180, 'wishlist shop', anonymous => false) AS document LIMIT 1;
\set ECHO none

SELECT count_inactive_sessions(180, 'wishlist shop') AS count \gset
CREATE TEMPORARY VIEW shop_holds AS
SELECT (SELECT count(*) FROM customers) AS customers, (SELECT count(*) FROM orders) AS orders,
       (SELECT count(*) FROM wishlist_items) AS wishlist_items, (SELECT count(*) FROM wishlist_interactions) AS interactions,
       (SELECT count(*) FROM visits_of_shop) AS events, count_sessions('wishlist shop') AS sessions;
CREATE TEMPORARY TABLE shop_held AS SELECT * FROM shop_holds;

\set ECHO queries
SELECT * FROM purge_inactive_sessions(180, 'wishlist shop', expected => :count);

CALL sweep_inactive_sessions(90, 'wishlist shop', anonymous => true, batch_size => 100);

SELECT 'before' AS shop, * FROM shop_held UNION ALL SELECT 'now', * FROM shop_holds;

SELECT kind, filter, sessions, visitors, events, outcome FROM sessionize.purges ORDER BY purge_id;
\set ECHO none
