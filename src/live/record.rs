//! The rows that a statement inserted.

use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

use sessionize_core::assignment::{Event, Unassigned};

use crate::pg::trigger::Place;

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

/// All rows of one statement that await settling.
#[derive(Debug, Default)]
pub struct Recorder {
    numbers: FxHashMap<String, u32>,
    rows: Vec<(u32, Recorded)>,
    unassigned: Vec<(Unassigned, i64)>,
    corrections: Corrections,
}

/// Whose events were corrected, and the sessions that their rows carried.
#[derive(Debug, Default)]
pub struct Corrections {
    /// The visitors before and after, in order.
    pub visitors: BTreeSet<String>,
    /// The sessions.
    pub sessions: BTreeSet<i64>,
}

/// The rows of one visitor, in the order in which they went in.
#[derive(Debug)]
pub struct VisitorRows {
    /// Who.
    pub visitor: String,
    /// The rows.
    pub rows: Vec<Recorded>,
}

impl Recorder {
    /// Notes a row that got, or may yet get, a session.
    pub fn note_row(&mut self, visitor: &str, row: Recorded) {
        let number = match self.numbers.get(visitor) {
            Some(number) => *number,
            None => {
                let next = self.numbers.len() as u32;
                self.numbers.insert(visitor.to_owned(), next);
                next
            }
        };
        self.rows.push((number, row));
    }

    /// Counts a row that gets no session.
    pub fn note_unassigned(&mut self, reason: Unassigned) {
        match self.unassigned.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => self.unassigned.push((reason, 1)),
        }
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

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.unassigned.is_empty()
    }

    /// The rows by visitor, in order of the visitors' names; how many rows have no session, and why.
    pub fn into_parts(self) -> (Vec<VisitorRows>, Vec<(Unassigned, i64)>) {
        if let [_] = self.rows.as_slice() {
            let row = self.rows.into_iter().map(|(_, row)| vec![row]);
            let visitors = self.numbers.into_keys().zip(row).map(|(visitor, rows)| VisitorRows { visitor, rows });
            return (visitors.collect(), self.unassigned);
        }
        let mut counts = vec![0; self.numbers.len()];
        for (number, _) in &self.rows {
            counts[*number as usize] += 1;
        }
        let mut names: Vec<(String, u32)> = self.numbers.into_iter().collect();
        names.sort_unstable();
        let mut visitors: Vec<VisitorRows> = Vec::with_capacity(names.len());
        let mut places = vec![0; names.len()];
        for (place, (visitor, number)) in names.into_iter().enumerate() {
            places[number as usize] = place;
            // A load may bring a million visitors with one row each: no room is left over.
            visitors.push(VisitorRows { visitor, rows: Vec::with_capacity(counts[number as usize]) });
        }
        for (number, row) in self.rows {
            visitors[places[number as usize]].rows.push(row);
        }
        (visitors, self.unassigned)
    }
}
