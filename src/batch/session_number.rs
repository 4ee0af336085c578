//! `session_number … OVER`: the number of the session that each row falls into.
//!
//! A window function proper: PostgreSQL runs an aggregate over a window too, but takes each row from its store twice and
//! compares it with the next one to find equal instants, which a number that equal instants share has no use for.

use pgrx::pg_sys::Datum;
use sessionize_core::instant::is_finite;
use sessionize_core::{Instant, Span};

use super::arguments::RuleArguments;
use crate::pg::call::Call;
use crate::pg::error::{Report, SqlState};
use crate::pg::window::next_row;
use crate::pg_function;

/// Which way the instants run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Direction {
    #[default]
    Unknown,
    Ascending,
    Descending,
}

/// The latest row of a partition that counts.
#[derive(Default)]
struct Numbering {
    latest: Instant,
    number: i64,
    direction: Direction,
}

/// What the function keeps from row to row, whatever their partition.
#[derive(Default)]
struct Site {
    arguments: RuleArguments,
    /// Whether the rule is the same for all rows, once that is known.
    has_one_rule: Option<bool>,
}

fn session_number(call: &mut Call) -> Datum {
    let Site { arguments, has_one_rule } = call.kept(Site::default);
    let numbering: &mut Numbering;
    if *has_one_rule == Some(true) {
        numbering = next_row(call, 1);
    } else {
        numbering = next_row(call, call.argument_count());
        arguments.refresh_timeout(call, 1);
        has_one_rule.get_or_insert_with(|| call.are_constant(1));
    }
    match call.instant(0).filter(|instant| is_finite(*instant)) {
        Some(instant) => call.bigint(numbering.take(instant, arguments)),
        None => call.null(),
    }
}

impl Numbering {
    /// Takes the next row and gives its number.
    fn take(&mut self, instant: Instant, arguments: &mut RuleArguments) -> i64 {
        if self.number == 0 {
            self.number = 1;
        } else if instant != self.latest {
            let direction = if instant > self.latest { Direction::Ascending } else { Direction::Descending };
            if self.direction != direction {
                if self.direction != Direction::Unknown {
                    raise_unordered();
                }
                self.direction = direction;
            }
            let joins =
                arguments.rule.joins(&mut arguments.calendars.current, &Span::of(self.latest), &Span::of(instant));
            self.number += i64::from(!joins);
        }
        self.latest = instant;
        self.number
    }
}

#[cold]
fn raise_unordered() -> ! {
    Report::new(SqlState::ERRCODE_INVALID_PARAMETER_VALUE, "session_number needs its rows in order of time")
        .detail("The instants of one partition go both up and down.")
        .hint("Write OVER (PARTITION BY visitor ORDER BY occurred_at), with the column that session_number gets.")
        .raise()
}

pg_function!(
    /// `(occurred_at [, timeout [, boundary]]) → bigint`
    sessionize_number, pg_finfo_sessionize_number, session_number
);
