//! Visitors whose events were corrected: their sessions are worked out again from the rows that are there.

use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeSet;
use std::rc::Rc;

use pgrx::pg_sys::{self, Datum, Oid};
use sessionize_core::assignment::{Effect, History, Session};
use sessionize_core::{Calendar, Instant};

use super::merge::{merge, point_rows};
use super::record::{Corrections, Recorded};
use super::rows::{EventTable, tables};
use super::settings::{self, AppSettings, own_tables};
use super::settle::remember_latest;
use super::statement;
use super::store::{
    Written, delete_sessions, insert_sessions, load_sessions, lock_visitors, note_days, settled_day, update_sessions,
    visitors_of,
};
use crate::pg::call::Call;
use crate::pg::error::Report;
use crate::pg::owner::AsOwner;
use crate::pg::spi::{Argument, Connection};
use crate::pg::transaction;
use crate::pg::trigger::Place;
use crate::pg_function;

/// Works out the sessions again of everybody whose rows a statement corrected. Sessions that lost their last row go.
pub fn rebuild_corrected(app: &Rc<AppSettings>, corrections: Corrections) {
    let Corrections { mut visitors, sessions } = corrections;
    {
        let _owner = AsOwner::for_look_ups(own_tables().sessions);
        visitors.extend(visitors_of(&Connection::open(), app.id, sessions.iter().copied()));
    }
    let visitors: Vec<String> = visitors.into_iter().collect();
    rebuild(app, &visitors, |session| sessions.contains(&session));
}

/// Works out the sessions of visitors again; those without rows stay.
pub fn rebuild_visitors(app: &AppSettings, visitors: BTreeSet<String>) {
    rebuild(app, &visitors.into_iter().collect::<Vec<_>>(), |_| false);
}

/// Works out the sessions of visitors, who are in order, again. Of the sessions without rows those go that `may_go`;
/// the others stay as records of what happened.
fn rebuild(app: &AppSettings, visitors: &[String], may_go: impl Fn(i64) -> bool) {
    {
        let _owner = AsOwner::for_look_ups(own_tables().sessions);
        lock_visitors(&Connection::open(), app.id, visitors.iter().map(String::as_str));
    }
    let tables = tables(Some(app.id), None);
    let mut calendar = app.calendar.borrow_mut();
    for visitor in visitors {
        Rebuilding::new(app, visitor, &tables).run(&mut calendar, &may_go);
    }
}

/// One visitor being worked out again.
struct Rebuilding<'a> {
    app: &'a AppSettings,
    visitor: &'a str,
    tables: &'a [EventTable],
    before: FxHashMap<i64, Session>,
    rows: Vec<(usize, Recorded)>,
}

impl<'a> Rebuilding<'a> {
    /// Locks and reads the visitor's sessions, then the rows: in this order none is missed that counts in a session.
    fn new(app: &'a AppSettings, visitor: &'a str, tables: &'a [EventTable]) -> Self {
        let mut before = FxHashMap::default();
        {
            let _owner = AsOwner::for_look_ups(own_tables().sessions);
            load_sessions(&Connection::open(), app.id, &[(visitor, Instant::MIN, Instant::MAX)], |_, session| {
                before.insert(session.id, session);
            });
        }
        let mut rows = Vec::new();
        for (table, events) in tables.iter().enumerate() {
            events.rows_of(app, visitor, |row| rows.push((table, row)));
        }
        // A cancelled session takes nothing and gives nothing away.
        let fixed = |row: &Recorded| {
            row.guess.is_some_and(|id| before.get(&id).is_some_and(|session| session.cancelled_at.is_some()))
        };
        rows.retain(|(_, row)| !fixed(row));
        // Passive events look for the sessions that all others make.
        rows.sort_by_key(|(_, row)| (row.event.effect == Effect::Passive, row.event.at));
        Rebuilding { app, visitor, tables, before, rows }
    }

