//! The trigger functions.

use std::cell::Cell;

use pgrx::pg_sys::Datum;
use sessionize_core::Instant;
use sessionize_core::assignment::{Effect, Event, Unassigned};
use sessionize_core::facts::{Fact, Facts, is_usable};
use sessionize_core::instant::is_finite;

use super::guess::{self, Guess};
use super::rebuild::rebuild_corrected;
use super::record::{Recorded, Recorder};
use super::settings::{AppSettings, Columns, Tracked, of_firing, own_tables};
use super::settle::settle;
use super::statement::{self, Kind};
use super::store::look_up;
use crate::pg::call::Call;
use crate::pg::error::{Report, SqlState};
use crate::pg::stored_row::StoredRow;
use crate::pg::transaction;
use crate::pg::trigger::{Firing, Moment};
use crate::pg_function;

fn firing<'a>(call: &mut Call<'a>, function: &str, moment: Moment) -> Firing<'a> {
    match Firing::of(call) {
        Some(firing) if firing.moment() == moment => firing,
        _ => Report::new(
            SqlState::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
            format!("function \"{function}\" was not called by the trigger it is made for"),
        )
        .hint("Let track_sessions() make the triggers.")
        .raise(),
    }
}

thread_local! {
    /// Where the visitor of a row is written, so that rows cost no allocation.
    static VISITOR: Cell<String> = const { Cell::new(String::new()) };
}

/// Reads the event of a row, or why it can have no session, and writes its visitor into a buffer.
fn read_row(
    app: &AppSettings,
    columns: &Columns,
    row: &StoredRow,
    with_facts: bool,
    visitor: &mut String,
) -> Result<Event, Unassigned> {
    if columns.write_visitor(row, visitor) {
        read_event(app, columns, row, with_facts)
    } else {
        Err(Unassigned::NoVisitor)
    }
}

fn read_event(app: &AppSettings, columns: &Columns, row: &StoredRow, with_facts: bool) -> Result<Event, Unassigned> {
    let received = columns.received_at.and_then(|column| row.instant(&column));
    let arrival = received.filter(|at| is_finite(*at)).unwrap_or_else(transaction::now);
    let at = app.app.admits(row.instant(&columns.occurred_at), arrival)?;
    let effect = if app.knows_kinds() {
        let kind = columns.kind.and_then(|column| column.of(row));
        app.effect(kind.as_deref())
    } else {
        Effect::Qualifies
    };
    let facts = if with_facts && effect != Effect::Passive { read_facts(columns, row, at) } else { None };
    Ok(Event { at, arrival, effect, facts })
}

/// What an event says about its session.
pub fn read_facts(columns: &Columns, row: &StoredRow, at: Instant) -> Option<Box<Facts>> {
    let columns = columns.facts.as_ref()?;
    let fact = |place: usize| {
        let value = columns[place]?.of(row).filter(|value| is_usable(place, value))?;
        Some(Fact { at, value: value.into_boxed_str() })
    };
    let facts: Facts = std::array::from_fn(fact);
    facts.iter().any(Option::is_some).then(|| Box::new(facts))
}

fn kind(firing: &Firing) -> Kind {
    if firing.is_update() { Kind::Update } else { Kind::Insert }
}

/// Whether a row that goes into a partition comes from another one: an UPDATE is under way, and an INSERT either is not
/// or would not bring a session along.
fn is_moved(tracked: &Tracked, row: &StoredRow) -> bool {
    let tracking = tracked.tracking;
    tracked.is_partition
        && statement::is_under_way(tracking, Kind::Update)
        && (!statement::is_under_way(tracking, Kind::Insert) || row.datum(&tracked.columns.session_id).is_some())
}

fn begin(call: &mut Call) -> Datum {
    let firing = firing(call, "begin_sessions", Moment::BeforeStatement);
    let tracked = of_firing(&firing);
    statement::begin(tracked.tracking, tracked.app.id, kind(&firing));
    call.no_row()
}

fn assign(call: &mut Call) -> Datum {
    let firing = firing(call, "assign_session", Moment::BeforeInsertRow);
    let tracked = of_firing(&firing);
    let row = firing.row();
    if is_moved(&tracked, &row) {
        return firing.keep();
    }
    let mut visitor = VISITOR.take();
    let event = read_row(&tracked.app, &tracked.columns, &row, false, &mut visitor);
    let session = event.ok().and_then(|event| guess_session(&tracked, &visitor, &event));
    VISITOR.set(visitor);
    let column = tracked.columns.session_id;
    if session.is_none() && row.datum(&column).is_none() {
        return firing.keep();
    }
    firing.keep_with(column.number, session)
}

