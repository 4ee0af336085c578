#!/usr/bin/env bash
# Measures purges against the bare DELETE of the same rows and against foreign keys, and lists and counts of many
# sessions. In the cluster that PGHOST and PGPORT name.
#
#   SESSIONS=1000000        sessions to purge a fifth of, with five events each
#   MANY=10000000           sessions to list, count and sum up (0 leaves that out; filling takes 10 minutes, once)
set -euo pipefail
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
sessions=${SESSIONS:-1000000} many=${MANY:-10000000}

in_database() { psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$@"; }

# database NAME SESSIONS DAYS: filled once and kept
database() {
    [ "$(in_database postgres -c "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '$1'")" = "$2" ] && return
    printf 'filling a database with %d sessions\n' "$2" >&2
    in_database postgres -c "DROP DATABASE IF EXISTS $1" -c "CREATE DATABASE $1"
    in_database "$1" -c "CREATE EXTENSION pg_sessionize"
    in_database "$1" -v sessions="$2" -v days="$3" -f "$folder/retention_population.sql"
    [ $# -lt 4 ] || in_database "$1" -f "$folder/$4"
    in_database postgres -c "COMMENT ON DATABASE $1 IS '$2'"
}

# milliseconds DATABASE SQL [BEFORE]: the best of three, each rolled back, after something that is not measured
milliseconds() {
    local _
    for _ in 1 2 3; do
        in_database "$1" -c "VACUUM" -c "BEGIN" -c "${3:-SELECT}" -c '\timing on' -c "$2" -c '\timing off' -c "ROLLBACK" | sed -nE 's/^Time: ([0-9]+)\..*/\1/p' | sort -n | tail -n 1
    done | sort -n | head -n 1
}

report() { printf '%-72s %8s   %s\n' "$1" "$2" "${3:-}"; }
ratio() { awk -v one="$1" -v other="$2" 'BEGIN { printf "%.2f", one / other }'; }

database retention_purge "$sessions" 115 retention_peers.sql
bare=$(milliseconds retention_purge "WITH going AS (DELETE FROM bare_sessions WHERE session_id IN (SELECT session_id FROM inactive) RETURNING session_id) DELETE FROM bare_events USING going WHERE bare_events.session_id = going.session_id")
foreign=$(milliseconds retention_purge "DELETE FROM linked_sessions WHERE session_id IN (SELECT session_id FROM inactive)")
purge=$(milliseconds retention_purge "SELECT * FROM purge_inactive_sessions(90)")
going=$(in_database retention_purge -c "SELECT count(*) FROM inactive")
report "purging $going of $sessions sessions, five events each" ms "ratio"
report "  bare DELETE of the same sessions and events" "$bare" 1
report "  purge_inactive_sessions()" "$purge" "$(ratio "$purge" "$bare")   (target 1.2)"
report "  DELETE with FOREIGN KEY ... ON DELETE CASCADE and index" "$foreign" "$(ratio "$foreign" "$bare")"

insert='INSERT INTO %s_events (visitor, at, session_id) SELECT visitor, at, session_id FROM bare_events WHERE session_id IN (SELECT session_id FROM inactive LIMIT 40000)'
# shellcheck disable=SC2059
plain=$(milliseconds retention_purge "$(printf "$insert" bare)") linked=$(milliseconds retention_purge "$(printf "$insert" linked)")
report "inserting 200,000 events: what the foreign key alone costs" "$((linked - plain))" "$(ratio "$linked" "$plain") of the time without"

in_database retention_purge -c "BEGIN" -c '\timing on' \
    -c "SELECT sessionize.lock_sessions(ARRAY(SELECT session_id FROM inactive ORDER BY session_id LIMIT 5000))" \
    -c "SELECT sessionize.remove_sessions(ARRAY(SELECT session_id FROM inactive ORDER BY session_id LIMIT 5000), false)" -c "ROLLBACK" |
    awk '/^Time/ { total += $2 } END { printf "%-72s %8d   (target 1000)\n", "longest lock of a sweep: one batch of 5000 sessions, ms", total }'

if [ "$many" -gt 0 ]; then
    database retention_many "$many" 730
    report "of $many sessions" ms
    forget="SELECT sessionize.uncount_app(app_id) FROM sessionize.apps"
    report "  count_inactive_sessions(90), nothing added up" "$(milliseconds retention_many "SELECT count_inactive_sessions(90)" "$forget")"
    in_database retention_many -c "$forget" -c '\timing on' -c "SELECT sessionize.add_up(sessionize.first_open_day() - 1)" | sed -nE 's/^Time: ([0-9]+)\..*/\1/p' | {
        read -r first
        report "  refresh_statistics(), the first" "$first"
    }
    report "  refresh_statistics(), a day later" "$(milliseconds retention_many "SELECT refresh_statistics()")"
    in_database retention_many -c "SELECT refresh_statistics()" -c "VACUUM (ANALYZE)" >/dev/null
    report "  inactive_session_summary()" "$(milliseconds retention_many "SELECT * FROM inactive_session_summary()")" "(target 300)"
    report "  count_inactive_sessions(90)" "$(milliseconds retention_many "SELECT count_inactive_sessions(90)")" "(target 300)"
    report "  count_inactive_sessions(90, 'retention', anonymous => true)" "$(milliseconds retention_many "SELECT count_inactive_sessions(90, 'retention', true)")" "(target 300)"
    report "  count_inactive_sessions(90) after a purge of 200,000 sessions" "$(milliseconds retention_many "SELECT count_inactive_sessions(90)" \
        "DELETE FROM sessionize.sessions WHERE session_id IN (SELECT session_id FROM sessionize.sessions ORDER BY session_id LIMIT 200000)")" "(target 300)"
    report "  sessionize.app_statistics" "$(milliseconds retention_many "SELECT * FROM sessionize.app_statistics")" "(target 1000)"
    report "  first page of inactive_sessions(90)" "$(milliseconds retention_many "SELECT * FROM inactive_sessions(90)")" "(target 10)"
fi
