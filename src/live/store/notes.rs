//! What is noted beside sessions: changes of status, events without session, and what statistics have to add up again.

use std::collections::BTreeSet;

use sessionize_core::Instant;
use sessionize_core::instant::DAY;

use super::{BIGINT, BIGINTS, INTEGER, Statement, TEXT, TEXTS};
use crate::live::record::UnassignedCounts;
use crate::pg::spi::{Argument, Connection};
use crate::pg::transaction;

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
    types: &[INTEGER, INTEGER, TEXTS, BIGINTS],
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
    types: &[INTEGER, BIGINTS, TEXTS, TEXTS, TEXT],
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
