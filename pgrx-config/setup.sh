#!/usr/bin/env bash
# Prepares a Debian or Ubuntu machine: installs what is missing, and nothing that is there already.
#
#   setup.sh [demo|test|bench|install]    what it is for (default demo): the tests need a little more
#
# Reads PG_MAJOR and PG_CONFIG from the environment; leaves the choice in .work/pg_config.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
purpose=${1:-demo}

trap tidy_up EXIT

# ---- packages --------------------------------------------------------------------------------------------

# Fetches the package lists, once in a run and only when something has to be installed.
fresh_lists=$WORK/package-lists.$$
fetch_lists() {
    if [ ! -e "$fresh_lists" ]; then
        say "fetching the package lists" >&2
        # a broken extra source of the user's must not stop us: what is needed may be there all the same
        as_administrator apt-get update -qq >"$LOGS/apt-update.log" 2>&1 ||
            sed 's/^/    /' "$LOGS/apt-update.log" >&2
        touch "$fresh_lists"
    fi
}

# Is there a version of this package to install?
offered() {
    fetch_lists
    [[ $(LC_ALL=C apt-cache policy "$1" 2>/dev/null) =~ Candidate:\ [0-9] ]]
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

as_administrator() {
    if am_root; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

# need PACKAGE WHAT-FOR: to be installed by install_packages, unless it is there.
packages=()
need() {
    installed "$1" && return
    say "installing $1: $2"
    packages+=("$1")
}

install_packages() {
    [ ${#packages[@]} -gt 0 ] || return 0
    local list="${packages[*]}"
    command -v apt-get >/dev/null ||
        fail "this machine has no apt-get. Install the equivalents of these packages by hand and try again: $list"
    am_root || command -v sudo >/dev/null ||
        fail "installing packages needs root or sudo. As an administrator run: apt-get install $list"
    for package in "${packages[@]}"; do
        offered "$package" || fail "apt-get does not offer $package"
    done
    no_new_cluster
    with_progress "$LOGS/apt-install.log" as_administrator apt-get install -y --no-install-recommends "${packages[@]}"
}

# Debian's server package makes and starts a cluster of its own when it is first installed. Nobody asked for one.
switch=/etc/postgresql-common/createcluster.d/pg_sessionize.conf
no_new_cluster() {
    [[ " ${packages[*]} " == *" postgresql-$major "* ]] || return 0
    as_administrator mkdir -p "$(dirname "$switch")"
    echo 'create_main_cluster = false' | as_administrator tee "$switch" >/dev/null
}
tidy_up() {
    rm -f "$fresh_lists"
    if [ -e "$switch" ]; then
        as_administrator rm "$switch"
        as_administrator rmdir --ignore-fail-on-non-empty "$(dirname "$switch")"
    fi
}

# ---- which PostgreSQL ------------------------------------------------------------------------------------

# The first supported version that is installed; else the first that can be.
first_major() {
    local candidate
    for candidate in $SUPPORTED_MAJORS; do
        if installed "postgresql-$candidate"; then echo "$candidate"; return; fi
    done
    command -v apt-get >/dev/null || return 0
    for candidate in $SUPPORTED_MAJORS; do
        if offered "postgresql-$candidate"; then echo "$candidate"; return; fi
    done
}

choose_major() {
    if [ -n "${PG_CONFIG:-}" ]; then
        [ -x "$PG_CONFIG" ] || fail "PG_CONFIG=$PG_CONFIG is not a program"
        major=$(major_of "$PG_CONFIG")
        if [ -n "${PG_MAJOR:-}" ] && [ "$PG_MAJOR" != "$major" ]; then
            fail "PG_CONFIG=$PG_CONFIG is of PostgreSQL $major, but PG_MAJOR=$PG_MAJOR"
        fi
    else
        major=${PG_MAJOR:-$(first_major)}
    fi
    [ -n "$major" ] ||
        fail "neither installed nor offered by apt-get: PostgreSQL in one of the versions $SUPPORTED_MAJORS." \
             "Add a package source that has one, or say PG_CONFIG=/path/to/pg_config"
    [[ " $SUPPORTED_MAJORS " == *" $major "* ]] || fail "PostgreSQL $major is not supported; these are: $SUPPORTED_MAJORS"
}

# ---- do it -----------------------------------------------------------------------------------------------

command -v cargo >/dev/null ||
    fail "Rust is missing: install it first (rustup, or a package of version 1.89 or later)." \
         "If it is yours and you said sudo: run make without sudo, it asks for it where it is needed"

choose_major
command -v cc >/dev/null || need build-essential "the C compiler and linker"
command -v pkg-config >/dev/null || need pkg-config "finds the C libraries"
command -v python3 >/dev/null || need python3 "reads the demo's CSV files"
if command -v dpkg-query >/dev/null; then
    need libclang-dev "reads PostgreSQL's C headers for Rust"
    find_cargo_pgrx >/dev/null || need libssl-dev "cargo-pgrx is built with it"
fi
if [ -z "${PG_CONFIG:-}" ]; then
    need "postgresql-$major" "the PostgreSQL server (no cluster is made or touched)"
    need "postgresql-server-dev-$major" "PostgreSQL's headers and test programs"
    if [ "$purpose" = test ] && ! installed "postgresql-$major-cron"; then
        if offered "postgresql-$major-cron"; then
            need "postgresql-$major-cron" "the tests of scheduled purges use it, in a cluster of their own"
        else
            say "no package postgresql-$major-cron here: tests that need it are skipped"
        fi
    fi
fi
install_packages

pg_config=${PG_CONFIG:-$(packaged_pg_config "$major")}
pg_config=$(realpath "$pg_config")
[ -e "$("$pg_config" --includedir-server)/postgres.h" ] ||
    fail "no server headers in $("$pg_config" --includedir-server): install the development package of that PostgreSQL"
if am_root && ! id "$SERVER_USER" >/dev/null 2>&1; then
    say "adding the system user $SERVER_USER: PostgreSQL refuses to run as root"
    useradd --system --user-group --no-create-home "$SERVER_USER"
fi

if ! find_cargo_pgrx >/dev/null; then
    say "installing cargo-pgrx $PGRX_VERSION, which builds PostgreSQL extensions: 5 to 8 minutes, once per machine"
    with_progress "$LOGS/cargo-pgrx.log" cargo install cargo-pgrx --version "$PGRX_VERSION" --locked --root "$CARGO_PGRX_ROOT"
fi

echo "$pg_config" >"$WORK/pg_config"
