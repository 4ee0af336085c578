//! What events say about their session besides when they happened.

use std::net::IpAddr;

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

/// The most bytes that a value can have: some are indexed. sql/lifecycle.sql says the same of what people say.
pub const LONGEST_FACT: usize = 1000;

/// Whether a value can be stored as the fact at a place of [`FACT_RULES`]: what is no address, no number or too long is passed
/// over, for the event counts all the same.
pub fn is_usable(place: usize, value: &str) -> bool {
    let is_of_its_kind = match FACT_RULES[place].0 {
        "ip" => is_address(value),
        "cart_items" => value.parse::<i32>().is_ok(),
        "cart_value" => value.parse::<f64>().is_ok_and(f64::is_finite),
        _ => !value.is_empty(),
    };
    is_of_its_kind && value.len() <= LONGEST_FACT
}

/// Whether PostgreSQL's `inet` reads a text as an address, perhaps with the length of its network.
fn is_address(text: &str) -> bool {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let longest = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    // No sign, and no zero before other digits.
    length.is_none_or(|length| length.parse().is_ok_and(|bits: u8| bits <= longest && bits.to_string() == length))
}

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
