//! The statements that read and write sessions.

use rustc_hash::FxHashMap;
use std::cell::OnceCell;
use std::collections::BTreeSet;

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::{self, Oid};
use sessionize_core::Instant;
use sessionize_core::assignment::Session;
use sessionize_core::facts::{FACTS, Fact, Facts};
use sessionize_core::instant::DAY;

use super::grow::session_of;
use super::guess::Guess;
use super::record::UnassignedCounts;
use super::settings::{OwnTables, own_tables};
use crate::pg::growth::FixedColumns;
use crate::pg::known_sessions::{self, Version};
use crate::pg::new_sessions::{self, NewSession};
use crate::pg::new_visitors::{self, NewVisitor};
use crate::pg::owner::AsOwner;
use crate::pg::sessions::{Direction, Glimpse, VisitorIndex};
use crate::pg::spi::{Argument, Connection, Plan, Row, Rows};
use crate::pg::transaction;

/// A statement whose plan is made at first use and kept.
struct Statement {
    sql: &'static str,
    types: &'static [Oid],
}

macro_rules! kept {
    ($connection:expr, $statement:expr, $arguments:expr) => {{
        thread_local! {
            static PLAN: OnceCell<Plan> = const { OnceCell::new() };
        }
        PLAN.with(|plan| {
            let statement: &Statement = &$statement;
            $connection.run(plan.get_or_init(|| Plan::prepare($connection, statement.sql, statement.types)), $arguments)
        })
    }};
}

const BIGINT: Oid = pg_sys::INT8OID;
const BIGINTS: Oid = pg_sys::INT8ARRAYOID;
const INSTANT: Oid = pg_sys::TIMESTAMPTZOID;
const INSTANTS: Oid = pg_sys::TIMESTAMPTZARRAYOID;
const INTEGER: Oid = pg_sys::INT4OID;
const TEXTS: Oid = pg_sys::TEXTARRAYOID;

/// Opens the index by visitor.
pub fn open_visitor_index() -> VisitorIndex {
    let OwnTables { sessions, sessions_of_visitor, .. } = own_tables();
    VisitorIndex::open(sessions, sessions_of_visitor)
}

/// The visitor's latest session that begins at or before an instant and is not cancelled, with its expiry, and whether
/// others begin later.
pub fn look_up(index: &VisitorIndex, app: i32, visitor: &str, until: Instant) -> (Option<(Guess, Instant)>, bool) {
    let (mut later, mut found) = (false, None);
    let mut see = |session: Glimpse| {
        if !session.cancelled {
            let Glimpse { id, first, last, expires_at, address, .. } = session;
            found = Some((Guess { session: id, first, last, address: Some(address) }, expires_at));
        }
        session.cancelled
    };
    // Mostly nothing begins later, and one walk is enough.
    index.walk(app, visitor, Direction::BackFrom(Instant::MAX), |session| {
        later |= session.first > until;
        !later && see(session)
    });
    if later {
        index.walk(app, visitor, Direction::BackFrom(until), see);
    }
    (found, later)
}

const LOCK_VISITORS: Statement = Statement {
    sql: "
    INSERT INTO sessionize.visitors AS known (app_id, visitor)
    SELECT $1, name FROM unnest($2) AS name
        ON CONFLICT (app_id, visitor) DO UPDATE SET revision = known.revision + 1
    RETURNING revision",
    types: &[INTEGER, TEXTS],
};

const ADD_VISITORS: Statement = Statement {
    sql: "INSERT INTO sessionize.visitors (app_id, visitor) SELECT $1, name FROM unnest($2) AS name",
    types: &[INTEGER, TEXTS],
};

/// Adds visitors, who must be in order, if none of them is known: looking for each one costs as much as adding it.
pub fn add_visitors<'v>(app: i32, visitors: impl Iterator<Item = &'v str>) -> bool {
    let seen = transaction::now();
    let visitors: Vec<NewVisitor> = visitors.map(|visitor| NewVisitor { app, visitor, seen }).collect();
    transaction::unless_duplicate(|| {
        let _owner = AsOwner::for_look_ups(own_tables().sessions);
        if !new_visitors::insert(own_tables().visitors, &visitors) {
            let connection = &Connection::open();
            let names = Argument::text_array(visitors.iter().map(|known| Some(known.visitor)));
            let _rows: Rows = kept!(connection, ADD_VISITORS, &[Argument::integer(app), names]);
        }
    })
}

