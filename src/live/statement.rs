//! Statements under way: where recorded rows wait for the end of their statement.

use std::cell::RefCell;

use super::guess;
use super::record::Recorder;
use crate::pg::transaction::{self, Ends};

/// What a statement does to a tracked table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It inserts.
    Insert,
    /// It updates, which may move rows from one partition to another.
    Update,
}

struct Statement {
    tracking: i32,
    app: i32,
    kind: Kind,
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

/// Sees to it that nothing outlives its transaction.
pub fn listen() {
    transaction::listen(&ENDS);
}

/// A statement on a tracked table begins.
pub fn begin(tracking: i32, app: i32, kind: Kind) {
    transaction::listen(&ENDS);
    let (part, recorder) = (transaction::current_part(), Recorder::default());
    STATEMENTS.with_borrow_mut(|statements| statements.push(Statement { tracking, app, kind, part, recorder }));
}

/// Visitors were worked out again from their rows, those of statements under way included: at their ends that has to be
/// done once more, in place of settling what they inserted.
pub fn note_rebuilt(app: i32, visitors: &[String]) {
    STATEMENTS.with_borrow_mut(|statements| {
        for statement in statements.iter_mut().filter(|statement| statement.app == app) {
            statement.recorder.note_correction(visitors.iter().cloned(), None);
        }
    });
}

/// Passes the rows of the innermost statement of a kind on the table to a function; none where no such statement is known:
/// rows that go straight into a partition, or that a replication worker applies, fire no trigger of their statement.
pub fn with_current<R>(tracking: i32, kind: Kind, function: impl FnOnce(&mut Recorder) -> R) -> Option<R> {
    transaction::listen(&ENDS);
    let part = transaction::current_part();
    STATEMENTS.with_borrow_mut(|statements| {
        let statement =
            statements.iter_mut().rev().find(|statement| (statement.tracking, statement.kind) == (tracking, kind))?;
        (statement.part == part).then(|| function(&mut statement.recorder))
    })
}

/// Whether a statement of a kind on the table is under way.
pub fn is_under_way(tracking: i32, kind: Kind) -> bool {
    let any = STATEMENTS.with_borrow(|statements| statements.iter().any(|statement| statement.kind == kind));
    any && with_current(tracking, kind, |_| ()).is_some()
}

/// A statement on a tracked table ends: gives its rows.
pub fn end(tracking: i32, kind: Kind) -> Option<Recorder> {
    STATEMENTS.with_borrow_mut(|statements| {
        let place =
            statements.iter().rposition(|statement| (statement.tracking, statement.kind) == (tracking, kind))?;
        Some(statements.remove(place).recorder)
    })
}
