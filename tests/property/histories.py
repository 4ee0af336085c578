#!/usr/bin/env python3
"""Writes a psql script of random histories of events: histories.py SEED BASE HISTORIES

A history is a few visitors' events under one application: ties, gaps around the timeout to the microsecond, events that
bridge others, both policies, both boundaries. It is shuffled and split at random into statements of every form,
transactions, savepoints and connections; parts are rolled back and sent again, and some rows are corrected. After each history the oracle looks.
BASE is an instant in seconds since 1970: applications without a column of arrivals have their events shortly before it.
"""
import random
import sys
from datetime import datetime, timedelta, timezone

seed, base, histories = (int(argument) for argument in sys.argv[1:4])
dice = random.Random(seed)
SECOND = 1_000_000
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

# name, policy, timeout, zone, boundary, start of the events: None is shortly before now, and arrivals are not mapped
APPS = [
    ("exclusive", "timeout", 30 * MINUTE, "UTC", "exclusive", None),
    ("inclusive", "timeout", 30 * MINUTE, "UTC", "inclusive", None),
    ("short", "timeout", MINUTE, "UTC", "exclusive", "2024-02-29 20:00:00"),
    ("long", "timeout", 3 * HOUR, "UTC", "inclusive", "1999-12-31 12:00:00"),
    ("nights", "midnight", 30 * MINUTE, "UTC", "exclusive", None),
    ("tokyo", "midnight", 30 * MINUTE, "Asia/Tokyo", "exclusive", None),
    ("no_midnight", "midnight", 30 * MINUTE, "America/Sao_Paulo", "exclusive", "2017-10-14 15:00:00"),
    ("short_day", "midnight", 30 * MINUTE, "Europe/Prague", "exclusive", "2024-03-30 13:00:00"),
]
WINDOW = 20 * HOUR
VISITORS = ["é", "bob", "Bob", "a b", "x,y", "'q'", "c"]
KINDS = ["view"] * 8 + ["beat", "order"]


def instant(micros):
    return (EPOCH + timedelta(microseconds=micros)).strftime("%Y-%m-%d %H:%M:%S.%f+00")


def literal(value):
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"


def field(value):
    return "\\N" if value is None else str(value)


def make_apps():
    for name, policy, timeout, zone, boundary, start in APPS:
        print(f"""SELECT create_session_app('{name}', '{policy}', '{timeout} microseconds', '{zone}', boundary => '{boundary}',
                  max_skew => '2 days', passive_kinds => '{{beat}}', conversion_kinds => '{{order}}');
CREATE TABLE {name} (n bigint PRIMARY KEY, visitor text, occurred_at timestamptz, kind text, arrived timestamptz,
                     country text, customer text, address inet, total numeric);
SELECT track_sessions('{name}', 'visitor', 'occurred_at', '{name}', kind => 'kind', country => 'country', customer => 'customer',
                      ip => 'address', cart_value => 'total'
                      {", received_at => 'arrived'" if start else ""});""")


