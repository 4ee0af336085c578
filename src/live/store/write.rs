//! Sessions, written and deleted.

use sessionize_core::Instant;
use sessionize_core::assignment::Session;
use sessionize_core::facts::FACTS;
use sessionize_core::instant::DAY;

use super::{BIGINT, BIGINTS, INSTANT, INSTANTS, INTEGER, Locked, Statement, TEXTS};
use crate::live::settings::own_tables;
use crate::pg::growth::FixedColumns;
use crate::pg::known_sessions::{self, Version};
use crate::pg::new_sessions::{self, NewSession};
use crate::pg::spi::{Argument, Connection};
use crate::pg::transaction;

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
