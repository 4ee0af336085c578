//! Rows that were there before their table was tracked, put into sessions as if every event had arrived on time.

use compact_str::CompactString;
use rustc_hash::FxHashMap;
use sessionize_core::Instant;
use sessionize_core::assignment::{Effect, Event, Session};

use super::guess;
use super::record::{Arrivals, Recorded, Row, VisitorRows};
use super::settings::{AppSettings, own_tables};
use crate::pg::transaction;

/// Rows of a range of blocks, in order of their places.
#[derive(Default)]
pub struct Backlog {
    visitors: FxHashMap<CompactString, u32>,
    /// Their groups are visitors, until they are put into sessions.
    rows: Vec<Row>,
}

/// A session that rows seem to make, with the visitor's number; none where they have to be looked at one by one.
type Found = (u32, Option<Session>);

impl Backlog {
    /// Adds a row.
    pub fn add(&mut self, visitor: &str, row: Recorded) {
        let next = self.visitors.len() as u32;
        let number = match self.visitors.get(visitor) {
            Some(number) => *number,
            None => *self.visitors.entry(visitor.into()).or_insert(next),
        };
        self.rows.push(Row::new(row, number));
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Puts the rows into new sessions, whose ids follow time, and with them the indexes by id.
    pub fn into_arrivals(mut self, app: &AppSettings) -> Arrivals {
        let (mut sessions, groups) = self.find_sessions(app);
        let mut in_time: Vec<&mut Session> = sessions.iter_mut().filter_map(|(_, session)| session.as_mut()).collect();
        in_time.sort_by_key(|session| session.first);
        for session in in_time {
            session.id = transaction::next_number(own_tables().session_ids);
            guess::note_drawn(session.id, false);
        }
        self.rows.iter_mut().zip(groups).for_each(|(row, group)| row.group = group);

        let mut names: Vec<(CompactString, u32)> = self.visitors.into_iter().collect();
        names.sort_unstable();
        let mut places = vec![0; names.len()];
        names.iter().zip(0..).for_each(|((_, number), place)| places[*number as usize] = place);
        let visitors = names.into_iter().map(|(visitor, _)| VisitorRows { visitor, sessions: vec![], rows: vec![] });
        let mut arrivals = Arrivals::on_time(visitors.collect(), self.rows);
        let mut by_row = Vec::new();
        for (number, session) in sessions {
            let place = places[number as usize];
            arrivals.add_group(place, session.as_ref().map(|session| session.id));
            match session {
                Some(session) => arrivals.visitors[place as usize].sessions.push(session),
                None => by_row.push(place as usize),
            }
        }
        by_row.sort_unstable();
        by_row.dedup();
        arrivals.read_rows(0, &by_row);
        arrivals
    }

    /// The sessions that rows make by themselves, of each visitor in order of time; and which of them each row belongs to.
    fn find_sessions(&self, app: &AppSettings) -> (Vec<Found>, Vec<u32>) {
        let mut calendar = app.calendar.borrow().clone();
        let mut found: Vec<Found> = Vec::new();
        let mut groups = vec![0; self.rows.len()];
        let all_are_plain =
            self.rows.iter().all(|row| row.effect == Effect::Qualifies && row.facts.is_none() && row.arrival == row.at);
        let (mut in_time, ends) = self.by_visitor();
        let mut start = 0;
        for (number, end) in (0..).zip(ends) {
            let rows = &mut in_time[start..end];
            start = end;
            rows.sort_unstable();
            let mut opened = false;
            for (at, row) in rows {
                let event = if all_are_plain {
                    Event { at: *at, arrival: *at, effect: Effect::Qualifies, facts: None }
                } else {
                    self.rows[*row as usize].event()
                };
                let follows = opened
                    && found.last_mut().is_some_and(|(_, session)| {
                        session.as_mut().is_some_and(|session| session.follow(&app.app, &mut calendar, &event))
                    });
                if !follows {
                    found.push((number, Session::begun_by(&app.app, &mut calendar, &event, 0)));
                    opened = true;
                }
                groups[*row as usize] = found.len() as u32 - 1;
            }
        }
        (found, groups)
    }

    /// When the rows of each visitor happened, with the rows' numbers; and where those of each visitor end.
    fn by_visitor(&self) -> (Vec<(Instant, u32)>, Vec<usize>) {
        let mut ends = vec![0; self.visitors.len()];
        self.rows.iter().for_each(|row| ends[row.group as usize] += 1);
        let mut before = 0;
        for end in &mut ends {
            before += std::mem::replace(end, before);
        }
        let mut in_time = vec![(0, 0); self.rows.len()];
        for (row, number) in self.rows.iter().zip(0..) {
            let end = &mut ends[row.group as usize];
            in_time[*end] = (row.at, number);
            *end += 1;
        }
        (in_time, ends)
    }
}
