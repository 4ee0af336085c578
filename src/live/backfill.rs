//! Rows that were there before their table was tracked.

use std::cell::RefCell;
use std::collections::BTreeSet;

use pgrx::pg_sys::Datum;
use rustc_hash::FxHashMap;
use sessionize_core::assignment::Effect;

use super::rebuild::rebuild_visitors;
use super::record::{Recorded, Recorder};
use super::rows::{EventTable, Leaf, tables};
use super::settings::{self, AppSettings};
use super::settle::settle_on_time;
use super::statement;
use crate::pg::call::Call;
use crate::pg::trigger::Place;
use crate::pg_function;

thread_local! {
    /// The sessions of the rows of the range under way, by place: an UPDATE asks row by row, which is cheaper than a join.
    static SESSIONS: RefCell<FxHashMap<(u32, u16), i64>> = RefCell::default();
}

/// `(tracking integer, leaf regclass, from bigint, until bigint, passive boolean) → bigint`: assigns the rows without
/// session in a range of blocks, either those of passive kinds or all others, and says how many there were.
fn backfill_blocks(call: &mut Call) -> Datum {
    statement::listen();
    let number = |index| call.datum(index).map_or(0, |datum| datum.value() as i64);
    let (tracking, relation, blocks) = (number(0) as i32, number(1) as u32, (number(2) as u32, number(3) as u32));
    let passive = number(4) & 1 == 1;
    let (Some(table), Some(leaf)) =
        (tables(None, Some(tracking)).into_iter().next(), Leaf::new(relation.into(), blocks))
    else {
        return call.bigint(0);
    };
    let app = settings::app(table.app);
    let mut rows: Vec<(String, Recorded)> = Vec::new();
    table.unassigned_rows(&app, &leaf, |visitor, row| {
        if (row.event.effect == Effect::Passive) == passive {
            rows.push((visitor, row));
        }
    });
    // As if every event had arrived on time: in order of time.
    rows.sort_by_key(|(_, row)| row.event.at);
    let count = rows.len() as i64;
    let mut recorder = Recorder::default();
    for (visitor, row) in &rows {
        recorder.note_row(visitor, row.clone());
    }
    let mut all_written = true;
    settle_on_time(&app, recorder, |places| all_written = point(&table, &leaf, places));
    if !all_written {
        correct(&app, rows);
    }
    call.bigint(count)
}

/// Writes sessions into rows; says whether all rows still were where they had been read.
fn point(table: &EventTable, leaf: &Leaf, places: Vec<(Place, Option<i64>)>) -> bool {
    let sessions: FxHashMap<(u32, u16), i64> =
        places.into_iter().filter_map(|(place, session)| Some(((place.block, place.line), session?))).collect();
    let expected = sessions.len();
    SESSIONS.set(sessions);
    let written = table.point_unassigned(leaf, "sessionize.backfilled_session");
    SESSIONS.take();
    written == expected
}

/// Somebody changed or deleted rows between reading and writing: what they left is worked out afresh.
#[cold]
fn correct(app: &AppSettings, rows: Vec<(String, Recorded)>) {
    let visitors: BTreeSet<String> = rows.into_iter().map(|(visitor, _)| visitor).collect();
    rebuild_visitors(app, visitors);
}

/// `(place tid) → bigint`: the session of a row in the range being backfilled; NULL at any other time.
fn backfilled_session(call: &mut Call) -> Datum {
    let session = call.row_address(0).and_then(|place| SESSIONS.with_borrow(|sessions| sessions.get(&place).copied()));
    match session {
        Some(session) => call.bigint(session),
        None => call.null(),
    }
}

pg_function!(
    /// `(tracking, leaf, from, until, passive) → bigint`
    sessionize_backfill, pg_finfo_sessionize_backfill, backfill_blocks
);
pg_function!(
    /// `(place tid) → bigint`
    sessionize_backfilled_session, pg_finfo_sessionize_backfilled_session, backfilled_session
);
