-- Every plan gives the same: parallel, partitioned, on disk, sorted, in grouping sets and in windows.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper

CREATE TABLE events (visitor bigint, kind text, occurred_at timestamptz) PARTITION BY HASH (visitor);
CREATE TABLE events_0 PARTITION OF events FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE events_1 PARTITION OF events FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO events
SELECT abs(hashint8(n)) % 4000, CASE n % 3 WHEN 0 THEN 'order' ELSE 'view' END,
       timestamptz '2026-01-01+00' + abs(hashint8(n * 7)) % 200000 * interval '1 second'
FROM generate_series(1, 60000) AS n;
INSERT INTO events SELECT n, 'view', CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN timestamptz 'infinity' ELSE '-infinity' END FROM generate_series(1, 30) AS n;
CREATE TABLE flat AS SELECT * FROM events;
ALTER TABLE flat SET (parallel_workers = 2);
ANALYZE events, flat;

-- Serial, in memory: equal to the window query. It is what the other plans are compared with.
SET max_parallel_workers_per_gather = 0;
SET work_mem = '64MB';
SELECT suite.differences(suite.by_aggregate('flat', '30 minutes'), suite.by_window('flat', '30 minutes'));
CREATE TABLE serial AS
SELECT visitor, sessionize(occurred_at, '20 minutes', 'inclusive')::text AS sessions, sessionize_daily(occurred_at, 'Europe/Prague')::text AS days
FROM flat GROUP BY visitor;
\set query 'SELECT visitor, sessionize(occurred_at, ''20 minutes'', ''inclusive'')::text AS sessions, sessionize_daily(occurred_at, ''Europe/Prague'')::text AS days FROM flat GROUP BY visitor'
SELECT suite.spills(:'query'), suite.differences(:'query', 'SELECT * FROM serial');

-- Hash aggregation that goes to disk.
SET work_mem = '64kB';
SET enable_sort = off;
SELECT suite.spills(:'query'), suite.differences(:'query', 'SELECT * FROM serial');
RESET enable_sort;

-- Sorted groups.
SET enable_hashagg = off;
SELECT suite.plan_has(:'query', 'GroupAggregate'), suite.differences(:'query', 'SELECT * FROM serial');
RESET enable_hashagg;
SET work_mem = '64MB';

-- Parallel workers with partial states.
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT suite.plan_has(:'query', 'Finalize', 'Partial', 'Gather', 'Workers Planned: 2'), suite.differences(:'query', 'SELECT * FROM serial');
\set rollup 'SELECT part, rollup(sessions)::text FROM (SELECT visitor % 10 AS part, sessionize(occurred_at) AS sessions FROM flat GROUP BY visitor) AS visits GROUP BY part'
\set whole 'SELECT visitor % 10 AS part, sessionize(occurred_at)::text FROM flat GROUP BY part'
SELECT suite.plan_has(:'whole', 'Finalize', 'Partial'), suite.differences(:'rollup', :'whole');
-- rollup of stored sets, in parallel.
CREATE TABLE visits AS SELECT visitor % 10 AS part, sessionize(occurred_at) AS sessions FROM flat GROUP BY visitor;
ALTER TABLE visits SET (parallel_workers = 2);
ANALYZE visits;
\set stored 'SELECT part, rollup(sessions)::text FROM visits GROUP BY part'
SELECT suite.plan_has(:'stored', 'Finalize', 'Partial', 'Gather'), suite.differences(:'stored', :'whole');
-- Without groups.
\set all 'SELECT sessionize(occurred_at, ''1 second'')::text AS sessions FROM flat'
SELECT suite.plan_has(:'all', 'Finalize', 'Partial', 'Gather');
CREATE TEMPORARY TABLE everything AS :all;
SET max_parallel_workers_per_gather = 0;
SELECT suite.differences(:'all', 'SELECT sessions FROM everything');
SET max_parallel_workers_per_gather = 2;
-- Rules that differ between workers are noticed when their states meet.
CREATE TABLE mixed AS SELECT n, CASE WHEN n > 5000 THEN interval '1 hour' ELSE '2 hours' END AS timeout FROM generate_series(1, 10000) AS n;
ALTER TABLE mixed SET (parallel_workers = 2);
ANALYZE mixed;
SELECT split_part(suite.complaint('SELECT sessionize(now(), timeout) FROM mixed'), E'\n', 1) AS complaint;
-- So is a bad argument inside a worker.
SELECT split_part(suite.complaint('SELECT n, sessionize(now(), -timeout) FROM mixed GROUP BY n'), E'\n', 1) AS complaint;
SET max_parallel_workers_per_gather = 0;