/// Locks visitors, who must be in order: whoever changes more than the newest end of one session does so first. Counting
/// the revision up makes transactions fail that still look at the time before. Tells of each visitor whether they were known: others have no session.
pub fn lock_visitors<'v>(connection: &Connection, app: i32, visitors: impl Iterator<Item = &'v str>) -> Vec<bool> {
    let rows: Rows =
        kept!(connection, LOCK_VISITORS, &[Argument::integer(app), Argument::text_array(visitors.map(Some))]);
    rows.iter().map(|row| row.bigint(1) != Some(0)).collect()
}

const LOAD: Statement = Statement {
    sql: "
    SELECT session_id, started_at, last_event_at, closes_at, expires_at, opened_at, next_started_at, event_count,
           passive_count, late_count, converted_at, cancelled_at,
           customer, abbrev(ip), country, channel, cart_items::text, cart_value::text, currency, facts_at
      FROM sessionize.sessions
     WHERE session_id = ANY ($1)
     ORDER BY session_id
       FOR UPDATE",
    types: &[BIGINTS],
};

/// A visitor, and the span of time in which sessions may concern their events.
pub type Wanted<'v> = (&'v str, Instant, Instant);

/// Where the rows of sessions are that were locked without a statement.
pub type Locked = FxHashMap<i64, Version>;

/// Locks and reads the sessions of visitors, who must be locked: those in the span asked for, and their neighbours. Gives
/// them with the visitor's place in the request.
pub fn load_sessions(
    connection: &Connection,
    app: i32,
    wanted: &[Wanted],
    mut each: impl FnMut(usize, Session),
) -> Locked {
    let sessions = own_tables().sessions;
    let mut places = FxHashMap::default();
    let mut plain = Vec::new();
    {
        let index = open_visitor_index();
        for (place, (visitor, low, high)) in wanted.iter().enumerate() {
            let mut see = |session: Glimpse| {
                places.insert(session.id, place);
                plain.extend(index.plain());
            };
            // Back to a session before the span that has no other beside it: what lies before that one is far away.
            let mut see_back = |session: Glimpse| {
                see(session);
                session.first >= *low || session.cancelled || session.next_first == Instant::MIN
            };
            // Mostly nothing begins later, and one walk is enough.
            let mut later = false;
            index.walk(app, visitor, Direction::BackFrom(Instant::MAX), |session| {
                later |= session.first > *high;
                !later && see_back(session)
            });
            if later {
                index.walk(app, visitor, Direction::BackFrom(*high), see_back);
                index.walk(app, visitor, Direction::After(*high), |session| {
                    see(session);
                    session.cancelled
                });
            }
        }
    }
    let mut locked = Locked::default();
    plain.sort_unstable_by_key(|(columns, _)| columns.id);
    let versions: Vec<Version> = plain.iter().map(|(_, version)| *version).collect();
    for ((columns, version), is_locked) in plain.iter().zip(known_sessions::lock(sessions, &versions)) {
        if is_locked && let Some(place) = places.remove(&columns.id) {
            locked.insert(columns.id, *version);
            each(place, session_of(columns));
        }
    }
    if !places.is_empty() {
        let ids = Argument::wide_array(BIGINT, places.keys().map(|id| Some(*id)));
        let rows: Rows = kept!(connection, LOAD, &[ids]);
        for row in rows.iter() {
            let session = read_session(&row).expect("columns that are never null");
            each(places[&session.id], session);
        }
    }
    locked
}

fn read_session(row: &Row) -> Option<Session> {
    Some(Session {
        id: row.bigint(1)?,
        first: row.instant(2)?,
        last: row.instant(3)?,
        closes_at: row.instant(4)?,
        expires_at: row.instant(5)?,
        opened_at: row.instant(6)?,
        next_first: row.instant(7)?,
        events: row.bigint(8)?,
        passive: row.bigint(9)?,
        late: row.bigint(10)?,
        converted_at: row.instant(11),
        cancelled_at: row.instant(12),
        facts: read_facts(row),
    })
}

fn read_facts(row: &Row) -> Option<Box<Facts>> {
    let instants: Vec<Option<TimestampWithTimeZone>> = row.array(20)?;
    let fact = |place: usize| {
        let at = i64::from((*instants.get(place)?)?);
        Some(Fact { at, value: row.text(13 + place)?.into_boxed_str() })
    };
    Some(Box::new(std::array::from_fn(fact)))
}