/// The session that an event most likely belongs to; a fresh id where it seems to open one.
fn guess_session(tracked: &Tracked, visitor: &str, event: &Event) -> Option<i64> {
    let app = &tracked.app;
    let mut calendar = app.calendar.borrow_mut();
    let (guessed, newest_is_known) = guess::with(app.id, visitor, |known| {
        let Some(known) = known else { return (None, false) };
        let takes = known.takes(&app.app, &mut calendar, event.at, event.effect);
        (takes.then_some(known.session), event.at > known.last)
    });
    if guessed.is_some() {
        return guessed;
    }
    let (mut latest, mut is_stranger) = (newest_is_known, false);
    if !newest_is_known {
        let until = event.at.saturating_add(app.app.reach());
        let (found, later) =
            statement::with_visitor_index(tracked.tracking, |index| look_up(index, app.id, visitor, until));
        if let Some((mut found, expires_at)) = found
            && event.arrival < expires_at
            && found.takes(&app.app, &mut calendar, event.at, event.effect)
        {
            if !later {
                guess::remember(app.id, visitor, found);
            }
            return Some(found.session);
        }
        latest = !later;
        is_stranger = found.is_none() && !later;
    }
    if event.effect == Effect::Passive {
        return None;
    }
    let session = transaction::next_number(own_tables().session_ids);
    guess::note_drawn(session, is_stranger);
    if latest {
        let (first, last) = (event.at, event.at);
        guess::remember(app.id, visitor, Guess { session, first, last, address: None });
    }
    Some(session)
}

fn record(call: &mut Call) -> Datum {
    let firing = firing(call, "record_session", Moment::AfterInsertRow);
    let tracked = of_firing(&firing);
    let row = firing.row();
    let carried = row.bigint(&tracked.columns.session_id);
    if is_moved(&tracked, &row) {
        let visitor = tracked.columns.visitor_of(&row);
        statement::with_current(tracked.tracking, Kind::Update, |recorder| {
            recorder.note_correction(visitor.into_iter(), carried)
        });
        return call.no_row();
    }
    let mut visitor = VISITOR.take();
    let mut event = Some(read_row(&tracked.app, &tracked.columns, &row, true, &mut visitor));
    note(&tracked, Kind::Insert, |recorder| match event.take() {
        Some(Ok(event)) => {
            let row = Recorded { event, guess: carried, place: row.place() };
            recorder.note_row(&tracked.app, &visitor, row);
        }
        Some(Err(reason)) => recorder.note_unassigned(reason),
        None => {}
    });
    VISITOR.set(visitor);
    call.no_row()
}

fn correct(call: &mut Call) -> Datum {
    let firing = firing(call, "correct_session", Moment::AfterUpdateRow);
    let tracked = of_firing(&firing);
    let (before, after) = (firing.row(), firing.new_row());
    let visitors = [tracked.columns.visitor_of(&before), tracked.columns.visitor_of(&after)];
    let at = &tracked.columns.occurred_at;
    if visitors[0] != visitors[1] || before.instant(at) != after.instant(at) {
        let carried = before.bigint(&tracked.columns.session_id);
        note(&tracked, Kind::Update, |recorder| {
            recorder.note_correction(visitors.clone().into_iter().flatten(), carried)
        });
    }
    call.no_row()
}

/// Notes something until the end of the statement, or settles it at once where the statement does not say when it ends.
fn note(tracked: &Tracked, kind: Kind, mut write: impl FnMut(&mut Recorder)) {
    if statement::with_current(tracked.tracking, kind, &mut write).is_none() {
        let mut recorder = Recorder::default();
        write(&mut recorder);
        finish(tracked, recorder);
    }
}

fn end(call: &mut Call) -> Datum {
    let firing = firing(call, "settle_sessions", Moment::AfterStatement);
    let tracked = of_firing(&firing);
    if let Some(recorder) = statement::end(tracked.tracking, kind(&firing)) {
        finish(&tracked, recorder);
    }
    call.no_row()
}

fn finish(tracked: &Tracked, mut recorder: Recorder) {
    let corrections = recorder.take_corrections();
    recorder.leave_out(&corrections.visitors);
    if !recorder.is_empty() {
        settle(&tracked.app, &tracked.session_column, recorder);
    }
    if !corrections.visitors.is_empty() || !corrections.sessions.is_empty() {
        rebuild_corrected(&tracked.app, corrections);
    }
}

fn announce(call: &mut Call) -> Datum {
    let firing = firing(call, "settings_changed", Moment::AfterStatement);
    transaction::announce_change(firing.relation());
    call.no_row()
}

pg_function!(
    /// BEFORE INSERT or UPDATE, each statement.
    sessionize_begin, pg_finfo_sessionize_begin, begin
);
pg_function!(
    /// BEFORE INSERT, each row.
    sessionize_assign, pg_finfo_sessionize_assign, assign
);
pg_function!(
    /// AFTER INSERT, each row.
    sessionize_record, pg_finfo_sessionize_record, record
);
pg_function!(
    /// AFTER INSERT or UPDATE, each statement.
    sessionize_settle, pg_finfo_sessionize_settle, end
);
pg_function!(
    /// AFTER UPDATE, each row.
    sessionize_correct, pg_finfo_sessionize_correct, correct
);
pg_function!(
    /// AFTER any change, each statement, on the extension's own tables of settings.
    sessionize_settings_changed, pg_finfo_sessionize_settings_changed, announce
);
