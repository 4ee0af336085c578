//! Statements under way: where recorded rows wait for the end of their statement.

use std::cell::RefCell;

use super::guess;
use super::record::Recorder;
use crate::pg::transaction::{self, Ends};

struct Statement {
    tracking: i32,
    part: u32,
    recorder: Recorder,
}

thread_local! {
    static STATEMENTS: RefCell<Vec<Statement>> = const { RefCell::new(Vec::new()) };
}

static ENDS: Ends = Ends {
    aborted: || {
        STATEMENTS.with_borrow_mut(Vec::clear);
        guess::forget_all();
    },
    committed: || {
        STATEMENTS.with_borrow_mut(Vec::clear);
        guess::forget_drawn();
    },
    part_aborted: |part| {
        STATEMENTS.with_borrow_mut(|statements| statements.retain(|statement| statement.part != part));
        guess::forget_all();
    },
};

/// A statement on a tracked table begins.
pub fn begin(tracking: i32) {
    transaction::listen(&ENDS);
    let statement = Statement { tracking, part: transaction::current_part(), recorder: Recorder::default() };
    STATEMENTS.with_borrow_mut(|statements| statements.push(statement));
}

/// Passes the rows of the innermost statement on the table to a function; none where no statement is known: rows that
/// go straight into a partition, or that a replication worker applies, fire no trigger of their statement.
pub fn with_current<R>(tracking: i32, function: impl FnOnce(&mut Recorder) -> R) -> Option<R> {
    transaction::listen(&ENDS);
    let part = transaction::current_part();
    STATEMENTS.with_borrow_mut(|statements| {
        let statement = statements.iter_mut().rev().find(|statement| statement.tracking == tracking)?;
        (statement.part == part).then(|| function(&mut statement.recorder))
    })
}

/// A statement on a tracked table ends: gives its rows.
pub fn end(tracking: i32) -> Option<Recorder> {
    STATEMENTS.with_borrow_mut(|statements| {
        let place = statements.iter().rposition(|statement| statement.tracking == tracking)?;
        Some(statements.remove(place).recorder)
    })
}
