//! The rows that a statement inserted.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use pgrx::pg_sys::Oid;
use rustc_hash::FxHashMap;
use sessionize_core::Instant;
use sessionize_core::assignment::{Effect, Event, Session, Unassigned};
use sessionize_core::facts::Facts;

use super::by_session::BySession;
use super::guess;
use super::settings::AppSettings;
use crate::pg::stored_row::Place;

/// A row that went in.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// When, and what it means.
    pub event: Event,
    /// The session that the row carries.
    pub guess: Option<i64>,
    /// Where the row is.
    pub place: Place,
}

/// How many rows have no session, by reason.
#[derive(Debug, Default)]
pub struct UnassignedCounts(BTreeMap<Unassigned, i64>);

impl UnassignedCounts {
    /// Adds rows.
    pub fn add(&mut self, reason: Unassigned, count: i64) {
        *self.0.entry(reason).or_default() += count;
    }

    /// Adds all of others.
    pub fn add_all(&mut self, others: &UnassignedCounts) {
        others.iter().for_each(|(reason, count)| self.add(reason, count));
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The reasons, always in the same order, and how many rows each has.
    pub fn iter(&self) -> impl Iterator<Item = (Unassigned, i64)> {
        self.0.iter().map(|(reason, count)| (*reason, *count))
    }
}

/// All rows of one statement that await settling.
#[derive(Debug, Default)]
pub struct Recorder {
    groups: Vec<Group>,
    /// Groups with a session of their own.
    by_session: BySession<u32>,
    by_visitor: FxHashMap<CompactString, Vec<u32>>,
    rows: Vec<Row>,
    unassigned: UnassignedCounts,
    corrections: Corrections,
}

/// The rows of one visitor that carry the same session.
#[derive(Debug)]
struct Group {
    visitor: CompactString,
    guess: Option<i64>,
    /// What becomes of them if nobody else knows of the visitor: the session that the first of them opened.
    session: Option<Session>,
    /// Its place among all groups of the statement.
    number: u32,
    /// Whether they are left to those who work the visitor out again.
    is_left_out: bool,
}

/// A row, as small as can be: there may be millions.
#[derive(Debug)]
pub struct Row {
    /// When it happened.
    pub at: Instant,
    /// When the database learned of it.
    pub arrival: Instant,
    /// What it says about its session.
    pub facts: Option<Box<Facts>>,
    /// The number of the group that it belongs to.
    pub group: u32,
    relation: Oid,
    block: u32,
    line: u16,
    /// What its kind does.
    pub effect: Effect,
}

impl Row {
    /// A row of a group.
    pub fn new(row: Recorded, group: u32) -> Self {
        let Event { at, arrival, effect, facts } = row.event;
        let Place { relation, block, line } = row.place;
        Row { at, arrival, facts, group, relation, block, line, effect }
    }

    /// The event.
    pub fn event(&self) -> Event {
        let Row { at, arrival, effect, ref facts, .. } = *self;
        Event { at, arrival, effect, facts: facts.clone() }
    }

    /// Where the row is.
    pub fn place(&self) -> Place {
        let Row { relation, block, line, .. } = *self;
        Place { relation, block, line }
    }
}

/// Whose events were corrected, and the sessions that their rows carried.
#[derive(Debug, Default)]
pub struct Corrections {
    /// The visitors before and after, in order.
    pub visitors: BTreeSet<String>,
    /// The sessions.
    pub sessions: BTreeSet<i64>,
}

/// What arrived of one visitor: whole sessions, or rows.
#[derive(Debug)]
pub struct VisitorRows {
    /// Who.
    pub visitor: CompactString,
    /// Sessions that the statement opened and filled, in the order in which it did. Their rows carry their ids.
    pub sessions: Vec<Session>,
    /// Rows, in the order in which they went in.
    pub rows: Vec<Recorded>,
}

impl VisitorRows {
    /// Whether nothing was known of the visitor when the first row was assigned.
    pub fn is_of_stranger(&self) -> bool {
        self.sessions.first().is_some_and(|session| guess::is_of_stranger(session.id))
    }
}

/// All that a statement inserted, by visitor.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// In order of their names.
    pub visitors: Vec<VisitorRows>,
    /// The rows behind whole sessions.
    behind: Vec<Row>,
    visitor_of_group: Vec<u32>,
    guesses: Vec<Option<i64>>,
    /// Whether rows count in order of time, whenever they went in.
    on_time: bool,
}

