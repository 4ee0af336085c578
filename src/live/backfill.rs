//! Rows that were there before their table was tracked.

use pgrx::pg_sys::Datum;
use sessionize_core::assignment::Effect;

use super::record::{Recorded, Recorder};
use super::rows::tables;
use super::settings;
use super::settle::settle_on_time;
use super::statement;
use crate::pg::call::Call;
use crate::pg_function;

/// `(tracking integer, leaf regclass, from bigint, until bigint, passive boolean) → bigint`: assigns the rows without
/// session in a range of blocks, either those of passive kinds or all others, and says how many there were.
fn backfill_blocks(call: &mut Call) -> Datum {
    statement::listen();
    let number = |index| call.datum(index).map_or(0, |datum| datum.value() as i64);
    let (tracking, leaf, blocks, passive) = (number(0) as i32, number(1) as u32, (number(2) as u32, number(3) as u32), number(4) & 1 == 1);
    let Some(table) = tables(None, Some(tracking)).into_iter().next() else { return call.bigint(0) };
    let app = settings::app(table.app);
    let mut rows: Vec<(String, Recorded)> = Vec::new();
    table.unassigned_rows(&app, leaf.into(), blocks, |visitor, row| {
        if (row.event.effect == Effect::Passive) == passive {
            rows.push((visitor, row));
        }
    });
    // As if every event had arrived on time: in order of time.
    rows.sort_by_key(|(_, row)| row.event.at);
    let count = rows.len() as i64;
    let mut recorder = Recorder::default();
    for (visitor, row) in rows {
        recorder.note_row(visitor, row);
    }
    settle_on_time(&app, &table.session_column, recorder);
    call.bigint(count)
}

pg_function!(
    /// `(tracking, leaf, from, until, passive) → bigint`
    sessionize_backfill, pg_finfo_sessionize_backfill, backfill_blocks
);