-- Partition by partition, whole groups and partial ones.
SET enable_partitionwise_aggregate = on;
\set partitioned 'SELECT visitor, sessionize(occurred_at, ''20 minutes'', ''inclusive'')::text AS sessions, sessionize_daily(occurred_at, ''Europe/Prague'')::text AS days FROM events GROUP BY visitor'
SELECT suite.plan_has(:'partitioned', 'Append', 'Aggregate'), suite.differences(:'partitioned', 'SELECT * FROM serial');
\set by_kind 'SELECT kind, sessionize(occurred_at, ''2 seconds'')::text FROM events GROUP BY kind'
SELECT suite.plan_has(:'by_kind', 'Finalize', 'Partial');
SELECT suite.differences(:'by_kind', 'SELECT kind, sessionize(occurred_at, ''2 seconds'')::text FROM flat GROUP BY kind');
RESET enable_partitionwise_aggregate;

-- Grouping sets: hashed, sorted and mixed keep their states apart.
\set sets 'SELECT visitor, kind, sessionize(occurred_at)::text FROM flat WHERE visitor < 200 GROUP BY CUBE (visitor, kind)'
\set united 'SELECT visitor, kind, sessionize(occurred_at)::text FROM flat WHERE visitor < 200 GROUP BY visitor, kind UNION ALL SELECT visitor, NULL, sessionize(occurred_at)::text FROM flat WHERE visitor < 200 GROUP BY visitor UNION ALL SELECT NULL, kind, sessionize(occurred_at)::text FROM flat WHERE visitor < 200 GROUP BY kind UNION ALL SELECT NULL, NULL, sessionize(occurred_at)::text FROM flat WHERE visitor < 200'
SELECT suite.plan_has(:'sets', 'MixedAggregate'), suite.differences(:'sets', :'united');
SET enable_hashagg = off;
SELECT suite.plan_has(:'sets', 'GroupAggregate'), suite.differences(:'sets', :'united');
RESET enable_hashagg;
SET work_mem = '64kB';
SELECT suite.differences(:'sets', :'united');
SET work_mem = '64MB';
SELECT suite.differences(
    'SELECT visitor, sessionize(occurred_at)::text FROM flat WHERE visitor < 200 GROUP BY ROLLUP (visitor)',
    'SELECT visitor, sessionize(occurred_at)::text FROM flat WHERE visitor < 200 GROUP BY visitor UNION ALL SELECT NULL, sessionize(occurred_at)::text FROM flat WHERE visitor < 200');

-- DISTINCT, ORDER BY and FILTER inside the aggregate.
SELECT suite.differences(
    'SELECT visitor, sessionize(occurred_at ORDER BY occurred_at DESC)::text, sessionize(occurred_at ORDER BY kind)::text FROM flat GROUP BY visitor',
    'SELECT visitor, sessionize(occurred_at)::text, sessionize(occurred_at)::text FROM flat GROUP BY visitor');
SELECT event_count(sessionize(at)) AS every, event_count(sessionize(DISTINCT at)) AS different, event_count(sessionize(at) FILTER (WHERE n > 1)) AS filtered
FROM (VALUES (1, timestamptz '2026-01-01+00'), (2, '2026-01-01+00'), (3, '2026-01-02+00')) AS events (n, at);

-- In windows whose frames grow, slide and start over.
CREATE TABLE minutes AS SELECT n, timestamptz '2026-01-01+00' + n * n * interval '1 minute' AS at FROM generate_series(1, 9) AS n;
SELECT n, session_count(sessionize(at, '10 minutes') OVER (ORDER BY at)) AS so_far,
       session_count(sessionize(at, '10 minutes') OVER (ORDER BY at ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)) AS around,
       session_count(sessionize(at, '10 minutes') OVER (PARTITION BY n % 2 ORDER BY at DESC)) AS back,
       event_count(sessionize(at, '10 minutes') OVER (ORDER BY at ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)) AS ahead
FROM minutes ORDER BY n;

-- The same prepared statement, executed again and again, also where it was stopped by an error.
PREPARE sessions_of(interval) AS SELECT sum(session_count(sessions)) FROM (SELECT sessionize(occurred_at, $1) AS sessions FROM flat GROUP BY visitor) AS visits;
EXECUTE sessions_of('30 minutes');
EXECUTE sessions_of('0');
EXECUTE sessions_of('30 minutes');
EXECUTE sessions_of('1 hour');
DEALLOCATE sessions_of;

DROP TABLE events, flat, serial, visits, everything, mixed, minutes;
