#!/usr/bin/env bash
# Executes the ```sql blocks of README.md in a new database and compares what they print with the ```text block that
# follows each.    tests/readme/run.sh --update   writes what they print into README.md instead.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

sql postgres -c "SET client_min_messages = warning" -c "DROP DATABASE IF EXISTS sessionize_readme" \
    -c "CREATE DATABASE sessionize_readme"
status=0
python3 "$ROOT/tests/readme/examples.py" "$ROOT/README.md" "${1:-}" sessionize_readme || status=$?
sql postgres -c 'DROP DATABASE sessionize_readme'
exit $status
