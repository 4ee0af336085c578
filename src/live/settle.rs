//! The end of a statement: what was guessed becomes true.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rustc_hash::FxHashMap;

use pgrx::pg_sys::Oid;
use sessionize_core::assignment::{History, Session};
use sessionize_core::{Calendar, Instant};

use super::grow::grow_guessed;
use super::guess::{self, Guess};
use super::merge::{merge, note_stray, point_rows};
use super::rebuild::rebuild_visitors;
use super::record::{Arrivals, Recorder, UnassignedCounts, VisitorRows};
use super::settings::{AppSettings, own_tables};
use super::store::{
    Changed, StatusChange, Wanted, Written, add_visitors, count_unassigned, insert_sessions, load_sessions,
    lock_visitors, note_changed, note_status_changes, retire_sessions, settled_day, update_sessions,
};
use crate::pg::owner::AsOwner;
use crate::pg::spi::Connection;
use crate::pg::stored_row::Place;
use crate::pg::transaction;

/// So many visitors are read and written at once.
const CHUNK: usize = 1 << 16;

/// Settles the rows that a statement put into a table, whose session column is named.
pub fn settle(app: &AppSettings, session_column: &str, recorder: Recorder) {
    let unassigned = write_sessions(app, session_column, recorder);
    if !unassigned.is_empty() {
        let _owner = AsOwner::for_look_ups(own_tables().sessions);
        count_unassigned(&Connection::open(), app.id, &unassigned);
    }
}

/// Settles rows that were there before, and passes those to `point` that get another session than they carry. Rows that get
/// no session are not counted, for nobody waits for them.
pub fn settle_on_time(
    app: &AppSettings,
    arrivals: &mut Arrivals,
    point: impl FnOnce(&Arrivals, FxHashMap<Place, Option<i64>>),
) {
    let outcome = write_visitors(app, arrivals);
    point(arrivals, outcome.misplaced.into_values().flatten().collect());
    merge(app.id, &outcome.merged);
}

/// Writes sessions and rows; gives how many rows have no session, and why.
fn write_sessions(app: &AppSettings, session_column: &str, recorder: Recorder) -> UnassignedCounts {
    if grow_guessed(app, &recorder) {
        return UnassignedCounts::default();
    }
    let (mut arrivals, mut unassigned) = recorder.into_parts();
    let outcome = write_visitors(app, &mut arrivals);
    // Rows first: a merge moves them on, and then they are stored elsewhere.
    let mut in_place = true;
    for (relation, rows) in outcome.misplaced {
        in_place &= point_rows(Oid::from_u32(relation), session_column, &rows);
    }
    merge(app.id, &outcome.merged);
    if !in_place {
        find_moved(app, outcome.strays, outcome.astray);
    }
    unassigned.add_all(&outcome.unassigned);
    unassigned
}

/// Triggers of users changed rows before they were settled, or keep them from being changed: the visitors are worked out
/// again, and ids that stay in rows all the same resolve.
#[cold]
fn find_moved(app: &AppSettings, strays: FxHashMap<i64, i64>, visitors: BTreeSet<String>) {
    note_stray(app.id, &strays.into_iter().collect::<Vec<_>>());
    rebuild_visitors(app, visitors);
}

/// Locks visitors and writes their sessions.
fn write_visitors(app: &AppSettings, arrivals: &mut Arrivals) -> Outcome {
    let mut outcome = Outcome::default();
    if !arrivals.visitors.is_empty() {
        let known = lock(app, &arrivals.visitors);
        // A copy: triggers on the tables of sessions may insert events of their own.
        let mut calendar = app.calendar.borrow().clone();
        for first in (0..known.len()).step_by(CHUNK) {
            let places = first..known.len().min(first + CHUNK);
            settle_visitors(app, &mut calendar, arrivals, places, &known, &mut outcome);
        }
    }
    outcome
}

/// Locks visitors; tells of each whether they were known.
fn lock(app: &AppSettings, visitors: &[VisitorRows]) -> Vec<bool> {
    let names = visitors.iter().map(|rows| rows.visitor.as_str());
    if visitors.len() >= MANY && visitors.iter().all(VisitorRows::is_of_stranger) && add_visitors(app.id, names.clone())
    {
        return vec![false; visitors.len()];
    }
    let _owner = AsOwner::for_look_ups(own_tables().sessions);
    lock_visitors(&Connection::open(), app.id, names)
}

/// For so many visitors a part of the transaction of their own is worth it.
const MANY: usize = 64;