    fn run(&self, calendar: &mut Calendar, may_go: &impl Fn(i64) -> bool) {
        let mut history = History::default();
        let mut unclaimed: FxHashSet<i64> =
            self.before.values().filter(|session| session.cancelled_at.is_none()).map(|session| session.id).collect();
        let mut assigned: Vec<Option<i64>> = Vec::with_capacity(self.rows.len());
        for (_, row) in &self.rows {
            let id = || match row.guess {
                Some(guess) if unclaimed.remove(&guess) => guess,
                _ => transaction::next_number(own_tables().session_ids),
            };
            assigned.push(history.assign(&self.app.app, calendar, &row.event, id).ok());
        }
        for session in history.sessions_mut() {
            if let Some(before) = self.before.get(&session.id) {
                session.carry_over(&self.app.app, calendar, before);
            }
        }

        let mut heirs: FxHashMap<i64, i64> = FxHashMap::default();
        for ((_, row), session) in self.rows.iter().zip(&assigned) {
            if let (Some(guess), Some(session)) = (row.guess.filter(|guess| unclaimed.contains(guess)), session) {
                heirs.entry(guess).or_insert(*session);
            }
        }
        let (gone, kept): (Vec<i64>, Vec<i64>) =
            unclaimed.iter().copied().filter(|id| !heirs.contains_key(id)).partition(|id| may_go(*id));

        let stay = |session: &&Session| session.cancelled_at.is_some() || kept.contains(&session.id);
        let mut sessions = history.into_sessions();
        sessions.extend(self.before.values().filter(stay).cloned());
        let mut history = History::new(sessions);
        history.finish(&self.app.app, calendar, |_| false);
        self.write(&history, &assigned, &gone, heirs.into_iter().collect());
        remember_latest(self.app, self.visitor, &history);
    }

    fn write(&self, history: &History, assigned: &[Option<i64>], gone: &[i64], merged: Vec<(i64, i64)>) {
        let written = |session| Written { visitor: self.visitor, session };
        let (known, new): (Vec<&Session>, Vec<&Session>) =
            history.sessions().iter().partition(|session| self.before.contains_key(&session.id));
        let changed = known.into_iter().filter(|session| self.before.get(&session.id) != Some(*session));
        let days =
            self.before.values().chain(history.sessions()).filter_map(|session| settled_day(session.last)).collect();
        {
            let _owner = AsOwner::for_look_ups(own_tables().sessions);
            let connection = Connection::open();
            insert_sessions(&connection, self.app.id, new.into_iter().map(written).collect());
            update_sessions(&connection, changed.map(written).collect());
            note_days(&connection, self.app.id, &days);
        }
        let mut misplaced: FxHashMap<(usize, Oid), Vec<(Place, Option<i64>)>> = FxHashMap::default();
        for ((table, row), session) in self.rows.iter().zip(assigned) {
            if row.guess != *session {
                misplaced.entry((*table, row.place.relation)).or_default().push((row.place, *session));
            }
        }
        for ((table, relation), rows) in misplaced {
            point_rows(relation, &self.tables[table].session_column, &rows);
        }
        self.release(gone);
        merge(self.app.id, &merged);
        let _owner = AsOwner::for_look_ups(own_tables().sessions);
        delete_sessions(&Connection::open(), gone);
    }

    /// Takes sessions from rows that still carry them and are not the visitor's: those that go from all, for they belong
    /// to other visitors by now, and the others from rows that were left without visitor or instant.
    fn release(&self, gone: &[i64]) {
        let open =
            || self.before.values().filter(|session| session.cancelled_at.is_none()).map(|session| Some(session.id));
        if open().next().is_none() {
            return;
        }
        for table in self.tables {
            let EventTable { relation, name, session_id, .. } = table;
            let _owner = AsOwner::for_look_ups(*relation);
            let arguments = [open().collect::<Vec<_>>(), gone.iter().map(|session| Some(*session)).collect()];
            let arguments = arguments.map(|ids| Argument::wide_array(pg_sys::INT8OID, ids.into_iter()));
            let sql = format!(
                "UPDATE {name} SET {session_id} = NULL
                  WHERE {session_id} = ANY ($1) AND ({session_id} = ANY ($2) OR {})",
                table.has_none()
            );
            Connection::open().run_once(&sql, &arguments, &[pg_sys::INT8ARRAYOID, pg_sys::INT8ARRAYOID]);
        }
    }
}

/// `(app_id integer, visitor text)`: the application is known, and neither is NULL.
fn rebuild_visitor(call: &mut Call) -> Datum {
    let (Some(app), Some(visitor)) = (call.integer(0), call.text(1)) else {
        Report::null("visitor", "Name the visitor whose rows were corrected.").raise()
    };
    let app = settings::app(app);
    statement::listen();
    rebuild(&app, &[visitor.into_owned()], |_| true);
    call.no_row()
}

pg_function!(
    /// `(app_id, visitor) → void`
    sessionize_rebuild, pg_finfo_sessionize_rebuild, rebuild_visitor
);
