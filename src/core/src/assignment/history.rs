//! The sessions of a visitor, and which of them an event belongs to.

use super::{App, Effect, Event, Session, Unassigned};
use crate::calendar::Calendar;
use crate::facts::absorb;
use crate::instant::Instant;
use crate::span::Span;

/// The part of a visitor's sessions that some events may concern.
#[derive(Debug, Clone, Default)]
pub struct History {
    sessions: Vec<Session>,
    merged: Vec<(i64, i64)>,
    lasts_in_order: bool,
}

impl History {
    /// A history of sessions in any order.
    pub fn new(mut sessions: Vec<Session>) -> Self {
        sessions.sort_by_key(|session| (session.first, session.id));
        let lasts_in_order = sessions.is_sorted_by_key(|session| session.last);
        History { sessions, merged: Vec::new(), lasts_in_order }
    }

    /// The sessions, in order of their first events.
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// The sessions, to be changed without moving them.
    pub fn sessions_mut(&mut self) -> &mut [Session] {
        &mut self.sessions
    }

    /// The sessions alone.
    pub fn into_sessions(self) -> Vec<Session> {
        self.sessions
    }

    /// Which sessions became part of which, in the order in which it happened.
    pub fn merged(&self) -> &[(i64, i64)] {
        &self.merged
    }

    /// The places of the sessions that an event can join, earliest first.
    fn candidates(&self, app: &App, calendar: &mut Calendar, event: &Event) -> Vec<usize> {
        let reach = app.reach();
        let end = self.sessions.partition_point(|session| session.first <= event.at.saturating_add(reach));
        let mut places = Vec::new();
        for (place, session) in self.sessions[..end].iter().enumerate().rev() {
            if session.last < event.at.saturating_sub(reach) {
                if self.lasts_in_order {
                    break;
                }
                continue;
            }
            if session.is_joined_by(app, calendar, event) {
                places.push(place);
            }
        }
        places.reverse();
        places
    }

    /// Takes in sessions, in the order in which they were opened, whose events all arrived after those of the others. That is
    /// what assigning them one by one comes to where each lies after those before it and near none; elsewhere there is
    /// nothing to take them in.
    pub fn adopt(mut self, app: &App, calendar: &mut Calendar, mut opened: Vec<Session>) -> Option<Self> {
        let known = self.sessions.len();
        if known == 0 {
            self.sessions = opened; // where they are: most visitors of a load are new
        } else {
            self.sessions.append(&mut opened);
        }
        for place in known..self.sessions.len() {
            let span = self.sessions[place].span();
            let comes_after =
                |other: &Session| other.first < span.first && !app.rule.joins(calendar, &other.span(), &span);
            if !self.sessions[..place].iter().all(comes_after) {
                return None;
            }
            self.check_order(place);
        }
        Some(self)
    }

    /// Assigns an event, and gives the id of its session. `fresh` gives the id of a new one.
    pub fn assign(
        &mut self,
        app: &App,
        calendar: &mut Calendar,
        event: &Event,
        fresh: impl FnOnce() -> i64,
    ) -> Result<i64, Unassigned> {
        let candidates = self.candidates(app, calendar, event);
        if event.effect == Effect::Passive {
            let place = *candidates.last().ok_or(Unassigned::Passive)?;
            self.sessions[place].passive += 1;
            return Ok(self.sessions[place].id);
        }
        let place = match candidates.split_first() {
            None => self.open(event, fresh()),
            Some((survivor, absorbed)) => {
                for place in absorbed.iter().rev() {
                    self.absorb(*survivor, *place);
                }
                *survivor
            }
        };
        Ok(self.take(app, calendar, place, event))
    }

    /// Makes room for a session that begins with an event.
    fn open(&mut self, event: &Event, id: i64) -> usize {
        let place = self.sessions.partition_point(|session| (session.first, session.id) < (event.at, id));
        self.sessions.insert(place, Session::opened_by(event, id));
        place
    }

    /// Makes a later session part of an earlier one.
    fn absorb(&mut self, survivor: usize, absorbed: usize) {
        let gone = self.sessions.remove(absorbed);
        let kept = &mut self.sessions[survivor];
        self.merged.push((gone.id, kept.id));
        kept.last = kept.last.max(gone.last);
        kept.closes_at = kept.closes_at.max(gone.closes_at);
        kept.expires_at = kept.expires_at.max(gone.expires_at);
        kept.opened_at = kept.opened_at.max(gone.opened_at);
        kept.events += gone.events;
        kept.passive += gone.passive;
        kept.late += gone.late;
        kept.converted_at = kept.converted_at.into_iter().chain(gone.converted_at).min();
        absorb(&mut kept.facts, &gone.facts);
        self.check_order(survivor);
    }

    /// Adds an event to the session at a place, and gives its id.
    fn take(&mut self, app: &App, calendar: &mut Calendar, place: usize, event: &Event) -> i64 {
        let later_session = self.sessions.last().is_some_and(|session| session.first > event.at);
        let session = &mut self.sessions[place];
        let began = session.first;
        session.take(app, calendar, event, later_session);
        let (id, first) = (session.id, session.first);
        let mut place = place;
        if first < began {
            let session = self.sessions.remove(place);
            place = self.sessions.partition_point(|other| (other.first, other.id) < (first, id));
            self.sessions.insert(place, session);
        }
        self.check_order(place);
        id
    }

    /// Notes whether the latest events are still in the order of the first ones around a place.
    fn check_order(&mut self, place: usize) {
        let around = &self.sessions[place.saturating_sub(1)..(place + 2).min(self.sessions.len())];
        self.lasts_in_order &= around.is_sorted_by_key(|session| session.last);
    }

    /// Writes into each session when the next one begins, so that it alone tells whether an event is its own: ∞ for the
    /// latest, −∞ where another session lies so near that an event could belong to either. The last session keeps what it
    /// had if `successor_known` says that it was only read as the neighbour of the others.
    pub fn finish(&mut self, app: &App, calendar: &mut Calendar, successor_known: impl Fn(&Session) -> bool) {
        let mut latest_before: Option<Span> = None;
        let mut next_open = None;
        let mut nexts = vec![None; self.sessions.len()];
        for (place, session) in self.sessions.iter().enumerate().rev() {
            nexts[place] = next_open;
            if session.cancelled_at.is_none() {
                next_open = Some(place);
            }
        }
        for (place, next) in nexts.into_iter().enumerate() {
            if self.sessions[place].cancelled_at.is_some() {
                continue;
            }
            let span = self.sessions[place].span();
            let next = next.map(|next: usize| self.sessions[next].span());
            let beside = latest_before.iter().chain(&next).any(|other| app.rule.joins(calendar, other, &span));
            let session = &mut self.sessions[place];
            session.next_first = match next {
                _ if beside => Instant::MIN,
                Some(next) => next.first,
                None if successor_known(session) => session.next_first,
                None => Instant::MAX,
            };
            // Of all sessions before, the one that reaches furthest is the one that can lie beside the next.
            latest_before = latest_before.filter(|latest| latest.last > span.last).or(Some(span));
        }
    }
}
