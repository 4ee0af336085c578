# What a test suite needs, to be sourced by every tests/SUITE/run.sh. The suite can also be run by itself.
# shellcheck shell=bash
#
#   ROOT, WORK, LOGS            the checkout, its ignored folder, the logs in there
#   PG_MAJOR, PG_BIN            the PostgreSQL under test: 15, and the folder of its private binaries (first in PATH)
#   PG_REGRESS, PG_ISOLATION_REGRESS   PostgreSQL's own test programs
#   TEST_CLUSTER                the name of the common test cluster: "test_run" under tests/run.sh, "test" (which is
#                               started and left running) for a suite that is run by itself
#   PGHOST, PGPORT, PGUSER      where it listens; the superuser postgres
#   SCRATCH                     an empty folder for this suite, which the server can write to; removed when it ends
#   SHARED_DATA                 the folder of the real data sets, or empty where they are absent
#
#   fresh_database NAME         makes an empty database (dropping one of that name) and the extension in it
#   fresh_cluster NAME [setting=value …]   makes a cluster of the suite's own and points PGHOST and PGPORT at it;
#                               it is removed when the suite ends
#   cluster ACTION …            pgrx-config/cluster.sh: stop, start, crash, restart, env, …
#   use_cluster NAME            points PGHOST and PGPORT at a cluster ($TEST_CLUSTER is the common one)
#   sql DATABASE [argument …]   psql that stops at the first error, without decoration
#   as_server_user COMMAND …    runs a command as the user who owns the clusters (absolute paths)
#   check WHAT EXPECTED ACTUAL  compares two texts, counts, and says what differs
#   pass WHAT / miss WHAT       counts one test as passed / failed
#   skip WHAT                   says that something was not tested, and why
#   finish                      prints "N passed, N failed"; the last command of a suite that counts
#   run_regress TOOL SUITE FOLDER SUFFIX DATABASE [NAME …]   see below

. "$(dirname "${BASH_SOURCE[0]}")/../pgrx-config/common.sh"
use_postgres
PATH=$PG_BIN:$PATH
pgxs=$(dirname "$("$SYSTEM_PG_CONFIG" --pgxs)")/..
PG_REGRESS=$pgxs/test/regress/pg_regress
PG_ISOLATION_REGRESS=$pgxs/test/isolation/pg_isolation_regress
SHARED_DATA=${SHARED_DATA:-$ROOT/../shared/data}
[ -d "$SHARED_DATA" ] || SHARED_DATA=
export PG_REGRESS PG_ISOLATION_REGRESS SHARED_DATA PATH ROOT WORK LOGS

cluster() { "$ROOT/pgrx-config/cluster.sh" "$@"; }
use_cluster() { eval "$(cluster env "$1")"; }

own_clusters=()
SCRATCH=$(mktemp -d "$WORK/scratch.XXXXXX")
as_owner() { am_root && chown "$SERVER_USER:" "$@"; return 0; }
as_owner "$SCRATCH"
clean_up() {
    local name
    for name in "${own_clusters[@]}"; do cluster destroy "$name"; done
    rm -rf "$SCRATCH"
}
trap clean_up EXIT

fresh_cluster() {
    own_clusters+=("$1")
    cluster destroy "$1"
    cluster start "$@"
    use_cluster "$1"
}

sql() {
    local database=$1
    shift
    psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$database" "$@"
}

fresh_database() {
    sql postgres -c "SET client_min_messages = warning" \
        -c "DROP DATABASE IF EXISTS \"$1\" WITH (FORCE)" -c "CREATE DATABASE \"$1\""
    sql "$1" -c "CREATE EXTENSION pg_sessionize"
}

# ---- counting --------------------------------------------------------------------------------------------

passed=0 failed=0
pass() { passed=$((passed + 1)); printf 'ok      %s\n' "$1"; }
miss() { failed=$((failed + 1)); printf 'FAILED  %s\n' "$1"; }
skip() { printf 'skipped: %s\n' "$1"; }
check() {
    if [ "$2" = "$3" ]; then
        pass "$1"
    else
        miss "$1"
        diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") | sed 's/^/        /' || true
    fi
}
finish() {
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ]
}

# ---- PostgreSQL's own test programs ----------------------------------------------------------------------

# run_regress TOOL SUITE FOLDER SUFFIX DATABASE OUTPUT [NAME …]
# Runs pg_regress or pg_isolation_regress over the files of tests/SUITE/FOLDER (all, or the ones named) in a new
# database that has the extension, with OUTPUT as a folder of its own; what they print is compared with
# tests/SUITE/expected. Shows the differences.
# With regress_options=(--use-existing) the database is one that the suite has made.
regress_options=()
run_regress() {
    local tool=$1 suite=$ROOT/tests/$2 folder=$3 suffix=$4 database=$5 output=$6 file status=0
    shift 6
    local names=("$@")
    if [ ${#names[@]} -eq 0 ]; then
        for file in "$suite/$folder"/*."$suffix"; do
            [ -e "$file" ] && names+=("$(basename "$file" ".$suffix")")
        done
    fi
    [ ${#names[@]} -gt 0 ] || fail "no tests in $suite/$folder"
    rm -rf "$output"
    mkdir -p "$output"
    "$tool" --bindir="$PG_BIN" --inputdir="$suite" --outputdir="$output" --dbname="$database" \
        --load-extension=pg_sessionize "${regress_options[@]}" "${names[@]}" >"$output/output" 2>&1 || status=$?
    cat "$output/output"
    if [ "$status" -ne 0 ] && [ -e "$output/regression.diffs" ]; then
        cat "$output/regression.diffs"
    fi
    # "All 5 tests passed." or "1 of 5 tests failed.", with a # before it from PostgreSQL 16 on
    failed=$(sed -nE 's/^[# ]*([0-9]+) of [0-9]+ tests failed.*/\1/p' "$output/output")
    failed=${failed:-$((status == 0 ? 0 : ${#names[@]}))}
    passed=$((${#names[@]} - failed))
    finish
}

if [ -z "${TEST_CLUSTER:-}" ]; then
    export TEST_CLUSTER=test
    cluster start test # a suite run by itself
fi
use_cluster "$TEST_CLUSTER"
