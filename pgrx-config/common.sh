# Shared by all scripts, to be sourced: where things are, which PostgreSQL is used, who runs the server.
# shellcheck shell=bash

unset RUST_BACKTRACE # a server started with it would put backtraces into the DETAIL of errors
set -euo pipefail
umask 022 # the server runs as another user and has to read what is built here

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
export SUPPORTED_MAJORS='15 16 17 18' # in order of preference
PGRX_VERSION=$(sed -n 's/^pgrx *=.*"=\{0,1\}\([0-9][0-9.]*\)".*/\1/p' "$ROOT/Cargo.toml" | head -n 1)

# cargo's folder is missing from the search path of a shell that was open while Rust was installed
[ -d "${CARGO_HOME:-$HOME/.cargo}/bin" ] && PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

# The environment may describe some other PostgreSQL or pgrx: nothing here may depend on it.
unset PGHOST PGPORT PGUSER PGDATABASE PGDATA PGOPTIONS PGSERVICE PGPASSWORD PGPASSFILE PGSSLMODE PGTZ \
      PGAPPNAME PGCLIENTENCODING PGRX_PG_CONFIG_PATH PGRX_PG_CONFIG_AS_ENV RUSTFLAGS CARGO_ENCODED_RUSTFLAGS

say() { printf '==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
am_root() { [ "$(id -u)" -eq 0 ]; }

# ---- where things are ------------------------------------------------------------------------------------

# Can every user of this machine walk into this folder?
open_to_all() {
    local folder=$1
    while [ "$folder" != / ]; do
        case $(stat -c %A "$folder") in *[xt]) ;; *) return 1 ;; esac
        folder=$(dirname "$folder")
    done
}

# WORK holds everything that is private to this checkout. A server started by root runs as another user, which
# cannot reach a checkout under root's home: then the folder is elsewhere and .work is a link to it.
choose_work_folder() {
    WORK=$ROOT/.work
    if am_root && ! open_to_all "$ROOT"; then
        WORK=/var/tmp/pg_sessionize-$(printf '%s' "$ROOT" | sha256sum | cut -c 1-12)
    fi
    [ -d "$WORK" ] || mkdir "$WORK"
    [ -O "$WORK" ] || fail "$WORK belongs to another user: run 'make clean' as that user first"
    [ "$WORK" = "$ROOT/.work" ] || ln -sfn "$WORK" "$ROOT/.work"
    LOGS=$WORK/logs
    mkdir -p "$LOGS"
}
choose_work_folder

# ---- who runs the server ---------------------------------------------------------------------------------

# PostgreSQL refuses to run as root, so for root it is the user that Debian's packages make.
SERVER_USER=$(id -un)
if am_root; then SERVER_USER=postgres; fi

# Runs a command as the user who owns the private clusters. Paths have to be absolute.
as_server_user() {
    if am_root; then
        (cd "$WORK" && exec runuser -u "$SERVER_USER" -- "$@")
    else
        "$@"
    fi
}

# ---- which PostgreSQL ------------------------------------------------------------------------------------

major_of() { "$1" --version | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p'; }

# Where Debian and Ubuntu keep the pg_config of a major version.
packaged_pg_config() { echo "/usr/lib/postgresql/$1/bin/pg_config"; }

# Sets SYSTEM_PG_CONFIG and PG_MAJOR as set-up has chosen them, and the paths of the private installation.
use_postgres() {
    [ -s "$WORK/pg_config" ] || fail "not set up yet: run 'make build' first"
    SYSTEM_PG_CONFIG=$(cat "$WORK/pg_config")
    [ -x "$SYSTEM_PG_CONFIG" ] || fail "$SYSTEM_PG_CONFIG is gone: run 'make build' again"
    PG_MAJOR=$(major_of "$SYSTEM_PG_CONFIG")
    PREFIX=$WORK/postgresql-$PG_MAJOR
    PG_BIN=$PREFIX$("$SYSTEM_PG_CONFIG" --bindir)
    PRIVATE_PG_CONFIG=$PG_BIN/pg_config
    export SYSTEM_PG_CONFIG PG_MAJOR PREFIX PG_BIN PRIVATE_PG_CONFIG
}

# Prints the path of the right cargo-pgrx, if there is one: the user's own, or the one that set-up has built.
CARGO_PGRX_ROOT=${XDG_CACHE_HOME:-$HOME/.cache}/pg_sessionize/cargo-pgrx-$PGRX_VERSION
find_cargo_pgrx() {
    local candidate
    for candidate in "$(command -v cargo-pgrx || true)" "$CARGO_PGRX_ROOT/bin/cargo-pgrx"; do
        if [ -x "$candidate" ] && [ "$("$candidate" pgrx --version)" = "cargo-pgrx $PGRX_VERSION" ]; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

# What to expect of a build: nothing to say when the slow part, the dependencies, is there already.
build_takes() { [ -d "${CARGO_TARGET_DIR:-$ROOT/target}/release/deps" ] || echo ' (the first time takes 2 to 4 minutes)'; }

# ---- progress --------------------------------------------------------------------------------------------

# with_progress LOGFILE COMMAND…: runs it into the log, says every 20 seconds how far it is, shows the log if it fails.
with_progress() {
    local log=$1 status=0 seconds=$SECONDS reporter
    shift
    : >"$log"
    (
        trap 'kill "$nap" 2>/dev/null; exit' TERM
        # not longer than this script lives: it may be interrupted
        while sleep 20 & nap=$!; wait "$nap" && kill -0 $$ 2>/dev/null; do
            printf '    %4d s  %s\n' $((SECONDS - seconds)) "$(tail -n 5 "$log" | sed '/^$/d' | tail -n 1 | cut -c 1-100)"
        done
    ) &
    reporter=$!
    NO_COLOR=1 CARGO_TERM_COLOR=never "$@" >"$log" 2>&1 </dev/null || status=$?
    kill "$reporter" 2>/dev/null || true
    wait "$reporter" 2>/dev/null || true
    if [ "$status" -ne 0 ]; then
        grep -vE '^ +(Compiling|Downloaded|Downloading|Installing) ' "$log" >&2 || true
        fail "that failed, see above (also in $log)"
    fi
}
