#!/usr/bin/env bash
# The calendar of sessionize_daily against PostgreSQL's own AT TIME ZONE, in every zone that both know, around every
# change of the clocks from 1970 to 2037.
#
# Both sides carry their own copy of the IANA database, and each release of it corrects the future and the past of some
# zones. So a difference fails, unless its zone is listed in the file known_differences with its reason, where both copies
# are of one release; else many of them do, since a mistake of ours would show in most zones. All differences are shown.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

known=$(dirname "${BASH_SOURCE[0]}")/known_differences
at_most=20 # zones that other releases may have changed, of 600
fresh_database sessionize_zones

sql sessionize_zones <<'SQL'
SET timezone = 'UTC';
SET jit = off; -- hundreds of small queries with large estimates
CREATE FUNCTION known_to_us(name text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM sessionize_daily('2000-01-01 00:00+00', name);
    RETURN true;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN false;
END $$;
CREATE TABLE zones AS SELECT name AS zone FROM pg_timezone_names WHERE known_to_us(name);

-- Instants around every change of the offset, close by and a microsecond before; and everyday ones.
CREATE FUNCTION instants(zone text) RETURNS SETOF timestamptz LANGUAGE sql AS $$
    WITH weeks AS (
        SELECT week, week AT TIME ZONE zone - week AT TIME ZONE 'UTC' AS ahead
        FROM generate_series(timestamptz '1970-01-01+00', '2037-12-24+00', '7 days') AS week
    ), changing AS (
        SELECT week FROM (SELECT week, ahead <> lead(ahead) OVER (ORDER BY week) AS changes FROM weeks) AS compared WHERE changes
    ), changes AS (
        SELECT day FROM changing, LATERAL generate_series(week, week + interval '6 days', '1 day') AS day
        WHERE day AT TIME ZONE zone - day AT TIME ZONE 'UTC'
           <> (day + interval '1 day') AT TIME ZONE zone - (day + interval '1 day') AT TIME ZONE 'UTC'
    ), near AS (
        SELECT DISTINCT day + half_hour * interval '30 minutes' AS instant FROM changes, generate_series(-6, 60) AS half_hour
    )
    SELECT instant FROM near
    UNION ALL SELECT instant - interval '1 microsecond' FROM near
    UNION ALL SELECT generate_series(timestamptz '1970-01-01+00', '2037-12-30+00', '223 hours 7 minutes')
$$;

-- The day borders of one zone in our calendar that are not those of a zone in PostgreSQL's.
CREATE FUNCTION differing(zone text, their_zone text) RETURNS TABLE (started_at timestamptz, last_event_at timestamptz) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    WITH sample AS MATERIALIZED (SELECT instants(zone) AS instant),
    ours AS (
        SELECT span.started_at, span.last_event_at, span.event_count
        FROM (SELECT sessionize_daily(instant, zone) AS sessions FROM sample) AS days, session_spans(sessions) AS span
    ), theirs AS (
        SELECT min(instant), max(instant), count(*) FROM sample GROUP BY (instant AT TIME ZONE their_zone)::date
    )
    SELECT d.started_at, d.last_event_at
    FROM ((TABLE ours EXCEPT ALL TABLE theirs) UNION ALL (TABLE theirs EXCEPT ALL TABLE ours)) AS d;
END $$;

CREATE TABLE differences AS SELECT zone, d.* FROM zones, differing(zone, zone) AS d;
CREATE TABLE unknown_zones AS
    SELECT name AS zone FROM pg_timezone_names WHERE NOT known_to_us(name) AND name !~ '^(posix|right)/';
SQL

check "nearly all zones are known to both" t "$(sql sessionize_zones -c "SELECT count(*) > 400 FROM zones")"
echo "compared: $(sql sessionize_zones -c "SELECT count(*) FROM zones") zones"
echo "known to PostgreSQL alone: $(sql sessionize_zones -c "SELECT coalesce(string_agg(zone, ', ' ORDER BY zone), 'none') FROM unknown_zones")"

check "the comparison sees an hour's difference" t "$(sql sessionize_zones -c "
    SELECT count(*) > 100 FROM differing('Europe/London', 'Europe/Prague')")"

# The system's copy, if PostgreSQL reads that one, says of which release it is.
their_folder=$("$SYSTEM_PG_CONFIG" --configure | sed -nE "s/.*--with-system-tzdata=([^' ]+).*/\1/p")
their_release=$(sed -nE '1s/^# version +//p' "$their_folder/tzdata.zi" 2>/dev/null || true)
our_release=$(sql sessionize_zones -c "SELECT sessionize.time_zone_release()")
echo "releases: $our_release of ours, ${their_release:-an unknown one} of PostgreSQL"

listed=$(sed -nE 's/^([^#[:space:]]+).*/\1/p' "$known" | paste -sd ' ')
unlisted=0
while IFS='|' read -r zone count earliest latest; do
    if [[ " $listed " == *" $zone "* ]]; then
        echo "listed:    $zone, $count borders, $earliest to $latest: $(sed -nE "s|^$zone +||p" "$known")"
    else
        unlisted=$((unlisted + 1))
        echo "differs:   $zone, $count borders, $earliest to $latest"
    fi
done < <(sql sessionize_zones -c "SET timezone = 'UTC'" -c "
    SELECT zone, count(*), min(started_at), max(last_event_at) FROM differences GROUP BY zone ORDER BY zone")
[ "$our_release" != "$their_release" ] || at_most=0
check "day borders agree, but in $at_most zones at most" t "$(((unlisted <= at_most)) && echo t || echo "f: $unlisted differ")"

sql postgres -c 'DROP DATABASE sessionize_zones'
finish