/// The place of no visitor.
const NOBODY: u32 = u32::MAX;

/// Among so few groups looking is faster than hashing.
const FEW: usize = 8;

impl Recorder {
    /// Notes a row that got, or may yet get, a session.
    pub fn note_row(&mut self, app: &AppSettings, visitor: &str, row: Recorded) {
        let Recorded { event, guess, place } = row;
        let group = match self.find(visitor, guess) {
            Some(group) => {
                let Group { session, .. } = &mut self.groups[group as usize];
                if session
                    .as_mut()
                    .is_some_and(|session| !session.follow(&app.app, &mut app.calendar.borrow_mut(), &event))
                {
                    *session = None;
                }
                group
            }
            None => self.open(app, visitor, guess, &event),
        };
        self.rows.push(Row::new(Recorded { event, guess, place }, group));
    }

    fn find(&self, visitor: &str, guess: Option<i64>) -> Option<u32> {
        let fits = |group: &u32| {
            let group = &self.groups[*group as usize];
            group.guess == guess && group.visitor == visitor
        };
        if self.groups.len() <= FEW {
            return (0..self.groups.len() as u32).find(fits);
        }
        let of_session = guess.and_then(|guess| self.by_session.get(guess).copied().filter(fits));
        of_session.or_else(|| self.by_visitor.get(visitor)?.iter().copied().find(fits))
    }

    fn open(&mut self, app: &AppSettings, visitor: &str, guess: Option<i64>, event: &Event) -> u32 {
        let drawn = guess.filter(|guess| guess::is_drawn(*guess));
        let session = drawn.and_then(|id| Session::begun_by(&app.app, &mut app.calendar.borrow_mut(), event, id));
        let number = self.groups.len() as u32;
        self.groups.push(Group { visitor: visitor.into(), guess, session, number, is_left_out: false });
        match self.groups.len() {
            ..=FEW => {}
            count if count == FEW + 1 => (0..=number).for_each(|number| self.register(number)),
            _ => self.register(number),
        }
        number
    }

    /// Lets a group be found by its session if that was drawn later than all before, else by its visitor.
    fn register(&mut self, number: u32) {
        let group = &self.groups[number as usize];
        let session = group.session.as_ref().map(|session| session.id);
        match session {
            Some(id) if self.by_session.is_latest(id) => self.by_session.insert(id, number),
            _ => self.by_visitor.entry(group.visitor.clone()).or_default().push(number),
        }
    }

    /// Counts a row that gets no session.
    pub fn note_unassigned(&mut self, reason: Unassigned) {
        self.unassigned.add(reason, 1);
    }

    /// Notes a row whose visitor or instant was changed: who it belongs to, and the session that it carries.
    pub fn note_correction(&mut self, visitors: impl Iterator<Item = String>, session: Option<i64>) {
        self.corrections.visitors.extend(visitors);
        self.corrections.sessions.extend(session);
    }

    /// The corrections, taken out.
    pub fn take_corrections(&mut self) -> Corrections {
        std::mem::take(&mut self.corrections)
    }

    /// Leaves the rows of visitors out.
    pub fn leave_out(&mut self, visitors: &BTreeSet<String>) {
        if !visitors.is_empty() {
            self.groups.iter_mut().for_each(|group| group.is_left_out = visitors.contains(group.visitor.as_str()));
        }
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.unassigned.is_empty()
    }

