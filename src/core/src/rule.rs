//! The rule that says which events of a visitor belong together.

use std::fmt;

use crate::calendar::{Calendar, Zone};
use crate::error::{Error, Result};
use crate::instant::{DAY, Micros};
use crate::span::Span;

/// The longest inactivity timeout that an aggregate takes: 366 days of 24 hours.
pub const LONGEST_TIMEOUT: Micros = 366 * DAY;
/// The inactivity timeout that holds where none is given: 30 minutes.
pub const DEFAULT_TIMEOUT: Micros = 30 * crate::instant::MINUTE;

/// What happens to two events exactly one inactivity timeout apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Boundary {
    /// They are in different sessions.
    #[default]
    Exclusive,
    /// They are in the same session.
    Inclusive,
}

impl Boundary {
    /// Reads `exclusive` or `inclusive`, in any case.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            _ if text.eq_ignore_ascii_case("exclusive") => Ok(Boundary::Exclusive),
            _ if text.eq_ignore_ascii_case("inclusive") => Ok(Boundary::Inclusive),
            _ => Err(Error::UnknownBoundary(text.to_owned())),
        }
    }

    /// The name that [`Boundary::parse`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Boundary::Exclusive => "exclusive",
            Boundary::Inclusive => "inclusive",
        }
    }
}

/// Which events of a visitor form one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A session ends with a gap of `timeout`; the boundary decides about a gap of exactly that.
    Timeout {
        /// The inactivity timeout, 1 microsecond to [`LONGEST_TIMEOUT`].
        timeout: Micros,
        /// Which side a gap of exactly `timeout` falls on.
        boundary: Boundary,
    },
    /// One session per calendar day of a time zone.
    Midnight {
        /// The zone whose calendar counts.
        zone: Zone,
    },
}

impl Default for Rule {
    fn default() -> Self {
        Rule::Timeout { timeout: DEFAULT_TIMEOUT, boundary: Boundary::default() }
    }
}

impl Rule {
    /// A timeout rule, its range checked.
    pub fn timeout(timeout: Micros, boundary: Boundary) -> Result<Self> {
        if (1..=LONGEST_TIMEOUT).contains(&timeout) {
            Ok(Rule::Timeout { timeout, boundary })
        } else {
            Err(Error::TimeoutOutOfRange(format!("{timeout} microseconds")))
        }
    }

    /// The longest gap that still joins two events under a timeout rule.
    #[inline]
    pub fn reach(timeout: Micros, boundary: Boundary) -> Micros {
        match boundary {
            Boundary::Exclusive => timeout - 1,
            Boundary::Inclusive => timeout,
        }
    }

    /// Whether two spans, each of one session, belong to the same session. This is the one
    /// place that decides it. `calendar` must be that of the rule's zone.
    #[inline]
    pub fn joins(&self, calendar: &mut Calendar, one: &Span, other: &Span) -> bool {
        match *self {
            Rule::Timeout { timeout, boundary } => {
                let reach = Self::reach(timeout, boundary);
                other.first.saturating_sub(one.last) <= reach && one.first.saturating_sub(other.last) <= reach
            }
            Rule::Midnight { .. } => calendar.day_of(one.first) == calendar.day_of(other.first),
        }
    }

    /// The zone whose calendar counts, or UTC where no day counts.
    pub fn zone(&self) -> Zone {
        match *self {
            Rule::Timeout { .. } => Zone::default(),
            Rule::Midnight { zone } => zone,
        }
    }

    /// The calendar that [`Rule::joins`] wants.
    pub fn calendar(&self) -> Calendar {
        Calendar::new(self.zone())
    }

    /// The rule as one number, for structures that hold many: [`Rule::unpack`] of the same build
    /// reads it back.
    pub fn pack(&self) -> u64 {
        match *self {
            Rule::Timeout { timeout, boundary: Boundary::Exclusive } => (timeout as u64) << 2,
            Rule::Timeout { timeout, boundary: Boundary::Inclusive } => (timeout as u64) << 2 | 1,
            Rule::Midnight { zone } => u64::from(zone.number()) << 2 | 2,
        }
    }

    /// The rule that [`Rule::pack`] made `packed` of.
    pub fn unpack(packed: u64) -> Self {
        let payload = packed >> 2;
        match packed & 3 {
            0 => Rule::Timeout { timeout: payload as Micros, boundary: Boundary::Exclusive },
            1 => Rule::Timeout { timeout: payload as Micros, boundary: Boundary::Inclusive },
            _ => Rule::Midnight { zone: Zone::from_number(payload as u16) },
        }
    }

    /// Fails, naming both, where two rules differ.
    pub fn same_as(&self, other: &Rule) -> Result<()> {
        if self == other { Ok(()) } else { Err(Error::DifferentRules(self.to_string(), other.to_string())) }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Timeout { timeout, boundary } => {
                let seconds = *timeout as f64 / 1e6;
                write!(formatter, "timeout of {seconds} seconds, {}", boundary.name())
            }
            Rule::Midnight { zone } => write!(formatter, "midnight in {}", zone.name()),
        }
    }
}
