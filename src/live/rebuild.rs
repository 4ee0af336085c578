//! Visitors whose events were corrected: their sessions are worked out again from the rows that are there.

use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use pgrx::pg_sys::{self, Datum, Oid};
use sessionize_core::assignment::{Effect, Event, History, LONGEST_VISITOR, Said, Session};
use sessionize_core::{Calendar, Instant};

use super::guess;
use super::merge::{merge, point_rows};
use super::names::Names;
use super::record::{Corrections, Recorded};
use super::rows::{EventTable, tables};
use super::said::{forget_events, note_rebuilt, read_said};
use super::settings::{self, AppSettings, own_tables};
use super::settle::remember_latest;
use super::statement;
use super::store::{
    Changed, Locked, Written, delete_sessions, insert_sessions, load_sessions, lock_visitors, note_changed,
    settled_day, update_sessions, visitors_of,
};
use crate::pg::call::Call;
use crate::pg::error::{Report, SqlState};
use crate::pg::owner::AsOwner;
use crate::pg::spi::{Argument, Connection};
use crate::pg::stored_row::Place;
use crate::pg::table::UserTable;
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
    // A copy: triggers of users may insert events while rows are pointed to their sessions.
    let mut calendar = app.calendar.borrow().clone();
    statement::note_rebuilt(app.id, visitors);
    for visitor in visitors {
        // Somebody may be correcting other rows of the visitor, and will then wait for the lock that we have; so rows
        // are locked only if they change while they are looked at.
        let _done = Rebuilding::new(app, visitor, &tables, false).run(&mut calendar, &may_go)
            || Rebuilding::new(app, visitor, &tables, true).run(&mut calendar, &may_go);
    }
    let _owner = AsOwner::for_look_ups(own_tables().sessions);
    let names = Argument::text_array(visitors.iter().map(|visitor| Some(visitor.as_str())));
    Connection::open().run_once(FORGET, &[Argument::integer(app.id), names], &[pg_sys::INT4OID, pg_sys::TEXTARRAYOID]);
}

/// Locking visitors makes them known; those who turn out to have no session are not.
const FORGET: &str = "
    DELETE FROM sessionize.visitors AS known
     WHERE known.app_id = $1 AND known.visitor = ANY ($2)
       AND NOT EXISTS (SELECT FROM sessionize.sessions AS session
                        WHERE session.app_id = known.app_id AND session.visitor = known.visitor)";

/// Locks and reads all sessions of a visitor, by their ids.
fn sessions_of(connection: &Connection, app: &AppSettings, visitor: &str) -> FxHashMap<i64, Session> {
    let mut sessions = FxHashMap::default();
    load_sessions(connection, app.id, &[(visitor, Instant::MIN, Instant::MAX)], |_, session| {
        sessions.insert(session.id, session);
    });
    sessions
}

/// One visitor being worked out again.
struct Rebuilding<'a> {
    app: &'a AppSettings,
    visitor: &'a str,
    tables: &'a [EventTable],
    before: FxHashMap<i64, Session>,
    said: FxHashMap<i64, Said>,
    rows: Vec<(usize, Recorded)>,
}

impl<'a> Rebuilding<'a> {
    /// Locks and reads the visitor's sessions, then the rows: in this order none is missed that counts in a session.
    fn new(app: &'a AppSettings, visitor: &'a str, tables: &'a [EventTable], lock: bool) -> Self {
        let (before, said) = {
            let _owner = AsOwner::for_look_ups(own_tables().sessions);
            let connection = Connection::open();
            let before = sessions_of(&connection, app, visitor);
            let said = read_said(&connection, before.keys().copied());
            (before, said)
        };
        let mut rows = Vec::new();
        for (table, events) in tables.iter().enumerate() {
            events.rows_of(app, visitor, lock, |row| rows.push((table, row)));
        }
        // Passive events look for the sessions that all others make; what cancels a session comes after what it takes.
        rows.sort_by_key(|(_, row): &(usize, Recorded)| {
            let Event { at, effect, .. } = row.event;
            (effect == Effect::Passive, at, effect == Effect::Cancels)
        });
        Rebuilding { app, visitor, tables, before, said, rows }
    }

    /// Whether people cancelled a session: then it takes nothing, and keeps its rows as far as they are near.
    fn is_shut(&self, session: i64) -> bool {
        self.said.get(&session).is_some_and(|said| said.cancelled_at.is_some())
    }

