#!/usr/bin/env bash
# Measures purges against the bare DELETE of the same rows and against foreign keys, and lists and counts of many
# sessions. In the cluster that PGHOST and PGPORT name.
#
#   SESSIONS=1000000        sessions to purge a fifth of, with five events each
#   SECONDS_EACH=15         how long clients insert, alone and beside sweeps
#   MANY=10000000           sessions to list, count and sum up (0 leaves that out; filling takes 10 minutes, once)
set -euo pipefail
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
sessions=${SESSIONS:-1000000} many=${MANY:-10000000} seconds_each=${SECONDS_EACH:-15}

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

# once DATABASE SQL [BEFORE]: the milliseconds it takes, rolled back, after something that is not measured
once() {
    in_database "$1" -c "VACUUM" -c "BEGIN" -c "${3:-SELECT}" -c '\timing on' -c "$2" -c '\timing off' -c "ROLLBACK" |
        sed -nE 's/^Time: ([0-9]+)\..*/\1/p' | sort -n | tail -n 1
}
# median, of lines
median() { sort -n | awk '{ line[NR] = $1 } END { print line[int((NR + 1) / 2)] }'; }
milliseconds() { for _ in 1 2 3; do once "$@"; done | median; }

report() { printf '%-72s %8s   %s\n' "$1" "$2" "${3:-}"; }
ratio() { awk -v one="$1" -v other="$2" 'BEGIN { printf "%.2f", one / other }'; }

database retention_purge "$sessions" 115 retention_peers.sql

# Compared are deletions of the same rows: the sessions that have been inactive for 90 days, chosen by the same condition,
# their visitors and their events, in tables of the same shape with the same indexes. They begin with a list of
# the sessions that is analyzed, which is the fastest way found, and have as much work_mem as purges take for themselves.
condition() { in_database retention_purge -c "SELECT replace(sessionize.inactive_condition(sessionize.inactive_since(90, now()), now(), NULL), 'sessionize.sessions', '$1_sessions')"; }
delete_by_list() { # the tables' first name; what to do about events
    printf %s "SET LOCAL work_mem = '64MB';
        CREATE TEMPORARY TABLE going AS SELECT session_id, app_id, visitor FROM $1_sessions AS session WHERE $(condition "$1");
        ANALYZE going;
        DELETE FROM $1_visitors AS known USING (SELECT DISTINCT app_id, visitor FROM going) AS owner
         WHERE known.app_id = owner.app_id AND known.visitor = owner.visitor;
        DELETE FROM $1_sessions AS session USING going WHERE session.session_id = going.session_id; ${2:-}"
}
declare -A statement
statement[bare]=$(delete_by_list bare "DELETE FROM bare_events AS event USING going WHERE event.session_id = going.session_id")
statement[foreign]=$(delete_by_list linked)
statement[purge]='SELECT * FROM purge_inactive_sessions(90)'
times=$(mktemp)
trap 'rm -f "$times"' EXIT
for _ in 1 2 3 4 5; do # in turns, so that what else the machine does falls on all alike
    for name in bare purge foreign; do echo "$name $(once retention_purge "${statement[$name]}")"; done
done >"$times"
typical() { sed -n "s/^$1 //p" "$times" | median; }
bare=$(typical bare) purge=$(typical purge) foreign=$(typical foreign)
going=$(in_database retention_purge -c "SELECT count_inactive_sessions(90)")
report "purging $going of $sessions sessions, their visitors and five events each" ms "ratio"
report "  bare DELETEs of the same rows" "$bare" 1
report "  purge_inactive_sessions()" "$purge" "$(ratio "$purge" "$bare")   (target 1.2)"
report "  DELETE with FOREIGN KEY ... ON DELETE CASCADE and index" "$foreign" "$(ratio "$foreign" "$bare")"

insert='INSERT INTO %s_events (visitor, at, session_id) SELECT visitor, at, session_id FROM bare_events WHERE session_id IN (SELECT session_id FROM bare_sessions ORDER BY session_id LIMIT 40000)'
# shellcheck disable=SC2059
plain=$(milliseconds retention_purge "$(printf "$insert" bare)") linked=$(milliseconds retention_purge "$(printf "$insert" linked)")
report "inserting 200,000 events without a foreign key" "$plain" 1
report "  with one" "$linked" "$(ratio "$linked" "$plain")"

batch="SELECT sessionize.sweep_batch(state) FROM begun" # of a day that has so many
begin="CREATE TEMPORARY TABLE begun AS SELECT jsonb_populate_record(sessionize.begin_sweep(90, NULL, NULL, 5000, NULL, NULL),
    jsonb_build_object('app_id', sessionize.app_id('retention'), 'day', current_date - 100)) AS state"
report "longest lock of a sweep: one batch of 5000 sessions" "$(milliseconds retention_purge "$batch" "$begin")" "(target 1000)"

# Four clients who insert, alone and beside sweeps, in a copy.
in_database postgres -c "DROP DATABASE IF EXISTS retention_sweep" -c "CREATE DATABASE retention_sweep TEMPLATE retention_purge"
scratch=$(mktemp -d)
trap 'rm -rf "$times" "$scratch"' EXIT
printf '%s\n' "\\set who random(1, $((sessions * 2 / 5)))" "INSERT INTO events (visitor, at) VALUES ('visitor-' || :who, now());" >"$scratch/insert"
inserts() { # per second
    pgbench -n -c 4 -j 2 -T "$seconds_each" -f "$scratch/insert" retention_sweep 2>"$scratch/problems" | sed -nE 's/^tps = ([0-9]+)\..*/\1/p'
    ! grep -iE 'error|aborted' "$scratch/problems"
}
beside_sweep() { # with which pause
    in_database retention_sweep -c "CALL sweep_inactive_sessions(90, max_runtime => '$seconds_each seconds', pause => $1)" &
    inserts
    wait $!
}
inserts >/dev/null
# each between two runs without a sweep, for inserts become faster and slower by themselves
before=$(inserts) resting=$(beside_sweep NULL) between=$(inserts) restless=$(beside_sweep "'0'") after=$(inserts)
report "four clients inserting events" "per second" "ratio"
report "  alone" "$(((before + between + after) / 3))" 1
report "  beside a sweep" "$resting" "$(ratio "$((2 * resting))" "$((before + between))")   (target 0.8)"
report "  beside a sweep that never rests (pause => '0')" "$restless" "$(ratio "$((2 * restless))" "$((between + after))")"
in_database retention_sweep -t -A -c "SELECT format('  the sweeps deleted %s sessions', string_agg(sessions::text, ' and ' ORDER BY purge_id)) FROM sessionize.purges"
in_database postgres -c "DROP DATABASE retention_sweep"

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
    report "  first page of inactive_sessions(90), the first call of a connection" "$(milliseconds retention_many "SELECT * FROM inactive_sessions(90)")"
    report "  first page of inactive_sessions(90), later ones" "$(milliseconds retention_many "SELECT * FROM inactive_sessions(90)" \
        "SELECT count(*) FROM inactive_sessions(90)")" "(target 10)"
fi