/// A session to be written, and whose it is.
pub struct Written<'s> {
    /// The visitor.
    pub visitor: &'s str,
    /// The session.
    pub session: &'s Session,
}

impl Written<'_> {
    /// Whether the session has nothing but times and counts.
    fn is_plain(&self) -> bool {
        let Session { converted_at, cancelled_at, facts, .. } = self.session;
        converted_at.is_none() && cancelled_at.is_none() && facts.is_none()
    }

    /// The columns of times and counts.
    fn columns(&self, app: i32) -> FixedColumns {
        let Session { id, first, last, closes_at, expires_at, opened_at, next_first, events, passive, late, .. } =
            *self.session;
        FixedColumns {
            id,
            first,
            last,
            closes_at,
            expires_at,
            opened_at,
            next_first,
            events,
            passive,
            late,
            app_id: app,
            last_day: last.div_euclid(DAY) as i32,
        }
    }

    /// A new row.
    fn row(&self, app: i32, token: [u8; 16]) -> NewSession<'_> {
        NewSession { fixed: self.columns(app), visitor: self.visitor, token }
    }
}

/// The columns of times and counts, as arrays.
fn time_arrays(sessions: &[Written]) -> Vec<Argument> {
    let numbers = |value: fn(&Session) -> i64| {
        Argument::wide_array(BIGINT, sessions.iter().map(|written| Some(value(written.session))))
    };
    let instants = |value: fn(&Session) -> Instant| {
        Argument::wide_array(INSTANT, sessions.iter().map(|written| Some(value(written.session))))
    };
    vec![
        numbers(|session| session.id),
        instants(|session| session.first),
        instants(|session| session.last),
        instants(|session| session.closes_at),
        instants(|session| session.expires_at),
        instants(|session| session.opened_at),
        instants(|session| session.next_first),
        numbers(|session| session.events),
        numbers(|session| session.passive),
        numbers(|session| session.late),
    ]
}

/// All columns that events decide, as arrays.
fn session_arrays(sessions: &[Written]) -> Vec<Argument> {
    let instants = |value: fn(&Session) -> Option<Instant>| {
        Argument::wide_array(INSTANT, sessions.iter().map(|written| value(written.session)))
    };
    let fact =
        |place: usize| move |written: &Written| written.session.facts.as_ref()?[place].as_ref().map(|fact| fact.at);
    let mut arguments = time_arrays(sessions);
    arguments.extend([instants(|session| session.converted_at), instants(|session| session.cancelled_at)]);
    for place in 0..FACTS {
        let values = sessions.iter().map(|written| Some(&*written.session.facts.as_ref()?[place].as_ref()?.value));
        arguments.push(Argument::text_array(values));
    }
    for place in 0..FACTS {
        arguments.push(Argument::wide_array(INSTANT, sessions.iter().map(fact(place))));
    }
    arguments
}

// Most new sessions have nothing but their times and counts, and arrays cost by the column.
const INSERT_PLAIN: Statement = Statement {
    sql: "
    INSERT INTO sessionize.sessions (
           app_id, visitor, token, session_id, started_at, last_event_at, last_event_day, closes_at, expires_at,
           opened_at, next_started_at, event_count, passive_count, late_count)
    SELECT $1, visitor, token, id, first, last, (last AT TIME ZONE 'UTC')::date, closes, expires,
           opened, next, events, passive, late
      FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
           AS new (visitor, token, id, first, last, closes, expires, opened, next, events, passive, late)",
    types: &[
        INTEGER, TEXTS, TEXTS, BIGINTS, INSTANTS, INSTANTS, INSTANTS, INSTANTS, INSTANTS, INSTANTS, BIGINTS, BIGINTS,
        BIGINTS,
    ],
};

