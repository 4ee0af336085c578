"""Reads a CSV file of events and writes rows (visitor, instant, kind) for COPY.

usage: read_events.py FILE VISITOR INSTANT KIND     the last three are column names, or empty for the default

The file has a header line and may be compressed with gzip. Instants are passed on as PostgreSQL understands them;
numbers are taken as seconds, milliseconds or microseconds since 1970, whichever gives a date after 1973.
"""

import csv
import datetime
import gzip
import io
import re
import sys

EXPECTED = (
    "Expected is a CSV file (or .csv.gz) with a header line and the columns visitor, instant and anything else."
    " VISITOR=name, INSTANT=name and KIND=name choose other columns."
)
EPOCH = datetime.datetime(1970, 1, 1)
NUMBER = re.compile(r"-?\d+(\.\d+)?")


class BadFile(Exception):
    pass


def opened(path):
    raw = open(path, "rb")
    if raw.peek(2)[:2] == b"\x1f\x8b":
        raw = gzip.open(raw)
    return io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")


def find(header, wanted, default, what):
    """The position of a column: the one asked for by name, else the default."""
    if wanted:
        if wanted not in header:
            raise BadFile(f"there is no column {wanted!r} for the {what}; the columns are {', '.join(header)}")
        return header.index(wanted)
    return default


def instant(text):
    """A number as a date; anything else is left to PostgreSQL."""
    if not NUMBER.fullmatch(text):
        return text
    whole, _, fraction = text.partition(".")
    for digits, low in ((0, 10**8), (3, 10**11), (6, 10**14)):
        if low <= int(whole) < low * 1000:
            shifted = whole + fraction.ljust(6, "0")
            microseconds = int(shifted[: len(whole) + 6 - digits])
            return (EPOCH + datetime.timedelta(microseconds=microseconds)).isoformat(" ")
    return text


def convert(path, visitor_name, instant_name, kind_name):
    source = opened(path)
    first = source.readline()
    source.seek(0)
    delimiter = max(",;\t", key=first.count)
    csv.field_size_limit(2**30)
    rows = csv.reader(source, delimiter=delimiter)

    header = next(rows, [])
    if len(header) < 2:
        raise BadFile("the header line names fewer than two columns")
    visitor = find(header, visitor_name, 0, "visitor")
    at = find(header, instant_name, 1, "instant")
    usual = [position for position, name in enumerate(header) if name.lower() in ("kind", "type", "event")]
    kind = find(header, kind_name, usual[0] if usual else None, "kind")
    needed = max(visitor, at, kind or 0)

    print(
        f"    visitor is {header[visitor]!r}, instant is {header[at]!r},"
        f" kind is {'missing' if kind is None else repr(header[kind])}",
        file=sys.stderr,
    )
    out = csv.writer(sys.stdout, lineterminator="\n")
    written = left_out = 0
    for row in rows:
        if not row:
            continue  # an empty line
        if len(row) <= needed:
            raise BadFile(f"line {rows.line_num} has {len(row)} of the {len(header)} columns")
        if not row[visitor] or not row[at]:
            left_out += 1
            continue
        out.writerow((row[visitor], instant(row[at].strip()), "" if kind is None else row[kind]))
        written += 1
    if left_out:
        print(f"    left out, because visitor or instant is empty: {left_out} rows", file=sys.stderr)
    if not written:
        raise BadFile("there is no event in it")


try:
    convert(*sys.argv[1:])
    sys.stdout.flush()
except BrokenPipeError:
    sys.stderr.close()  # PostgreSQL has refused a row and says so itself
    sys.exit(1)
except (BadFile, csv.Error, UnicodeDecodeError, EOFError, OSError) as problem:
    print(f"error: {sys.argv[1]}: {problem}\n{EXPECTED}", file=sys.stderr)
    sys.exit(1)