/// What is left to do when all sessions are written.
#[derive(Default)]
struct Outcome {
    /// In order of the tables' oids.
    misplaced: BTreeMap<u32, Vec<(Place, Option<i64>)>>,
    /// Whose rows these are.
    astray: BTreeSet<String>,
    /// Ids that such rows carry and that became no session, each with the session of one of the rows.
    strays: FxHashMap<i64, i64>,
    merged: Vec<(i64, i64)>,
    unassigned: UnassignedCounts,
}

/// The span of time around what arrived of a visitor in which sessions may concern it.
fn wanted<'v>(app: &AppSettings, rows: &'v VisitorRows) -> Wanted<'v> {
    let reach = app.app.reach();
    let instants = rows.rows.iter().map(|row| row.event.at);
    let instants = instants.chain(rows.sessions.iter().flat_map(|session| [session.first, session.last]));
    let low = instants.clone().min().unwrap_or_default().saturating_sub(reach);
    let high = instants.max().unwrap_or_default().saturating_add(reach);
    (&rows.visitor, low, high)
}

fn settle_visitors(
    app: &AppSettings,
    calendar: &mut Calendar,
    arrivals: &mut Arrivals,
    places: Range<usize>,
    known: &[bool],
    outcome: &mut Outcome,
) {
    let _owner = AsOwner::for_look_ups(own_tables().sessions);
    let connection = Connection::open();
    let merged_before = outcome.merged.len();
    let (visitors, known) = (&mut arrivals.visitors[places.clone()], &known[places.clone()]);
    let mut loaded: Vec<Vec<Session>> = vec![Vec::new(); visitors.len()];
    let known: Vec<usize> = (0..visitors.len()).filter(|place| known[*place]).collect();
    let wanted_of_known: Vec<Wanted> = known.iter().map(|place| wanted(app, &visitors[*place])).collect();
    let locked =
        load_sessions(&connection, app.id, &wanted_of_known, |place, session| loaded[known[place]].push(session));

    let mut decided: Vec<Option<History>> =
        visitors.iter_mut().zip(&loaded).map(|(rows, before)| adopt(app, calendar, rows, before)).collect();
    let by_row: Vec<usize> = (0..decided.len()).filter(|place| decided[*place].is_none()).collect();
    let unread: Vec<usize> = by_row.iter().copied().filter(|place| visitors[*place].rows.is_empty()).collect();
    arrivals.read_rows(places.start, &unread);
    let visitors = &arrivals.visitors[places];
    // Ids follow time, and with them the indexes by id: rows of one time lie side by side.
    let mut in_time = by_row;
    in_time.sort_by_key(|place| visitors[*place].rows.first().map(|row| row.event.at));
    for place in in_time {
        decided[place] = Some(decide(app, calendar, &visitors[place], &loaded[place], outcome));
    }
    let decided: Vec<History> = decided.into_iter().flatten().collect();

    let (mut new, mut changed, mut statuses) = (Vec::new(), Vec::new(), Vec::new());
    let mut to_add_up = Changed::default();
    for ((rows, loaded), history) in visitors.iter().zip(&loaded).zip(&decided) {
        let before: FxHashMap<i64, &Session> = loaded.iter().map(|session| (session.id, session)).collect();
        let mut days = BTreeSet::new();
        for session in history.sessions() {
            let known = before.get(&session.id).copied();
            if known == Some(session) {
                continue;
            }
            if !known.is_some_and(|known| counts_alike(known, session)) {
                days.extend(known.into_iter().chain([session]).filter_map(|session| settled_day(session.last)));
            }
            statuses.extend(status_changes(app, known, session));
            let written = Written { visitor: &rows.visitor, session };
            if known.is_some() { changed.push(written) } else { new.push(written) }
        }
        if !days.is_empty() {
            to_add_up.days.append(&mut days);
            to_add_up.visitors.push((&rows.visitor, None));
        } else if let Some(day) = returned_from(loaded, history) {
            to_add_up.visitors.push((&rows.visitor, Some(day)));
        }
    }
    insert_sessions(&connection, app.id, new);
    update_sessions(&connection, app.id, changed, &locked);
    let absorbed: Vec<i64> = outcome.merged[merged_before..].iter().map(|(absorbed, _)| *absorbed).collect();
    retire_sessions(&connection, &absorbed);
    note_status_changes(&connection, app.id, "event", &statuses);
    note_changed(&connection, app.id, &to_add_up);
}

/// Whether a session stays as it is in all that statistics add up: only the visitor's next one may begin at another time.
fn counts_alike(before: &Session, after: &Session) -> bool {
    *after == Session { next_first: after.next_first, ..before.clone() }
}

