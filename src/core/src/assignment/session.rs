//! One session: what it takes, and what becomes of it.

use super::{App, Effect, Event};
use crate::calendar::Calendar;
use crate::facts::{Facts, absorb};
use crate::instant::{HOUR, Instant, LATEST, Micros};
use crate::rule::{Boundary, Rule};
use crate::span::Span;

/// How long after its latest event a session can be reopened at most.
pub const REOPENABLE: Micros = 48 * HOUR;

/// A session that can take events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: i64,
    /// The earliest qualifying event.
    pub first: Instant,
    /// The latest qualifying event.
    pub last: Instant,
    /// Until then it is active.
    pub closes_at: Instant,
    /// Until then it takes late events.
    pub expires_at: Instant,
    /// When the event that opened it arrived.
    pub opened_at: Instant,
    /// When the visitor's next session begins: see [`History::finish`](super::History::finish).
    pub next_first: Instant,
    /// Qualifying events.
    pub events: i64,
    /// Passive events.
    pub passive: i64,
    /// Events that arrived after later ones.
    pub late: i64,
    /// When it was converted.
    pub converted_at: Option<Instant>,
    /// When it was cancelled.
    pub cancelled_at: Option<Instant>,
    /// What its events say.
    pub facts: Option<Box<Facts>>,
}

/// What people said of a session, besides what its events say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// When they converted it.
    pub converted_at: Option<Instant>,
    /// When they cancelled it.
    pub cancelled_at: Option<Instant>,
    /// Its customer and its cart; an empty value says that there is none.
    pub facts: Option<Box<Facts>>,
}

impl Session {
    pub(super) fn span(&self) -> Span {
        Span { first: self.first, last: self.last, count: 1 }
    }

    /// The state of the session at an instant.
    pub fn state(&self, app: &App, at: Instant) -> State {
        let is_active = match app.boundary() {
            Boundary::Exclusive => at < self.closes_at,
            Boundary::Inclusive => at <= self.closes_at,
        };
        match () {
            _ if is_active => State::Active,
            _ if at < self.expires_at => State::Closed,
            _ => State::Expired,
        }
    }

