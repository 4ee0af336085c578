#!/usr/bin/env bash
# Scheduled purges with pg_cron itself, in a cluster of their own: jobs that really fire.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
database=sessionize_cron

if ! [ -e "$(pg_config --pkglibdir)/pg_cron.so" ]; then
    skip "there is no pg_cron for PostgreSQL $PG_MAJOR here"
    finish
    exit
fi
fresh_cluster cron shared_preload_libraries=pg_cron cron.database_name=$database cron.use_background_workers=on max_worker_processes=16
fresh_database $database

query() { sql $database -c "$1"; }
check "without the extension the error says how to get it" \
    "ERROR:  extension \"pg_cron\" is not installed in database \"$database\"" \
    "$(query "SELECT schedule_session_purge(90)" 2>&1 | head -n 1)"

sql $database <<'END'
CREATE EXTENSION pg_cron;
SELECT create_session_app('shop'), create_session_app('O''Hara''s "shop"') \g /dev/null
CREATE TABLE events (visitor text, at timestamptz, received timestamptz);
SELECT track_sessions('events', 'visitor', 'at', app => 'shop', received_at => 'received') \g /dev/null
INSERT INTO events SELECT 'visitor ' || v, moment, moment
  FROM generate_series(1, 20) AS v, LATERAL (SELECT now() - make_interval(days => 80 + v)) AS instant (moment);
END

query "SELECT schedule_session_purge(30)" >/dev/null
check "by default a purge of all applications runs quarterly" \
    'pg_sessionize purge|0 3 1 */3 *|CALL public.sweep_inactive_sessions(30, app => NULL)' \
    "$(query "SELECT jobname, schedule, command FROM cron.job")"
query "SELECT schedule_session_purge(90, '* * * * *')" >/dev/null
query "SELECT schedule_session_purge(365, '0 3 * * *', 'O''Hara''s \"shop\"')" >/dev/null
check "a second call replaces the first; an application has its own" \
    '* * * * *|CALL public.sweep_inactive_sessions(90, app => NULL)
0 3 * * *|CALL public.sweep_inactive_sessions(365, app => '"'O''Hara''s \"shop\"'"')' \
    "$(query "SELECT schedule, command FROM cron.job ORDER BY jobid")"
check "a schedule that pg_cron refuses is an error, not a crash" "ERROR:  invalid schedule: whenever" \
    "$(query "SELECT schedule_session_purge(90, 'whenever')" 2>&1 | head -n 1)"
check "so are bad days and unknown applications" 'ERROR:  days "0" is out of range
ERROR:  application "none" is not known' \
    "$(for call in "0" "90, app => 'none'"; do query "SELECT schedule_session_purge($call)" 2>&1 | head -n 1; done)"

# every minute on the minute
for _ in {1..100}; do
    [ "$(query "SELECT count(*) FROM cron.job_run_details WHERE status IN ('succeeded', 'failed')")" = 0 ] || break
    sleep 1
done
check "the job ran" succeeded "$(query "SELECT min(status) FROM cron.job_run_details")"
check "what was inactive for 90 days is gone" "0|9" "$(query "SELECT count_inactive_sessions(90), count(*) FROM events")"
check "and it is written down" "sweep|11|done" "$(query "SELECT kind, sessions, outcome FROM sessionize.purges ORDER BY purge_id LIMIT 1")"

check "unscheduling ends it, once" "t f t" \
    "$(query "SELECT concat_ws(' ', unschedule_session_purge(), unschedule_session_purge(), unschedule_session_purge('O''Hara''s \"shop\"'))")"
check "no job is left" 0 "$(query "SELECT count(*) FROM cron.job")"
finish
