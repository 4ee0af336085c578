//! The rules of an application.

use super::{Effect, Event, Session, Unassigned};
use crate::calendar::{Calendar, LONGEST_DAY};
use crate::instant::{Instant, Micros, is_finite};
use crate::rule::{Boundary, Rule};
use crate::span::Span;

/// The rules of an application.
#[derive(Debug, Clone)]
pub struct App {
    /// Which events belong together.
    pub rule: Rule,
    /// How long a closed session takes late events.
    pub grace: Micros,
    /// How far ahead of its arrival an event may lie.
    pub max_skew: Micros,
}

impl App {
    /// Whether an event can belong to a session at all.
    pub fn admits(&self, at: Option<Instant>, arrival: Instant) -> Result<Instant, Unassigned> {
        let at = at.filter(|at| is_finite(*at)).ok_or(Unassigned::NoInstant)?;
        if at > arrival.saturating_add(self.max_skew) { Err(Unassigned::AheadOfTime) } else { Ok(at) }
    }

    /// Whether a session is still active at the very instant at which it closes.
    pub fn boundary(&self) -> Boundary {
        match self.rule {
            Rule::Timeout { boundary, .. } => boundary,
            Rule::Midnight { .. } => Boundary::Exclusive,
        }
    }

    /// How far from a session's events another event of it can lie at most.
    pub fn reach(&self) -> Micros {
        match self.rule {
            Rule::Timeout { timeout, boundary } => Rule::reach(timeout, boundary),
            Rule::Midnight { .. } => LONGEST_DAY,
        }
    }

    /// Whether a passive event lies inside a session: from its start until it would close.
    pub(super) fn surrounds(&self, calendar: &mut Calendar, session: &Session, at: Instant) -> bool {
        match self.rule {
            Rule::Timeout { timeout, boundary } => {
                at >= session.first && at.saturating_sub(session.last) <= Rule::reach(timeout, boundary)
            }
            Rule::Midnight { .. } => calendar.day_of(at) == calendar.day_of(session.first),
        }
    }

    /// The session after events that belong to it and to no other, in the common case of one growing session; none where
    /// it takes more to decide. The events must be in order, and either all qualify or be a single passive one.
    pub fn grow(&self, calendar: &mut Calendar, session: &Session, events: &[Event]) -> Option<Session> {
        let fits = match events {
            [event] if event.effect == Effect::Passive => {
                let within = event.at.clamp(session.first, session.last);
                self.extends(calendar, session, [within].into_iter()).is_some()
            }
            _ => {
                events.iter().all(|event| event.effect == Effect::Qualifies)
                    && self.extends(calendar, session, events.iter().map(|event| event.at)).is_some()
            }
        };
        let mut grown = session.clone();
        let takes = |event: &Event| event.facts.is_none() && grown.follow(self, calendar, event);
        (fits && events.iter().all(takes)).then_some(grown)
    }

    /// Whether events that fall within a session, or follow it closely, belong to it and to no other: what the common
    /// case of one growing session asks. `instants` are in order. Gives the session's new last event.
    pub fn extends(
        &self,
        calendar: &mut Calendar,
        session: &Session,
        instants: impl Iterator<Item = Instant>,
    ) -> Option<Instant> {
        let mut last = session.last;
        for at in instants {
            let reached = Span { first: session.first, last, count: 1 };
            if at < session.first || !self.rule.joins(calendar, &reached, &Span::of(at)) {
                return None;
            }
            last = last.max(at);
        }
        let next_is_far = session.next_first == Instant::MAX
            || session.next_first != Instant::MIN
                && !self.rule.joins(calendar, &Span { last, ..session.span() }, &Span::of(session.next_first));
        next_is_far.then_some(last)
    }
}
