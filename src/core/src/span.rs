//! One session as the aggregates see it.

use crate::instant::{Instant, Micros};

/// Counts stop here: PostgreSQL's largest `bigint`.
pub const MOST_EVENTS: u64 = i64::MAX as u64;

/// The events of one session, summed up: when the first and the last were and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Span {
    /// The earliest event.
    pub first: Instant,
    /// The latest event.
    pub last: Instant,
    /// How many events there are, at most [`MOST_EVENTS`].
    pub count: u64,
}

impl Span {
    /// The span of a single event.
    #[inline]
    pub fn of(instant: Instant) -> Self {
        Span { first: instant, last: instant, count: 1 }
    }

    /// From the first event to the last.
    pub fn duration(&self) -> Micros {
        self.last.saturating_sub(self.first)
    }

    /// Takes in the events of `other`.
    #[inline]
    pub fn absorb(&mut self, other: &Span) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.count = self.count.saturating_add(other.count).min(MOST_EVENTS);
    }

    /// Whether `instant` lies between the first event and the last, both included.
    pub fn covers(&self, instant: Instant) -> bool {
        (self.first..=self.last).contains(&instant)
    }
}
