//! Stored sessions, locked and read.

use pgrx::datum::TimestampWithTimeZone;
use rustc_hash::FxHashMap;
use sessionize_core::Instant;
use sessionize_core::assignment::Session;
use sessionize_core::facts::{Fact, Facts};

use super::{BIGINT, BIGINTS, Statement, open_visitor_index};
use crate::live::grow::session_of;
use crate::live::settings::own_tables;
use crate::pg::known_sessions::{self, Version};
use crate::pg::sessions::{Direction, Glimpse};
use crate::pg::spi::{Argument, Connection, Row, Rows};

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
