#!/usr/bin/env bash
# Private throw-away clusters, by name. They listen on a Unix socket that only their owner and root can reach.
#
#   cluster.sh start NAME [setting=value …]   makes it if need be, and starts it (again, if settings are given)
#   cluster.sh stop NAME                      stops it and keeps its data
#   cluster.sh destroy NAME                   stops it and removes it
#   cluster.sh restart NAME                   stops and starts it with the settings it has
#   cluster.sh crash NAME                     stops it at once, without a checkpoint
#   cluster.sh psql NAME [argument …]         psql in it, as its superuser
#   cluster.sh env NAME                       prints PGHOST, PGPORT and PGUSER as shell commands
#   cluster.sh list                           the clusters of this checkout
#
# fsync is off: they are fast and do not outlive a power failure. Crash tests say fsync=on.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

action=${1:-help} name=${2:-}
shift $(($# < 2 ? $# : 2))
clusters=$WORK/clusters

if [ "$action" = list ]; then
    for folder in "$clusters"/*/; do
        [ -d "$folder" ] && basename "$folder"
    done
    exit 0
fi
if [ "$action" = help ]; then
    sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 0
fi
[[ $name =~ ^[a-z0-9_]+$ ]] || fail "a cluster's name consists of small letters, digits and _ (cluster.sh help explains)"
use_postgres

home=$clusters/$name
data=$home/data
log=$LOGS/cluster-$name.log
port=$((50000 + $(printf '%s' "$data" | cksum | cut -d ' ' -f 1) % 10000)) # never that of a cluster in use

# A socket's path has at most 107 characters.
socket=$home/socket
if [ ${#socket} -gt 85 ]; then
    socket=/tmp/pg_sessionize-$(printf '%s' "$home" | sha256sum | cut -c 1-12)
fi

# The process id, if it runs. A stale postmaster.pid may hold the id of a stranger: the working folder tells.
running() {
    local pid
    pid=$(head -n 1 "$data/postmaster.pid" 2>/dev/null) || return 1
    [ "$(readlink "/proc/$pid/cwd")" = "$data" ]
}

make_cluster() {
    local locale=C
    locale -a 2>/dev/null | grep -qiE '^C\.utf-?8$' && locale=C.UTF-8
    rm -rf "$home"
    mkdir -p "$home"
    am_root && chown "$SERVER_USER:" "$home"
    as_server_user "$PG_BIN/initdb" --pgdata="$data" --username=postgres --auth=trust --encoding=UTF8 \
        --locale="$locale" --no-sync >"$LOGS/initdb-$name.log" 2>&1 ||
        { cat "$LOGS/initdb-$name.log" >&2; fail "initdb failed, see above"; }
    as_server_user tee -a "$data/postgresql.conf" >/dev/null <<END

# settings of pg_sessionize's private clusters
listen_addresses = ''
port = $port
unix_socket_directories = '$socket'
fsync = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d %a '
include_if_exists = 'settings.conf'
END
}

write_settings() {
    [ $# -gt 0 ] || return 0
    local setting
    for setting; do
        printf "%s = '%s'\n" "${setting%%=*}" "${setting#*=}"
    done | as_server_user tee "$data/settings.conf" >/dev/null
}

start() {
    if [ -e "$data/PG_VERSION" ] && [ "$(cat "$data/PG_VERSION")" != "$PG_MAJOR" ]; then
        destroy # of another major version
    fi
    [ -e "$data/PG_VERSION" ] || make_cluster
    if running; then
        [ $# -gt 0 ] || return 0
        stop fast
    fi
    write_settings "$@"
    as_server_user mkdir -p -m 700 "$socket"
    [ "$(stat -c %U "$socket")" = "$SERVER_USER" ] || fail "$socket belongs to somebody else"
    touch "$log"
    am_root && chown "$SERVER_USER:" "$log"
    as_server_user "$PG_BIN/pg_ctl" start --pgdata="$data" --log="$log" --wait --timeout=60 --silent </dev/null ||
        { tail -n 30 "$log" >&2; fail "the private cluster '$name' does not start; its log is $log"; }
}

stop() {
    if running; then
        as_server_user "$PG_BIN/pg_ctl" stop --pgdata="$data" --mode="$1" --wait --timeout=120 --silent
    fi
}

destroy() {
    stop immediate
    rm -rf "$home"
    [ "$socket" = "$home/socket" ] || rm -rf "$socket"
}

case $action in
    start) start "$@" ;;
    stop) stop fast ;;
    restart) stop fast; start ;;
    crash) stop immediate ;;
    destroy) destroy ;;
    env) printf 'export PGHOST=%q PGPORT=%q PGUSER=postgres\n' "$socket" "$port" ;;
    psql) PGHOST=$socket PGPORT=$port PGUSER=postgres exec "$PG_BIN/psql" "$@" ;;
    *) fail "unknown action '$action'" ;;
esac
