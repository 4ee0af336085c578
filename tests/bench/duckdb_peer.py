"""DuckDB on the same events, two threads.    duckdb_peer.py load DATABASE <CSV    duckdb_peer.py run DATABASE

`run` prints the milliseconds of the query and then its answer.
"""
import sys
import time

import duckdb

QUERY = """
SELECT count(*), sum(events), min(started_at), max(last_event_at)
FROM (SELECT visitor, session, count(*) AS events, min(occurred_at) AS started_at, max(occurred_at) AS last_event_at
      FROM (SELECT visitor, occurred_at, sum(opens) OVER (PARTITION BY visitor ORDER BY occurred_at ROWS UNBOUNDED PRECEDING) AS session
            FROM (SELECT visitor, occurred_at, (lag(occurred_at) OVER w IS NULL
                         OR occurred_at - lag(occurred_at) OVER w >= INTERVAL 30 MINUTE)::integer AS opens
                  FROM events WINDOW w AS (PARTITION BY visitor ORDER BY occurred_at)))
      GROUP BY visitor, session)
"""

action, path = sys.argv[1:]
connection = duckdb.connect(path)
connection.execute("SET threads = 2")
if action == "load":
    connection.execute(
        "CREATE OR REPLACE TABLE events AS SELECT * FROM read_csv('/dev/stdin', header = false,"
        " columns = {'visitor': 'BIGINT', 'occurred_at': 'TIMESTAMP'})"
    )
else:
    connection.execute("SELECT max(visitor), max(occurred_at) FROM events").fetchall()  # into memory
    started = time.perf_counter()
    answer = connection.execute(QUERY).fetchone()
    print(f"{1000 * (time.perf_counter() - started):.3f}")
    print("|".join(str(value) for value in answer[:2]))
