//! Visitors: found, added, locked.

use sessionize_core::Instant;

use super::{BIGINT, BIGINTS, INTEGER, Statement, TEXTS};
use crate::live::guess::Guess;
use crate::live::settings::{OwnTables, own_tables};
use crate::pg::new_visitors::{self, NewVisitor};
use crate::pg::owner::AsOwner;
use crate::pg::sessions::{Direction, Glimpse, VisitorIndex};
use crate::pg::spi::{Argument, Connection, Rows};
use crate::pg::transaction;

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
