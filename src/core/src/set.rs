//! A set of sessions that does not care in which order its events came.

use crate::calendar::Calendar;
use crate::error::Result;
use crate::instant::{DAY, EARLIEST, END_OF_TIME, Instant, Micros, is_finite};
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
fn is_possible(rule: &Rule, span: &Span) -> bool {
    let in_range = (EARLIEST..END_OF_TIME).contains(&span.first) && (span.first..END_OF_TIME).contains(&span.last);
    let filled = || match *rule {
        Rule::Timeout { timeout, boundary } => {
            let longest = i128::from(span.count - 1) * i128::from(Rule::reach(timeout, boundary));
            i128::from(span.last) - i128::from(span.first) <= longest
        }
        Rule::Midnight { .. } => span.count > u64::from(span.first < span.last) && span.duration() < LONGEST_DAY,
    };
    in_range && (1..=MOST_EVENTS).contains(&span.count) && filled()
}

/// No day reaches it, lived through twice or joined with the next one because the zone data changed.
const LONGEST_DAY: Micros = 3 * DAY;

/// Whether spans are as [`normalize`] leaves them: each possible, in order, none joining the next.
///
/// Days are not looked up: zones change their past, and a set that was right when it was made must remain readable.
/// Where clocks go back over midnight a day can begin before the one before it, by less than a day.
pub fn is_normal(rule: &Rule, spans: &[Span]) -> bool {
    spans.iter().all(|span| is_possible(rule, span))
        && spans.windows(2).all(|pair| match *rule {
            Rule::Timeout { timeout, boundary } => {
                pair[1].first.saturating_sub(pair[0].last) > Rule::reach(timeout, boundary)
            }
            Rule::Midnight { .. } => pair[1].first > pair[0].first - DAY,
        })
}

/// Appends an item, or fails where there is no memory for it.
pub(crate) fn push<T>(items: &mut Vec<T>, item: T) -> Result<()> {
    items.try_reserve(1)?;
    items.push(item);
    Ok(())
}

/// The number (from 1) and the span of the session that covers an instant; where two do because local days overlap,
/// that of the instant's own day.
pub fn session_at(rule: &Rule, spans: impl Iterator<Item = Span>, instant: Instant) -> Option<(usize, Span)> {
    let mut covering = (1..).zip(spans).filter(|(_, span)| span.covers(instant));
    let first = covering.next()?;
    let mut calendar = rule.calendar();
    let mut is_of_instant = |(_, span): &(usize, Span)| rule.joins(&mut calendar, span, &Span::of(instant));
    if is_of_instant(&first) { Some(first) } else { covering.find(is_of_instant).or(Some(first)) }
}

/// What can be said of all sessions of a set at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    sessions: u64,
    bounces: u64,
    events: u64,
    duration: i128,
}

impl FromIterator<Span> for Totals {
    fn from_iter<T: IntoIterator<Item = Span>>(spans: T) -> Self {
        spans.into_iter().fold(Totals::default(), |sum, span| Totals {
            sessions: sum.sessions + 1,
            bounces: sum.bounces + u64::from(span.count == 1),
            events: sum.events.saturating_add(span.count),
            duration: sum.duration + i128::from(span.duration()),
        })
    }
}

impl Totals {
    /// How many events all sessions have, at most [`MOST_EVENTS`].
    pub fn event_count(&self) -> u64 {
        self.events.min(MOST_EVENTS)
    }

    /// All durations added up, kept at the largest number where they exceed it.
    pub fn total_duration(&self) -> Micros {
        Micros::try_from(self.duration).unwrap_or(Micros::MAX)
    }

    /// The mean duration, rounded to the nearest microsecond; none without sessions.
    pub fn average_duration(&self) -> Option<Micros> {
        let count = i128::from(self.sessions);
        (count > 0).then(|| ((self.duration + count / 2) / count) as Micros)
    }

    /// The share of sessions with a single event; none without sessions.
    pub fn bounce_rate(&self) -> Option<f64> {
        (self.sessions > 0).then(|| self.bounces as f64 / self.sessions as f64)
    }
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

    /// The set of spans that are as [`is_normal`] wants them.
    pub(crate) fn from_normal(rule: Rule, spans: Vec<Span>) -> Self {
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
}
