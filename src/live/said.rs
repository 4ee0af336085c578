//! What people said of sessions: it stands when their events are read again.

use pgrx::pg_sys;
use rustc_hash::FxHashMap;
use sessionize_core::assignment::{Said, Session};
use sessionize_core::facts::Fact;

use super::settings::AppSettings;
use super::store::{StatusChange, note_status_changes};
use crate::pg::spi::{Argument, Connection};
use crate::pg::transaction;

const BIGINTS: pg_sys::Oid = pg_sys::INT8ARRAYOID;

const READ: &str = "
    SELECT session_id, (said->>'at')::timestamptz, CASE what WHEN 'status' THEN new_value ELSE what END,
           said->>'customer', said->>'cart_items', said->>'cart_value', said->>'currency'
      FROM sessionize.session_changes
     WHERE session_id = ANY ($1) AND said IS NOT NULL
     ORDER BY 2, change_id";

/// The places of customer and cart among the facts, each with its column in [`READ`].
const CUSTOMER: [(usize, usize); 1] = [(0, 4)];
const CART: [(usize, usize); 3] = [(4, 5), (5, 6), (6, 7)];

/// What people said of sessions, by session; of customer and cart the last word.
pub fn read_said(connection: &Connection, sessions: impl Iterator<Item = i64>) -> FxHashMap<i64, Said> {
    let mut said: FxHashMap<i64, Said> = FxHashMap::default();
    let sessions = Argument::wide_array(pg_sys::INT8OID, sessions.map(Some));
    for row in connection.run_once(READ, &[sessions], &[BIGINTS]).iter() {
        let (Some(session), Some(at), Some(word)) = (row.bigint(1), row.instant(2), row.text(3)) else { continue };
        let said = said.entry(session).or_default();
        let places: &[(usize, usize)] = match word.as_str() {
            "converted" => {
                said.converted_at = said.converted_at.into_iter().chain([at]).min();
                &[]
            }
            "cancelled" => {
                said.cancelled_at = Some(at);
                &[]
            }
            "customer" => &CUSTOMER,
            _ => &CART,
        };
        for (place, column) in places {
            let value = row.text(*column).unwrap_or_default().into_boxed_str();
            said.facts.get_or_insert_default()[*place] = Some(Fact { at, value });
        }
    }
    said
}

const FORGET: &str = "
    UPDATE sessionize.sessions
       SET converted_at = NULL, cancelled_at = NULL, cancel_reason = CASE WHEN session_id = ANY ($2) THEN cancel_reason END,
           customer = NULL, ip = NULL, country = NULL, channel = NULL, cart_items = NULL, cart_value = NULL, currency = NULL,
           facts_at = NULL
     WHERE session_id = ANY ($1)";

/// Takes out of stored sessions what their events said, before it is written afresh.
pub fn forget_events(connection: &Connection, sessions: &[&Session]) {
    if sessions.is_empty() {
        return;
    }
    let ids = |sessions: &mut dyn Iterator<Item = &&Session>| {
        Argument::wide_array(pg_sys::INT8OID, sessions.map(|session| Some(session.id)))
    };
    let cancelled = ids(&mut sessions.iter().filter(|session| session.cancelled_at.is_some()));
    connection.run_once(FORGET, &[ids(&mut sessions.iter()), cancelled], &[BIGINTS, BIGINTS]);
}

/// Notes which sessions, each paired with what it was before, a rebuild converted or cancelled, or no longer did.
pub fn note_rebuilt(connection: &Connection, app: &AppSettings, sessions: &[(Option<&Session>, &Session)]) {
    let marks = |session: &Session| (session.converted_at.is_some(), session.cancelled_at.is_some());
    let now = transaction::now();
    let status = |session: &Session| session.status(&app.app, now);
    let changes: Vec<StatusChange> = sessions
        .iter()
        .filter(|(before, after)| before.map_or((false, false), marks) != marks(after))
        .map(|(before, after)| (after.id, before.map(status), status(after)))
        .collect();
    note_status_changes(connection, app.id, "rebuild", &changes);
}