const INSERT: Statement = Statement {
    sql: "
    INSERT INTO sessionize.sessions (
           app_id, visitor, token, session_id, started_at, last_event_at, last_event_day, closes_at, expires_at,
           opened_at, next_started_at, event_count, passive_count, late_count, converted_at, cancelled_at,
           cancel_reason, customer, ip, country, channel, cart_items, cart_value, currency, facts_at)
    SELECT $1, visitor, token, id, first, last, (last AT TIME ZONE 'UTC')::date, closes, expires,
           opened, next, events, passive, late, converted, cancelled,
           CASE WHEN cancelled IS NOT NULL THEN 'event' END, customer, ip::inet, country, channel, items::integer, value::numeric, currency,
           CASE WHEN (a1, a2, a3, a4, a5, a6, a7) IS NULL THEN NULL ELSE ARRAY[a1, a2, a3, a4, a5, a6, a7] END
      FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
                  $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29)
           AS new (visitor, token, id, first, last, closes, expires, opened, next, events, passive, late, converted, cancelled,
                   customer, ip, country, channel, items, value, currency, a1, a2, a3, a4, a5, a6, a7)",
    types: &[
        INTEGER, TEXTS, TEXTS, BIGINTS, INSTANTS, INSTANTS, INSTANTS, INSTANTS, INSTANTS, INSTANTS, BIGINTS, BIGINTS, BIGINTS,
        INSTANTS, INSTANTS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, INSTANTS, INSTANTS, INSTANTS, INSTANTS, INSTANTS,
        INSTANTS, INSTANTS,
    ],
};

/// Writes new sessions, in order of their ids: that is the order of most indexes.
pub fn insert_sessions(connection: &Connection, app: i32, mut sessions: Vec<Written>) {
    sessions.sort_unstable_by_key(|written| written.session.id);
    let (plain, others): (Vec<Written>, Vec<Written>) = sessions.into_iter().partition(Written::is_plain);
    for sessions in plain.chunks(ENTERED_AT_ONCE) {
        let tokens = tokens(sessions.len());
        let rows: Vec<NewSession> =
            sessions.iter().zip(&tokens).map(|(written, token)| written.row(app, *token)).collect();
        if !new_sessions::insert(own_tables().sessions, &rows) {
            for sessions in sessions.chunks(WRITTEN_AT_ONCE) {
                kept!(connection, INSERT_PLAIN, &new_session_arrays(app, sessions, time_arrays(sessions)));
            }
        }
    }
    for sessions in others.chunks(WRITTEN_AT_ONCE) {
        kept!(connection, INSERT, &new_session_arrays(app, sessions, session_arrays(sessions)));
    }
}

/// So many sessions go into one statement, which bounds the memory of its arrays.
const WRITTEN_AT_ONCE: usize = 1 << 14;

/// So many new sessions are entered into the indexes at once: the more, the nearer to each other lie the entries of one walk
/// through an index.
const ENTERED_AT_ONCE: usize = 1 << 18;

fn new_session_arrays(app: i32, sessions: &[Written], arrays: Vec<Argument>) -> Vec<Argument> {
    let tokens = tokens(sessions.len());
    let mut arguments = vec![
        Argument::integer(app),
        Argument::text_array(sessions.iter().map(|written| Some(written.visitor))),
        Argument::text_array(tokens.iter().map(|token| std::str::from_utf8(token).ok())),
    ];
    arguments.extend(arrays);
    arguments
}

const TOKEN_LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Tokens of 16 letters, 6 random bits each.
fn tokens(count: usize) -> Vec<[u8; 16]> {
    let mut tokens = vec![[0; 16]; count];
    transaction::fill_random(tokens.as_flattened_mut());
    for letter in tokens.as_flattened_mut() {
        *letter = TOKEN_LETTERS[usize::from(*letter & 63)];
    }
    tokens
}

const UPDATE: Statement = Statement {
    sql: "
    UPDATE sessionize.sessions AS session
       SET started_at = first, last_event_at = last, last_event_day = (last AT TIME ZONE 'UTC')::date,
           closes_at = closes, expires_at = expires, opened_at = opened, next_started_at = next,
           event_count = events, passive_count = passive, late_count = late,
           converted_at = converted, cancelled_at = cancelled,
           cancel_reason = coalesce(cancel_reason, CASE WHEN cancelled IS NOT NULL THEN 'event' END),
           customer = coalesce(new.customer, session.customer), ip = coalesce(new.ip::inet, session.ip),
           country = coalesce(new.country, session.country), channel = coalesce(new.channel, session.channel),
           cart_items = coalesce(items::integer, cart_items), cart_value = coalesce(value::numeric, cart_value),
           currency = coalesce(new.currency, session.currency),
           facts_at = CASE WHEN (a1, a2, a3, a4, a5, a6, a7) IS NULL THEN facts_at ELSE ARRAY[a1, a2, a3, a4, a5, a6, a7] END
      FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
                  $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)
           AS new (id, first, last, closes, expires, opened, next, events, passive, late, converted, cancelled,
                   customer, ip, country, channel, items, value, currency, a1, a2, a3, a4, a5, a6, a7)
     WHERE session_id = id",
    types: &[
        BIGINTS, INSTANTS, INSTANTS, INSTANTS, INSTANTS, INSTANTS, INSTANTS, BIGINTS, BIGINTS, BIGINTS, INSTANTS, INSTANTS,
        TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, INSTANTS, INSTANTS, INSTANTS, INSTANTS, INSTANTS, INSTANTS, INSTANTS,
    ],
};

