//! Statements under way: where recorded rows wait for the end of their statement.

use std::cell::RefCell;

use super::guess;
use super::record::Recorder;
use super::store::open_visitor_index;
use crate::pg::error::{Report, SqlState};
use crate::pg::sessions::VisitorIndex;
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
    /// Open from the first look at a visitor until the statement ends.
    index: Option<Box<VisitorIndex>>,
}

impl Statement {
    fn abandon(self) {
        self.index.into_iter().for_each(VisitorIndex::abandon);
    }
}

thread_local! {
    static STATEMENTS: RefCell<Vec<Statement>> = const { RefCell::new(Vec::new()) };
}

static ENDS: Ends = Ends {
    committing: || {
        let unsettled =
            STATEMENTS.with_borrow(|statements| statements.iter().any(|known| known.recorder.awaits_settling()));
        if unsettled {
            Report::new(SqlState::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, "events were not put into their sessions")
                .detail("Nothing called settle_sessions() at the end of the statement that inserted them.")
                .hint("Enable all triggers of the tracked table, or call untrack_sessions() and track_sessions().")
                .raise();
        }
    },
    aborted: || {
        abandon(|_| true);
        guess::forget_all();
    },
    committed: || {
        abandon(|_| true);
        guess::forget_drawn();
    },
    part_aborted: |part| {
        abandon(|statement| statement.part == part);
        guess::forget_all();
    },
};

/// Forgets statements that did not come to their end.
fn abandon(is_over: impl Fn(&Statement) -> bool) {
    STATEMENTS.with_borrow_mut(|statements| {
        let mut place = 0;
        while let Some(statement) = statements.get(place) {
            if is_over(statement) {
                statements.remove(place).abandon();
            } else {
                place += 1;
            }
        }
    });
}

/// Sees to it that nothing outlives its transaction.
pub fn listen() {
    transaction::listen(&ENDS);
}

/// A statement on a tracked table begins.
pub fn begin(tracking: i32, app: i32, kind: Kind) {
    transaction::listen(&ENDS);
    let (part, recorder) = (transaction::current_part(), Recorder::default());
    STATEMENTS
        .with_borrow_mut(|statements| statements.push(Statement { tracking, app, kind, part, recorder, index: None }));
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

/// Looks at visitors' sessions as they were when the statement that inserts into the table first did. To look runs no code
/// of users, so no other statement can begin meanwhile.
pub fn with_visitor_index<R>(tracking: i32, look: impl FnOnce(&VisitorIndex) -> R) -> R {
    let part = transaction::current_part();
    STATEMENTS.with_borrow_mut(|statements| {
        let innermost = statements
            .last_mut()
            .filter(|statement| (statement.tracking, statement.kind, statement.part) == (tracking, Kind::Insert, part));
        match innermost {
            Some(statement) => look(statement.index.get_or_insert_with(|| Box::new(open_visitor_index()))),
            None => look(&open_visitor_index()),
        }
    })
}

/// Whether a statement of a kind on the table is under way.
pub fn is_under_way(tracking: i32, kind: Kind) -> bool {
    let any = STATEMENTS.with_borrow(|statements| statements.iter().any(|statement| statement.kind == kind));
    any && with_current(tracking, kind, |_| ()).is_some()
}

/// A statement on a tracked table ends: gives its rows.
pub fn end(tracking: i32, kind: Kind) -> Option<Recorder> {
    let ended = STATEMENTS.with_borrow_mut(|statements| {
        let place =
            statements.iter().rposition(|statement| (statement.tracking, statement.kind) == (tracking, kind))?;
        Some(statements.remove(place))
    })?;
    Some(ended.recorder)
}
