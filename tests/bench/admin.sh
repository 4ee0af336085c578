#!/usr/bin/env bash
# Measures lists, search, counts, details and risk on 10 million sessions of three shops, and prints a table.
#
# The sessions are made once (10 to 15 minutes) and kept for the next run. SESSIONS=100000 measures fewer.
set -euo pipefail
: "${PGHOST:?start this by pgrx-config/bench.sh, which starts the cluster}"

sessions=${SESSIONS:-10000000}
database=admin_bench_$sessions
run() { psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$database" "$@"; }

if [ "$(psql -X -A -t -d postgres -c "SELECT count(*) FROM pg_database WHERE datname = '$database'")" = 0 ]; then
    echo "==> making $sessions sessions" >&2
    psql -X -q -d postgres -c "CREATE DATABASE $database"
    run -c 'CREATE EXTENSION pg_sessionize' -c 'CREATE EXTENSION IF NOT EXISTS pg_trgm'
    run -v sessions="$sessions" -f "$(dirname "${BASH_SOURCE[0]}")/admin_population.sql"
    run -c 'SELECT index_session_tokens()' -c 'SELECT refresh_statistics()' -c 'VACUUM (ANALYZE)'
fi

# A session with 1,000 events, and 100,000 sessions of the last hours to assess: undone when the measuring ends.
run <<'END'
DROP TABLE IF EXISTS bench_events CASCADE;
SELECT untrack_sessions(events) FROM sessionize.tracked_tables;
CREATE TABLE bench_events (visitor text, occurred_at timestamptz, kind text, url text);
SELECT track_sessions('bench_events', 'visitor', 'occurred_at', app => 'books', kind => 'kind');
INSERT INTO bench_events
SELECT 'somebody with 1000 events', now() - make_interval(secs => 1000 - i), 'view', '/page/' || i FROM generate_series(1, 1000) AS i;
ANALYZE bench_events;
END

# The moment at which the newest session of the population began: then as many are active and closed as in a live shop.
moment=$(run -c "SELECT max(started_at) FROM sessionize.sessions WHERE visitor LIKE 'visitor-%' AND app_id = sessionize.app_id('books')
                    AND started_at > now() - interval '100 years' AND session_id <= $sessions")
token=$(run -c "SELECT token FROM sessionize.sessions WHERE session_id = $sessions / 2")
deep=$(run -c "SELECT sessionize.write_cursor(sessionize.list_query('books', NULL, NULL, NULL), started_at, session_id)
                 FROM (SELECT started_at, session_id FROM sessionize.sessions WHERE app_id = sessionize.app_id('books')
                        ORDER BY started_at DESC, session_id DESC OFFSET 49949 LIMIT 1) AS place")
long=$(run -c "SELECT session_id FROM bench_events LIMIT 1")

# median CALL [RUNS]: milliseconds, after one run to warm up
median() {
    { printf '%s\n' '\o /dev/null' "$1;" '\timing on'
      for _ in $(seq "${2:-7}"); do echo "$1;"; done; } | run |
        sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | sort -n | awk '{ v[NR] = $1 } END { printf "%.1f", v[int((NR + 1) / 2)] }'
}
row() { # WHAT TARGET MILLISECONDS
    printf '| %s | %s | ≤ %s | %s |\n' "$1" "$3" "$2" "$(awk -v a="$3" -v b="$2" 'BEGIN { print a <= b ? "met" : "missed" }')"
}

printf '\n%s sessions, 3 applications\n\n| | milliseconds | target | |\n|---|---:|---:|---|\n' "$sessions"
slowest=0 which=
for status in all active closed expired converted cancelled; do
    for risk in all normal monitored review restricted; do
        took=$(median "SELECT * FROM list_sessions('books', '$status', '$risk', at => '$moment')" 5)
        if awk -v a="$took" -v b="$slowest" 'BEGIN { exit !(a > b) }'; then slowest=$took which="$status and $risk"; fi
    done
done
row "first page, slowest of 30 filters ($which)" 5 "$slowest"
row 'first page of all applications' 5 "$(median "SELECT * FROM list_sessions(at => '$moment')")"
row 'page 1,000 by cursor' 5 "$(median "SELECT * FROM list_sessions('books', after => '$deep')")"
row 'search by whole token' 10 "$(median "SELECT * FROM list_sessions(search => '$token')")"
row 'search by part of a token' 50 "$(median "SELECT * FROM list_sessions(search => substr('$token', 4, 6))")"
row 'search by IP address' 10 "$(median "SELECT * FROM list_sessions('books', search => '10.0.30.239')")"
row 'search by network, 10.1.0.0/16' 10 "$(median "SELECT * FROM list_sessions('books', search => '10.1.0.0/16')")"
row 'search by country' 10 "$(median "SELECT * FROM list_sessions('books', search => 'Czechia')")"
row 'search by visitor' 10 "$(median "SELECT * FROM list_sessions('books', search => 'visitor-100')")"
row 'search by customer' 10 "$(median "SELECT * FROM list_sessions('books', search => 'customer-100')")"
# The last seven are the slowest of all combinations of status, risk and search that find up to a million.
for filter in "'books', 'converted'" "'books', 'cancelled'" "'books', 'closed'" "'toys', 'all'" "'toys', 'expired'" "'toys', 'expired', 'normal'" \
              "'books', 'all', 'monitored'" "'books', search => 'CZ'" "'books', 'expired', search => 'DE'" "'books', 'expired', 'normal', 'DE'" \
              "'books', 'expired', 'normal', '10.0.0.0/11'" "'books', 'all', 'normal', '10.0.0.0/11'" "'books', 'converted', 'normal', 'US'" \
              "'books', 'closed', search => 'US'" "'books', 'expired', 'monitored', '10.0.0.0/8'"; do
    # who is closed is so at the moment of the population, who has expired has so by now
    case $filter in *closed*) call="SELECT count_sessions($filter, at => '$moment')" ;; *) call="SELECT count_sessions($filter)" ;; esac
    row "count_sessions($filter), finds $(run -c "$call")" 150 "$(median "$call" 5)"
done
row 'session_details with 1,000 events' 15 "$(median "SELECT session_details($long)")"
row 'sessionize.app_statistics' 300 "$(median "SELECT * FROM sessionize.app_statistics" 3)"
return="INSERT INTO bench_events (visitor, occurred_at)
        SELECT visitor, now() FROM sessionize.visitor_totals WHERE app_id = sessionize.app_id('books') ORDER BY md5(visitor) LIMIT 20000"
row 'sessionize.app_statistics when 20,000 visitors have come back' 300 "$(run -c BEGIN -c "$return" -c '\timing on' -c '\o /dev/null' \
    -c 'SELECT * FROM sessionize.app_statistics' -c 'SELECT * FROM sessionize.app_statistics' -c '\o' -c '\timing off' -c ROLLBACK |
    sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | tail -n 1)"
hours=$(run -c "SELECT now() - min(started_at) FROM (SELECT started_at FROM sessionize.sessions WHERE app_id = sessionize.app_id('books')
                   ORDER BY started_at DESC LIMIT 100000) AS newest")
assessed=$(run -c "SELECT assess_session_risk('books', '$hours')")
took=$(median "SELECT assess_session_risk('books', '$hours')" 1)
row "assess_session_risk of $assessed sessions" 5000 "$took"
run -c "SELECT untrack_sessions('bench_events')" -c "DELETE FROM sessionize.sessions WHERE session_id = $long" -c 'DROP TABLE bench_events'
# who came back and was rolled back would stand in the way of the next run, newest as they are
run -c 'VACUUM (INDEX_CLEANUP ON) sessionize.sessions'
