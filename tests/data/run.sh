#!/usr/bin/env bash
# Real events, with the numbers of sessions that their description gives. Skipped where the files are absent.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

readers=${SHARED_DATA:-}/wikipedia_readers.csv.gz
shop=${SHARED_DATA:-}/otto_shop_events.csv
[ -n "${SHARED_DATA:-}" ] || skip "the real data sets are not here (SHARED_DATA=folder names another place)"
fresh_database sessionize_data
value() { sql sessionize_data -c "SET timezone = 'UTC'" -c "$1"; }

if [ -r "$readers" ]; then
    value "CREATE TABLE readers (visitor text, occurred_at timestamptz, url text)"
    gzip -dc "$readers" | value "COPY readers FROM STDIN (FORMAT csv, HEADER)"
    value "CREATE TABLE visits AS
           SELECT visitor, sessionize(occurred_at) AS exclusive, sessionize(occurred_at, '30 minutes', 'inclusive') AS inclusive
           FROM readers GROUP BY visitor"
    check "readers" "63524|10000" "$(value "SELECT count(*), count(DISTINCT visitor) FROM readers")"
    check "sessions, exclusive" 22226 "$(value "SELECT sum(session_count(exclusive)) FROM visits")"
    check "sessions, inclusive" 22224 "$(value "SELECT sum(session_count(inclusive)) FROM visits")"
    check "events of all sessions" "63524|63524" "$(value "SELECT sum(event_count(exclusive)), sum(event_count(inclusive)) FROM visits")"
    check "single views under either boundary" "13138|13138" "$(value "
        SELECT (SELECT count(*) FROM visits, session_spans(exclusive) AS span WHERE span.event_count = 1),
               (SELECT count(*) FROM visits, session_spans(inclusive) AS span WHERE span.event_count = 1)")"
    check "sessions that cross midnight UTC" 59 "$(value "
        SELECT count(*) FROM visits, session_spans(exclusive) AS span WHERE span.started_at::date < span.last_event_at::date")"
    check "highest numbers of session_number" 22226 "$(value "
        SELECT sum(number) FROM (SELECT max(number) AS number FROM (
            SELECT visitor, session_number(occurred_at) OVER (PARTITION BY visitor ORDER BY occurred_at) AS number FROM readers) AS a
        GROUP BY visitor) AS b")"
    check "days of visitors" "$(value "SELECT count(DISTINCT (visitor, occurred_at::date)) FROM readers")" "$(value "
        SELECT sum(session_count(days)) FROM (SELECT sessionize_daily(occurred_at, 'UTC') AS days FROM readers GROUP BY visitor) AS a")"
elif [ -n "${SHARED_DATA:-}" ]; then
    skip "$(basename "$readers") is not in $SHARED_DATA"
fi

if [ -r "$shop" ]; then
    value "CREATE TABLE shop (visitor text, article text, milliseconds bigint, kind text)"
    value "COPY shop FROM STDIN (FORMAT csv, HEADER)" <"$shop"
    value "CREATE TABLE shop_visits AS
           SELECT visitor, sessionize(to_timestamp(milliseconds / 1000.0)) AS sessions FROM shop GROUP BY visitor"
    check "shop events" "862|20" "$(value "SELECT count(*), count(DISTINCT visitor) FROM shop")"
    check "shop sessions" "144|862" "$(value "SELECT sum(session_count(sessions)), sum(event_count(sessions)) FROM shop_visits")"
elif [ -n "${SHARED_DATA:-}" ]; then
    skip "$(basename "$shop") is not in $SHARED_DATA"
fi

sql postgres -c 'DROP DATABASE sessionize_data'
finish
