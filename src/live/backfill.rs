//! Rows that were there before their table was tracked.

use std::cell::RefCell;

use pgrx::pg_sys::{Datum, Oid};
use sessionize_core::assignment::Effect;

use super::backlog::Backlog;
use super::rebuild::rebuild_visitors;
use super::record::VisitorRows;
use super::rows::{EventTable, Leaf, tables};
use super::settings::{self, AppSettings, Tracked};
use super::settle::settle_on_time;
use super::statement;
use crate::pg::block_range::Spot;
use crate::pg::call::Call;
use crate::pg_function;

thread_local! {
    /// The sessions of the rows of the range under way: an UPDATE asks row by row, which is cheaper than a join.
    static SESSIONS: RefCell<Sessions> = RefCell::default();
}

/// Sessions by the places of rows, in their order, and the one that was asked for last.
#[derive(Default)]
struct Sessions {
    by_place: Vec<(Spot, i64)>,
    latest: usize,
}

impl Sessions {
    /// The session of a row. Who asks walks through the table: the next one is that of the last place or follows it.
    fn at(&mut self, place: Spot) -> Option<i64> {
        let is_there = |at: &usize| self.by_place.get(*at).is_some_and(|(known, _)| *known == place);
        let search = || self.by_place.binary_search_by_key(&place, |(known, _)| *known).ok();
        self.latest = [self.latest, self.latest + 1].into_iter().find(is_there).or_else(search)?;
        Some(self.by_place[self.latest].1)
    }
}

/// `(tracking integer, leaf regclass, from bigint, until bigint, passive boolean) → bigint`: assigns the rows without
/// session in a range of blocks, either those of passive kinds or all others, and says how many there were.
fn backfill_blocks(call: &mut Call) -> Datum {
    statement::listen();
    let number = |index| call.datum(index).map_or(0, |datum| datum.value() as i64);
    let (tracking, relation, blocks) =
        (number(0) as i32, Oid::from(number(1) as u32), (number(2) as u32, number(3) as u32));
    let passive = number(4) & 1 == 1;
    let (Some(table), Some(leaf), Some(tracked)) = (
        tables(None, Some(tracking)).into_iter().next(),
        Leaf::new(relation, blocks),
        settings::tracked(relation, tracking),
    ) else {
        return call.bigint(0);
    };
    let mut backlog = Backlog::default();
    table.unassigned_rows(&tracked, &leaf, |visitor, row| {
        if (row.event.effect == Effect::Passive) == passive {
            backlog.add(visitor, row);
        }
    });
    let count = backlog.len() as i64;
    let mut arrivals = backlog.into_arrivals(&tracked.app);
    let mut all_written = true;
    settle_on_time(&tracked.app, &mut arrivals, |arrivals, misplaced| {
        let session = |(place, carried)| misplaced.get(&place).copied().unwrap_or(carried);
        let sessions = arrivals.carried().filter_map(|row| Some(((row.0.block, row.0.line), session(row)?)));
        all_written = point(&table, &tracked, &leaf, sessions.collect());
    });
    if !all_written {
        correct(&tracked.app, arrivals.visitors);
    }
    call.bigint(count)
}

/// Writes sessions into rows; says whether all rows still were where they had been read.
fn point(table: &EventTable, tracked: &Tracked, leaf: &Leaf, mut sessions: Vec<(Spot, i64)>) -> bool {
    if !sessions.is_sorted() {
        sessions.sort_unstable();
    }
    let expected = sessions.len();
    let written = table.write_sessions(tracked, leaf, &sessions).unwrap_or_else(|| {
        SESSIONS.set(Sessions { by_place: sessions, latest: 0 });
        let written = table.point_unassigned(leaf, "sessionize.backfilled_session");
        SESSIONS.take();
        written
    });
    written == expected
}

/// Somebody changed or deleted rows between reading and writing: what they left is worked out afresh.
#[cold]
fn correct(app: &AppSettings, visitors: Vec<VisitorRows>) {
    rebuild_visitors(app, visitors.into_iter().map(|rows| rows.visitor.into_string()).collect());
}

/// `(place tid) → bigint`: the session of a row in the range being backfilled; NULL at any other time.
fn backfilled_session(call: &mut Call) -> Datum {
    let session = call.row_address(0).and_then(|place| SESSIONS.with_borrow_mut(|sessions| sessions.at(place)));
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
