# Makes the private installation of PostgreSQL, to be sourced after common.sh.
# shellcheck shell=bash
#
# PostgreSQL finds its files relative to its binaries. So copies of the binaries, with links to everything else in
# the same layout below .work/, make an installation into which the extension can go without touching the system's.

# Links what is in one folder into another. Our own extension is left out: it would be written through the link.
link_entries() {
    local from=$1 to=$2
    mkdir -p "$to"
    # ln refuses what is there already, which is what is wanted here
    find "$from" -mindepth 1 -maxdepth 1 ! -name 'pg_sessionize*' -exec ln -s -t "$to" -- {} + 2>/dev/null || true
    find "$to" -maxdepth 1 -xtype l -delete # links to what was uninstalled since
}

make_private_installation() {
    local system=$SYSTEM_PG_CONFIG stamp folder
    stamp="$("$system" --version) $(stat -c %Y "$("$system" --bindir)/postgres")"
    if [ "$(cat "$PREFIX/stamp" 2>/dev/null)" != "$stamp" ]; then
        # made anew after an update of PostgreSQL, since the binaries are copies
        rm -rf "$PREFIX"
        mkdir -p "$PG_BIN"
        cp -L "$("$system" --bindir)"/* "$PG_BIN/"
    fi
    link_entries "$("$system" --pkglibdir)" "$PREFIX$("$system" --pkglibdir)"
    link_entries "$("$system" --sharedir)/extension" "$PREFIX$("$system" --sharedir)/extension"
    link_entries "$("$system" --sharedir)" "$PREFIX$("$system" --sharedir)"
    folder=$PREFIX$("$system" --includedir-server)
    mkdir -p "$(dirname "$folder")"
    ln -sfn "$("$system" --includedir-server)" "$folder"

    for folder in --pkglibdir --sharedir --includedir-server; do
        [ "$("$PRIVATE_PG_CONFIG" $folder)" = "$PREFIX$("$system" $folder)" ] ||
            fail "$system belongs to an installation that cannot be moved: its $folder does not follow its binaries"
    done
    echo "$stamp" >"$PREFIX/stamp"
}