    /// Works out and writes the visitor's sessions; says whether the rows stayed where they were meanwhile.
    fn run(&self, calendar: &mut Calendar, may_go: &impl Fn(i64) -> bool) -> bool {
        let app = &self.app.app;
        let mut shut: FxHashMap<i64, History> = FxHashMap::default();
        let mut history = History::default();
        let mut names = Names::new(
            self.before.keys().copied().filter(|id| !self.is_shut(*id)).collect(),
            self.rows.iter().filter_map(|(_, row)| row.guess),
        );
        let mut assigned: Vec<Option<i64>> = Vec::with_capacity(self.rows.len());
        for (_, row) in &self.rows {
            if let Some(id) = row.guess.filter(|id| self.is_shut(*id)) {
                let own = shut.entry(id).or_default();
                let other = if own.sessions().is_empty() { id } else { Names::NONE };
                if own.assign(app, calendar, &row.event, || other) == Ok(id) {
                    assigned.push(Some(id));
                    continue;
                }
            }
            let session = history.assign(app, calendar, &row.event, || names.provisional()).ok();
            assigned.push(session);
            if let (Some(session), Some(guess)) = (session, row.guess)
                && self.before.get(&guess).is_some_and(|before| (before.first..=before.last).contains(&row.event.at))
                && names.claim(session, guess)
                && let Some(said) = self.said.get(&guess)
                && let Some(named) = history.sessions_mut().iter_mut().rev().find(|named| named.id == session)
            {
                named.hear(said);
            }
        }
        let guessed =
            || self.rows.iter().zip(&assigned).filter_map(|((_, row), session)| Some(((*session)?, row.guess?)));
        for (session, guess) in guessed() {
            names.claim(session, guess);
        }
        let mut heirs: FxHashMap<i64, i64> = FxHashMap::default();
        for (session, guess) in guessed() {
            if names.unclaimed.contains(&guess) {
                heirs.entry(guess).or_insert(names.of(session));
            }
        }
        assigned.iter_mut().flatten().for_each(|session| *session = names.of(*session));
        let (gone, kept): (FxHashSet<i64>, FxHashSet<i64>) =
            names.unclaimed.iter().copied().filter(|id| !heirs.contains_key(id)).partition(|id| may_go(*id));

        let mut sessions = history.into_sessions();
        sessions.iter_mut().for_each(|session| session.id = names.of(session.id));
        sessions.extend(
            shut.iter().filter_map(|(id, own)| own.sessions().iter().find(|session| session.id == *id).cloned()),
        );
        let mut inherited: FxHashMap<i64, Vec<&Said>> = FxHashMap::default();
        for (absorbed, said) in &self.said {
            heirs.get(absorbed).into_iter().for_each(|survivor| inherited.entry(*survivor).or_default().push(said));
        }
        for session in &mut sessions {
            if let Some(before) = self.before.get(&session.id) {
                session.carry_over(app, calendar, before, self.said.get(&session.id));
            }
            inherited.get(&session.id).into_iter().flatten().for_each(|said| session.hear(said));
        }
        let gone: Vec<i64> = gone.into_iter().collect();
        let stays = |id: &i64| kept.contains(id) || self.is_shut(*id) && !shut.contains_key(id);
        sessions.extend(self.before.values().filter(|session| stays(&session.id)).cloned());
        let mut history = History::new(sessions);
        history.finish(app, calendar, |_| false);
        remember_latest(self.app, self.visitor, &history);
        self.write(&history, &assigned, &gone, heirs.into_iter().collect())
    }