const UPDATE_PLAIN: Statement = Statement {
    sql: "
    UPDATE sessionize.sessions AS session
       SET started_at = first, last_event_at = last, last_event_day = (last AT TIME ZONE 'UTC')::date,
           closes_at = closes, expires_at = expires, opened_at = opened, next_started_at = next,
           event_count = events, passive_count = passive, late_count = late
      FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
           AS new (id, first, last, closes, expires, opened, next, events, passive, late)
     WHERE session_id = id",
    types: &[BIGINTS, INSTANTS, INSTANTS, INSTANTS, INSTANTS, INSTANTS, INSTANTS, BIGINTS, BIGINTS, BIGINTS],
};

/// Writes sessions that were there before, without a statement those that were locked without one and not changed since.
pub fn update_sessions(connection: &Connection, app: i32, sessions: Vec<Written>, locked: &Locked) {
    let (plain, others): (Vec<Written>, Vec<Written>) = sessions.into_iter().partition(Written::is_plain);
    let (at_hand, plain): (Vec<Written>, Vec<Written>) =
        plain.into_iter().partition(|written| locked.contains_key(&written.session.id));
    let mut rows: Vec<(Version, FixedColumns)> =
        at_hand.iter().map(|written| (locked[&written.session.id], written.columns(app))).collect();
    rows.sort_unstable_by_key(|(_, columns)| columns.id);
    known_sessions::change(own_tables().sessions, &rows);
    for sessions in plain.chunks(WRITTEN_AT_ONCE) {
        kept!(connection, UPDATE_PLAIN, &time_arrays(sessions));
    }
    for sessions in others.chunks(WRITTEN_AT_ONCE) {
        kept!(connection, UPDATE, &session_arrays(sessions));
    }
}

const RETIRE: Statement = Statement {
    sql: "UPDATE sessionize.sessions SET cancelled_at = coalesce(cancelled_at, '-infinity') WHERE session_id = ANY ($1)",
    types: &[BIGINTS],
};

/// Lets sessions that became part of others take nothing more: triggers of users may insert events while rows move on.
pub fn retire_sessions(connection: &Connection, sessions: &[i64]) {
    if !sessions.is_empty() {
        kept!(connection, RETIRE, &[Argument::wide_array(BIGINT, sessions.iter().map(|session| Some(*session)))]);
    }
}

const DELETE: Statement =
    Statement { sql: "DELETE FROM sessionize.sessions WHERE session_id = ANY ($1)", types: &[BIGINTS] };

/// Deletes sessions, to which no row belongs any more.
pub fn delete_sessions(connection: &Connection, sessions: &[i64]) {
    if !sessions.is_empty() {
        kept!(connection, DELETE, &[Argument::wide_array(BIGINT, sessions.iter().map(|session| Some(*session)))]);
    }
}

const VISITORS_OF: Statement = Statement {
    sql: "
    SELECT DISTINCT session.visitor
      FROM sessionize.sessions AS session
     WHERE session.app_id = $1
       AND session.session_id IN (SELECT coalesce(merged.survivor, id)
                                    FROM unnest($2) AS id
                                    LEFT JOIN sessionize.merged_sessions AS merged ON merged.absorbed = id)",
    types: &[INTEGER, BIGINTS],
};

/// Whose sessions these are, or what became of them.
pub fn visitors_of(connection: &Connection, app: i32, sessions: impl Iterator<Item = i64>) -> Vec<String> {
    let arguments = [Argument::integer(app), Argument::wide_array(BIGINT, sessions.map(Some))];
    let rows: Rows = kept!(connection, VISITORS_OF, &arguments);
    rows.iter().filter_map(|row| row.text(1)).collect()
}

