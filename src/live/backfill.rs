//! Rows that were there before their table was tracked.

use std::cell::RefCell;

use compact_str::CompactString;
use pgrx::pg_sys::{Datum, Oid};
use rustc_hash::FxHashMap;
use sessionize_core::assignment::Effect;

use super::rebuild::rebuild_visitors;
use super::record::{Arrivals, Recorded, VisitorRows};
use super::rows::{EventTable, Leaf, tables};
use super::settings::{self, AppSettings, Tracked};
use super::settle::settle_on_time;
use super::statement;
use crate::pg::call::Call;
use crate::pg::trigger::Place;
use crate::pg_function;

thread_local! {
    /// The sessions of the rows of the range under way: an UPDATE asks row by row, which is cheaper than a join.
    static SESSIONS: RefCell<Sessions> = RefCell::default();
}

/// Sessions by the places of rows, in their order, and the one that was asked for last.
#[derive(Default)]
struct Sessions {
    by_place: Vec<((u32, u16), i64)>,
    latest: usize,
}

impl Sessions {
    /// The session of a row. Who asks walks through the table: the next one is that of the last place or follows it.
    fn at(&mut self, place: (u32, u16)) -> Option<i64> {
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
    let mut rows = RowsByVisitor::default();
    table.unassigned_rows(&tracked, &leaf, |visitor, row| {
        if (row.event.effect == Effect::Passive) == passive {
            rows.add(visitor, row);
        }
    });
    let visitors = rows.in_order();
    let count = visitors.iter().map(|visitor| visitor.rows.len()).sum::<usize>() as i64;
    let mut arrivals = Arrivals::of(visitors);
    let mut all_written = true;
    settle_on_time(&tracked.app, &mut arrivals, |places| all_written = point(&table, &tracked, &leaf, places));
    if !all_written {
        correct(&tracked.app, arrivals.visitors);
    }
    call.bigint(count)
}

/// The rows of a range.
#[derive(Default)]
struct RowsByVisitor {
    numbers: FxHashMap<CompactString, usize>,
    visitors: Vec<VisitorRows>,
}

impl RowsByVisitor {
    fn add(&mut self, visitor: &str, row: Recorded) {
        if let Some(number) = self.numbers.get(visitor) {
            self.visitors[*number].rows.push(row);
        } else {
            let visitor = CompactString::from(visitor);
            self.numbers.insert(visitor.clone(), self.visitors.len());
            self.visitors.push(VisitorRows { visitor, sessions: Vec::new(), rows: vec![row] });
        }
    }

    /// In order of the visitors' names; the rows of each in order of time, as if every event had arrived on time.
    fn in_order(mut self) -> Vec<VisitorRows> {
        self.visitors.sort_unstable_by(|one, other| one.visitor.cmp(&other.visitor));
        self.visitors.iter_mut().for_each(|visitor| visitor.rows.sort_by_key(|row| row.event.at));
        self.visitors
    }
}

/// Writes sessions into rows; says whether all rows still were where they had been read.
fn point(table: &EventTable, tracked: &Tracked, leaf: &Leaf, places: Vec<(Place, Option<i64>)>) -> bool {
    let mut by_place: Vec<((u32, u16), i64)> =
        places.into_iter().filter_map(|(place, session)| Some(((place.block, place.line), session?))).collect();
    by_place.sort_unstable();
    let expected = by_place.len();
    let written = table.write_sessions(tracked, leaf, &by_place).unwrap_or_else(|| {
        SESSIONS.set(Sessions { by_place, latest: 0 });
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