    fn write(&self, history: &History, assigned: &[Option<i64>], gone: &[i64], merged: Vec<(i64, i64)>) -> bool {
        // Rows first: if some are not where they were, nothing else is written.
        type Rows = Vec<(Place, Option<i64>)>;
        let mut misplaced: BTreeMap<(u32, usize), Rows> = BTreeMap::new();
        for ((table, row), session) in self.rows.iter().zip(assigned) {
            if row.guess != *session {
                misplaced.entry((row.place.relation.to_u32(), *table)).or_default().push((row.place, *session));
            }
        }
        let any_moves = !misplaced.is_empty();
        for ((relation, table), rows) in misplaced {
            if !point_rows(Oid::from_u32(relation), &self.tables[table].session_column, &rows) {
                return false;
            }
        }
        // Triggers of users may have inserted further events of the visitor meanwhile.
        if any_moves
            && self.before != {
                let _owner = AsOwner::for_look_ups(own_tables().sessions);
                sessions_of(&Connection::open(), self.app, self.visitor)
            }
        {
            return false;
        }
        let written = |session| Written { visitor: self.visitor, session };
        let before = |session: &Session| self.before.get(&session.id);
        let changed: Vec<&Session> =
            history.sessions().iter().filter(|session| before(session) != Some(*session)).collect();
        let (known, new): (Vec<&Session>, Vec<&Session>) =
            changed.iter().partition(|session| before(session).is_some());
        let says = |session: &Session| (session.converted_at, session.cancelled_at, session.facts.clone());
        let corrected: Vec<&Session> = known
            .iter()
            .copied()
            .filter(|session| before(session).is_some_and(|before| says(before) != says(session)))
            .collect();
        let days: BTreeSet<i64> =
            self.before.values().chain(history.sessions()).filter_map(|session| settled_day(session.last)).collect();
        let visitors = if days.is_empty() { Vec::new() } else { vec![(self.visitor, None)] };
        {
            let _owner = AsOwner::for_look_ups(own_tables().sessions);
            let connection = Connection::open();
            for session in &new {
                guess::use_drawn(session.id);
            }
            insert_sessions(&connection, self.app.id, new.into_iter().map(written).collect());
            forget_events(&connection, &corrected);
            update_sessions(&connection, self.app.id, known.into_iter().map(written).collect(), &Locked::default());
            let changed: Vec<_> = changed.into_iter().map(|session| (before(session), session)).collect();
            note_rebuilt(&connection, self.app, &changed);
            note_changed(&connection, self.app.id, &Changed { days, visitors });
        }
        self.release(gone);
        merge(self.app.id, &merged);
        let _owner = AsOwner::for_look_ups(own_tables().sessions);
        delete_sessions(&Connection::open(), gone);
        true
    }

    /// Takes sessions from rows that still carry them and are not the visitor's: those that go from all, for they belong
    /// to other visitors by now, and the others from rows that were left without visitor or instant.
    fn release(&self, gone: &[i64]) {
        if self.before.is_empty() {
            return;
        }
        for table in self.tables {
            let Some(UserTable { own, .. }) = UserTable::to_change(table.relation) else { continue };
            let session_id = &table.session_id;
            let _owner = AsOwner::of_users_table(table.relation);
            let arguments =
                [self.before.keys().copied().map(Some).collect::<Vec<_>>(), gone.iter().copied().map(Some).collect()];
            let arguments = arguments.map(|ids| Argument::wide_array(pg_sys::INT8OID, ids.into_iter()));
            let sql = format!(
                "UPDATE {own} AS event SET {session_id} = NULL
                  WHERE event.{session_id} OPERATOR(pg_catalog.=) ANY ($1) AND (event.{session_id} OPERATOR(pg_catalog.=) ANY ($2) OR {})",
                table.has_none()
            );
            Connection::open().look_up_once(&sql, &arguments, &[pg_sys::INT8ARRAYOID, pg_sys::INT8ARRAYOID]);
        }
    }
}

/// `(app_id integer, visitor text)`: the application is known, and neither is NULL.
fn rebuild_visitor(call: &mut Call) -> Datum {
    let (Some(app), Some(visitor)) = (call.integer(0), call.text(1)) else {
        Report::null("visitor", "Name the visitor whose rows were corrected.").raise()
    };
    if visitor.len() > LONGEST_VISITOR {
        Report::new(SqlState::ERRCODE_INVALID_PARAMETER_VALUE, "name of the visitor is too long")
            .detail(format!("It has {} bytes.", visitor.len()))
            .hint(format!(
                "Visitors have names of up to {LONGEST_VISITOR} bytes; events with longer ones have no session."
            ))
            .raise();
    }
    let app = settings::app(app);
    statement::listen();
    rebuild(&app, &[visitor.into_owned()], |_| true);
    call.no_row()
}

pg_function!(
    /// `(app_id, visitor) → void`
    sessionize_rebuild, pg_finfo_sessionize_rebuild, rebuild_visitor
);
