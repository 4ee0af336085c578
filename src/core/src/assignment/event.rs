//! Events as they arrive.

use crate::facts::Facts;
use crate::instant::Instant;

/// The most bytes that the name of a visitor can have: it is indexed. Whoever has a longer one counts as nobody.
pub const LONGEST_VISITOR: usize = 1000;

/// An event as it arrives.
#[derive(Debug, Clone)]
pub struct Event {
    /// When it happened.
    pub at: Instant,
    /// When the database learned of it.
    pub arrival: Instant,
    /// What its kind does.
    pub effect: Effect,
    /// What it says about its session.
    pub facts: Option<Box<Facts>>,
}

/// What the kind of an event does to its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effect {
    /// Starts and extends sessions.
    #[default]
    Qualifies,
    /// Joins a session that is there, and changes nothing about it.
    Passive,
    /// Qualifies, and converts the session.
    Converts,
    /// Qualifies, and cancels the session.
    Cancels,
}

/// Why an event has no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unassigned {
    /// Nobody is named as its visitor, or by a name longer than [`LONGEST_VISITOR`].
    NoVisitor,
    /// It has no instant, or an infinite one.
    NoInstant,
    /// It lies further ahead of its arrival than clocks may differ.
    AheadOfTime,
    /// It is passive, and there is no session around it.
    Passive,
}

impl Unassigned {
    /// The name under which such events are counted.
    pub fn name(self) -> &'static str {
        match self {
            Unassigned::NoVisitor => "no_visitor",
            Unassigned::NoInstant => "no_instant",
            Unassigned::AheadOfTime => "ahead_of_time",
            Unassigned::Passive => "passive",
        }
    }
}
