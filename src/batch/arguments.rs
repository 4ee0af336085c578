//! The rule that the arguments of a call ask for, worked out once and kept.

use sessionize_core::calendar::Calendars;
use sessionize_core::instant::DAY;
use sessionize_core::{Boundary, Error, Rule, Zone};

use crate::pg::call::{Call, StoredInterval, utf8};
use crate::pg::error::{OrRaise, Report};

/// What the arguments of a call asked for last, and the rule that this gave.
pub struct RuleArguments {
    timeout: Option<StoredInterval>,
    text: Vec<u8>,
    /// The rule itself.
    pub rule: Rule,
    /// The rule as one number.
    pub packed: u64,
    /// The calendars of all zones so far; the current one is that which the rule wants.
    pub calendars: Calendars,
}

/// An interval as a timeout: positive, at most 366 days of 24 hours, no months.
pub fn timeout_rule(timeout: StoredInterval, boundary: Boundary) -> Result<Rule, Error> {
    let micros =
        (timeout.months == 0).then(|| i64::from(timeout.days).checked_mul(DAY)?.checked_add(timeout.micros)).flatten();
    let given = || {
        let StoredInterval { months, days, micros } = timeout;
        format!("{months} months, {days} days and {micros} microseconds")
    };
    micros.and_then(|micros| Rule::timeout(micros, boundary).ok()).ok_or_else(|| Error::TimeoutOutOfRange(given()))
}

impl Default for RuleArguments {
    /// The rule that holds where nothing is asked for.
    fn default() -> Self {
        let rule = Rule::default();
        let calendars = Calendars::new(rule.zone());
        RuleArguments { timeout: None, text: Vec::new(), rule, packed: rule.pack(), calendars }
    }
}

impl RuleArguments {
    fn follow(&mut self, rule: Rule, timeout: Option<StoredInterval>, text: &[u8]) {
        self.timeout = timeout;
        self.text.clear();
        self.text.extend_from_slice(text);
        self.rule = rule;
        self.packed = rule.pack();
        self.calendars.follow(rule.zone());
    }

    /// Reads `(…, timeout interval, boundary text)` from a position on, where both may be missing from the end.
    /// Cheap where a call asks for the same as the one before.
    #[inline]
    pub fn refresh_timeout(&mut self, call: &Call, position: usize) {
        let given = call.argument_count() - position;
        if given == 0 {
            return;
        }
        let timeout = call.interval(position).unwrap_or_else(|| raise_null("timeout", "Leave it out for 30 minutes."));
        let boundary =
            (given > 1).then(|| call.bytes(position + 1).unwrap_or_else(|| raise_null("boundary", BOUNDARIES)));
        if self.timeout != Some(timeout) || boundary.is_some_and(|text| text != self.text) {
            let parsed = boundary.map_or(Ok(Boundary::default()), |text| Boundary::parse(&utf8(text)));
            let rule = parsed.and_then(|boundary| timeout_rule(timeout, boundary)).or_raise();
            self.follow(rule, Some(timeout), boundary.unwrap_or_default());
        }
    }

    /// Reads `(…, time_zone text)`. Cheap where a call asks for the same as the one before.
    #[inline]
    pub fn refresh_zone(&mut self, call: &Call, position: usize) {
        let name = call.bytes(position).unwrap_or_else(|| raise_null("time zone", "Name a zone, such as \"UTC\"."));
        if name != self.text || name.is_empty() {
            let zone = Zone::parse(&utf8(name)).or_raise();
            self.follow(Rule::Midnight { zone }, None, name);
        }
    }
}

const BOUNDARIES: &str = "Valid boundaries are \"exclusive\" and \"inclusive\".";

#[cold]
fn raise_null(argument: &str, hint: &str) -> ! {
    Report::null(argument, hint).raise()
}
