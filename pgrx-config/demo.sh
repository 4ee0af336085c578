#!/usr/bin/env bash
# Loads events into a private cluster, turns them into sessions and shows them.
#
# Reads from the environment: EVENTS, a CSV file (also .gz) with a header line; VISITOR, INSTANT and KIND, the names of
# its columns where they are not the first, the second, and one named kind, type or event. Without EVENTS it makes a shop.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
use_postgres

chapters=$ROOT/pgrx-config/demo
cluster=$ROOT/pgrx-config/cluster.sh

demo_sql() {
    PGOPTIONS='-c client_min_messages=warning' \
        "$cluster" psql demo -X -q -v ON_ERROR_STOP=1 -P pager=off -P null='(none)' -d demo "$@"
}

load_file() {
    say "loading $EVENTS"
    [ -r "$EVENTS" ] || fail "EVENTS=$EVENTS: there is no such file, or it is not readable"
    local problems=$WORK/demo-problems status=0 row
    python3 "$chapters/read_events.py" "$EVENTS" "${VISITOR:-}" "${INSTANT:-}" "${KIND:-}" |
        demo_sql -c 'COPY events FROM STDIN (FORMAT csv)' 2>"$problems" || status=$?
    [ "$status" -eq 0 ] && return
    # the reader has said what was wrong with the file, PostgreSQL what was wrong with an instant
    row=$(sed -nE 's/^CONTEXT: +COPY events, line ([0-9]+), column occurred_at.*/\1/p' "$problems")
    if [ -n "$row" ]; then
        sed -n 's/^ERROR: */error: /p' "$problems" >&2
        fail "row $row of the loaded events is no instant. Expected are '2026-05-01 12:30:00', with or without a zone" \
             "(UTC if without), or seconds, milliseconds or microseconds since 1970. Is it the right column?" \
             "INSTANT=name chooses another"
    fi
    grep -v 'COPY from stdin failed' "$problems" >&2 || true
    exit 1
}

"$cluster" destroy demo
"$cluster" start demo shared_buffers=256MB max_wal_size=4GB jit=off
"$cluster" psql demo -X -q -d postgres -c 'CREATE DATABASE demo'
demo_sql <"$chapters/create.sql"
if [ -n "${EVENTS:-}" ]; then
    load_file
else
    say "making up a shop: a few thousand visitors, two weeks (EVENTS=file.csv takes your own events)"
    demo_sql <"$chapters/shop.sql"
fi
demo_sql -c 'ANALYZE events'

# in one session, so that a chapter can use what an earlier one has set
files=()
for chapter in "$chapters"/[0-9][0-9]_*.sql; do
    files+=(--file="$chapter")
done
demo_sql "${files[@]}"

eval "$("$cluster" env demo)"
as_administrator=
if [ -n "${SUDO_USER:-}" ]; then as_administrator='sudo '; fi
cat <<END

== Go on yourself

  The private cluster is still running. To connect:

      ${as_administrator}psql -h $PGHOST -p $PGPORT -U postgres demo

  and, for a start:

      SELECT visitor, s.* FROM visits, session_spans(sessions) AS s LIMIT 20;

  To stop it:         ${as_administrator}pgrx-config/cluster.sh stop demo
  To remove it all:   ${as_administrator}make clean
END