const NOTE_CHANGED: Statement = Statement {
    sql: "
    WITH noted AS (
        INSERT INTO sessionize.changed_days (app_id, day)
        SELECT $1, date '2000-01-01' + day::integer
          FROM unnest($2) AS day
         WHERE sessionize.has_totals($1)
            ON CONFLICT DO NOTHING
    )
    INSERT INTO sessionize.changed_visitors (app_id, visitor, returned_from)
    SELECT $1, visitor, date '2000-01-01' + day::integer
      FROM unnest($3, $4) AS changed (visitor, day)
     WHERE sessionize.has_totals($1)",
    types: &[INTEGER, BIGINTS, TEXTS, BIGINTS],
};

/// Sessions whose last event is so many days old have been added up by the statistics.
const SETTLED_DAYS: i64 = 2;

/// The day of an instant if the statistics have added it up already: changes to such a day must be noted.
pub fn settled_day(last: Instant) -> Option<i64> {
    let day = last.div_euclid(DAY);
    (day < transaction::now().div_euclid(DAY) - SETTLED_DAYS).then_some(day)
}

/// What has to be added up again.
#[derive(Default)]
pub struct Changed<'v> {
    /// Days that have settled.
    pub days: BTreeSet<i64>,
    /// Visitors with sessions on such days; and the day they came back from, if that is all that happened.
    pub visitors: Vec<(&'v str, Option<i64>)>,
}

/// Notes what has to be added up again.
pub fn note_changed(connection: &Connection, app: i32, changed: &Changed) {
    if !changed.visitors.is_empty() {
        let days = Argument::wide_array(BIGINT, changed.days.iter().map(|day| Some(*day)));
        let visitors = Argument::text_array(changed.visitors.iter().map(|(visitor, _)| Some(*visitor)));
        let returned_from = Argument::wide_array(BIGINT, changed.visitors.iter().map(|(_, day)| *day));
        kept!(connection, NOTE_CHANGED, &[Argument::integer(app), days, visitors, returned_from]);
    }
}

const COUNT_UNASSIGNED: Statement = Statement {
    sql: "
    INSERT INTO sessionize.unassigned_events AS known (app_id, reason, slot, event_count)
    SELECT $1, reason, $2, event_count FROM unnest($3, $4) AS counted (reason, event_count)
        ON CONFLICT (app_id, reason, slot) DO UPDATE SET event_count = known.event_count + excluded.event_count",
    types: &[INTEGER, pg_sys::INT4OID, TEXTS, BIGINTS],
};

/// Connections spread their counts over so many rows, so as not to wait for each other.
const SLOTS: u32 = 32;

/// Counts events that got no session. Everybody does so in the same order of reasons, and nobody waits in a circle.
pub fn count_unassigned(connection: &Connection, app: i32, counts: &UnassignedCounts) {
    let arguments = [
        Argument::integer(app),
        Argument::integer((std::process::id() % SLOTS) as i32),
        Argument::text_array(counts.iter().map(|(reason, _)| Some(reason.name()))),
        Argument::wide_array(BIGINT, counts.iter().map(|(_, count)| Some(count))),
    ];
    kept!(connection, COUNT_UNASSIGNED, &arguments);
}

const NOTE_CHANGES: Statement = Statement {
    sql: "
    INSERT INTO sessionize.session_changes (session_id, app_id, changed_by, what, old_value, new_value, reason)
    SELECT id, $1, session_user, 'status', old_value, new_value, $5
      FROM unnest($2, $3, $4) AS changed (id, old_value, new_value)",
    types: &[INTEGER, BIGINTS, TEXTS, TEXTS, pg_sys::TEXTOID],
};

/// A status that changed: the session, its status before if it was there, and its status now.
pub type StatusChange = (i64, Option<&'static str>, &'static str);

/// Notes that the status of sessions changed, and why.
pub fn note_status_changes(connection: &Connection, app: i32, reason: &str, changes: &[StatusChange]) {
    if changes.is_empty() {
        return;
    }
    let arguments = [
        Argument::integer(app),
        Argument::wide_array(BIGINT, changes.iter().map(|(session, ..)| Some(*session))),
        Argument::text_array(changes.iter().map(|(_, before, _)| *before)),
        Argument::text_array(changes.iter().map(|(.., status)| Some(*status))),
        Argument::text(reason),
    ];
    kept!(connection, NOTE_CHANGES, &arguments);
}