class Table:
    """The rows of one history, and the statements that send them."""

    def __init__(self, number, app):
        self.name, _, self.timeout, _, _, start = app
        self.mapped = start is not None
        first = int(datetime.fromisoformat(start + "+00:00").timestamp()) if start else base - WINDOW // SECOND
        self.start = first * SECOND
        self.corrected = dice.random() < 0.4
        self.rows = []
        for visitor in dice.sample(VISITORS, dice.randint(1, 4)):
            for at in self.instants(dice.randint(1, 12)):
                arrived = at + dice.choice([0, 0, MINUTE, dice.randrange(HOUR)])
                self.rows.append((number * 1000 + len(self.rows), f"{number} {visitor}", instant(at), dice.choice(KINDS), instant(arrived),
                                  dice.choice([None, "CZ", "BR"]), dice.choice([None, None, "k1", "k2"]),
                                  dice.choice([None, "10.0.0.1", "10.0.0.0/24", "2001:db8::1"]), dice.choice([None, None, 7, "12.50"])))
        if dice.random() < 0.2:
            self.rows.append((number * 1000 + 998, None, instant(self.start), "view", instant(self.start), *[None] * 4))
            self.rows.append((number * 1000 + 999, f"{number} bob", dice.choice([None, "infinity", "-infinity"]), "view",
                              instant(self.start), *[None] * 4))
        order = dice.random()
        if order < 0.7:
            dice.shuffle(self.rows)
        elif order < 0.85:
            self.rows.sort(key=lambda row: row[2] or "", reverse=dice.random() < 0.5)

    def instants(self, count):
        timeout = self.timeout
        known = [self.start + dice.randrange(WINDOW)]
        while len(known) < count:
            if dice.random() < 0.2:  # two sessions, and an event that may bridge them
                apart = timeout + dice.choice([0, 1, timeout // 2, timeout - 1])
                bridge = [known[-1] + apart, known[-1] + apart // 2]
                known += [at for at in bridge if at < self.start + WINDOW]
            gap = dice.choice([0, 1, timeout, timeout - 1, timeout + 1, timeout // 2, 2 * timeout - 2, 2 * timeout,
                               dice.randrange(3 * timeout), dice.randrange(WINDOW)])
            at = dice.choice(known) + dice.choice([-1, 1]) * gap
            if self.start <= at < self.start + WINDOW:
                known.append(at)
        return known

    def columns(self):
        return "n, visitor, occurred_at, kind, arrived, country, customer, address, total"

    def values(self, rows):
        return ",\n    ".join("(" + ", ".join(literal(value) for value in row) + ")" for row in rows)

    def send(self, rows):
        """One statement that inserts some rows, and none that is there already."""
        form = dice.choice(["insert", "insert", "copy", "select", "conflict", "cte"])
        head = f"INSERT INTO {self.name} ({self.columns()})"
        if form == "copy":
            lines = "\n".join("\t".join(field(value) for value in row) for row in rows)
            return f"COPY {self.name} ({self.columns()}) FROM stdin;\n{lines}\n\\."
        values = f"VALUES {self.values(rows)}"
        select = f"""SELECT n::bigint, visitor, occurred_at::timestamptz, kind, arrived::timestamptz, country, customer, address::inet, total::numeric
    FROM ({values}) AS r ({self.columns()})"""
        if form == "select":
            return f"{head} {select};"
        if form == "cte":
            return f"WITH sent AS ({head} {select} RETURNING session_id) SELECT count(*) < 0 FROM sent;"
        return f"{head} {values}{' ON CONFLICT (n) DO NOTHING' if form == 'conflict' else ''};"

    def replay(self, rows):
        return f"INSERT INTO {self.name} ({self.columns()}) VALUES {self.values(rows)} ON CONFLICT DO NOTHING;"


    def correct(self, sent):
        """Corrects the visitor or the instant of a row."""
        if not self.corrected:
            return
        place = dice.randrange(len(sent))
        n, visitor, at, *rest = sent[place]
        other = dice.choice(sent)
        if dice.random() < 0.5:
            at = instant(self.start + dice.randrange(WINDOW))
        else:
            visitor = other[1]
        sent[place] = (n, visitor, at, *rest)
        print(f"UPDATE {self.name} SET visitor = {literal(visitor)}, occurred_at = {literal(at)} WHERE n = {n};")


def elsewhere(statement):
    """The same statement from the other connection, whose memory of the visitors is another one."""
    return f"SELECT dblink_exec('other', {literal(statement)}) = '' AS sent;"


def history(number):
    table = Table(number, dice.choice(APPS))
    rows = table.rows
    sent = []
    while rows:
        count = dice.choice([1, 1, 2, 3, 5, 8, 40])
        part, rows = rows[:count], rows[count:]
        fate = dice.random()
        if fate < 0.25:
            # several statements in one transaction, perhaps with a savepoint that is rolled back, perhaps all in vain
            cut = dice.randint(0, len(part))
            print("BEGIN;")
            if part[:cut]:
                print(table.send(part[:cut]))
            if part[cut:]:
                if dice.random() < 0.5:
                    print("SAVEPOINT s;", table.send(part[cut:]), "ROLLBACK TO s;", sep="\n")
                print(table.send(part[cut:]))
            if dice.random() < 0.2:
                print("ROLLBACK;", table.send(part), sep="\n")
            else:
                print("COMMIT;")
        elif fate < 0.35:
            # a statement that fails at its last row leaves no trace
            duplicate = table.values(part + part[-1:])
            print(f"SELECT fails({literal(f'INSERT INTO {table.name} ({table.columns()}) VALUES {duplicate}')});")
            print(table.send(part))
        elif fate < 0.6:
            print(elsewhere(table.replay(part)))
        else:
            print(table.send(part))
        sent += part
        if dice.random() < 0.1:
            print(table.replay(dice.sample(sent, min(len(sent), 5))))
        if dice.random() < 0.3:
            table.correct(sent)
        if dice.random() < 0.02:
            print("\\connect")
            print("SELECT dblink_connect('other', connection) = '' AS connected FROM other;")
    print(f"SELECT 'history {number} ({table.name}): ' || wrong FROM suite.wrong('{table.name}', '{number} %') AS wrong;")
    print(f"SELECT 'history {number} ({table.name}): it has no rows' WHERE NOT EXISTS (SELECT FROM {table.name} WHERE n / 1000 = {number});")


make_apps()
print("SELECT dblink_connect('other', connection) = '' AS connected FROM other;")
for number in range(1, histories + 1):
    history(number)
