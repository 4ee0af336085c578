//! What events say about their session besides when they happened.

use crate::instant::Instant;

/// Which event of a session decides a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decides {
    /// The earliest qualifying event that has a value.
    Earliest,
    /// The latest qualifying event that has a value.
    Latest,
}

/// How many facts a session has.
pub const FACTS: usize = 7;

/// The facts, in the order in which they are stored, and which event decides each.
pub const FACT_RULES: [(&str, Decides); FACTS] = [
    ("customer", Decides::Latest),
    ("ip", Decides::Earliest),
    ("country", Decides::Earliest),
    ("channel", Decides::Earliest),
    ("cart_items", Decides::Latest),
    ("cart_value", Decides::Latest),
    ("currency", Decides::Latest),
];

/// A value and the instant of the event that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// When the event happened.
    pub at: Instant,
    /// The value as text.
    pub value: Box<str>,
}

/// The facts of a session or of an event, in the order of [`FACT_RULES`].
pub type Facts = [Option<Fact>; FACTS];

/// Takes in the facts of another event or session, so that the order in which they come does not matter: of two values
/// from one instant the smaller text decides an earliest fact, the larger a latest one.
pub fn absorb(facts: &mut Option<Box<Facts>>, other: &Option<Box<Facts>>) {
    let Some(other) = other else { return };
    let Some(facts) = facts else {
        *facts = Some(other.clone());
        return;
    };
    for (place, (_, decides)) in FACT_RULES.iter().enumerate() {
        let Some(candidate) = &other[place] else { continue };
        let wins = facts[place].as_ref().is_none_or(|known| {
            let candidate = (candidate.at, &candidate.value);
            let known = (known.at, &known.value);
            match decides {
                Decides::Earliest => candidate < known,
                Decides::Latest => candidate > known,
            }
        });
        if wins {
            facts[place] = Some(candidate.clone());
        }
    }
}
