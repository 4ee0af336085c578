//! A set of sessions that does not care in which order its events came.

use crate::calendar::Calendar;
use crate::error::Result;
use crate::instant::{EARLIEST, END_OF_TIME, Instant, Micros, is_finite};
use crate::rule::Rule;
use crate::span::{MOST_EVENTS, Span};

/// The sessions of one visitor under one rule, in order of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSet {
    rule: Rule,
    spans: Vec<Span>,
}

/// Brings spans in order and joins those that the rule joins: the one merge that the aggregate,
/// its parallel combination and `rollup` go through.
pub fn normalize(rule: &Rule, calendar: &mut Calendar, spans: &mut Vec<Span>) {
    match rule {
        Rule::Timeout { .. } => spans.sort_unstable_by_key(|span| span.first),
        Rule::Midnight { .. } => spans.sort_unstable_by_key(|span| (calendar.day_of(span.first), span.first)),
    }
    spans.dedup_by(|next, kept| {
        let joined = rule.joins(calendar, kept, next);
        if joined {
            kept.absorb(next);
        }
        joined
    });
}

/// Whether some events can make this span under the rule.
fn is_possible(rule: &Rule, calendar: &mut Calendar, span: &Span) -> bool {
    let in_range = (EARLIEST..END_OF_TIME).contains(&span.first) && (span.first..END_OF_TIME).contains(&span.last);
    let mut filled = || match *rule {
        Rule::Timeout { timeout, boundary } => {
            let longest = i128::from(span.count - 1) * i128::from(Rule::reach(timeout, boundary));
            i128::from(span.last) - i128::from(span.first) <= longest
        }
        Rule::Midnight { .. } => {
            span.count > u64::from(span.first < span.last) && calendar.day_of(span.first) == calendar.day_of(span.last)
        }
    };
    in_range && (1..=MOST_EVENTS).contains(&span.count) && filled()
}

/// Whether spans are as [`normalize`] leaves them: each possible, in order, none joining the next.
pub fn is_normal(rule: &Rule, calendar: &mut Calendar, spans: &[Span]) -> bool {
    spans.iter().all(|span| is_possible(rule, calendar, span))
        && spans.windows(2).all(|pair| {
            let in_order = match rule {
                Rule::Timeout { .. } => pair[0].first < pair[1].first,
                Rule::Midnight { .. } => calendar.day_of(pair[0].first) < calendar.day_of(pair[1].first),
            };
            in_order && !rule.joins(calendar, &pair[0], &pair[1])
        })
}

impl SessionSet {
    /// The set without events: the identity of [`SessionSet::merge`].
    pub fn empty(rule: Rule) -> Self {
        SessionSet { rule, spans: Vec::new() }
    }

    /// The set of spans in any order, each of which holds events of one session.
    pub fn from_spans(rule: Rule, mut spans: Vec<Span>) -> Self {
        normalize(&rule, &mut rule.calendar(), &mut spans);
        SessionSet { rule, spans }
    }

    /// The rule of the set.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The sessions, earliest first.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Adds one event; ±infinity is skipped.
    pub fn add(&mut self, instant: Instant) {
        if is_finite(instant) {
            self.spans.push(Span::of(instant));
            normalize(&self.rule, &mut self.rule.calendar(), &mut self.spans);
        }
    }

    /// Adds all events of another set of the same rule.
    pub fn merge(&mut self, other: &SessionSet) -> Result<()> {
        self.rule.same_as(&other.rule)?;
        self.spans.extend_from_slice(&other.spans);
        normalize(&self.rule, &mut self.rule.calendar(), &mut self.spans);
        Ok(())
    }

    /// How many events all sessions have, at most [`MOST_EVENTS`].
    pub fn event_count(&self) -> u64 {
        self.spans.iter().fold(0u64, |sum, span| sum.saturating_add(span.count)).min(MOST_EVENTS)
    }

    /// All durations added up, kept at the largest number where they exceed it.
    pub fn total_duration(&self) -> Micros {
        self.spans.iter().fold(0, |sum: Micros, span| sum.saturating_add(span.duration()))
    }

    /// The mean duration, rounded to the nearest microsecond; none without sessions.
    pub fn average_duration(&self) -> Option<Micros> {
        let count = self.spans.len() as i128;
        let sum: i128 = self.spans.iter().map(|span| i128::from(span.duration())).sum();
        (count > 0).then(|| ((sum + count / 2) / count) as Micros)
    }

    /// The share of sessions with a single event; none without sessions.
    pub fn bounce_rate(&self) -> Option<f64> {
        let bounces = self.spans.iter().filter(|span| span.count == 1).count();
        (!self.spans.is_empty()).then(|| bounces as f64 / self.spans.len() as f64)
    }

    /// The number (from 1) and the span of the session that covers an instant.
    pub fn session_at(&self, instant: Instant) -> Option<(usize, Span)> {
        self.spans.iter().position(|span| span.covers(instant)).map(|place| (place + 1, self.spans[place]))
    }
}