    /// The status of the session at an instant: what happened to it wins over its state. sessionize.session_status() says the
    /// same of stored sessions.
    pub fn status(&self, app: &App, at: Instant) -> &'static str {
        match (self.cancelled_at, self.converted_at) {
            (Some(_), _) => "cancelled",
            (None, Some(_)) => "converted",
            (None, None) => self.state(app, at).name(),
        }
    }

    /// Whether the session still takes an event that arrives at an instant.
    pub fn takes_at(&self, app: &App, arrival: Instant) -> bool {
        self.cancelled_at.is_none() && self.state(app, arrival) != State::Expired
    }

    /// A session that begins with an event.
    pub(super) fn opened_by(event: &Event, id: i64) -> Session {
        Session {
            id,
            first: event.at,
            last: event.at,
            closes_at: Instant::MIN,
            expires_at: Instant::MIN,
            opened_at: event.arrival,
            next_first: Instant::MAX,
            events: 0,
            passive: 0,
            late: 0,
            converted_at: None,
            cancelled_at: None,
            facts: None,
        }
    }

    /// The session that an event opens where the visitor has no other one near; none where it opens none, or one that
    /// would take nothing more that arrives with the event. What follows is [`Session::follow`]ed; in the end
    /// [`History::adopt`](super::History::adopt) says whether that was all.
    pub fn begun_by(app: &App, calendar: &mut Calendar, event: &Event, id: i64) -> Option<Session> {
        if event.effect == Effect::Passive {
            return None;
        }
        let mut session = Session::opened_by(event, id);
        session.take(app, calendar, event, false);
        session.takes_at(app, event.arrival).then_some(session)
    }

    /// Takes one more event if it belongs to the session, as far as that alone tells; says whether it did.
    pub fn follow(&mut self, app: &App, calendar: &mut Calendar, event: &Event) -> bool {
        let follows = self.is_joined_by(app, calendar, event);
        match event.effect {
            Effect::Passive if follows => self.passive += 1,
            _ if follows => self.take(app, calendar, event, false),
            _ => {}
        }
        follows
    }

    /// Whether an event lies near enough, and arrives early enough.
    pub(super) fn is_joined_by(&self, app: &App, calendar: &mut Calendar, event: &Event) -> bool {
        let near = match event.effect {
            Effect::Passive => app.surrounds(calendar, self, event.at),
            _ => app.rule.joins(calendar, &self.span(), &Span::of(event.at)),
        };
        near && self.takes_at(app, event.arrival)
    }

    /// Adds a qualifying event. `overtaken` says whether a later session of the visitor is known besides the next one.
    pub(super) fn take(&mut self, app: &App, calendar: &mut Calendar, event: &Event, overtaken: bool) {
        let next_is_later = self.next_first != Instant::MAX && self.next_first > event.at;
        self.late += i64::from(event.at < self.last || overtaken || next_is_later);
        self.events += 1;
        self.last = self.last.max(event.at);
        self.first = self.first.min(event.at);
        match event.effect {
            Effect::Converts if self.converted_at.is_none_or(|at| event.at < at) => self.converted_at = Some(event.at),
            Effect::Cancels if self.converted_at.is_none() => self.cancelled_at = Some(event.at),
            _ => {}
        }
        absorb(&mut self.facts, &event.facts);
        self.reschedule(app, calendar);
    }

    /// Takes over what a session was before its events were read again, besides what these say.
    pub fn carry_over(&mut self, app: &App, calendar: &mut Calendar, before: &Session, said: Option<&Said>) {
        self.opened_at = before.opened_at;
        self.late = before.late;
        self.next_first = before.next_first;
        if let Some(said) = said {
            self.hear(said);
        }
        self.reschedule(app, calendar);
    }

    /// Takes in what people said of the session, or of one that became part of it. What they cancelled or converted is
    /// so whatever events say; a converted session cannot be cancelled.
    pub fn hear(&mut self, said: &Said) {
        self.converted_at = self.converted_at.into_iter().chain(said.converted_at).min();
        self.cancelled_at = said.cancelled_at.or(self.cancelled_at).filter(|_| said.converted_at.is_none());
        absorb(&mut self.facts, &said.facts);
        if let Some(facts) = &mut self.facts {
            // Nothing is what a person says, too: for example, that there is no customer.
            facts.iter_mut().for_each(|fact| *fact = fact.take().filter(|fact| !fact.value.is_empty()));
        }
        self.facts = self.facts.take().filter(|facts| facts.iter().any(Option::is_some));
    }

    /// Moves closing and expiry to where the latest event and the opening put them; never backwards, and never to where
    /// PostgreSQL could not read them again.
    fn reschedule(&mut self, app: &App, calendar: &mut Calendar) {
        let ends = match app.rule {
            Rule::Timeout { timeout, .. } => self.last.saturating_add(timeout),
            Rule::Midnight { .. } => {
                let day = calendar.day_of(self.last);
                calendar.start_of(day + 1)
            }
        };
        // What lies further apart PostgreSQL cannot subtract, as an index of sessions does.
        self.opened_at = self.opened_at.min(self.first.saturating_add(Micros::MAX));
        self.closes_at = self.closes_at.max(ends).max(self.opened_at).min(LATEST);
        let latest = self.last.max(self.opened_at).saturating_add(REOPENABLE).min(LATEST);
        self.expires_at = self.expires_at.max(self.closes_at.saturating_add(app.grace).min(latest));
    }
}

/// Whether a session is active, closed or expired at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It takes events as they happen.
    Active,
    /// It takes late events.
    Closed,
    /// It takes nothing.
    Expired,
}

impl State {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Closed => "closed",
            State::Expired => "expired",
        }
    }
}
