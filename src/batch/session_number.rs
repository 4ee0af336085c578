//! `session_number … OVER`: the number of the session that each row falls into.
//!
//! An aggregate with a state of constant size: used with an ordered window, the executor asks for
//! its value once per group of equal instants.

use pgrx::pg_sys::Datum;
use sessionize_core::instant::is_finite;
use sessionize_core::{Instant, Span};

use super::arguments::RuleArguments;
use crate::pg::call::Call;
use crate::pg::error::{Report, SqlState};
use crate::pg::memory::{aggregate_context, allocate};
use crate::pg_function;

/// Which way the instants run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Unknown,
    Ascending,
    Descending,
}

/// The latest row of a partition.
struct Numbering {
    latest: Instant,
    number: i64,
    direction: Direction,
    row_counts: bool,
}

fn transition(call: &mut Call) -> Datum {
    let arguments = call.kept(RuleArguments::default);
    arguments.refresh_timeout(call, 2);
    let mut state = call.pointer::<Numbering>(0);
    if state.is_null() {
        let fresh = Numbering { latest: 0, number: 0, direction: Direction::Unknown, row_counts: false };
        state = allocate(aggregate_context(call), fresh);
    }
    let numbering = crate::pg::memory::borrow(state);
    let instant = call.instant(1).filter(|instant| is_finite(*instant));
    numbering.row_counts = instant.is_some();
    if let Some(instant) = instant {
        numbering.take(instant, arguments);
    }
    call.pointer_result(state)
}

impl Numbering {
    fn take(&mut self, instant: Instant, arguments: &mut RuleArguments) {
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
            let joins = arguments.rule.joins(&mut arguments.calendar, &Span::of(self.latest), &Span::of(instant));
            self.number += i64::from(!joins);
        }
        self.latest = instant;
    }
}

#[cold]
fn raise_unordered() -> ! {
    Report::new(SqlState::ERRCODE_INVALID_PARAMETER_VALUE, "session_number needs its rows in order of time")
        .detail("The instants of one partition go both up and down.")
        .hint("Write OVER (PARTITION BY visitor ORDER BY occurred_at), with the column that session_number gets.")
        .raise()
}

fn finish(call: &mut Call) -> Datum {
    let state = call.pointer::<Numbering>(0);
    if state.is_null() {
        return call.null();
    }
    let numbering = crate::pg::memory::borrow(state);
    if numbering.row_counts { call.bigint(numbering.number) } else { call.null() }
}

pg_function!(
    /// `(state, occurred_at [, timeout [, boundary]]) → state`
    sessionize_number_transition, pg_finfo_sessionize_number_transition, transition
);
pg_function!(
    /// `(state) → bigint`
    sessionize_number_finish, pg_finfo_sessionize_number_finish, finish
);
