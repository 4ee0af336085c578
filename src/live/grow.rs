//! The common case: the events of one visitor all fall into, or follow closely, the session that was guessed.

use sessionize_core::assignment::{Event, Session};
use sessionize_core::instant::DAY;

use super::guess;
use super::record::Recorder;
use super::settings::{AppSettings, OwnTables, own_tables};
use super::store::settled_day;
use crate::pg::growth::{FixedColumns, grow};

/// Lets a session that was there before take all rows of a statement by changing its row alone. Whether that was right is
/// seen in that row at that moment; if it was not, nothing is changed.
pub fn grow_guessed(app: &AppSettings, recorder: &Recorder) -> bool {
    let Some((visitor, id, events)) = recorder.only_group() else { return false };
    let mut events: Vec<Event> = events.collect();
    events.sort_by_key(|event| event.at);
    let OwnTables { sessions, sessions_pkey, .. } = own_tables();
    let seen = guess::with(app.id, visitor, |known| known.filter(|known| known.session == id)?.address);
    let grown = grow(sessions, sessions_pkey, (id, visitor), seen, |row, cancelled| {
        if cancelled || row.app_id != app.id || settled_day(row.last).is_some() {
            return None;
        }
        let session = app.app.grow(&mut app.calendar.borrow_mut(), &session_of(row), &events)?;
        Some(FixedColumns {
            last: session.last,
            closes_at: session.closes_at,
            expires_at: session.expires_at,
            events: session.events,
            passive: session.passive,
            late: session.late,
            last_day: session.last.div_euclid(DAY) as i32,
            ..*row
        })
    });
    guess::with(app.id, visitor, |known| {
        if let (Some(known), Some(_)) = (known.filter(|known| known.session == id), grown) {
            known.address = grown;
        }
    });
    grown.is_some()
}

/// The session of a row of which nothing else is known.
pub fn session_of(row: &FixedColumns) -> Session {
    Session {
        id: row.id,
        first: row.first,
        last: row.last,
        closes_at: row.closes_at,
        expires_at: row.expires_at,
        opened_at: row.opened_at,
        next_first: row.next_first,
        events: row.events,
        passive: row.passive,
        late: row.late,
        converted_at: None,
        cancelled_at: None,
        facts: None,
    }
}