/// The day of a visitor's last session if it has settled, and the visitor has come back since.
fn returned_from(before: &[Session], after: &History) -> Option<i64> {
    let day = settled_day(before.iter().map(|session| session.last).max()?)?;
    after.sessions().iter().any(|session| settled_day(session.last).is_none()).then_some(day)
}

/// Takes over the sessions that a statement opened and filled; none where the visitor has others near them, or rows to be
/// looked at one by one.
fn adopt(app: &AppSettings, calendar: &mut Calendar, rows: &mut VisitorRows, before: &[Session]) -> Option<History> {
    if !rows.rows.is_empty() || !rows.sessions.iter().all(|session| guess::is_drawn(session.id)) {
        return None;
    }
    let (_, _, high) = wanted(app, rows);
    let opened = std::mem::take(&mut rows.sessions);
    let mut history = History::new(before.to_vec()).adopt(&app.app, calendar, opened)?;
    for session in history.sessions() {
        guess::use_drawn(session.id);
    }
    finish(app, calendar, &rows.visitor, high, &mut history);
    Some(history)
}

/// Says where each session's successor begins, as far as sessions up to an instant were looked at, and remembers the visitor's
/// latest one.
fn finish(app: &AppSettings, calendar: &mut Calendar, visitor: &str, high: Instant, history: &mut History) {
    history.finish(&app.app, calendar, |session| session.first > high);
    remember_latest(app, visitor, history);
}

/// Assigns a visitor's rows, in the order in which they went in, to the sessions that are there or become necessary.
fn decide(
    app: &AppSettings,
    calendar: &mut Calendar,
    rows: &VisitorRows,
    before: &[Session],
    outcome: &mut Outcome,
) -> History {
    let mut history = History::new(before.to_vec());
    let mut assigned = Vec::with_capacity(rows.rows.len());
    for row in &rows.rows {
        let fresh = || match row.guess {
            Some(guess) if guess::use_drawn(guess) => guess,
            _ => transaction::next_number(own_tables().session_ids),
        };
        match history.assign(&app.app, calendar, &row.event, fresh) {
            Ok(session) => assigned.push(Some(session)),
            Err(reason) => {
                outcome.unassigned.add(reason, 1);
                assigned.push(None);
            }
        }
    }
    let (_, _, high) = wanted(app, rows);
    finish(app, calendar, &rows.visitor, high, &mut history);

    let mut survivors: FxHashMap<i64, i64> = FxHashMap::default();
    for (absorbed, survivor) in history.merged().iter().rev() {
        let last = survivors.get(survivor).copied().unwrap_or(*survivor);
        survivors.insert(*absorbed, last);
    }
    outcome.merged.extend(before.iter().filter_map(|session| Some((session.id, *survivors.get(&session.id)?))));
    for (row, session) in rows.rows.iter().zip(assigned) {
        let session = session.map(|session| survivors.get(&session).copied().unwrap_or(session));
        if row.guess != session {
            outcome.misplaced.entry(row.place.relation.to_u32()).or_default().push((row.place, session));
            let known = before.iter().chain(history.sessions());
            let stray = row.guess.filter(|guess| known.into_iter().all(|session| session.id != *guess));
            outcome.strays.extend(stray.zip(session));
            if !outcome.astray.contains(rows.visitor.as_str()) {
                outcome.astray.insert(rows.visitor.to_string());
            }
        }
    }
    history
}

/// Remembers the visitor's latest session for the next statement.
pub fn remember_latest(app: &AppSettings, visitor: &str, history: &History) {
    match history.sessions().iter().rev().find(|session| session.cancelled_at.is_none()) {
        Some(session) if session.next_first == Instant::MAX => {
            let Session { id, first, last, .. } = *session;
            let guess = Guess { session: id, first, last, address: None };
            guess::remember(app.id, visitor, guess);
        }
        _ => guess::forget(app.id, visitor),
    }
}

/// The changes of status that events brought about.
fn status_changes(
    app: &AppSettings,
    before: Option<&Session>,
    after: &Session,
) -> impl Iterator<Item = StatusChange> + use<> {
    let now = transaction::now();
    let status_before = before.map(|session| session.status(&app.app, now));
    let converted = after.converted_at.is_some() && before.is_none_or(|session| session.converted_at.is_none());
    let cancelled = after.cancelled_at.is_some() && before.is_none_or(|session| session.cancelled_at.is_none());
    let id = after.id;
    [(converted, "converted"), (cancelled, "cancelled")]
        .into_iter()
        .filter_map(move |(changed, status)| changed.then_some((id, status_before, status)))
}