    /// Whether there is anything to be done at the end of the statement.
    pub fn awaits_settling(&self) -> bool {
        let Corrections { visitors, sessions } = &self.corrections;
        !(self.is_empty() && visitors.is_empty() && sessions.is_empty())
    }

    /// The visitor, the session and the events of rows that all carry the same session, which was there before.
    pub fn only_group(&self) -> Option<(&str, i64, impl Iterator<Item = Event>)> {
        let [Group { visitor, guess: Some(guess), session: None, is_left_out: false, .. }] = self.groups.as_slice()
        else {
            return None;
        };
        let events = self.rows.iter().map(Row::event);
        (self.unassigned.is_empty() && !guess::is_drawn(*guess)).then_some((visitor, *guess, events))
    }

    /// What arrived, by visitor; how many rows have no session, and why.
    pub fn into_parts(self) -> (Arrivals, UnassignedCounts) {
        let mut arrivals = Arrivals { behind: self.rows, ..Arrivals::default() };
        arrivals.guesses = self.groups.iter().map(|group| group.guess).collect();
        arrivals.visitor_of_group = vec![NOBODY; self.groups.len()];
        // Where they are: there may be millions.
        let mut groups = self.groups;
        groups.retain(|group| !group.is_left_out);
        groups.sort_unstable_by(|one, other| (&one.visitor, one.number).cmp(&(&other.visitor, other.number)));
        let mut by_row = Vec::new();
        for Group { visitor, session, number, .. } in groups {
            if arrivals.visitors.last().is_none_or(|known| known.visitor != visitor) {
                arrivals.visitors.push(VisitorRows { visitor, sessions: Vec::new(), rows: Vec::new() });
            }
            let place = arrivals.visitors.len() - 1;
            arrivals.visitor_of_group[number as usize] = place as u32;
            match session {
                Some(session) => {
                    let sessions = &mut arrivals.visitors[place].sessions;
                    if sessions.is_empty() {
                        sessions.reserve_exact(1); // mostly that is all
                    }
                    sessions.push(session);
                }
                None if by_row.last() == Some(&place) => {}
                None => by_row.push(place),
            }
        }
        arrivals.read_rows(0, &by_row);
        (arrivals, self.unassigned)
    }
}

impl Arrivals {
    /// Visitors, in order of their names, and rows that count in order of time, of groups that are still to be added.
    pub fn on_time(visitors: Vec<VisitorRows>, rows: Vec<Row>) -> Self {
        Arrivals { visitors, behind: rows, on_time: true, ..Arrivals::default() }
    }

    /// Adds the next group of rows: whose they are, and the session that they carry.
    pub fn add_group(&mut self, visitor: u32, session: Option<i64>) {
        self.visitor_of_group.push(visitor);
        self.guesses.push(session);
    }

    /// Where rows are, and the sessions that they carry.
    pub fn carried(&self) -> impl Iterator<Item = (Place, Option<i64>)> {
        self.behind.iter().map(|row| (row.place(), self.guesses[row.group as usize]))
    }

    /// Reads the rows of visitors, at places in order from a first one on, in place of their sessions.
    pub fn read_rows(&mut self, first: usize, places: &[usize]) {
        if places.is_empty() {
            return;
        }
        let mut wanted = vec![false; self.visitors.len()];
        for place in places {
            wanted[first + place] = true;
            self.visitors[first + place].sessions.clear();
        }
        for row in &self.behind {
            let place = self.visitor_of_group[row.group as usize] as usize;
            if wanted.get(place).is_some_and(|wanted| *wanted) {
                let guess = self.guesses[row.group as usize];
                self.visitors[place].rows.push(Recorded { event: row.event(), guess, place: row.place() });
            }
        }
        if self.on_time {
            places.iter().for_each(|place| self.visitors[first + place].rows.sort_by_key(|row| row.event.at));
        }
    }
}
